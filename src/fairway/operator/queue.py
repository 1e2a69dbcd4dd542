"""What is to be looked at, and when: each resource at most once at a time, and every namespace in
its turn."""

import threading
from collections.abc import Callable

Key = tuple[str, str]  # namespace, name


class Queue:
    """Keys with the time at which they are due; what is in work is not given out again until it is
    done.

    Of the keys that are due, the namespace that has waited longest since its last has the next, and
    no namespace has more than `share` in work: whatever a tenant's looks take, the others' are
    taken. Plain dicts: even a thousand keys are searched in less time than one request takes.
    """

    def __init__(self, *, clock: Callable[[], float], share: int) -> None:
        self._clock, self._share = clock, share
        self._due: dict[Key, float] = {}
        self._working: set[Key] = set()
        self._served: dict[str, int] = {}  # namespace -> which look of all was its last
        self._looks = 0
        self._changed = threading.Condition()
        self._closed = False

    def add(self, key: Key, *, delay: float = 0.0) -> None:
        """Ask for a look after `delay` seconds; an earlier one that is asked for already stays."""
        with self._changed:
            self._due[key] = min(self._clock() + delay, self._due.get(key, float("inf")))
            self._changed.notify()

    def take(self) -> Key | None:
        """Wait for a key that is due and hand it out; None when the queue is closed."""
        with self._changed:
            while not self._closed:
                free, now = self._free(), self._clock()
                due = [key for key in free if self._due[key] <= now]
                if due:
                    return self._give(
                        min(due, key=lambda key: (self._served.get(key[0], 0), self._due[key]))
                    )
                self._changed.wait(min((self._due[key] - now for key in free), default=None))
            return None

    def done(self, key: Key) -> None:
        """Say that the look at the key has ended."""
        with self._changed:
            self._working.discard(key)
            self._changed.notify()

    def close(self) -> None:
        """Let every `take` return None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        with self._changed:
            return len(self._due)

    def _free(self) -> list[Key]:
        """Return the keys that may be given out once they are due."""
        busy: dict[str, int] = {}
        for namespace, _ in self._working:
            busy[namespace] = busy.get(namespace, 0) + 1
        return [
            key
            for key in self._due
            if key not in self._working and busy.get(key[0], 0) < self._share
        ]

    def _give(self, key: Key) -> Key:
        del self._due[key]
        self._working.add(key)
        self._looks += 1
        self._served[key[0]] = self._looks
        return key
