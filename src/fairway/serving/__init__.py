"""Answering requests: the predictor, the hot path over HTTP, the BentoML service around it, and the
log of its predictions."""
