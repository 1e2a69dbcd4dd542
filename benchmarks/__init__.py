"""Claims of speed and of error rates, measured: both sides in one run, with the ratio."""
