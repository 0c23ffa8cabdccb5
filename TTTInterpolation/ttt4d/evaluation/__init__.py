"""How good the frames are: data sets, metrics, protocols, peers and distribution shifts. Importing this loads no torch."""
