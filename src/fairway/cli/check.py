"""`fairway check`: every finding is one sentence with its remedy."""

import importlib.metadata
import importlib.util
import os
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fairway import errors, plugins
from fairway.cli import alerts, licences, options

if TYPE_CHECKING:
    from fairway.config import sections
    from fairway.pipelines import compiled

# extra -> (distribution, module that shows it is there)
EXTRAS = {
    "data": ("pandas", "pandas"),
    "train": ("torch", "torch"),
    "serve": ("bentoml", "bentoml"),
    "local": ("httpx", "httpx"),
    "pipelines": ("kfp", "kfp"),
    "drift": ("alibi-detect", "alibi_detect"),
    "converters": ("catboost", "catboost"),
}
LARGEST_BYTES = 64 << 20  # of files that are looked through here: some seconds
ROOM_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    level: str  # ok | note | warning | error
    subject: str
    sentence: str


@click.group(invoke_without_command=True)
@options.config
@options.home
@options.output
@click.pass_context
def check(
    context: click.Context, path: Path, overrides: tuple[str, ...], root: Path, form: str
) -> None:
    """Check configuration, environment and licences; exit 1 where something would fail."""
    if context.invoked_subcommand is not None:
        return
    findings = [
        *_configuration(path, overrides),
        *_environment(),
        *_plugins(),
        *_licences(path, overrides),
        *_home(root),
        *_platform(root),
        *_alerts(root),
    ]
    sound = all(finding.level != "error" for finding in findings)
    options.show(
        {"sound": sound, "findings": [asdict(finding) for finding in findings]},
        form=form,
        text="\n".join(
            f"{finding.level:<8} {finding.subject:<14} {finding.sentence}" for finding in findings
        ),
    )
    if not sound:
        raise errors.PlatformError("something would fail: see the errors above")


@check.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--pipeline",
    "name",
    type=click.Choice(["training", "retraining", "monitoring", "many", "batch"]),
    default="training",
    show_default=True,
    help="Without FILE: which of `fairway run`.",
)
@click.option(
    "--environment",
    type=click.Choice(["local", "kind", "production"]),
    default=None,
    help="What it is held to; production wants images pinned by digest. By default the configuration's.",
)
@click.option("--context", default=None, help="Ask this cluster of the kubeconfig too.")
@click.option("--on-cluster", is_flag=True, help="Ask the current cluster for room and rights too.")
@options.config
@options.output
def pipeline(
    file: Path | None,
    name: str,
    environment: str | None,
    context: str | None,
    on_cluster: bool,
    path: Path,
    overrides: tuple[str, ...],
    form: str,
) -> None:
    """Check a compiled pipeline, FILE or what `fairway run` would send, for what fails
    silently; exit 1 where something would."""
    from fairway.pipelines import compiled, pitfalls

    config: sections.Config | None
    if file is None:
        config = options.load(path, overrides)
        documents = compiled.for_pipeline(compiled.file(name, config), config)
    else:
        config = options.load(path, overrides) if path.exists() else None
        documents = _compiled(file)
    held = environment or (config.environment if config is not None else "kind")
    found = [*pitfalls.findings(documents, environment=held)]
    if file is None and config is not None and name != "batch":
        found += _family(config)
    if on_cluster or context is not None:
        found += _on_cluster(documents, config=config, context=context)
    options.show(
        {"sound": not found, "findings": found},
        form=form,
        text="\n".join(found) or f"nothing that would fail silently, by the rules of {held}",
    )
    if found:
        raise errors.PlatformError(f"{len(found)} of it would fail: see above")


def _family(config: "sections.Config") -> list[str]:
    """Return why the model's family cannot learn from the rows, where these are here and few enough to
    be looked through."""
    if getattr(config.training, "function", None) is not None:  # which may be in the image alone
        return []
    found = _data(config)
    return [one.sentence for one in found if (one.level, one.subject) == ("error", "training")]


def _compiled(file: Path) -> "compiled.Documents":
    import yaml

    from fairway.pipelines import compiled, pitfalls

    try:
        documents = compiled.read(file)
        pitfalls.findings(documents, environment="kind")  # which read all that a pipeline has
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        found = "is not there" if gone else f"cannot be read ({error.strerror})"
        raise errors.UsageError(f"{file} {found}: wanted what kfp's compiler wrote") from error
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise errors.UsageError(
            f"{file} is no compiled pipeline: wanted the YAML that kfp's compiler writes"
        ) from error
    return documents


def _on_cluster(
    documents: "compiled.Documents", *, config: "sections.Config | None", context: str | None
) -> tuple[str, ...]:
    from fairway.config import sections
    from fairway.platforms.kubernetes import api, room

    section = config.pipeline if config is not None else sections.Pipeline()
    return room.objections(
        api.connect(context),
        documents,
        namespace=config.namespace if config is not None else "default",
        account=section.service_account or "pipeline-runner",
    )


def _configuration(path: Path, overrides: tuple[str, ...]) -> list[Finding]:
    if not path.exists():
        return [
            Finding(
                "note",
                "configuration",
                f"{path} is not there: `fairway init DATA --target COLUMN` writes one",
            )
        ]
    try:
        config = options.load(path, overrides)
    except errors.ConfigError as error:
        return [Finding("error", "configuration", str(error))]
    found = _data(config)
    if any(finding.level == "error" for finding in found):
        return found
    complete = f"{path} is complete: {config.name}, environment {config.environment}"
    return [Finding("ok", "configuration", complete), *found]


