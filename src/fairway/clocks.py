"""Time that a set clock cannot move: what elapsed for a rollout, and a store's own time for what it
keeps.

The wall's clock is for people and for comparing with what other machines wrote down. Whatever ends,
begins or is deleted after a while is decided by what elapsed.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

# that count between two looks, where they come more often: nobody knows what happened in a longer
# time
LONGEST_SECONDS = 60.0
CORRECTED = 0.1  # of the time that passes: by so much at most is a steady clock set to the wall's


@dataclass(frozen=True)
class Source:
    """Where time is read: on the wall, whose clock anybody may set, and on this machine, where it
    only goes forward."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


MACHINE = Source()


class Elapsed:
    """The own time of one rollout, which moves by what elapsed between looks.

    Within a process the machine says what elapsed. From one process to the next only the wall's
    clock does, and is believed forward and for a minute at most: a rollout that nobody looked at
    stands still.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._time: float | None = None  # of the rollout, when this process last looked
        self._at = 0.0  # what the machine's clock was then

    def now(self, *, clock: float, looked: float, interval: float = 1.0) -> float:
        """Return the rollout's time; `clock` is what it was when the last look was stored, `looked`
        what the wall's clock said then.

        `interval` is between looks, in seconds: of a longer time twice that counts, and a minute in
        any case.
        """
        at = self._source.monotonic()
        if self._time is not None and self._time >= clock:  # looks that were not stored count too
            begun, passed = self._time, at - self._at
        else:
            begun, passed = self._taken_up(clock=clock, looked=looked)
        self._time, self._at = begun + min(max(passed, 0.0), max(LONGEST_SECONDS, 2 * interval)), at
        return self._time

    def _taken_up(self, *, clock: float, looked: float) -> tuple[float, float]:
        wall = self._source.wall()
        begun = clock or looked or wall  # no clock: an earlier version wrote the wall's times
        return begun, wall - looked if looked else 0.0


class Steady:
    """A clock that follows the wall's and never jumps: it runs a tenth faster or slower until the
    two agree, as adjtime has it.

    Who keeps something for a while by it keeps it for nine tenths of that while at least, whatever
    the wall's clock is set to.
    """

    def __init__(self, source: Source, *, start: float | None = None) -> None:
        self._source = source
        self._at = source.monotonic()
        self._time = source.wall() if start is None else start
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return the time, in seconds since the epoch."""
        with self._lock:
            at = self._source.monotonic()
            passed, self._at = at - self._at, at
            missing = self._source.wall() - self._time - passed
            self._time += passed + min(max(missing, -CORRECTED * passed), CORRECTED * passed)
            return self._time
