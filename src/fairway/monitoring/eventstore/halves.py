"""Halves of other servers' predictions that wait for each other: a request and its response come
apart, in any order, and to any of several collectors."""

from collections.abc import Iterable
from typing import NamedTuple

from fairway import errors
from fairway.monitoring.eventstore import cloudevents, databases, loggers

# that wait, and the characters of all of them together: beyond either the oldest are let go
MOST, MOST_BYTES = 100_000, 256 << 20


class Alone(NamedTuple):
    """How many halves of one deployment were let go without their other half."""

    namespace: str
    deployment: str
    side: str
    halves: int


class Met(NamedTuple):
    """The predictions that became whole, and why some halves that met are none."""

    rows: list[cloudevents.EventRow]
    apart: list[str]


def meet(
    connection: databases.Connection,
    halves: Iterable[loggers.Half],
    *,
    received: float,
    sql: databases.Dialect,
) -> Met:
    """Return what became of the halves; those whose other half is not there yet are kept."""
    met = Met([], [])
    for half in halves:
        namespace, deployment, request_id, revision, role = half.key
        key = {
            "namespace": namespace,
            "deployment": deployment,
            "request_id": request_id,
            "revision": revision,
            "role": role,
        }
        found = connection.execute(
            sql.TAKE_HALF, {**key, "side": loggers.OTHER[half.side]}
        ).fetchall()
        if not found:
            kept = {**half._asdict(), "received": received, "size": half.size}
            connection.execute(sql.KEEP_HALF, kept)
            continue
        other = loggers.Half(*half.key, loggers.OTHER[half.side], *found[0])
        try:
            met.rows.append(loggers.joined(half, other))
        except errors.DataError as error:
            met.apart.append(str(error))
    return met


def let_go(
    connection: databases.Connection, *, before: float, sql: databases.Dialect
) -> list[Alone]:
    """Remove the halves from before the time, and the oldest beyond their bounds, and count them."""
    counted: dict[tuple[str, str, str], int] = {}
    for namespace, deployment, side in connection.execute(
        sql.DROP_HALVES, {"before": before, "most": MOST, "bytes": MOST_BYTES}
    ).fetchall():
        key = (namespace, deployment, side)
        counted[key] = counted.get(key, 0) + 1
    return [Alone(*key, number) for key, number in sorted(counted.items())]
