"""The evidence of a rollout over HTTP: what the event store answers to one that lies beside it,
asked of a collector."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from fairway import errors, tls
from fairway.monitoring.eventstore import answers, wire

Row = TypeVar("Row", bound=NamedTuple)


@dataclass(frozen=True)
class RemoteEvidence:
    """The evidence of one namespace's deployments. Keeps no connection: any number of threads may
    ask, and a collector that was moved is found again. Raises Unavailable where it does not answer,
    StoreBusy where its store does not."""

    url: str
    namespace: str
    timeout_seconds: float = 5.0
    token: Path | None = None  # file with the token that the collector knows the caller by
    certificates: tls.Certificates | None = None  # by which it knows the caller instead; for https
    identity: str = ""  # of the store that cursors are of; empty: of any

    def of(self, identity: str) -> "RemoteEvidence":
        """Return the same for cursors of that store: a method raises StoreReplaced where they are
        another's."""
        return replace(self, identity=identity)

    def position(self) -> answers.Position:
        """Return the identity of the store and its newest event's number."""
        answer = self._ask("cursor")
        if not isinstance(answer.get("store"), str):
            raise _strange(self.url, "store")
        return answers.Position(answer["store"], _cursor(answer, at=self.url))

    def cursor(self) -> int:
        """Return the newest event's number."""
        return _cursor(self._ask("cursor"), at=self.url)

    def pairs(
        self, deployment: str, *, stable: str, candidate: str, after: int
    ) -> tuple[int, answers.Pairs]:
        """Return the new cursor, and the pairs whose later half came after the old one."""
        answer = self._ask(
            "pairs", deployment=deployment, stable=stable, candidate=candidate, after=after
        )
        counts = answer.get("pairs")
        wanted = {field.name for field in fields(answers.Pairs)}
        if (
            not isinstance(counts, dict)
            or counts.keys() != wanted
            or not all(isinstance(count, int | float) for count in counts.values())
        ):
            raise _strange(self.url, "pairs")
        return _cursor(answer, at=self.url), answers.Pairs(**counts)

    def labelled(
        self,
        deployment: str,
        *,
        after: int,
        until: int | None = None,
        by: str | None = None,
        gauge: str | None = None,
    ) -> tuple[int, list[answers.LabelledAnswer]]:
        """Return the new cursor, and the served answers whose label joined after the old one, by
        the values of a feature where one is named, measured as of the revision `gauge`."""
        answer = self._ask(
            "labelled", deployment=deployment, after=after, until=until, by=by, gauge=gauge
        )
        return _cursor(answer, at=self.url), _rows(
            "labelled", answers.LabelledAnswer, answer, at=self.url
        )

    def outcomes(
        self, deployment: str, *, after: int, until: int | None = None
    ) -> tuple[int, list[answers.Outcome]]:
        """Return the new cursor, `until` at most, and the outcomes that joined their request after
        the old one."""
        answer = self._ask("outcomes", deployment=deployment, after=after, until=until)
        return _cursor(answer, at=self.url), _rows("outcomes", answers.Outcome, answer, at=self.url)

    def exposure(
        self, deployment: str, *, after: int, until: int | None = None
    ) -> tuple[int, list[answers.Exposure]]:
        """Return the new cursor, `until` at most, and which arm each request after the old one met."""
        answer = self._ask("exposure", deployment=deployment, after=after, until=until)
        return _cursor(answer, at=self.url), _rows(
            "exposure", answers.Exposure, answer, at=self.url
        )

    def _ask(self, question: str, **query: object) -> dict[str, Any]:
        asked = {"namespace": self.namespace, "store": self.identity or None, **query}
        return self._wire.document("GET", question, asked)

    @property
    def _wire(self) -> wire.Wire:
        return wire.Wire(
            url=self.url,
            timeout_seconds=self.timeout_seconds,
            token=self.token,
            certificates=self.certificates,
        )


def _cursor(answer: dict[str, Any], *, at: str) -> int:
    cursor = answer.get("cursor")
    if not isinstance(cursor, int):
        raise _strange(at, "cursor")
    return cursor


def _rows(question: str, kind: type[Row], answer: dict[str, Any], *, at: str) -> list[Row]:
    if answer.get("fields") != list(kind._fields):
        raise _strange(at, question)
    try:
        return [kind(*row) for row in answer["rows"]]
    except (KeyError, TypeError) as error:
        raise _strange(at, question) from error


def _strange(at: str, what: str) -> errors.Unavailable:
    return wire.Wire(url=at).strange(what)
