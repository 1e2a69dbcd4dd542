"""Evaluation: what a model is worth on rows it never saw, beside the simplest rules and the model
in service."""
