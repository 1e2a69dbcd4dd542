"""A shift that people took for the new usual: who, when and why. The monitor reads it at its next look,
forgets what was usual, and learns anew.

It is a file on the deployment's shelf, and none of the monitor's turns: neither has to wait for the
other, and a monitor that was away finds it.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fairway import errors
from fairway.monitoring import references, stores, watched

log = logging.getLogger("fairway.monitoring.acceptance")
NAME = references.ACCEPTED
KEPT = 20  # of a deployment, the newest
LONGEST = 500  # characters of a reason: a condition has to hold it
LONGEST_NAME = 100


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """What is served is taken for usual, from one request on."""

    at: float  # seconds since the epoch
    who: str
    why: str
    revision: str  # in service then
    after: int  # the number of its newest event then

    @property
    def sentence(self) -> str:
        return f"accepted by {self.who}: {self.why}"


def reason(text: str) -> str:
    """Return a reason on one line; raises UsageError where it says nothing, or too much."""
    plain = _line(text)
    if not 0 < len(plain) <= LONGEST:
        raise errors.UsageError(
            f"--why has {len(plain)} characters: wanted 1 to {LONGEST} that say why the shift is fine, such as "
            '"the campaign of March, seen by Ana"'
        )
    return plain


def person(text: str) -> str:
    """Return a name on one line; raises UsageError where it names nobody, or is too long."""
    plain = _line(text)
    if not 0 < len(plain) <= LONGEST_NAME:
        raise errors.UsageError(
            f"who accepts has a name of {len(plain)} characters: wanted 1 to {LONGEST_NAME}, of --who, or of the "
            "environment's USER or LOGNAME; name yourself, such as --who ana"
        )
    return plain


def _line(text: str) -> str:
    return "".join(one for one in " ".join(text.split()) if one.isprintable())


def accept(
    store: stores.MonitorStore,
    shelf: references.Shelf,
    *,
    deployment: str,
    namespace: str,
    revision: str,
    who: str,
    why: str,
    now: float,
) -> tuple[Acceptance, Mapping[str, Any] | None]:
    """Keep it beside the last ones, and return it with the ticket that is open; raises UsageError where
    nothing is learnt that could be forgotten."""
    mark = store.conclusions.mark(watched.mark(deployment))
    if mark is None:
        raise errors.UsageError(
            f"{deployment}: nothing is watched, so there is nothing to accept: wanted a monitor that runs and has "
            "seen requests with their inputs (`fairway monitor`, or the condition Monitored, says how much is learnt)"
        )
    after = store.history.last(deployment, namespace=namespace, revision=revision, after=0)
    found = Acceptance(at=now, who=who, why=why, revision=revision, after=after)
    known = [found, *kept(shelf)][:KEPT]
    content = json.dumps([asdict(one) for one in known], allow_nan=False)
    shelf.write(NAME, content.encode())
    return found, mark.get("ticket")


def kept(shelf: references.Shelf) -> list[Acceptance]:
    """Return what was accepted, the newest first; nothing where that cannot be read."""
    content = shelf.read(NAME)
    if content is None:
        return []
    try:
        return [_read(one) for one in json.loads(content)]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        log.warning("what was accepted cannot be read, and counts for nothing: %s", error)
        return []


def newest(shelf: references.Shelf) -> Acceptance | None:
    """Return what was accepted last."""
    return next(iter(kept(shelf)), None)


def taken(mark: Mapping[str, Any]) -> Acceptance | None:
    """Return what was accepted last as the monitor has taken it, by where its watch goes on."""
    known = mark.get("accepted")
    return None if known is None else _read(known)


def _read(known: Mapping[str, Any]) -> Acceptance:
    return Acceptance(**{field.name: known[field.name] for field in fields(Acceptance)})
