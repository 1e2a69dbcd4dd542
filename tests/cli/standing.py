"""A local platform's store as it stands at some moment of a rollout: for what the verbs say of it."""

import contextlib
from pathlib import Path
from typing import Any

from fairway.config import sections
from fairway.platforms.local import state
from fairway.rollout.states import Phase, State

CONFIGURATION = "name: few\ndata: {source: csv, path: few.csv, target: income}\n"


def deployed(folder: Path, *revisions: str, **standing: Any) -> Path:
    """Write the configuration, and the store of a home in which the last of the revisions is asked
    for.

    Return the home.
    """
    (folder / "few.csv").write_text("age,income\n1,low\n2,high\n")
    (folder / "fairway.yaml").write_text(CONFIGURATION)
    config = sections.Config.model_validate(
        {"name": "few", "data": {"source": "csv", "path": "few.csv"}}
    )
    home = folder / ".fairway"
    with contextlib.closing(state.Store(home / "state.db")) as store:
        for revision in revisions:
            store.deploy(_revision(revision, config), now=1.0)
        store.save("few", state=State(**standing), policy=config.strategy, events=(), answered=None)
    return home


def serve(home: Path, package: Path, *, revision: str) -> None:
    """Put a package in service, as a revision beside the one that is asked for."""
    with contextlib.closing(state.Store(home / "state.db")) as known:
        found = known.revision("aaa")
        assert found is not None
        changed = {**found.__dict__, "revision": revision, "package": str(package)}
        known.deploy(state.LocalRevision(**changed), now=2.0)
        serving = State(phase=Phase.STABLE, stable=revision)
        known.save("few", state=serving, policy=sections.Strategy(), events=(), answered=None)


def _revision(name: str, config: sections.Config) -> state.LocalRevision:
    return state.LocalRevision(
        revision=name,
        deployment="few",
        package="p",
        digest="sha256:0",
        facts={},
        note="",
        created_at=1.0,
        config=config.model_dump(mode="json", by_alias=True),
    )
