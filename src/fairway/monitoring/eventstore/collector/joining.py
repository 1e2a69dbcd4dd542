"""Writes that wait for the store are stored together: one commit acknowledges all of them, and each
takes the store's lock for a shorter while."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple

from fairway import errors
from fairway.monitoring.eventstore import archive

MOST_ROWS = 10_000  # of one commit, beyond the first write: other collectors wait for the lock


class Write(NamedTuple):
    """A write that waits, of so many rows, and who is told of it once it is stored."""

    add: Callable[[], Any]
    rows: int
    done: "Future[Any]"


class Joining:
    """The writes into one store; `writer` is the thread that writes it."""

    def __init__(self, store: archive.EventStore, *, writer: Executor) -> None:
        self._store, self._writer = store, writer
        self._waiting: deque[Write] = deque()

    def put(self, add: Callable[[], Any], *, rows: int) -> "Future[Any]":
        """Return what `add` returns or raises, told when all that it has written is stored."""
        done: Future[Any] = Future()
        self._waiting.append(Write(add, rows, done))
        self._writer.submit(self._store_waiting)
        return done

    def _store_waiting(self) -> None:
        """Store what waits; nothing where an earlier turn has stored it."""
        if writes := self._taken():
            self._store_all(writes)

    def _taken(self) -> list[Write]:
        taken: list[Write] = []
        rows = 0
        while self._waiting and (not taken or rows + self._waiting[0].rows <= MOST_ROWS):
            taken.append(self._waiting.popleft())
            rows += taken[-1].rows
        return taken

    def _store_all(self, writes: list[Write]) -> None:
        try:
            with self._store.writing():
                results = [write.add() for write in writes]
        except BaseException as error:
            if len(writes) > 1 and not isinstance(error, errors.StoreBusy):
                # one is at fault, and the others are not to be refused with it
                for write in writes:
                    self._store_all([write])
            else:
                for write in writes:
                    write.done.set_exception(error)
        else:
            for write, result in zip(writes, results, strict=True):
                write.done.set_result(result)
