"""The event store of one deployment as a monitor has it that is not beside it: asked of a collector.

What a block concludes is sent as one batch when the block ends (`eventstore.batches`).
"""

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fairway import errors
from fairway.monitoring.eventstore import answers, batches, history, remote, wire

NAMES_AT_ONCE = 2_000  # characters of request ids in one question, some 16 each as they are sent


class Distant:
    """What a monitor reads and writes of one deployment. Raises as `wire.Wire` does, and
    Overtaken where another monitor has concluded since this one read."""

    def __init__(self, line: wire.Wire, *, namespace: str, deployment: str) -> None:
        self._turns = Batching(line, {"namespace": namespace, "deployment": deployment})
        self.evidence = remote.RemoteEvidence(
            line.url,
            namespace=namespace,
            timeout_seconds=line.timeout_seconds,
            token=line.token,
            certificates=line.certificates,
        )
        self.history = DistantHistory(self._turns)
        self.conclusions = DistantConclusions(self._turns)
        self.shelf = DistantShelf(self._turns)

    @property
    def is_behind(self) -> bool:
        """Say whether another monitor has concluded, or may have, since this one read: all that it
        holds is to be read again."""
        return self._turns.known is None

    def follow(self) -> None:
        """Read the turn that is the last: what is written then follows it."""
        self._turns.known = None
        self.conclusions.mark(f"monitor/{self._turns.owner['deployment']}")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Store all that the block concludes, or nothing. Blocks may nest."""
        with self._turns.block():
            yield

    def package_file(self, revision: str, name: str) -> bytes | None:
        """Return a file of the package that the revision's servers showed, None where they did not."""
        return self._turns.line.content(
            "blobs", {**self._turns.owner, "revision": revision, "name": name}
        )


class Batching:
    """The batches of one monitor about one deployment."""

    def __init__(self, line: wire.Wire, owner: dict[str, object]) -> None:
        self.line, self.owner = line, owner
        self.known: int | None = None  # the last turn that was read, or taken
        self._steps: list[tuple[str, dict[str, Any]]] = []
        self._depth = 0

    def ask(self, question: str, **query: object) -> dict[str, Any]:
        return self.line.document("GET", question, {**self.owner, **query})

    @contextmanager
    def block(self) -> Iterator[None]:
        self._depth += 1
        try:
            yield
            if self._depth == 1:
                self._send()
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._steps = []

    def step(self, step: str, given: dict[str, Any]) -> None:
        """Add a step to the batch of the block, or send it by itself."""
        with self.block():
            self._steps.append((step, given))

    def turn(self) -> int:
        """Return the turn that the next batch follows."""
        if self.known is None:
            raise batches.Overtaken("a batch follows what was read before, and nothing was")
        return self.known

    def _send(self) -> None:
        if not self._steps:
            return
        body = json.dumps({"turn": self.turn(), "steps": self._steps}, allow_nan=False).encode()
        try:
            answer = self.line.document("POST", "conclusions", self.owner, body=body)
            self.known = int(answer["turn"])
        except BaseException:
            self.known = None  # it may have been stored: read again
            raise


