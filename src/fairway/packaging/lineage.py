"""Where a model comes from: the data, code and configuration that its package is of, the champion
that it was compared with, and how the run came about that made it. Pure.

What a package is of stands in its manifest. Who asked, and why, is no part of that: the same data,
code and configuration give the same package, whoever asks. It travels beside it, as an Provenance: in
the run's record, with the pipeline's artifact, with the revision, and on the ModelDeployment.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairway import artifacts
from fairway.packaging.manifest import Manifest

LONGEST_WORDS = 1024  # of why a run began
MOST_FILES = 20  # of the data, by name and digest; the version stands for all
MOST_KEPT = 8  # packages that a ModelDeployment remembers, its own among them
MOST_BYTES = 4096  # of one as JSON: annotations of an object have 256 KiB together
MOST_SHOWN = 50  # ancestors, so that a forged circle ends


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How the run came about that made a package; empty where it is not known."""

    run: str = ""
    why: str = ""  # a person, a schedule, a ticket, an alert, realised loss
    commit: str = ""  # of the repository in which the run was asked for
    image: str = ""  # of the pipeline's steps

    def told(self) -> dict[str, str]:
        """Return what is known, as metadata of an artifact."""
        known = {name: value[:LONGEST_WORDS] for name, value in dataclasses.asdict(self).items()}
        return {name: value for name, value in known.items() if value}


UNKNOWN = Provenance()


def origin(told: Mapping[str, Any]) -> Provenance:
    """Return the origin that a run's record, or an artifact's metadata, tells."""
    names = [field.name for field in dataclasses.fields(Provenance)]
    return Provenance(**{name: str(told.get(name) or "") for name in names})


def of(package: Manifest, *, came: Provenance = UNKNOWN) -> artifacts.Json:
    """Return the lineage of one package: `digest`, `name`, `data`, `code`, `configuration` (its
    digest), `champion` (its digest), `run` and `why`. It is small, and holds no secret."""
    stated = package.lineage
    data = stated.get("data")
    made = {
        "digest": package.digest,
        "name": package.name,
        "data": {
            "version": stated.get("datasetVersion"),
            "source": stated.get("source"),
            **(_few(data) if isinstance(data, dict) else {}),
        },
        "code": {
            "version": stated.get("codeVersion"),
            "commit": came.commit or None,
            "image": came.image or None,
        },
        "configuration": stated.get("configurationDigest"),
        "champion": package.champion_digest,
        "run": came.run or None,
        "why": came.why[:LONGEST_WORDS] or None,
    }
    if len(json.dumps(made)) > MOST_BYTES:
        made["data"] = {"version": stated.get("datasetVersion")}
    return made


def kept(own: artifacts.Json, before: Sequence[Mapping[str, Any]]) -> list[artifacts.Json]:
    """Return the lineage with those that were remembered before it, newest first: of champions, of
    the revision that still serves, of one that was rolled back."""
    earlier = [dict(one) for one in before if one.get("digest") == own["digest"]]
    others = [dict(one) for one in before if one.get("digest") != own["digest"]]
    # who asks again for a package did not make it
    first = earlier[0] if earlier and earlier[0].get("run") else own
    return [first, *others][:MOST_KEPT]


def ancestry(
    digest: str, *, find: Callable[[str], artifacts.Json | None]
) -> tuple[artifacts.Json, ...]:
    """Return the lineage of a package and of each champion before it, newest first. Of one that is
    not found any more there is the digest alone."""
    found: list[artifacts.Json] = []
    wanted: str | None = digest
    while wanted and len(found) < MOST_SHOWN and all(one["digest"] != wanted for one in found):
        one = find(wanted)
        found.append(one or {"digest": wanted})
        wanted = (one or {}).get("champion")
    return tuple(found)


def _few(data: Mapping[str, Any]) -> artifacts.Json:
    """Return what is said of the data, with the digests of its first files."""
    some = {
        name: dict(list(digests.items())[:MOST_FILES])
        for name in ("files", "labelled")
        if isinstance(digests := data.get(name), dict)
    }
    return {**data, **some}
