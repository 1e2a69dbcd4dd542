"""Which rows of a deployment are meant, in parts after an @:

income                          the newest 5,000 of the stable revision
income@500                      the newest 500
income@2026-11-01..2026-11-02   from the first time up to the second, which may be left out
income@3f2a9c01d4e5             of one revision, by the beginning of its name
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fairway import errors
from fairway.monitoring.eventstore import answers

NEWEST_ROWS = 5_000
MOST_ROWS = 50_000
LATE_SECONDS = 3_600.0  # a server may have delivered so much later than others: reading ends there
REVISION = re.compile(r"[0-9a-f]{6,12}")
ROWS = re.compile(r"[1-9][0-9]{0,4}")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class Meant:
    """Which rows of a deployment are meant."""

    deployment: str
    revision: str | None = None  # or the beginning of it
    since: float = -math.inf  # seconds since the epoch
    until: float = math.inf
    rows: int | None = None  # the newest ones

    @property
    def timed(self) -> bool:
        return math.isfinite(self.since) or math.isfinite(self.until)


def asked(text: str) -> Meant:
    """Return which rows of a deployment a text means; raises UsageError where it means none."""
    name, *parts = text.split("@")
    if not NAME.fullmatch(name):
        raise errors.UsageError(_nothing(text))
    said: dict[str, Any] = {}
    for part in parts:
        known = _part(part, text)
        twice = said.keys() & known.keys()
        if twice:
            raise errors.UsageError(f"{text} says {min(twice)} twice: wanted it once")
        said |= known
    return Meant(deployment=name, **said)


def _part(part: str, text: str) -> dict[str, Any]:
    if ".." in part:
        since, _, until = part.partition("..")
        found = {
            "since": _moment(since, text, default=-math.inf),
            "until": _moment(until, text, default=math.inf),
        }
        if found["since"] >= found["until"]:
            raise errors.UsageError(f"{text} ends before it begins: wanted EARLIER..LATER")
        return found
    if ROWS.fullmatch(part):
        return {"rows": int(part)}
    if REVISION.fullmatch(part):
        return {"revision": part}
    raise errors.UsageError(
        f"{text} has {part!r} after the @: wanted a number of rows below 100,000, times such as "
        "2026-11-01..2026-11-02, or the 12 characters of a revision (`fairway status` shows it)"
    )


def _moment(said: str, text: str, *, default: float) -> float:
    if not said:
        return default
    try:
        moment = datetime.fromisoformat(said)
    except ValueError as error:
        raise errors.UsageError(
            f"{text} has the time {said!r}: wanted one such as 2026-11-01 or 2026-11-01T06:30 (UTC)"
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _nothing(text: str) -> str:
    return (
        f"nothing is called {errors.shortened(text)}: wanted a file of rows, the folder of a package, or a "
        "deployment in service such as income@2026-11-01..2026-11-02, income@500 or income@REVISION"
    )


def within(newest: Iterable[answers.Prediction], wanted: Meant) -> Iterator[answers.Prediction]:
    """Give the predictions of the span; the store has them in the order in which they came."""
    for prediction in newest:
        if prediction.time < wanted.since - LATE_SECONDS:
            return
        if wanted.since <= prediction.time < wanted.until:
            yield prediction