def _data(config: "sections.Config") -> list[Finding]:
    """Return what `prepare` and the model's family would say of the rows; files that are large are
    not looked through."""
    from fairway import usercode

    paths = config.data.paths()
    absent = [(key, file) for key, file in paths.items() if not file.exists()]
    if absent:
        return [
            Finding(
                "error", "data", f"data.{key} is {file}, which does not exist: correct the path"
            )
            for key, file in absent
        ]
    try:
        for key, named in (
            ("data", getattr(config.data, "function", None)),
            ("training", getattr(config.training, "function", None)),
        ):
            if named is not None:
                usercode.load(named, what=f"{key}.function")
    except errors.FairwayError as error:
        return [Finding("error", key, str(error))]
    size = sum(file.stat().st_size for file in paths.values())
    if size > LARGEST_BYTES or not (paths or config.data.source == "digits"):
        return [
            Finding(
                "note",
                "data",
                "the rows are not read here: `fairway prepare` says what does not fit",
            )
        ]
    if importlib.util.find_spec("pandas") is None:
        return []
    return _prepared(config)


def _prepared(config: "sections.Config") -> list[Finding]:
    from fairway import artifacts
    from fairway.data import prepare
    from fairway.evaluation import quantiles
    from fairway.model import kinds, tasks
    from fairway.model.schema import Schema
    from fairway.training import families

    try:
        with tempfile.TemporaryDirectory() as scratch:
            record = prepare.prepare(config.data, out=Path(scratch) / "dataset")
            schema = Schema.from_json(artifacts.read_json(Path(record.path) / "schema.json"))
    except errors.FairwayError as error:
        return [Finding("error", "data", str(error))]
    inputs = dict.fromkeys(kinds.of(feature).input for feature in schema.features)
    why = families.unfit(config.training.family, inputs=inputs)
    found = [Finding("error", "training", why)] if why is not None else []
    try:
        config.serving.events.need(feature.name for feature in schema.features)
    except errors.ConfigError as error:
        found.append(Finding("error", "serving", str(error)))
    try:
        tasks.of(schema).metric(config.evaluation.metric)
        quantiles.refuse(
            config.evaluation.quantiles,
            task=tasks.of(schema),
            validation=record.rows["validation"],
        )
    except errors.DataError as error:
        found.append(Finding("error", "evaluation", str(error)))
    return found + [Finding("warning", "data", warning) for warning in record.warnings]


def _environment() -> list[Finding]:
    found = [Finding("ok", "python", f"{sys.version.split()[0]} at {sys.executable}")]
    for extra, (distribution, module) in EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            sentence = f"{distribution} is not installed: `pip install fairway[{extra}]` where you need that stage"
            found.append(Finding("note", f"extra {extra}", sentence))
        else:
            found.append(
                Finding(
                    "ok",
                    f"extra {extra}",
                    f"{distribution} {importlib.metadata.version(distribution)}",
                )
            )
    envoy = importlib.util.find_spec("envoy") is not None or shutil.which("envoy") is not None
    absent = Finding(
        "warning", "envoy", "not found: the local platform needs `fairway[local]`, or envoy on PATH"
    )
    found.append(Finding("ok", "envoy", "there") if envoy else absent)
    return found


def _plugins() -> list[Finding]:
    """Return what can be named in the configuration, and which package each of it is of."""
    return [finding for group in plugins.GROUPS for finding in _plugins_of(group)]


def _plugins_of(group: str) -> list[Finding]:
    found = plugins.found(group).values()
    ours = ", ".join(plugin.name for plugin in found if plugin.distribution == plugins.OURS)
    others = [plugin for plugin in found if plugin.distribution != plugins.OURS]
    return [
        Finding("ok", group, ours),
        *(
            Finding("ok", group, f"{one.name}, of {one.distribution} {one.version}")
            for one in others
        ),
    ]


def _licences(path: Path, overrides: tuple[str, ...]) -> list[Finding]:
    found = [Finding(level, "licence", sentence) for level, sentence in licences.installed()]
    return (
        found
        if _runtime(path, overrides) != "seldon"
        else [*found, Finding(licences.SELDON.level, "runtime seldon", licences.SELDON.sentence)]
    )


def _runtime(path: Path, overrides: tuple[str, ...]) -> str | None:
    try:
        return options.load(path, overrides).serving.runtime
    except errors.ConfigError:  # told already
        return None


def _home(root: Path) -> list[Finding]:
    place = root.resolve()
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        return [Finding("error", "home", f"{place} cannot be written: choose another with --home")]
    free = shutil.disk_usage(place).free
    level = "ok" if free > ROOM_BYTES else "warning"
    return [
        Finding(
            level,
            "home",
            f"{free / 1024**3:.1f} GiB free at {place}"
            + ("" if level == "ok" else ": free some, packages and events need room"),
        )
    ]


def _alerts(root: Path) -> list[Finding]:
    """Return what the monitor of this home has told and nobody has settled yet."""
    told = alerts.open_in(root / "events.db")
    return [
        Finding(
            "warning",
            "alert",
            f"{alert.name} of {alert.summary}: `fairway monitor` has the evidence and what to do",
        )
        for alert in told
    ]


def _platform(root: Path) -> list[Finding]:
    """Return how the platform of this home stands, where it has one."""
    from fairway.cli import local
    from fairway.platforms.local.home import Home

    home = Home(root.resolve())
    if not home.state.exists():
        return []
    try:
        deployments, stands = local.standing_of(home)
    except errors.FairwayError as error:
        return [Finding("error", "platform", str(error))]
    faults = [
        Finding("error", "deployment", fault)
        for one in deployments
        if (fault := one.fault) is not None
    ]
    if stands.first is not None:
        return [Finding("error", "platform", stands.first), *faults]
    return [
        *faults,
        Finding(
            "ok",
            "platform",
            f"runs; the gateway answers on {stands.gateway}"
            if stands.gateway
            else "stopped: `fairway up` starts it",
        ),
    ]
