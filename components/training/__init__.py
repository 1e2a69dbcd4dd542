"""Components of training."""
