"""The real local platform in a temporary home, with real clients that remember every answer."""

import asyncio
import contextlib
import json
import os
import select
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import numpy as np
import psutil

from fairway import files
from fairway.config import sections
from fairway.monitoring.eventstore import access, archive, places
from fairway.platforms.local import client, processes, state
from fairway.platforms.local.home import Home
from fairway.rollout.states import Phase
from tests.serving import support

NAME = "income"
CLIENTS = 4
RATE = 120.0
BUDGET = "400s"  # of a stage: no story ends by it, also where two cores serve ten processes
PATIENCE = 420.0  # seconds
QUICK = {
    "warmup": "500ms",
    "progressDeadline": "60s",
    "shadow": {"minPairs": 100, "budget": BUDGET},
    "canary": {
        "steps": [{"weight": 20, "minDuration": "2s"}, {"weight": 50, "minDuration": "2s"}],
        "budget": BUDGET,
    },
    "bake": {"weight": 10, "duration": "2s"},
    "guards": [
        {"name": "disagreement", "type": "disagreement"},
        {"name": "errors", "type": "errors", "maxRate": 0.03},
        {"name": "slow", "type": "latency", "threshold": "1s", "maxRate": 0.2},
    ],
}


def configuration(
    *,
    concurrency: int = 256,
    strategy: dict[str, Any] = QUICK,
    write_ahead: bool = False,
    reveal: bool = False,
) -> sections.Config:
    """Return the configuration; another `concurrency` makes another revision of the same package."""
    return sections.Config.model_validate(
        {
            "name": NAME,
            "data": {"source": "csv", "path": "unused.csv"},
            "strategy": strategy,
            "serving": {
                "maxConcurrency": concurrency,
                "revealRevision": reveal,
                "events": {"writeAhead": write_ahead},
            },
            "retraining": {"enabled": False},
            "platform": {"scrapeInterval": "500ms"},
        }
    )


@dataclass
class Users:
    """Concurrent clients; every answer is kept."""

    url: str
    answers: list[tuple[float, str, int]] = field(
        default_factory=list
    )  # when, request id, status (0: the connection broke)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> "Users":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=40)

    def answered(self) -> set[str]:
        return {request for _, request, status in list(self.answers) if status == 200}

    def failed(self) -> list[tuple[float, str, int]]:
        return [answer for answer in list(self.answers) if answer[2] == 0 or answer[2] >= 500]

    async def _run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            await asyncio.gather(*(self._client(session, number) for number in range(CLIENTS)))

    async def _client(self, session: aiohttp.ClientSession, number: int) -> None:
        rng = np.random.default_rng(number)
        while not self._stopping.is_set():
            due = time.monotonic() + CLIENTS / RATE
            request, at, status = "", time.time(), 0
            body = json.dumps(
                support.tensors([int(rng.integers(18, 89))], [int(rng.integers(2, 98))], ["state"])
            )
            try:
                async with session.post(
                    f"{self.url}/v2/models/{NAME}/infer",
                    data=body,
                    headers={"x-fairway-unit": f"unit-{rng.integers(500)}"},
                ) as response:
                    await response.read()
                    status, request = response.status, response.headers.get("x-request-id", "")
            except (aiohttp.ClientError, TimeoutError, OSError):
                status = 0
            self.answers.append((at, request, status))
            await asyncio.sleep(max(0.01, due - time.monotonic()))


