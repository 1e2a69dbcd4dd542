"""Components of retraining: whether a challenger is trained."""
