"""The event store as the rollouts of one namespace read it, with cursors of one store alone."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fairway import errors
from fairway.monitoring.eventstore import answers

if TYPE_CHECKING:
    from fairway.monitoring.eventstore import archive


@dataclass(frozen=True)
class Within:
    """The store as the rollouts of one namespace read it, with cursors of the store `identity`
    (empty: of any)."""

    store: "archive.EventStore"
    namespace: str
    identity: str = ""

    def of(self, identity: str) -> "Within":
        """Return the same for cursors of that store: a method raises StoreReplaced where they are
        another's."""
        return replace(self, identity=identity)

    def position(self) -> answers.Position:
        return self.store.position()

    def cursor(self) -> int:
        with self._own():
            return self.store.cursor()

    def pairs(
        self, deployment: str, *, stable: str, candidate: str, after: int
    ) -> tuple[int, answers.Pairs]:
        with self._own(after):
            return self.store.pairs(
                deployment,
                namespace=self.namespace,
                stable=stable,
                candidate=candidate,
                after=after,
            )

    def labelled(
        self,
        deployment: str,
        *,
        after: int,
        until: int | None = None,
        by: str | None = None,
        gauge: str | None = None,
    ) -> tuple[int, list[answers.LabelledAnswer]]:
        with self._own(after, until):
            return self.store.labelled(
                deployment, namespace=self.namespace, after=after, until=until, by=by, gauge=gauge
            )

    def outcomes(
        self, deployment: str, *, after: int, until: int | None = None
    ) -> tuple[int, list[answers.Outcome]]:
        with self._own(after, until):
            return self.store.outcomes(
                deployment, namespace=self.namespace, after=after, until=until
            )

    def exposure(
        self, deployment: str, *, after: int, until: int | None = None
    ) -> tuple[int, list[answers.Exposure]]:
        with self._own(after, until):
            return self.store.exposure(
                deployment, namespace=self.namespace, after=after, until=until
            )

    @contextmanager
    def _own(self, *cursors: int | None) -> Iterator[None]:
        """Keep one instant of the store in which the cursors are its own."""
        with self.store.reading():
            known(self.store.position(), identity=self.identity, cursors=cursors)
            yield


def known(position: answers.Position, *, identity: str, cursors: Iterable[int | None]) -> None:
    """Raise StoreReplaced unless the cursors are numbers that the store has given."""
    if identity not in ("", position.store):
        raise errors.StoreReplaced(
            f"the event store is another one now ({position.store[:8]}; it was {identity[:8]})"
        )
    furthest = max((cursor for cursor in cursors if cursor is not None), default=0)
    if furthest > position.newest:
        raise errors.StoreReplaced(
            f"the event store was set back: its newest event is {position.newest}, and {furthest} was read before"
        )
