"""Training before deployment: a packed cache of the data, samplers that draw batches from it, and the training loop."""
