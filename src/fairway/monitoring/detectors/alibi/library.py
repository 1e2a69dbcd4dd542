"""The library itself: imported once, on one thread, seeded, its errors said in a sentence."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from fairway import errors

SEED = 0


def load() -> Any:
    """Return `alibi_detect.cd`, imported once, without the warnings of the libraries below it; it takes
    some ten seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import torch
            from alibi_detect import cd
        except ImportError as error:
            raise errors.PlatformError(
                f"drift detection needs alibi-detect ({error}): install fairway[drift]"
            ) from error
    # two threads on small matrices are slower, and some of its routines then hang
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    logging.getLogger("alibi_detect").setLevel(logging.ERROR)  # it warns of its own defaults
    return cd


@contextlib.contextmanager
def steady() -> Iterator[None]:
    """Let the library draw from its seed, on one thread; raises DataError for what it cannot test."""
    import torch
    from threadpoolctl import threadpool_limits

    np.random.seed(SEED)  # the generators that the library draws from
    torch.manual_seed(SEED)
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (ValueError, RuntimeError) as error:
            said = " ".join(str(error).split())[:200]
            raise errors.DataError(
                f"Alibi Detect cannot test these rows ({type(error).__name__}: {said}): take another detector, "
                "such as mmd"
            ) from error
