"""How good the frames are: data sets, metrics, protocols, peers, distribution shifts. Importing this loads no torch."""
