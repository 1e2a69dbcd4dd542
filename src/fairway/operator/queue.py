"""What is to be looked at, and when: each resource at most once at a time, the earliest first."""

import threading
from collections.abc import Callable

Key = tuple[str, str]   # namespace, name


class Queue:
    """Keys with the time at which they are due; what is in work is not given out again until it is done.

    A plain dict: even a thousand keys are searched in less time than one request takes.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due: dict[Key, float] = {}
        self._working: set[Key] = set()
        self._changed = threading.Condition()
        self._closed = False

    def add(self, key: Key, *, delay: float = 0.0) -> None:
        """Asks for a look after `delay` seconds; an earlier one that is asked for already stays."""
        with self._changed:
            self._due[key] = min(self._clock() + delay, self._due.get(key, float("inf")))
            self._changed.notify()

    def take(self) -> Key | None:
        """Waits for a key that is due and gives it out; None when the queue is closed."""
        with self._changed:
            while not self._closed:
                key = min((key for key in self._due if key not in self._working), key=self._due.__getitem__, default=None)
                wait = self._due[key] - self._clock() if key is not None else None
                if key is not None and wait is not None and wait <= 0:
                    del self._due[key]
                    self._working.add(key)
                    return key
                self._changed.wait(wait)
            return None

    def done(self, key: Key) -> None:
        """Says that the look at the key has ended."""
        with self._changed:
            self._working.discard(key)
            self._changed.notify()

    def close(self) -> None:
        """Lets every `take` return None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        with self._changed:
            return len(self._due)
