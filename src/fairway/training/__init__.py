"""Training: a model fitted on the prepared splits, and exported so that nothing of torch is needed
to serve it."""
