"""The collector's own work, round after round: events go that must, the file is checked, the
unpaired are counted.

Whatever fails in a round is that round's: it is counted and told, and the next round is tried.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from fairway import clocks, errors
from fairway.monitoring.eventstore import archive
from fairway.monitoring.eventstore.collector import condition, series, upkeep

log = logging.getLogger("fairway.monitoring.eventstore.collector")

# between two looks at whether the store takes a write, and what must go of it
UPKEEP_SECONDS = 10.0
# between two readings of the whole file: a damaged one must not take what it may lose
CHECK_SECONDS = 6 * 3600.0
# for the other half of a pair, or a label's answer, to come: a server delivers within a second, or spools
UNPAIRED_SECONDS = 60.0
# for the other half of another server's prediction: an answer takes no longer than a gateway waits
UNJOINED_SECONDS = 300.0


class Tending:
    """The work on one store; `reader` and `writer` are the threads that read and write it for
    others as well."""

    def __init__(
        self,
        store: archive.EventStore,
        *,
        bounds: upkeep.Upkeep,
        clock: clocks.Steady,
        reader: Executor,
        writer: Executor,
        known: condition.Condition,
        counted: series.Series,
    ) -> None:
        self._store, self._bounds, self._clock = store, bounds, clock
        self._reader, self._writer = reader, writer
        self._condition, self._series = known, counted
        self._checker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="collector-checker")
        self._ending = threading.Event()

    def close(self) -> None:
        self._ending.set()
        self._checker.shutdown(wait=False, cancel_futures=True)

    async def keep_up(self) -> None:
        """Take one round of the upkeep after the other, whatever becomes of each."""
        while True:
            try:
                await self._keep_up_once()
            except Exception as error:
                self._count_failure("upkeep", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._condition.full.wait(), UPKEEP_SECONDS)

    async def keep_checking(self) -> None:
        """Read the whole file now and then; a damaged one takes no more events, for it may lose
        them."""
        found = None
        while found is None:
            try:
                found = await _in(self._checker, self._checked)
            except Exception as error:
                self._count_failure("check", error)
                await asyncio.sleep(UPKEEP_SECONDS)
        self._condition.damaged(found)

    async def _keep_up_once(self) -> None:
        """Let events go that must, a few at a time between the questions, and see whether the store
        takes a write."""
        if self._condition.full.is_set():
            self._condition.full.clear()
            await _in(self._reader, self._bounds.full)
        while (gone := await _in(self._reader, self._bounds.step)) is not None:
            self._series.pruned.labels(gone.reason).inc(gone.events)
        self._series.bytes.set(await _in(self._reader, self._store.used_bytes))
        await _in(self._writer, self._probe)
        await self._count_unpaired()
        await self._tally()
        await self._count_unjoined()

    async def _count_unpaired(self) -> None:
        count = partial(self._store.count_unpaired, before=self._clock.now() - UNPAIRED_SECONDS)
        while (found := await _in(self._reader, count)) is not None:
            for alone in found:
                self._series.unpaired.labels(alone.namespace, alone.deployment, alone.revision).inc(
                    alone.answers
                )

    async def _tally(self) -> None:
        """Count what the labels that came say of the answers."""
        step = partial(self._store.tally, before=self._clock.now() - UNPAIRED_SECONDS)
        while (found := await _in(self._reader, step)) is not None:
            self._series.quality.count(found)

    async def _count_unjoined(self) -> None:
        let_go = partial(self._store.let_halves_go, before=self._clock.now() - UNJOINED_SECONDS)
        for alone in await _in(self._reader, let_go):
            self._series.unjoined.labels(alone.namespace, alone.deployment, alone.side).inc(
                alone.halves
            )

    def _probe(self) -> None:
        """Write something: whether that works is what a sender wants to know."""
        self._store.conclusions.set_mark("collector/probe", self._clock.now())
        self._condition.works()

    def _checked(self) -> str | None:
        """Return what is wrong with the file; where it is sound, after a while."""
        found = self._store.damage()
        if found is None:
            self._ending.wait(CHECK_SECONDS)
        return found

    def _count_failure(self, loop: str, error: Exception) -> None:
        """Count and tell the failure of one round."""
        self._series.failed.labels(loop).inc()
        if not isinstance(error, errors.FairwayError):
            log.error(
                "A round of the collector's %s failed; the next one is tried.", loop, exc_info=error
            )
            return
        self._condition.learn(error)
        if isinstance(error, errors.PlatformError):
            self._condition.refused(str(error))


def _in(threads: Executor, function: Callable[..., Any]) -> "asyncio.Future[Any]":
    return asyncio.get_running_loop().run_in_executor(threads, function)
