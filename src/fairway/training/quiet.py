"""Exporters that keep what they think of their own insides to themselves."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

LOGGERS = ("torch.onnx", "onnxscript", "torch.export", "skl2onnx")


@contextlib.contextmanager
def exporters() -> Iterator[None]:
    """Print, log and warn of nothing: the user can change none of it."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def launcher() -> Iterator[None]:
    """Have torch's elastic agent log nothing: what becomes of its processes is one sentence of ours."""
    logger = logging.getLogger("torch.distributed")
    before = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [logging.NullHandler()], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before
