"""The network: f (features), h (motion and refinement), and the whole."""
