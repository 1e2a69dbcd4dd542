"""The verb `lineage`: what a model was trained on and why, and the champions before it."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairway import artifacts, errors
from fairway.cli import options

if TYPE_CHECKING:
    from fairway.packaging import manifest
    from fairway.platforms.local.home import Home

UNKNOWN = "not known"
SHORT = 12  # characters of a digest
STEP = 3  # columns that a champion stands further in than what was compared with it


@click.command()
@click.argument("what", metavar="[NAME|NAME@REVISION|PACKAGE|RUN]", required=False)
@options.cluster
@options.config
@options.home
@options.output
def lineage(
    what: str | None,
    where: options.Where,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Show where a model comes from: why its run began, its data, code and configuration, and the
    champion that it was compared with, whose own come next.

    By default the revision in service of the configuration; or a revision, the folder of a package,
    or a run. On a cluster: NAME or NAME@REVISION, as the ModelDeployment tells it.
    """
    chain = _found(what, where, path, overrides, root)
    options.show({"lineage": list(chain)}, form=form, text=_tree(chain))


def _found(
    what: str | None, where: options.Where, path: Path, overrides: tuple[str, ...], root: Path
) -> tuple[artifacts.Json, ...]:
    from fairway.config import sections

    config = options.load(path, overrides) if what is None or path.exists() else None
    asked = what or (config.name if config else "")
    remote = where.on == "kubernetes" or (config and where.kind(config) == "kubernetes")
    if not remote:
        made = _package(Path(asked), options.open_home(root))
        if made is not None:
            return _of_package(made, options.open_home(root))
    name, _, revision = asked.partition("@")
    options.check_name(name, option="the deployment's name")
    usual = config or sections.Config.model_validate({"data": {"path": "unused.csv"}})
    return where.platform(usual, root=root).lineage(name, revision=revision or None)


def _package(place: Path, home: "Home") -> "manifest.Manifest | None":
    """Return the package of a folder or of a run's name, None where it is neither."""
    from fairway.packaging import manifest
    from fairway.pipelines import run_records

    if place.is_dir():
        return manifest.read(place)
    record = run_records.read(home.runs / place.name) if place.parent == Path() else None
    if record is None:
        return None
    if record["package"] is None:
        raise errors.UsageError(
            f"run {record['run']} made no package: it ended as {record['outcome']} ({record['reason']})"
        )
    return manifest.read(Path(record["package"]))


def _of_package(made: "manifest.Manifest", home: "Home") -> tuple[artifacts.Json, ...]:
    from fairway.packaging import lineage as noted
    from fairway.platforms.local import origins, state

    known: dict[str, artifacts.Json] = {}
    if home.state.exists():
        with contextlib.closing(state.Store(home.state)) as store:
            for deployment in store.deployments():
                known |= origins.remembered(store.revisions(deployment.name))
    own = noted.of(made, came=origins.of(home, made.digest))
    return origins.ancestry(home, made.digest, known={made.digest: own, **known})


def _tree(chain: Sequence[Mapping[str, Any]]) -> str:
    """Return each model with its champion below it."""
    lines: list[str] = []
    for depth, one in enumerate(chain):
        lead, margin = ("└─ compared with " if depth else ""), " " * (STEP * depth)
        before = margin[STEP:] if depth else ""
        lines.append(f"{before}{lead}{one.get('name') or 'a package'}  {one['digest']}")
        facts = _facts(one) if "data" in one else {"": "nothing is known of it here any more"}
        lines += [f"{margin}  {name:<8} {said}".rstrip() for name, said in facts.items()]
    return "\n".join(lines)


def _facts(one: Mapping[str, Any]) -> dict[str, str]:
    code = one.get("code") or {}
    parts = {"commit": code.get("commit"), "image": code.get("image")}
    return {
        "why": one.get("why") or UNKNOWN,
        "run": one.get("run") or UNKNOWN,
        "data": _data(one.get("data") or {}),
        "code": ", ".join(
            [
                f"fairway {code.get('version') or UNKNOWN}",
                *(f"{name} {value}" for name, value in parts.items() if value),
            ]
        ),
        "config": one.get("configuration") or UNKNOWN,
    }


def _data(data: Mapping[str, Any]) -> str:
    """Return where the rows came from, what they are, and how they were divided."""
    places = [str(place) for place in (data.get("places") or {}).values()]
    digests = [_named(*pair) for pair in (data.get("files") or {}).items()]
    rows = [f"{count} {split}" for split, count in (data.get("rows") or {}).items()]
    labelled = [_named(*pair) for pair in (data.get("labelled") or {}).items()]
    method = (data.get("split") or {}).get("method")
    said = [
        ", ".join(places) or str(data.get("source") or ""),
        ", ".join(digests),
        f"rows {', '.join(rows)}" if rows else "",
        f"split {method}" if method else "",
        f"newly labelled {', '.join(labelled)}" if labelled else "",
        f"version {data['version']}" if data.get("version") else "",
    ]
    return "; ".join(filter(None, said)) or UNKNOWN


def _named(name: str, digest: Any) -> str:
    return f"{name} {str(digest)[: len('sha256:') + SHORT]}"
