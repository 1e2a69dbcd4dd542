"""Component `batch_predict`."""

from components.serving.batch_predict.component import batch_predict

__all__ = ["batch_predict"]
