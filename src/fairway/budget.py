"""How long what is under way may still take: whatever waits for a network asks here.

A look asks many servers many things. With a timeout for each alone they could take minutes together, and the worker that waits with them.
"""

import contextlib
import contextvars
import math
import time
from collections.abc import Iterator

from fairway import errors

_end: contextvars.ContextVar[float] = contextvars.ContextVar("end", default=math.inf)   # of this thread, by the monotonic clock


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let all that the block waits for take the seconds together, or what an outer block has left of its own."""
    token = _end.set(min(_end.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _end.reset(token)


def timeout(longest: float) -> float:
    """Return the seconds that the next answer may take, at most `longest`; raises Unavailable where none are left."""
    left = _end.get() - time.monotonic()
    if left <= 0:
        raise errors.Unavailable("what was asked before took all the time that one look may take: the rest is asked at the next")
    return min(longest, left)
