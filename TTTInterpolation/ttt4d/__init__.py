"""ttt4d: the missing moments of a 4D medical image, by test-time training. Not for clinical use."""

__version__ = "0.1.0"
