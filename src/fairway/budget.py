"""How long what is under way may still take: whatever waits for a network asks here.

A look asks many servers many things. With a timeout for each alone they could take minutes
together, and the worker that waits with them.
"""

import contextlib
import contextvars
import http.client
import math
import time
from collections.abc import Iterator

from fairway import errors

PIECE = 2**16  # bytes between two looks at the clock

_end: contextvars.ContextVar[float] = contextvars.ContextVar(
    "end", default=math.inf
)  # of this thread, by the monotonic clock


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let all that the block waits for take the seconds together, or what an outer block has left
    of its own."""
    token = _end.set(min(_end.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _end.reset(token)


def read(answer: http.client.HTTPResponse, *, most: int, longest: float) -> bytes:
    """Return the answer, at most `most` bytes; raises Unavailable where it is not there after
    `longest` seconds, however steadily it comes."""
    content, end = bytearray(), time.monotonic() + timeout(longest)
    while len(content) < most and (some := answer.read1(min(PIECE, most - len(content)))):
        content += some
        if time.monotonic() > end:
            raise errors.Unavailable(
                f"an answer was not complete after {longest:g} s: {len(content)} bytes came"
            )
    if answer.length and len(content) < most:
        raise http.client.IncompleteRead(bytes(content), answer.length)
    return bytes(content)


def timeout(longest: float) -> float:
    """Return the seconds that the next answer may take, at most `longest`; raises Unavailable where
    none are left."""
    left = _end.get() - time.monotonic()
    if left <= 0:
        raise errors.Unavailable(
            "what was asked before took all the time that one look may take: the rest is asked at the next"
        )
    return min(longest, left)
