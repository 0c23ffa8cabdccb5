"""ttt4d: the missing phase_times of a 4D medical image, by test-time training. Not for clinical use."""

__version__ = "0.1.0"
