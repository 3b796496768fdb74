"""Training: the loop, its state, and what a run folder records of it."""
