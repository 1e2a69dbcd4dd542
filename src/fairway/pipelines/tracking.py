"""A run's record as a run of an MLflow server, and its package as a version of the registered model
that is named as the deployment.

All is sent when the run has ended: a server that is down costs one warning. A run that is tried again
is the same run there, found by its name and the time it began.
"""

import collections
import contextlib
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fairway import artifacts, errors, files
from fairway.addresses import mlflow, web
from fairway.config import sections
from fairway.packaging import manifest, package, publish
from fairway.pipelines import run, run_records

TRAINS = frozenset({"import-data", "prepare", "train"})  # steps of a run that is worth tracking
UNTAKEN = re.compile(r"[^/\w.\- ]")  # in the name of a metric
LONGEST = {"params": 500, "tags": 5000}  # characters of a value that every version of MLflow takes
RUN, DIGEST, REVISION = "fairway.run", "fairway.package", "fairway.revision"
PACKAGE = "package"  # the folder of a run's artifacts that has the package


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """What MLflow is told of a run."""

    experiment: str
    name: str
    began: int  # as `ended` in milliseconds
    ended: int
    status: str  # FINISHED | FAILED | KILLED
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


@contextlib.contextmanager
def tracked(
    config: sections.Config | None,
    *,
    warn: Callable[[str], None],
    environment: Mapping[str, str] = os.environ,
) -> Iterator[run.Recorded]:
    """Give what is called with a run's record at each change; in the end the last one is sent, where a
    server is set (`platform.tracking.url` or MLFLOW_TRACKING_URI)."""
    last: collections.deque[artifacts.Json] = collections.deque(maxlen=1)
    url = server_of(config, environment=environment)
    try:
        yield last.append if url else lambda record: None
    finally:
        if config is not None and url and last and worth_tracking(last[-1]):
            with _warned(f"all of run {last[-1]['run']}", url=url, warn=warn):
                send(_server(url, environment), last[-1], config=config, now=time.time())


