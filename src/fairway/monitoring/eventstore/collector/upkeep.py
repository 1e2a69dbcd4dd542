"""The upkeep of an event store: events go by age, by size, and from a volume that is full, the
oldest first.

A full volume is the hard case: removing rows needs room too, for the log that SQLite writes them
to. So some is held in reserve, in a file beside the store that nothing else uses: it is let go, the
log is written back, and the oldest tenth of the events makes room for new ones.
"""

import logging
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fairway import errors
from fairway.monitoring.eventstore import archive

log = logging.getLogger("fairway.monitoring.eventstore.collector.upkeep")

# of events by default: below the chart's volume of 10 GiB, which holds the log beside them
MAX_BYTES = 8 * 2**30
# twice what the log can hold that is not written back, the largest batch in it
RESERVE_BYTES = 128 * 2**20
RESERVE_SHARE = 0.25  # of the volume at most
KEPT_WHEN_FULL = 0.9  # of what was used, and again until the reserve can be held
# of what was used: where that makes no room, the volume is full of something else
LEAST_WHEN_FULL = 0.5
ROWS = 2000  # in one transaction: keeps the write lock for a few milliseconds


def parse_bytes(text: str) -> int:
    """Return the bytes that a Kubernetes quantity such as 8Gi or 500M names; raise ValueError for
    what is none."""
    match = re.fullmatch(r"([1-9][0-9]*)(Ki|Mi|Gi|Ti|k|M|G|T|)", text)
    if match is None:
        raise ValueError(
            f"{text!r} is no size: wanted bytes, or a number with Ki, Mi, Gi or Ti, such as 8Gi"
        )
    power = "kMGT".find(match[2][:1].replace("K", "k")) + 1 if match[2] else 0
    return int(match[1]) * int((1024 if match[2].endswith("i") else 1000) ** power)


class Gone(NamedTuple):
    """What one step has removed."""

    events: int
    reason: str  # age | size | full


class Upkeep:
    """Keeps one store within its bounds, a step at a time: between two steps others may write and
    read."""

    def __init__(
        self,
        events: archive.EventStore,
        *,
        keep: timedelta | None,
        max_bytes: int,
        now: Callable[[], float],
        reserve: "Reserve | None",
    ) -> None:
        self._events, self._keep, self._now, self._reserve = events, keep, now, reserve
        self._max_bytes = max_bytes
        self._bound: float | None = None  # bytes that may stay, while room is made on a full volume
        self._lowest = 0.0
        self._crowded = False  # the volume is full of something else
        self._rows = ROWS

    def full(self) -> None:
        """Begin to make room: the volume took no more."""
        if self._bound is None:
            used = self._events.used_bytes()
            self._bound, self._lowest = (
                min(self._max_bytes, KEPT_WHEN_FULL * used),
                LEAST_WHEN_FULL * used,
            )
            log.warning("The event store's volume is full: the oldest of its events go.")
        if self._reserve is not None:
            self._reserve.release()
        self._compact()

    def step(self) -> Gone | None:
        """Remove some events, and return how many and why; None where all is as it should be."""
        if self._keep is not None:
            before = self._now() - self._keep.total_seconds()
            if number := self._removed(partial(self._events.prune_some, before)):
                return Gone(number, "age")
        bound, reason = (self._max_bytes, "size") if self._bound is None else (self._bound, "full")
        if self._events.used_bytes() > bound and (
            number := self._removed(self._events.prune_oldest)
        ):
            return Gone(number, reason)
        return self._roomy()

    def _roomy(self) -> Gone | None:
        """Hold the reserve, and make more room where there is none for it."""
        if self._bound is not None:
            self._compact()
        held = self._reserve is None or self._reserve.hold()
        if self._bound is None and (held or self._crowded):
            self._crowded = not held
            return None
        if self._bound is None:
            self.full()
        elif held or self._bound <= self._lowest:  # what fills the volume is not ours
            self._bound, self._crowded = None, not held
            return None
        else:
            self._bound *= KEPT_WHEN_FULL
        return Gone(0, "full")

    def _compact(self) -> None:
        # fewer events need less room: removing them is tried all the same
        with suppress(errors.StoreFull):
            self._events.compact()

    def _removed(self, remove: Callable[..., int]) -> int:
        """Return how many events were removed, fewer at once where there is no room for the log of
        more."""
        try:
            removed = remove(rows=self._rows)
        except errors.StoreFull:
            if self._rows == 1:
                raise
            self._rows = max(1, self._rows // 4)
            self._compact()
            return self._removed(remove)
        self._rows = min(ROWS, 2 * self._rows)
        return removed


class Reserve:
    """Room on the volume that is held by a file of its own."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._bytes = int(min(RESERVE_BYTES, RESERVE_SHARE * shutil.disk_usage(file.parent).total))

    def hold(self) -> bool:
        """Say whether the room is held; take it where there is a quarter more."""
        try:
            if self._file.exists():
                return True
            if shutil.disk_usage(self._file.parent).free < 1.25 * self._bytes:
                return False
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                _allocate(descriptor, self._bytes)
            finally:
                os.close(descriptor)
        except OSError:
            self.release()  # half of it is none
            return False
        return True

    def release(self) -> None:
        with suppress(OSError):
            self._file.unlink()


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    os.write(descriptor, bytes(size))  # macOS
