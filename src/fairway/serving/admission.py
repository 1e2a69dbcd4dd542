"""Which requests are begun: those that can be answered in time. The others are refused at once with
429, and cost next to nothing.

Two places hold requests up: the event loop, which answers small requests one after the other, and
the threads, which answer the large ones. Both are judged by time, not by number, and by the same
bound: a request that waits longer than `LONGEST_WAIT` is one too many. So whatever the load, what
is accepted is answered soon, and half a second after a peak the last of it is forgotten.

The status is 429, not 503: a 5xx is a verdict about a revision, and that more came than it can do
is none. A server whose threads do not come back is another matter: what it owes is answered 503 and
504.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fairway.serving import protocol

Answer = TypeVar("Answer")

LONGEST_WAIT = 0.5  # seconds: takes up a burst, and is over within a second after the peak
# of the event loop's, in which it answers: what a probe or a new connection waits
ROUND_SECONDS = 0.02
# of that wait, for mirrored copies: they are dropped first, since nobody waits for their answer
SHADOW_SHARE = 0.25
# of the deadline, for the work of one request: who waits for the thread behind it is answered in
# time still
WORK_SHARE = 0.25
PACE_SHARE = 0.1  # of a finished request in the running mean of how far the estimates are off


class NotAdmitted(protocol.Invalid):
    """The request came while more than enough was waiting; the client may try again."""


def longest_wait(timeout: float, *, shadow: bool = False) -> float:
    """Return the seconds that a request may wait before its work begins."""
    return min(LONGEST_WAIT, timeout / 4) * (SHADOW_SHARE if shadow else 1.0)


def too_many(sentence: str) -> NotAdmitted:
    return NotAdmitted(f"{sentence}: try again in a second, or add replicas", status=429)


class Turns:
    """The requests that the event loop answers itself, a little of them in each of its rounds.

    A round reads all sockets that are ready. Were all that it read answered at once, rounds would
    grow with the load, and new connections and probes would wait for many of them; so what does not
    fit into a round waits here, oldest first.
    """

    def __init__(self) -> None:
        # the turn, since when, what it costs
        self._waiting: deque[tuple[asyncio.Future[None], float, float]] = deque()
        # seconds of this round that are not given away; None where nobody asked in it yet
        self._left: float | None = None
        self._queued = 0.0  # seconds of work that wait
        self._pace = 1.0  # seconds that pass, for each of work that was expected
        self._round = 0.0  # when this round began
        self._longest = 0.0

    def wait(self) -> float:
        """Return the seconds that a request would wait which comes now: as long as the oldest has,
        or as what waits will take."""
        return (
            max(time.perf_counter() - self._waiting[0][1], self._queued * self._pace)
            if self._waiting
            else 0.0
        )

    async def mine(self, *, cost: float, longest: float) -> None:
        """Return when the request may be answered; raises NotAdmitted where it would wait longer
        than that. `cost` is its work in seconds."""
        if self._left is None:
            self._left = ROUND_SECONDS
            asyncio.get_running_loop().call_soon(self._next)
        if not self._waiting and self._left > 0:
            self._left -= cost
            return
        if (wait := self.wait()) > longest:
            raise too_many(
                f"the requests before this one take {wait:.1f} s, wanted at most {longest:g} s"
            )
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, time.perf_counter(), cost))
        self._queued += cost
        await turn

    def longest(self) -> float:
        """Return the longest wait since this was last asked, in seconds."""
        longest, self._longest = max(self._longest, self.wait()), 0.0
        return longest

    def _next(self) -> None:
        """Begin a round with those that have waited longest."""
        if not self._waiting:
            self._left, self._queued, self._round = None, 0.0, 0.0
            return
        self._longest = max(self._longest, self.wait())
        now, spent = time.perf_counter(), ROUND_SECONDS - (self._left or 0.0)
        if self._round and spent > 0:
            self._pace += PACE_SHARE * ((now - self._round) / spent - self._pace)
        self._left, self._round = ROUND_SECONDS, now
        while self._waiting and self._left > 0:
            turn, _, cost = self._waiting.popleft()
            self._left -= cost
            self._queued -= cost
            turn.set_result(None)
        asyncio.get_running_loop().call_soon(self._next)


class Job:
    """One request for the threads."""

    __slots__ = ("begun", "cost")

    def __init__(self, cost: float) -> None:
        self.cost = cost  # seconds, as calibration would have it
        self.begun: float | None = None


class Backlog:
    """The requests that threads answer: those that wait, oldest first, and those in work."""

    def __init__(self, *, threads: int, timeout: float, most: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="fairway-predict")
        self._number, self._timeout, self._most = threads, timeout, most
        self._waiting: dict[Job, None] = {}
        self._running: dict[Job, None] = {}
        self._pace = 1.0  # seconds that work takes, for each that calibration expected

    @property
    def waiting(self) -> int:
        """The requests that no thread has begun."""
        return len(self._waiting)

    @property
    def busy(self) -> int:
        """The requests that threads are at."""
        return len(self._running)

    def wait(self) -> float:
        """Return the seconds of work that lie before a request that comes now, beside what is in
        work."""
        return sum(job.cost for job in list(self._waiting)) * self._pace / self._number

    def stuck(self) -> bool:
        """Say whether every thread has been at one request for longer than any may take."""
        since = time.perf_counter() - self._timeout
        return len(running := list(self._running)) >= self._number and all(
            job.begun is not None and job.begun < since for job in running
        )

    def admit(self, *, longest: float) -> None:
        """Return where a request may join; raises NotAdmitted where too many wait, Invalid where
        the threads do not come back."""
        if self.stuck():
            raise protocol.Invalid(
                f"the model has not answered for {self._timeout:g} s", status=503
            )
        if self.waiting + self.busy >= self._most:
            raise too_many(f"{self._most} requests are in work already (serving.maxConcurrency)")
        wait = self.wait()
        if wait > longest:
            raise too_many(
                f"{self.waiting} requests wait, about {wait:.1f} s of work, wanted at most {longest:g} s"
            )

    async def run(self, work: Callable[[], Answer], *, cost: float, deadline: float) -> Answer:
        """Return what the work returns; raises TimeoutError at the deadline (a time of the loop's
        clock), NotAdmitted where the wait took its time."""
        job = Job(min(cost, WORK_SHARE * self._timeout))
        self._waiting[job] = None
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.get_running_loop().run_in_executor(
                    self._pool, self._do, job, work
                )
        except TimeoutError:
            if self._late(job) and not self.stuck():
                raise too_many("the request's turn did not come in time") from None
            raise
        finally:
            self._waiting.pop(job, None)  # a thread skips what was given up before it was begun

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _late(self, job: Job) -> bool:
        """Say whether it was the wait that took the request's time, not its own work."""
        return job.begun is None or time.perf_counter() - job.begun < WORK_SHARE * self._timeout

    def _do(self, job: Job, work: Callable[[], Answer]) -> Answer:
        job.begun = time.perf_counter()
        self._running[job] = None
        self._waiting.pop(job, None)
        answered = False
        try:
            answer = work()
            answered = True
            return answer
        finally:
            self._running.pop(job, None)
            took = time.perf_counter() - job.begun
            if job.cost > 0 and (
                answered or took > job.cost * self._pace
            ):  # a refusal tells what work takes only where it was dear
                self._pace += PACE_SHARE * (took / job.cost - self._pace)
