"""fairway takes a machine-learning model from data to a monitored service on Kubernetes."""

import os

__version__ = "0.1.0"

# ONNX Runtime would tell its maker of every session
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