def deployed(
    config: sections.Config,
    *,
    digest: str,
    revision: str,
    warn: Callable[[str], None],
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Tell the server, where one is set, as which revision the registered version of the package was
    deployed; nothing where it has none."""
    url = server_of(config, environment=environment)
    if url is None:
        return
    with _warned(f"of revision {revision}", url=url, warn=warn):
        server = _server(url, environment)
        found = _version_of(server, config.name, digest=digest)
        if found is not None:
            _tell_revision(server, found, revision=revision)


def _server(url: str, environment: Mapping[str, str]) -> mlflow.MlflowServer:
    return mlflow.MlflowServer(url, authorization=mlflow.authorization_of(environment))


@contextlib.contextmanager
def _warned(what: str, *, url: str, warn: Callable[[str], None]) -> Iterator[None]:
    """Have a server that is down, refuses or is another's cost one warning."""
    try:
        yield
    except (errors.FairwayError, OSError) as error:
        warn(f"MLflow was not told {what} ({error}): see platform.tracking, or MLFLOW_TRACKING_URI")
    except (KeyError, TypeError, ValueError) as error:
        warn(
            f"MLflow was not told {what}: {web.shown(url)} does not answer as MLflow does ({error!r}); see "
            "platform.tracking.url, or MLFLOW_TRACKING_URI"
        )


def server_of(config: sections.Config | None, *, environment: Mapping[str, str]) -> str | None:
    """Return the address of the server; what names none that is asked over HTTP, such as a file of
    MLflow's own, does not count."""
    named = environment.get("MLFLOW_TRACKING_URI", "")
    if urlsplit(named).scheme in ("http", "https"):
        return named
    return config.platform.tracking.url if config else None


def worth_tracking(record: artifacts.Json) -> bool:
    """Say whether a run has ended, and is of one training."""
    began = [one["step"] for one in record["steps"] if one["status"] not in ("pending", "skipped")]
    over = record["outcome"] != run_records.RUNNING
    return over and not TRAINS.isdisjoint(began) and began.count("train") < 2


def send(
    server: mlflow.MlflowServer, record: artifacts.Json, *, config: sections.Config, now: float
) -> None:
    """Make or update the run, its artifacts, and where that is asked for the model version."""
    told = described(
        record,
        config=config,
        evaluation=_left(record, "evaluate", "evaluation", "evaluation.json"),
        fitted=_left(record, "train", "model", "checkpoint.json").get("configuration"),
        now=now,
    )
    there = _run_of(server, told)
    run_id, place = there["info"]["run_id"], there["info"]["artifact_uri"]
    stays = {one["key"] for one in there["data"].get("params", ())}  # no param changes
    server.post(
        "runs/log-batch",
        run_id=run_id,
        params=_pairs({key: said for key, said in told.params.items() if key not in stays}),
        metrics=[
            {"key": key, "value": value, "timestamp": told.ended, "step": 0}
            for key, value in told.metrics.items()
        ],
        tags=_pairs(told.tags),
    )
    server.post("runs/update", run_id=run_id, status=told.status, end_time=told.ended)
    takes = urlsplit(place).scheme == mlflow.PROXIED
    for name, file in _pages(record).items() if takes else ():
        server.put(f"{place}/{name}", file)
    if config.platform.tracking.registers and (made := record.get("package")):
        source = _source(server, Path(made), config=config, place=place if takes else None)
        _register(server, told, run_id=run_id, source=source)


def described(
    record: artifacts.Json,
    *,
    config: sections.Config,
    evaluation: artifacts.Json,
    fitted: artifacts.Json | None,
    now: float,
) -> TrackedRun:
    """Return what is told of a run. Pure; `fitted` are the settings of the training that made the model."""
    broken = any(step["status"] == run_records.FAILED for step in record["steps"])
    failed = broken or record["outcome"] == run_records.FAILED
    killed = record["outcome"] == run_records.INTERRUPTED
    version = _artifact(record, "prepare", "dataset").get("metadata", {}).get("version")
    params = {
        "family": config.training.family,
        "seed": str(config.training.seed),
        "source": _places(config) or config.data.source,
        "dataset": version,
        "configuration": _digest(config, fitted) if fitted else None,
    }
    tags = {
        RUN: record["run"],
        DIGEST: record.get("digest"),
        "fairway.reason": record.get("why"),
        "fairway.commit": record.get("commit"),
        "fairway.outcome": record["outcome"],
        "fairway.champion": _artifact(record, "champion", "package")
        .get("metadata", {})
        .get("digest"),
        REVISION: record.get("revision"),
        "fairway.metric": evaluation.get("primary"),
        "mlflow.note.content": record["reason"],  # what its page shows as description
    }
    return TrackedRun(
        experiment=config.name,
        name=record.get("name") or record["run"],
        began=int((record.get("began") or now) * 1000),
        ended=int(now * 1000),
        status="KILLED" if killed else "FAILED" if failed else "FINISHED",
        params={key: said[: LONGEST["params"]] for key, said in params.items() if said},
        metrics={
            UNTAKEN.sub("_", key): float(value)
            for key, value in evaluation.get("metrics", {}).items()
            if isinstance(value, int | float) and math.isfinite(value)
        },
        tags={key: said[: LONGEST["tags"]] for key, said in tags.items() if said},
    )


def _digest(config: sections.Config, fitted: artifacts.Json) -> str:
    """Return the digest that a package's lineage states of its configuration."""
    return files.digest_bytes(files.canonical(package.configuration(config, training=fitted)))


def _places(config: sections.Config) -> str:
    """Return the files and addresses that rows come from, without what may be secret in them."""
    named = [path.name for path in config.data.paths().values()]
    return ", ".join([*named, *map(web.shown, config.data.addresses().values())])


def _run_of(server: mlflow.MlflowServer, told: TrackedRun) -> artifacts.Json:
    """Return the run there, made where it is not there yet."""
    experiment = _experiment(server, told.experiment)
    same = f"tags.`{RUN}` = '{told.tags[RUN]}' and attributes.start_time = {told.began}"
    found = server.post("runs/search", experiment_ids=[experiment], filter=same, max_results=1)
    if found.get("runs"):
        return dict(found["runs"][0])
    made = server.post(
        "runs/create",
        experiment_id=experiment,
        run_name=told.name,
        start_time=told.began,
        tags=_pairs({RUN: told.tags[RUN]}),
    )
    return dict(made["run"])


def _experiment(server: mlflow.MlflowServer, name: str) -> str:
    try:
        found = server.get("experiments/get-by-name", experiment_name=name)
    except errors.MissingFile:
        return str(server.post("experiments/create", name=name)["experiment_id"])
    if found["experiment"].get("lifecycle_stage") == "deleted":
        raise errors.AddressError(
            f"experiment {name} is deleted there: restore it with `mlflow experiments restore`"
        )
    return str(found["experiment"]["experiment_id"])


def _source(
    server: mlflow.MlflowServer, made: Path, *, config: sections.Config, place: str | None
) -> str:
    """Return the package's address: put in the store, or with the run's artifacts."""
    if config.platform.store is not None:
        return publish.publish(made, store=config.platform.store)
    if place is None:
        raise errors.UsageError(
            "the server keeps no artifacts itself, so that no version is registered: wanted platform.store, where "
            "the package is put"
        )
    for name in (*manifest.load(made).files, manifest.NAME):
        server.put(f"{place}/{PACKAGE}/{name}", made / name)
    return f"{place}/{PACKAGE}"


def _register(server: mlflow.MlflowServer, told: TrackedRun, *, run_id: str, source: str) -> None:
    """Make a version of the package's digest, unless there is one."""
    name = told.experiment
    try:
        server.get("registered-models/get", name=name)
    except errors.MissingFile:
        server.post("registered-models/create", name=name)
    found = _version_of(server, name, digest=told.tags[DIGEST])
    if found is None:
        tags = {key: told.tags[key] for key in (RUN, DIGEST, REVISION) if key in told.tags}
        server.post(
            "model-versions/create", name=name, source=source, run_id=run_id, tags=_pairs(tags)
        )
    elif (revision := told.tags.get(REVISION)) is not None:
        _tell_revision(server, found, revision=revision)


def _version_of(server: mlflow.MlflowServer, name: str, *, digest: str) -> artifacts.Json | None:
    """Return the registered version of the package, None where there is none."""
    same = f"name = '{name}' and tags.`{DIGEST}` = '{digest}'"
    found = server.get("model-versions/search", filter=same, max_results="1").get("model_versions")
    return dict(found[0]) if found else None


def _tell_revision(server: mlflow.MlflowServer, version: artifacts.Json, *, revision: str) -> None:
    """Tag the version, and the run that made it."""
    said = {"key": REVISION, "value": revision}
    place = {"name": version["name"], "version": str(version["version"])}
    server.post("model-versions/set-tag", **place, **said)
    if version.get("run_id"):
        server.post("runs/set-tag", run_id=version["run_id"], **said)


def _pages(record: artifacts.Json) -> dict[str, Path]:
    """Return what is kept of a run here for people to look at; of one on a cluster there is nothing."""
    places = {
        "report.html": _artifact(record, "evaluate", "report").get("path"),
        run_records.RECORD: record.get("folder") and f"{record['folder']}/{run_records.RECORD}",
    }
    return {name: Path(place) for name, place in places.items() if place and Path(place).is_file()}


def _left(record: artifacts.Json, step: str, artifact: str, name: str) -> artifacts.Json:
    """Return what a step of a run here wrote, empty where it did not come to that."""
    try:
        return artifacts.read_json(
            Path(_artifact(record, step, artifact).get("path") or "nowhere") / name
        )
    except (OSError, ValueError):
        return {}


def _artifact(record: artifacts.Json, step: str, name: str) -> artifacts.Json:
    """Return the path and metadata of what a step made, empty where they are not known."""
    for one in record["steps"]:
        if one["step"] == step:
            return dict(one.get("artifacts", {}).get(name, {}))
    return {}


def _pairs(values: Mapping[str, str]) -> list[artifacts.Json]:
    return [{"key": key, "value": value} for key, value in values.items()]
