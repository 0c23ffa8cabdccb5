"""Test-time training, the same on both axes: the interface of an auxiliary task, the steps, the schemes."""
