"""Test-time training, the same on both axes: what an auxiliary task is, the way from the base weights, the schemes."""
