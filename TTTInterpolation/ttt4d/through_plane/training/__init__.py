"""Pre-training of the axis between slices: sources of thin slices, samples of the problem, the loop."""
