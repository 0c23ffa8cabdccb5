"""Before deployment: a packed cache of the training split, samples drawn from it, and the loop that makes base weights.
"""
