"""The lineage of what a ModelDeployment asks for, in its annotations. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from fairway import artifacts, errors
from fairway.config import resource
from fairway.packaging import lineage

LINEAGE = f"{resource.GROUP}/lineage"  # of the package and of those before it, as JSON
RUN, REASON = f"{resource.GROUP}/run", f"{resource.GROUP}/reason"  # for people who read the object


def of(own: artifacts.Json, *, before: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the annotations of a ModelDeployment that asks for the package of this lineage;
    `before` is the object as it stands."""
    kept = lineage.kept(own, _kept(before or {}) or [])
    said = {RUN: kept[0]["run"], REASON: kept[0]["why"]}
    return {LINEAGE: json.dumps(kept), **{key: value for key, value in said.items() if value}}


def ancestry(found: Mapping[str, Any], *, revision: str | None) -> tuple[artifacts.Json, ...]:
    """Return the lineage of a revision (by default of the one in service, else of what is asked for)
    and of the champions before it; raises UsageError where the object does not tell it."""
    name, status = found["metadata"]["name"], found.get("status", {})
    arms = [status[arm] for arm in ("stable", "candidate") if "revision" in status.get(arm, {})]
    digests = {arm["revision"]: arm.get("digest") for arm in arms}
    if revision is not None and revision not in digests:
        there = ", ".join(digests) or "none yet"
        raise errors.UsageError(
            f"ModelDeployment {name} has no revision {revision} in service or on its way: wanted {there}"
        )
    kept = _kept(found)
    if kept is None:
        raise errors.UsageError(
            f"ModelDeployment {name} has no annotation {LINEAGE}, or another's: wanted one that "
            "`fairway deploy` of this version asked for"
        )
    stable = status.get("stable", {}).get("digest")
    wanted = digests[revision] if revision else stable or found["spec"]["model"]["digest"]
    known = {one["digest"]: one for one in kept}
    return lineage.ancestry(wanted, find=known.get)


def _kept(found: Mapping[str, Any]) -> list[artifacts.Json] | None:
    """Return what the annotation holds, newest first; None where there is none, or it is not ours."""
    try:
        chain = json.loads(found["metadata"]["annotations"][LINEAGE])
    except (KeyError, TypeError, ValueError):
        return None
    ours = isinstance(chain, list) and all(
        isinstance(one, dict) and isinstance(one.get("digest"), str) for one in chain
    )
    return chain if ours else None
