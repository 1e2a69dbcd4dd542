"""Where packages of one home come from: what its revisions remember, and what its runs say of
packages that were never deployed."""

from collections.abc import Iterable, Mapping

from fairway import artifacts, errors
from fairway.packaging import lineage, manifest
from fairway.pipelines import run_records
from fairway.platforms.local import state
from fairway.platforms.local.home import Home


def of(home: Home, digest: str) -> lineage.Provenance:
    """Return how the package came to be, by the first run that made it; unknown where none here
    did."""
    made = [one for one in run_records.newest_first(home.root) if one.get("digest") == digest]
    return lineage.origin(made[-1]) if made else lineage.UNKNOWN


def remembered(revisions: Iterable[state.LocalRevision]) -> dict[str, artifacts.Json]:
    """Return the lineages that revisions remember, by their packages' digests."""
    return {one.digest: one.lineage for one in revisions if one.lineage}


def ancestry(
    home: Home, digest: str, *, known: Mapping[str, artifacts.Json]
) -> tuple[artifacts.Json, ...]:
    """Return the lineage of a package and of the champions before it; `known` has those of
    revisions, by the packages' digests."""

    def find(wanted: str) -> artifacts.Json | None:
        if wanted in known:
            return known[wanted]
        try:
            return lineage.of(manifest.read(home.package(wanted)), came=of(home, wanted))
        except errors.PackageError:  # it was removed
            return None

    return lineage.ancestry(digest, find=find)
