"""The network of the axis between slices: cuts and slices as views (`views`), read at any position (`decoder`)."""
