"""Cohorts: the list around one run. Which cases there are, who computes which, and what has come of all of them."""
