"""Metrics, protocols, peers, distribution shifts and tables that tell how good the frames are."""