class DistantHistory:
    """The past of the deployment; see `history.History`."""

    def __init__(self, turns: Batching) -> None:
        self._turns = turns

    def newest(
        self,
        deployment: str,
        *,
        namespace: str,
        revision: str,
        role: str = "stable",
        after: int = 0,
        before: int | None = None,
        wanted: int | None = None,
    ) -> Generator[answers.Prediction, None, None]:
        """Give the predictions with logged inputs, the newest first; pages are asked for as they
        are read, with `wanted` rows together, and none where there are fewer."""
        rows = history.MOST_ROWS if wanted is None else wanted
        more = True
        while more and rows > 0:
            page = self._turns.ask(
                "window",
                revision=revision,
                role=role,
                after=after,
                before=before,
                rows=rows,
                least=wanted,
            )
            wanted = None
            more = bool(page["more"])
            for record in page["records"]:
                found = history.prediction(record)
                before, rows = found.seq, rows - found.rows
                yield found

    def last(self, deployment: str, *, namespace: str, revision: str, after: int) -> int:
        return int(self._turns.ask("last", revision=revision, after=after)["last"])

    def first(self, deployment: str, *, namespace: str, revision: str) -> int:
        return int(self._turns.ask("first", revision=revision)["first"])

    def learnable(self, deployment: str, *, namespace: str, limit: int) -> int:
        return int(self._turns.ask("learnable", rows=limit)["learnable"])

    def lost(
        self,
        deployment: str,
        answered: Mapping[str, Sequence[Any]],
        *,
        namespace: str,
        revision: str,
    ) -> dict[str, float]:
        found: dict[str, float] = {}
        for some in _divided(list(answered)):
            said = self._turns.ask("labels", revision=revision, requests=json.dumps(some))
            found |= history.losses(answered, said["labels"], gauge=said["gauge"])
        return found

    def labels(
        self, deployment: str, requests: Sequence[str], *, namespace: str
    ) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for some in _divided(requests):
            found |= self._turns.ask("labels", requests=json.dumps(some))["labels"]
        return found

    def realised(
        self, deployment: str, revision: str, *, namespace: str, limit: int
    ) -> answers.RealisedLoss:
        found = self._turns.ask("realised", revision=revision, rows=limit)
        try:
            return answers.RealisedLoss(**found["realised"])
        except (KeyError, TypeError) as error:
            raise self._turns.line.strange("realised") from error


def _divided(requests: Sequence[str]) -> Iterator[list[str]]:
    """Give the requests in parts that fit the line of a request."""
    some: list[str] = []
    for request in requests:
        if some and sum(map(len, some)) + len(request) > NAMES_AT_ONCE:
            yield some
            some = []
        some.append(request)
    if some:
        yield some


class DistantConclusions:
    """What was concluded about the deployment; see `conclusions.Conclusions`."""

    def __init__(self, turns: Batching) -> None:
        self._turns = turns

    def mark(self, key: str) -> Any:
        answer = self._turns.ask("mark", key=key)
        known = int(answer["turn"])
        if self._turns.known not in (None, known):
            self._turns.known = None
            raise batches.Overtaken("another monitor has concluded since this one read")
        self._turns.known = known
        return answer["value"]

    def set_mark(self, key: str, value: Any) -> None:
        self._turns.step("mark", {"key": key, "value": value})

    def add_drift(self, record: dict[str, Any]) -> None:
        self._turns.step("drift", record)

    def open_alert(self, **alert: Any) -> None:
        self._turns.step("open", alert)

    def resolve_alert(self, **alert: Any) -> None:
        self._turns.step("resolve", alert)


LARGEST = 32 << 20  # bytes of one file, as the collector takes them


class DistantShelf:
    """What was learnt of the deployment, as files that the collector keeps."""

    largest = LARGEST

    def __init__(self, turns: Batching) -> None:
        self._turns = turns

    def read(self, name: str) -> bytes | None:
        return self._turns.line.content("blobs", {**self._turns.owner, "name": name})

    def write(self, name: str, content: bytes) -> None:
        """Keep the content; raises DataError for more than the collector takes."""
        if len(content) > self.largest:
            raise errors.DataError(
                f"what was learnt takes {len(content)} bytes: wanted at most {self.largest}; set "
                "monitoring.learn.rows lower"
            )
        self._send("PUT", name, content)

    def remove(self, name: str) -> None:
        self._send("DELETE", name, None)

    def _send(self, method: str, name: str, body: bytes | None) -> None:
        query = {**self._turns.owner, "name": name, "turn": self._turns.turn()}
        status, content = self._turns.line.send(method, "blobs", query, body=body)
        if status // 100 != 2:
            raise self._turns.line.refusal(status, "blobs", {"error": content.decode()[:300]})
