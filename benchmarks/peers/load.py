"""Requests at a constant rate, however slowly they are answered, and what was answered by whom."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp
import orjson

from tests.cluster import world

RATE = 100.0  # requests a second
# from the fault on, one request in so many is one that the broken revision cannot answer
FAULTY = 5
TIMEOUT_SECONDS = 30.0
GOOD = [orjson.dumps(world.person(number)) for number in range(60)]
BAD = orjson.dumps(
    world.support.tensors([1000], [40], ["state"])
)  # beyond what the fragile model stands; every other one answers it


@dataclass(frozen=True)
class Answer:
    """What one request met; `at` is when it was due, `status` 0 where nothing answered."""

    at: float
    status: int
    revision: str

    @property
    def failed(self) -> bool:
        return self.status == 0 or self.status >= 500


@dataclass
class Load:
    """An open loop: request n is due n/RATE seconds after the first, and is sent then."""

    url: str
    host: str
    answers: list[Answer] = field(default_factory=list)
    # revision -> when the last request was due that it answered
    last: dict[str, float] = field(default_factory=dict)
    # the most seconds that a request was sent after it was due, since the fault began
    late: float = 0.0
    fault_at: float | None = None
    stopping: threading.Event = field(default_factory=threading.Event)

    def break_now(self) -> float:
        """Start the fault, and gives the moment."""
        self.fault_at, self.late = time.monotonic(), 0.0
        return self.fault_at

    def share(self, revision: str, *, last: int) -> float:
        """Return the revision's part of the last answers."""
        recent = self.answers[-last:]
        return sum(answer.revision == revision for answer in recent) / max(len(recent), last)

    def sound(self, *, last: int) -> bool:
        """Tell whether none of the last answers failed."""
        return len(self.answers) >= last and not any(
            answer.failed for answer in self.answers[-last:]
        )

    def until(self, true: Callable[[], bool], *, seconds: float) -> bool:
        """Wait for the condition; False where it did not come true in time."""
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                return False
            self.stopping.wait(0.05)
        return True

    async def flow(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with (
            aiohttp.ClientSession(
                timeout=timeout, connector=aiohttp.TCPConnector(limit=0)
            ) as session,
            asyncio.TaskGroup() as group,
        ):
            began, number = time.monotonic(), 0
            while not self.stopping.is_set():
                due = began + number / RATE
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                self.late = max(self.late, time.monotonic() - due)
                group.create_task(self._send(session, number, due))
                number += 1

    async def _send(self, session: aiohttp.ClientSession, number: int, due: float) -> None:
        body = (
            BAD if self.fault_at is not None and number % FAULTY == 0 else GOOD[number % len(GOOD)]
        )
        headers = {
            "host": self.host,
            "content-type": "application/json",
            "x-fairway-unit": f"user-{number}",
        }
        try:
            async with session.post(self.url, data=body, headers=headers) as response:
                await response.read()
                answer = Answer(
                    due, response.status, response.headers.get("x-fairway-revision", "")
                )
        except (aiohttp.ClientError, TimeoutError):
            answer = Answer(due, 0, "")
        self.answers.append(answer)
        self.last[answer.revision] = max(due, self.last.get(answer.revision, due))


@contextmanager
def flowing(url: str, host: str) -> Iterator[Load]:
    """Return a load that flows until the block ends."""
    load = Load(url, host)
    thread = threading.Thread(target=lambda: asyncio.run(load.flow()))
    thread.start()
    try:
        yield load
    finally:
        load.stopping.set()
        thread.join()
