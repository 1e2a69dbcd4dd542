"""What is fuzzed: the model server's application, the collector's, packages and recorded counts.
Each returns how it answered."""

import asyncio
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from fairway import artifacts, errors, files
from fairway.config import sections
from fairway.model.schema import Feature
from fairway.monitoring.eventstore import access
from fairway.monitoring.eventstore.collector import collecting
from fairway.packaging import manifest
from fairway.rollout import replay
from fairway.serving import app, eventlog, predictor, protocol, seldon_message
from tests.monitoring import made
from tests.serving import support

ORIGIN = eventlog.Origin(namespace="models", deployment="income", revision="0123456789ab")
TABLE = [
    ",".join(replay.COLUMNS),
    *(
        f"{10 * step},{10 * step + 10},errors,{900 + step},{100 + step},{9 + step},{1 + step}"
        for step in range(6)
    ),
]
GUARDS = (sections.Guard.of(name="errors", type="errors", max_rate=0.02),)


class Application:
    """One server's application without a server around it: what a client's bytes reach."""

    def __init__(
        self,
        package: Path,
        *,
        kind: type[app.Application] = app.Application,
        serving: sections.Serving | None = None,
    ) -> None:
        self.model = predictor.Predictor.load(package)
        settings = serving or sections.Serving()
        self.app = kind(
            self.model,
            settings=settings,
            origin=ORIGIN,
            events=eventlog.EventLog(settings.events, origin=ORIGIN, collector="", folder=None),
        )
        self.app.calibrate()
        self._loop = asyncio.Runner()

    def ask(self, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Return status and body of an inference request."""
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        fields = [
            (name.encode(), value.encode())
            for name, value in {"content-length": str(len(body)), **(headers or {})}.items()
        ]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v2/models/income/infer",
            "headers": fields,
        }
        self._loop.run(self.app(scope, receive, send))
        return sent[0]["status"], sent[1]["body"]

    def close(self) -> None:
        self.app.close()
        self._loop.close()


class Collector:
    """The collector's application around a store of its own."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.Runner()
        self._collector = self._loop.run(self._made(folder / "events.db"))
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self._collector.app), base_url="http://collector"
        )

    async def _made(self, path: Path) -> collecting.Collector:
        return collecting.Collector(str(path), gate=access.Open(), loopback=False)

    def ask(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Return the status of a POST."""
        answer = self._loop.run(
            self._client.post(
                path, content=body, headers={"content-type": "application/json", **(headers or {})}
            )
        )
        return answer.status_code

    def close(self) -> None:
        self._loop.run(self._client.aclose())
        self._collector.close()
        self._loop.close()


def load_changed(package: Path, *, name: str, content: bytes, into: Path) -> str:
    """Load the package with one file's content replaced and its digest made right again: what the
    author of a package may write."""
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(package, into)
    (into / name).unlink(missing_ok=True)
    (into / name).write_bytes(content)
    if name != manifest.NAME:
        document = artifacts.read_json(package / manifest.NAME)
        document["files"][name] = files.digest_bytes(content)
        (into / manifest.NAME).chmod(0o644)
        (into / manifest.NAME).write_text(json.dumps(document))
    try:
        loaded = predictor.Predictor.load(into)
        loaded.check_golden()
        loaded.metadata(revision="aaa")
    except errors.FairwayError as error:
        return str(error)
    return "loaded"


def replayed(lines: list[str]) -> str:
    """Replay a table of counts."""
    try:
        return str(
            replay.run(replay.read(lines, guards=GUARDS), sections.Strategy(guards=GUARDS))[
                "verdict"
            ]
        )
    except errors.FairwayError as error:
        return str(error)


def good_requests() -> tuple[Any, ...]:
    two = support.tensors([20, 60.5], [None, 80], ["state", "private"])
    nested = support.tensors([[20], [60]], [[40], [80]], [["state"], ["private"]])
    for entry in nested["inputs"]:  # type: ignore[attr-defined]
        entry["shape"] = [2, 1]
    outputs = [{"name": "label"}, {"name": "probabilities", "parameters": {"binary_data": True}}]
    return (
        support.ONE,
        two,
        nested,
        {**support.ONE, "id": "r1", "outputs": outputs, "parameters": {"binary_data_output": True}},
    )


def good_messages() -> tuple[Any, ...]:
    names = list(support.FEATURES)
    return (
        {"data": {"names": names, "ndarray": [[39, 40, "state"], [20, None, "private"]]}},
        {"jsonData": {"age": 39, "hours": 40, "sector": "state"}},
        {"jsonData": support.ONE},
        {"data": {"names": ["age"], "tensor": {"shape": [2, 1], "values": [1, 2]}}},
    )


def good_events() -> list[Any]:
    return [made.prediction("r1"), made.label("r1", "cat"), made.outcome("r1", 1.0)]


def good_file(package: Path, name: str) -> Any:
    """Return a file of the package; an evaluation where it has none."""
    if (package / name).exists():
        return artifacts.read_json(package / name)
    return {"champion_disagreement": 0.02, "champion_disagreement_bound": 0.05, "accuracy": 0.9}


def read_message(body: bytes, *, features: Mapping[str, Feature]) -> str:
    """Read a message of Seldon's as its server does."""
    try:
        protocol.read(
            seldon_message.read(body, features=features).request, features=features, outputs={}
        )
    except protocol.Invalid:
        return "refused"
    return "read"
