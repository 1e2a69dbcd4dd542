"""Pipelines: what was compiled, what it may not hold, and a run of it, here or on Kubeflow."""
