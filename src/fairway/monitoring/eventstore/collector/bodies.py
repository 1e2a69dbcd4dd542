"""The bodies that are still on their way to the collector: bounded in number, in bytes and in time.

A body that is on its way is no work yet. Where too many are under way, the caller that holds most
of the room loses its oldest body: a caller that holds uploads open takes its own places, and never
another caller's.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from fairway import errors

MOST = 64  # bodies under way at once
SECONDS = 30.0  # for a whole body to come


class TooLarge(errors.DataError):
    """The body or the batch is beyond its bound."""


class Slow(errors.DataError):
    """The body does not come."""


class Coming:
    """One body that is under way."""

    __slots__ = ("caller", "content", "evicted", "patience")

    def __init__(self, caller: str, patience: asyncio.Timeout) -> None:
        self.caller = caller
        self.patience = patience
        self.content = bytearray()
        self.evicted = False


class Bodies:
    """The bodies of one collector that are under way."""

    def __init__(self, *, most_bytes: int, most: int = MOST, seconds: float = SECONDS) -> None:
        self._most, self._most_bytes, self._seconds = most, most_bytes, seconds
        self._under_way: dict[Coming, None] = {}  # the oldest first

    async def read(
        self, chunks: AsyncIterator[bytes], *, caller: str, largest: int, too_large: str
    ) -> bytes:
        """Return the whole body; raise TooLarge, Slow, or StoreBusy where its place was needed."""
        try:
            async with asyncio.timeout(self._seconds) as patience:
                coming = Coming(caller, patience)
                self._under_way[coming] = None
                self._make_room()
                try:
                    async for chunk in chunks:
                        if len(coming.content) + len(chunk) > largest:
                            raise TooLarge(too_large)
                        coming.content += chunk
                        self._make_room()
                finally:
                    self._under_way.pop(coming, None)
        except TimeoutError as error:
            raise self._missed(coming) from error
        return bytes(coming.content)

    def _missed(self, coming: Coming) -> errors.FairwayError:
        if coming.evicted:
            return errors.StoreBusy(
                "other bodies came that needed this one's place; nothing was stored, try again"
            )
        return Slow(f"the body did not come within {self._seconds:.0f} s; nothing was stored")

    def _make_room(self) -> None:
        while len(self._under_way) > self._most:
            self._evict(Counter(coming.caller for coming in self._under_way))
        while sum(len(coming.content) for coming in self._under_way) > self._most_bytes:
            held: Counter[str] = Counter()
            for coming in self._under_way:
                held[coming.caller] += len(coming.content)
            self._evict(held)

    def _evict(self, held: Counter[str]) -> None:
        """Give up the oldest body of the caller that holds most."""
        (greediest, _), *_ = held.most_common(1)
        oldest = next(coming for coming in self._under_way if coming.caller == greediest)
        del self._under_way[oldest]
        oldest.evicted = True
        if not oldest.patience.expired():  # its time may be up in this very round of the loop
            oldest.patience.reschedule(asyncio.get_running_loop().time())
