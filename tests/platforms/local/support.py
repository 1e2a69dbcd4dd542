"""A real gateway over real little servers, and clients that write down what they were answered."""

import collections
import contextlib
import http.client
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fairway.platforms.local import envoy, sockets
from fairway.platforms.local.processes import Processes
from fairway.rollout import traffic

UPSTREAM = Path(__file__).with_name("upstream.py")


def until(true: Callable[[], Any], *, seconds: float = 30.0) -> Any:
    """Return the first true value; fails where there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.01)
    return found


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any


class Client:
    """One connection that stays open, as a client library would keep it."""

    def __init__(self, url: str, *, timeout: float = 40.0) -> None:
        self._place = urlsplit(url).netloc
        self._connection = http.client.HTTPConnection(self._place, timeout=timeout)

    def ask(
        self,
        path: str = "/v2/models/income/infer",
        *,
        method: str = "POST",
        body: bytes = b"{}",
        **headers: str,
    ) -> Answer:
        """Return the answer; header names are written with underscores: `x_fairway_unit`."""
        self._connection.request(
            method,
            path,
            body=body,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        response = self._connection.getresponse()
        data = response.read()
        is_json = response.getheader("content-type", "").startswith("application/json")
        return Answer(
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            json.loads(data) if is_json else data,
        )

    def close(self) -> None:
        self._connection.close()


@dataclass
class Bench:
    """A home with a gateway and servers by revision."""

    root: Path
    processes: Processes
    gateway: envoy.Envoy
    ports: dict[str, int] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)

    def serve(self, *revisions: str, wait: bool = True) -> None:
        """Start a server for each revision, on the port that it had before, and wait until it
        answers."""
        for revision in revisions:
            port = self.ports.setdefault(revision, sockets.free_port())
            argv = [
                sys.executable,
                "-S",
                str(UPSTREAM),
                "--port",
                str(port),
                "--revision",
                revision,
            ]
            self.processes.start(
                revision, argv=argv, env={}, log=self.root / "logs" / f"{revision}.log"
            )
        for revision in revisions if wait else ():
            until(lambda revision=revision: self.seen(revision) is not None)

    def seen(self, revision: str) -> dict[str, int] | None:
        """Return how many requests the server had per arm; None where it does not answer."""
        with (
            contextlib.closing(
                Client(f"http://127.0.0.1:{self.ports[revision]}", timeout=5.0)
            ) as client,
            contextlib.suppress(OSError),
        ):
            found: dict[str, int] = client.ask("/seen", method="GET").body
            return found
        return None

    def apply(self, *routes: traffic.Route, **options: Any) -> None:
        endpoints = {revision: [("127.0.0.1", port)] for revision, port in self.ports.items()}
        self.gateway.apply(
            {route.deployment: route for route in routes},
            endpoints=endpoints,
            **{"thresholds": ("100ms",), **options},
        )

    def route(
        self,
        weight: int = 0,
        mirror: int = 0,
        *,
        deployment: str = "income",
        stable: str = "old",
        candidate: str | None = "new",
    ) -> traffic.Route:
        """Make a route and return it."""
        route = traffic.route(
            deployment=deployment, stable=stable, candidate=candidate, weight=weight, mirror=mirror
        )
        self.apply(route)
        return route

    def sample(self, route: traffic.Route) -> traffic.Sample:
        sample = self.gateway.sample(route)
        assert sample is not None
        return sample

    def settled(self, route: traffic.Route, *, requests: int) -> traffic.Sample:
        """Return the first sample in which that many requests are counted and timed on both arms
        together."""

        def whole() -> traffic.Sample | None:
            sample = self.sample(route)
            arms = [arm for arm in (sample.stable, sample.candidate) if arm is not None]
            return (
                sample
                if sum(arm.requests for arm in arms) == requests
                and sum(arm.timed for arm in arms) >= requests
                else None
            )

        found: traffic.Sample = until(whole)
        return found

    def counter(self, name: str) -> int:
        """Return one of Envoy's own counters."""
        answer = self.gateway._stats("^" + name.replace(".", "[.]") + "$")
        return int(answer["stats"][0]["value"])

    def client(self) -> Client:
        """Return a connection to the gateway, closed with the bench."""
        self.clients.append(Client(self.gateway.url))
        return self.clients[-1]


def bench(root: Path) -> Iterator[Bench]:
    """Return a bench whose gateway runs; stops all of it afterwards."""
    processes = Processes(root)
    made = Bench(root, processes, envoy.Envoy(root, processes))
    try:
        made.gateway.start()
        yield made
    finally:
        for client in made.clients:
            client.close()
        for name in processes.names():
            processes.stop(name, grace_seconds=1.0)


class Load:
    """Clients that ask until the block ends, each unit in turn; `answers` counts (status, arm,
    revision).

    They ask without pause, or so that all of them together ask `rate` times a second.
    """

    def __init__(
        self, url: str, *, clients: int = 4, rate: float | None = None, **headers: str
    ) -> None:
        self._url, self._headers = url, headers
        self._pause = clients / rate if rate else 0.0
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(number,)) for number in range(clients)
        ]
        self._lock = threading.Lock()
        self.answers: collections.Counter[tuple[Any, ...]] = collections.Counter()

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    @property
    def total(self) -> int:
        return sum(self.answers.values())

    @property
    def failed(self) -> dict[tuple[Any, ...], int]:
        return {answer: count for answer, count in self.answers.items() if answer[0] != 200}

    def more(self, count: int) -> None:
        """Wait for this many more answers."""
        goal = self.total + count
        until(lambda: self.total >= goal, seconds=30.0)

    def _ask(self, number: int) -> None:
        client, turn, began = Client(self._url), 0, time.monotonic()
        while not self._ending.wait(
            began + turn * self._pause - time.monotonic() if self._pause else 0.0
        ):
            turn += 1
            try:
                answer = client.ask(**{"x_fairway_unit": f"{number}-{turn % 500}", **self._headers})
                said = answer.body if isinstance(answer.body, dict) else {}
                key: tuple[Any, ...] = (answer.status, said.get("arm"), said.get("revision"))
            except (OSError, http.client.HTTPException) as error:
                key = (type(error).__name__, None, None)
                client.close()  # the next request opens it again
            with self._lock:
                self.answers[key] += 1
        client.close()
