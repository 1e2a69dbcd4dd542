"""The users of the demo: concurrent clients that send held-out pictures through the gateway, and
remember the answers.

They know the true label of each picture, as the world does; fairway is told only when the story
says that labels arrive.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import aiohttp
import numpy as np
import orjson
from numpy.typing import NDArray

Images = NDArray[np.float32]
PAUSE_SECONDS = 0.05  # how long a client that could not connect waits before its next request


@dataclass(frozen=True, slots=True)
class UserAnswer:
    """One request as its client saw it."""

    at: float
    request_id: str
    row: int  # which picture
    status: int  # 0: the connection broke
    revision: str
    predicted: str
    truth: str
    shifted: bool


@dataclass
class Tally:
    """What the clients saw, in all and by revision."""

    requests: int = 0
    failed: int = 0  # 500 or more, or a broken connection
    by_revision: Counter[str] = field(default_factory=Counter)
    failed_by_revision: Counter[str] = field(default_factory=Counter)


class UserTraffic:
    """`clients` concurrent users, `rate` requests a second together, until `stop`; runs in a thread
    of its own."""

    def __init__(
        self,
        url: str,
        *,
        images: Images,
        labels: Sequence[str],
        deployment: str,
        rate: float,
        clients: int,
        units: int,
        seed: int,
    ) -> None:
        self._url = f"{url}/v2/models/{deployment}/infer"
        self._images, self._labels = images, labels
        self._rate, self._clients, self._units = rate, clients, units
        self._rng = np.random.default_rng(seed)
        self._transform: Callable[[Images], Images] | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._answers: list[UserAnswer] = []
        self.tally = Tally()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run()), name="traffic", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=30)

    def shift(self, transform: Callable[[Images], Images]) -> None:
        """Change the pictures from now on: the world moves."""
        self._images = transform(self._images)
        self._transform = transform

    def answers(self, *, since: float = 0.0, until: float = float("inf")) -> list[UserAnswer]:
        """Return the answers of requests sent in a stretch of time, oldest first."""
        with self._lock:
            return [answer for answer in self._answers if since <= answer.at < until]

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=30)
        connector = aiohttp.TCPConnector(limit=self._clients)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            await asyncio.gather(
                *(self._client(session, number) for number in range(self._clients))
            )

    async def _client(self, session: aiohttp.ClientSession, number: int) -> None:
        """One user after another: a request at its place in the schedule, or as soon as the last
        one is answered."""
        due = time.monotonic() + number / self._rate
        while not self._stopping.is_set():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + self._clients / self._rate, time.monotonic() - 1.0)
            answer = await self._ask(session)
            self._remember(answer)
            if answer.status == 0:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _ask(self, session: aiohttp.ClientSession) -> UserAnswer:
        row, unit = int(self._rng.integers(len(self._labels))), int(self._rng.integers(self._units))
        at, shifted = time.time(), self._transform is not None
        headers = {"x-fairway-unit": f"user-{unit}", "content-type": "application/json"}
        status, request_id, revision, predicted = 0, "", "", ""
        try:
            async with session.post(
                self._url, data=body(self._images[row]), headers=headers
            ) as response:
                content = await response.read()
                status = response.status
                request_id, revision = (
                    response.headers.get("x-request-id", ""),
                    response.headers.get("x-fairway-revision", ""),
                )
                if status == 200:
                    predicted = next(
                        out["data"][0]
                        for out in orjson.loads(content)["outputs"]
                        if out["name"] == "label"
                    )
        except (aiohttp.ClientError, TimeoutError, OSError):
            status = 0
        return UserAnswer(
            at, request_id, row, status, revision, predicted, self._labels[row], shifted
        )

    def _remember(self, answer: UserAnswer) -> None:
        with self._lock:
            self._answers.append(answer)
            self.tally.requests += 1
            self.tally.by_revision[answer.revision] += 1
            if answer.status == 0 or answer.status >= 500:
                self.tally.failed += 1
                self.tally.failed_by_revision[answer.revision] += 1


def body(image: Images) -> bytes:
    """Return one picture as a request of the Open Inference Protocol."""
    shape = [1, *image.shape]
    return orjson.dumps(
        {"inputs": [{"name": "image", "datatype": "FP32", "shape": shape, "data": image.ravel()}]},
        option=orjson.OPT_SERIALIZE_NUMPY,
    )


def accuracy(answers: Sequence[UserAnswer]) -> float | None:
    """Return the share of answered requests whose label was right, or None where none was answered."""
    answered = [answer for answer in answers if answer.status == 200]
    return (
        sum(answer.predicted == answer.truth for answer in answered) / len(answered)
        if answered
        else None
    )
