"""The bodies that are still coming: bounded in number, in bytes and in time, and none of them is in
work yet.

A body that does not come is its client's, never the revision's: 408. Where too many are under way
the oldest gives way, which has had the most time of all, so whoever holds uploads open takes the
place of nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fairway.serving import protocol

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

# bodies under way in one worker; behind a gateway that buffers them there is hardly ever one
MOST = 256
MOST_BYTES = 64 << 20  # of them together: a sixteenth of a pod's memory by default
GONE = 499  # the client went away; counted, never sent


class Upload:
    """One body that is coming."""

    __slots__ = ("evicted", "patience", "size")

    def __init__(self, patience: asyncio.Timeout) -> None:
        self.patience = patience
        self.evicted = False
        self.size = 0


class Uploads:
    """The bodies of one worker that are under way."""

    def __init__(self, *, largest: int, seconds: float) -> None:
        self._largest, self._seconds = largest, seconds
        self._under_way: dict[Upload, None] = {}  # in the order of their coming
        self._bytes = 0

    async def read(self, receive: Receive, *, announced: int) -> bytes:
        """Return the whole body; raises Invalid: 413 for one too large, 408 for one that does not
        come, 499 where its client went away."""
        if announced > self._largest:
            raise self._too_large(announced)
        try:
            async with asyncio.timeout(self._seconds) as patience:
                upload = Upload(patience)
                self._under_way[upload] = None
                self._make_room()
                try:
                    return await self._parts(receive, upload)
                finally:
                    self._forget(upload)
        except TimeoutError:
            why = (
                "others came that needed its place"
                if upload.evicted
                else f"wanted all of it within {self._seconds:g} s"
            )
            raise protocol.Invalid(f"the request's body did not come: {why}", status=408) from None

    async def _parts(self, receive: Receive, upload: Upload) -> bytes:
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            parts = [body]
            self._grow(upload, len(body))
            while message.get("more_body"):
                message = await receive()
                parts.append(message.get("body", b""))
                self._grow(upload, len(parts[-1]))
            body = b"".join(parts)
        if message["type"] == "http.disconnect":
            raise protocol.Invalid("the client went away", status=GONE)
        return body

    def _grow(self, upload: Upload, size: int) -> None:
        upload.size += size
        if upload.size > self._largest:
            raise self._too_large(upload.size)
        if upload in self._under_way:
            self._bytes += size
            self._make_room()

    def _make_room(self) -> None:
        """Give up the oldest bodies until the rest is within bounds."""
        while len(self._under_way) > MOST or self._bytes > max(MOST_BYTES, self._largest):
            oldest = next(iter(self._under_way))
            self._forget(oldest)
            oldest.evicted = True
            if not oldest.patience.expired():  # its time may be up in this very round of the loop
                oldest.patience.reschedule(asyncio.get_running_loop().time())

    def _forget(self, upload: Upload) -> None:
        if upload in self._under_way:
            del self._under_way[upload]
            self._bytes -= upload.size

    def _too_large(self, size: int) -> protocol.Invalid:
        return protocol.Invalid(
            f"the request has at least {size} bytes: wanted at most {self._largest}, send fewer rows or raise "
            "serving.maxBodyMebibytes",
            status=413,
        )
