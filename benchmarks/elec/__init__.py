"""A market whose rules move: when to train again, and whether to deploy."""
