"""How good answers turned out to be, told once for each joined pair of an answer and its label: what
the collector's series of realised quality are counted from."""

from collections.abc import Iterator
from typing import NamedTuple

from fairway.monitoring.eventstore import comparing, databases

MARK = "collector/tallied"  # how far it is told
# of a store that nobody has told yet: the rest is history, and a burst of it would be no rate
BEGIN_WITHIN = 50_000
STEP_EVENTS = 5_000  # in one answer: of labels, others who read wait for a quarter of a second


class Joined(NamedTuple):
    """One served answer whose label came."""

    namespace: str
    deployment: str
    revision: str
    role: str  # stable | canary
    delay_seconds: (
        float  # from the answer until its label came; 0 for a label that was there before
    )
    # of each row whose label is known: the true class, None where it is no class, and the loss,
    # from 0 to 1
    rows: list[tuple[str | None, float]]


class Unjoined(NamedTuple):
    """How many labels of one deployment are of no request that it served."""

    namespace: str
    deployment: str
    labels: int


class Joins(NamedTuple):
    """What a stretch of the store's events says."""

    joined: list[Joined]
    unjoined: list[Unjoined]


def read(
    connection: databases.Connection, *, after: int, cursor: int, sql: databases.Dialect
) -> Joins:
    """Return what the events after the one number, up to the other, say."""
    span = {"after": after, "cursor": cursor}
    return Joins(
        joined=list(_joined(connection, span, sql=sql)),
        unjoined=[Unjoined(*row) for row in connection.execute(sql.UNJOINED, span).fetchall()],
    )


def _joined(
    connection: databases.Connection, span: dict[str, int], *, sql: databases.Dialect
) -> Iterator[Joined]:
    """Give the pairs, read one by one: labels of lists may be long."""
    for *arm, delay, predicted, task, truth in connection.stream(sql.TALLIED, span):
        namespace, deployment, revision, role = arm
        rows = comparing.by_class(predicted, truth, task)
        yield Joined(namespace, deployment, revision, role, max(delay, 0.0), rows)