@dataclass
class World:
    """One platform with a first revision in service."""

    home: Home
    package: Path
    users: Users

    def deploy(
        self,
        *,
        concurrency: int,
        strategy: dict[str, Any] = QUICK,
        write_ahead: bool = False,
        reveal: bool = False,
    ) -> str:
        asked = configuration(
            concurrency=concurrency, strategy=strategy, write_ahead=write_ahead, reveal=reveal
        )
        revision, _ = client.deploy(self.home, self.package, config=asked, now=time.time())
        return revision.revision

    def deployment(self) -> state.Deployment:
        with contextlib.closing(state.Store(self.home.state)) as store:
            found = store.deployment(NAME)
        assert found is not None
        return found

    def until_mid_canary(self) -> None:
        """Return when the canary has evidence and has not been decided."""

        def true() -> bool:
            current = self.deployment().state
            assert current.phase not in (Phase.ROLLED_BACK, Phase.ROLLING_BACK), current.reason
            return (
                current.phase is Phase.CANARY
                and current.ledger is not None
                and current.ledger.own("errors").candidate.n > 10
            )

        support.eventually(true, seconds=180)

    def evidence(self) -> int:
        """Return how many of the candidate's requests the judge has counted."""
        ledger = self.deployment().state.ledger
        return ledger.own("errors").candidate.n if ledger else 0

    def ended(self, revision: str) -> state.Deployment:
        return client.follow(self.home, NAME, revision=revision, timeout_seconds=PATIENCE)

    def processes(self) -> processes.Processes:
        return processes.Processes(self.home.root)

    def kill(self, name: str) -> None:
        """Kill the process and all it started with -9."""
        record = self.processes().record(name)
        assert record is not None
        kill_tree(record.pid)

    def supervisor(self) -> int:
        return client.need(self.home).pid

    def stored(self) -> set[str]:
        """Return the request ids of the served predictions that the event store holds."""
        with contextlib.closing(sqlite3.connect(self.home.events)) as connection:
            rows = connection.execute(
                "SELECT request_id FROM events WHERE type='prediction' AND role IN ('stable', 'canary')"
            )
            return {row[0] for row in rows}

    def every_answer_is_stored(self, *, but: int = 0) -> None:
        """Wait until the store holds an event of every answered request, `but` for at most so many."""
        answered = self.users.answered()
        support.eventually(lambda: len(answered - self.stored()) <= but, seconds=30)


@contextlib.contextmanager
def wrong_clock(platform: World, file: Path) -> Iterator[Callable[[float], None]]:
    """Return the platform a supervisor whose clock is wrong, and a function that sets it: by so
    many seconds."""

    def set_by(seconds: float) -> None:
        files.write_bytes(file, str(seconds).encode())

    set_by(0.0)
    _replace_supervisor(
        platform,
        [
            sys.executable,
            str(Path(__file__).with_name("wrong_clock.py")),
            "fairway.platforms.local.supervisor",
            str(platform.home.root),
            str(file),
        ],
    )
    try:
        yield set_by
    finally:
        _replace_supervisor(platform, None)


def _replace_supervisor(platform: World, argv: list[str] | None) -> None:
    """Kill the supervisor and starts another, by default an ordinary one; servers and gateway run
    on."""
    old = platform.supervisor()
    os.kill(old, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(old, 0)
    support.eventually(lambda: client.running(platform.home) is None)
    if argv is None:
        client.up(platform.home)
    else:
        processes.Child(argv, env=os.environ, log=platform.home.logs / "supervisor.log")
    support.eventually(lambda: client.running(platform.home) is not None, seconds=30)


def kill_tree(pid: int) -> None:
    """Kill a process and its descendants with -9."""
    leader = psutil.Process(pid)
    family = [*leader.children(recursive=True), leader]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            os.kill(member.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


@contextlib.contextmanager
def world(folder: Path, *, package: Path | None = None) -> Iterator[World]:
    """Return a platform with a first revision in service and users at work; stops everything at the
    end."""
    home = Home(folder / "home")
    served = package or Path(support.packaged(folder / "model", name=NAME).path)
    client.up(home)
    try:
        revision, _ = client.deploy(home, served, config=configuration(), now=time.time())
        client.follow(home, NAME, revision=revision.revision, timeout_seconds=PATIENCE)
        users = Users(client.need(home).gateway).start()
        try:
            yield World(home, served, users)
        finally:
            users.stop()
    finally:
        client.down(home)


@contextlib.contextmanager
def reporting(
    platform: World, kind: str, *, served: str, tell: Callable[[tuple[Any, ...]], dict[str, Any]]
) -> Iterator[None]:
    """Send labels or outcomes as those who know the truth: what `tell` says of each new row of the
    events that the query `served` gives, its number first."""
    closing = threading.Event()

    def send() -> None:
        last = 0
        while not closing.wait(0.25):
            with contextlib.closing(sqlite3.connect(platform.home.events, timeout=5)) as connection:
                rows = connection.execute(served, (last,)).fetchall()
            if rows:
                last = rows[-1][0]
                httpx.post(
                    f"{client.need(platform.home).collector}/v1/{kind}?deployment={NAME}",
                    json=[tell(row) for row in rows],
                    headers=access.authorization(platform.home.token),
                ).raise_for_status()

    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    try:
        yield
    finally:
        closing.set()
        sending.join(timeout=10)


@contextlib.contextmanager
def locked(store: Path) -> Iterator[None]:
    """Hold the event store's write lock, as a stuck process would."""
    connection = sqlite3.connect(store, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def stays(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Say whether the condition holds all the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not condition():
            return False
        select.select([], [], [], 0.1)
    return True


def store(home: Home) -> archive.EventStore:
    return places.opened(home.events)
