"""The classes that a revision's answers may be: a server tells them now and then, so that a label
which names none of them is refused when it comes, and not counted as a mistake of the model."""

import json
from collections.abc import Iterable

from fairway.model import tasks
from fairway.model.schema import Schema
from fairway.monitoring.eventstore import cloudevents, databases, gauges

Arm = tuple[str, str, str]  # namespace, deployment, revision


def remember(
    connection: databases.Connection,
    rows: Iterable[cloudevents.EventRow],
    *,
    sql: databases.Dialect,
) -> None:
    """Keep the classes that the events came with, where they are not known yet."""
    told = {
        (row.namespace, row.deployment, row.revision): row.classes for row in rows if row.classes
    }
    for arm, classes in told.items():
        if _known(connection, arm, sql=sql) != classes:
            connection.execute(sql.SET_MARK, {"key": _key(arm), "value": classes})


def gauge(
    connection: databases.Connection, arm: Arm, *, sql: databases.Dialect
) -> gauges.Gauge | None:
    """Return what reads a label of this revision's classes, None where they are not known."""
    classes = _known(connection, arm, sql=sql)
    if classes is None:
        return None
    schema = Schema(target="", features=(), classes=tuple(json.loads(classes)))
    return gauges.Gauge(tasks.named(tasks.USUAL), schema)


def _known(connection: databases.Connection, arm: Arm, *, sql: databases.Dialect) -> str | None:
    row = connection.execute(sql.MARK, {"key": _key(arm)}).fetchone()
    return str(row[0]) if row else None


def _key(arm: Arm) -> str:
    return f"classes/{json.dumps(arm)}"
