"""Kubeflow pipelines of fairway, and their compiled YAML. `python -m pipelines.compile` writes it."""
