"""When Python looks for garbage: objects that only know one another. Processes that import much and
end soon make little of it, and looking for it took them a third of their time."""

import atexit
import contextlib
import gc
from collections.abc import Iterator

OBJECTS = 50_000  # made between two looks; Python's own number is 700


def left_at_end() -> None:
    """Have this process end without the three looks through everything that Python takes then: the
    memory goes back as it is."""
    atexit.unregister(gc.freeze)  # called again, it is still once
    atexit.register(gc.freeze)


@contextlib.contextmanager
def seldom() -> Iterator[None]:
    """Look for it seldom: torch and its exporters make millions of objects that stay."""
    before = gc.get_threshold()
    gc.set_threshold(OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
