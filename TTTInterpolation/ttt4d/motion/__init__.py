"""Displacement fields: warping, their algebra, and what they are good for."""
