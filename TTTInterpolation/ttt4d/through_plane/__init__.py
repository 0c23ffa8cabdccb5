"""The axis of space: the missing slices between the slices of one volume."""
