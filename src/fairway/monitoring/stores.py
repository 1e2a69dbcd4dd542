"""What a monitor needs of an event store, which lies beside it (`eventstore.archive`) or is asked of
a collector (`eventstore.distant`)."""

from collections.abc import Generator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from fairway.monitoring.eventstore import answers


class PastReader(Protocol):
    """The past of deployments."""

    def newest(
        self,
        deployment: str,
        *,
        namespace: str,
        revision: str,
        after: int = 0,
        wanted: int | None = None,
    ) -> Generator[answers.Prediction, None, None]:
        """Give the predictions of the stable arm with logged inputs, the newest first; none where they
        have fewer rows together than are `wanted`."""

    def last(self, deployment: str, *, namespace: str, revision: str, after: int) -> int:
        """Return the number of the revision's newest event, `after` where it has none since."""


class Concluder(Protocol):
    """What was concluded."""

    def mark(self, key: str) -> Any:
        """Return the JSON value kept under the key, or None."""

    def set_mark(self, key: str, value: Any) -> None:
        """Keep a JSON value under the key; None removes it."""

    def add_drift(self, record: dict[str, Any]) -> Any:
        """Keep one window's verdict."""

    def open_alert(
        self,
        *,
        name: str,
        severity: Any,
        deployment: str,
        summary: str,
        description: str,
        at: float,
    ) -> Any:
        """Open the alert, or refresh its text."""

    def resolve_alert(
        self, *, name: str, deployment: str, at: float, resolution: str | None = None
    ) -> Any:
        """Resolve the alert where it is open."""


class MonitorStore(Protocol):
    """One event store."""

    @property
    def history(self) -> PastReader: ...

    @property
    def conclusions(self) -> Concluder: ...

    def writing(self) -> AbstractContextManager[Any]:
        """Return a transaction: all of the block is stored, or nothing. Blocks may nest."""
