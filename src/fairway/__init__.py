"""fairway takes a machine-learning model from data to a monitored service on Kubernetes."""

__version__ = "0.1.0"
