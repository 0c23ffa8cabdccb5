"""The axis of time: the frames between two phases. `pipeline` is the way of the data, top to bottom."""
