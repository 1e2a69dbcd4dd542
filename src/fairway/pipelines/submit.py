"""A pipeline submitted to a cluster's Kubeflow Pipelines: once, or again and again."""

import contextlib
import hashlib
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairway import artifacts, errors, files
from fairway.config import sections
from fairway.pipelines import compiled, kubeflow, pitfalls, remote_runs, travel

EXPERIMENT, BATCH = "fairway", "batch"
NEWEST_OF_A_NAME = 20  # among which one that goes on is looked for
FIELD = r"[-0-9A-Za-z*/,?#]+"  # of a cron expression
CRON = re.compile(rf"{FIELD}( {FIELD}){{4}}")
# the least and the greatest number of each field; cron takes 7 for Sunday too
BOUNDS = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day": (1, 31),
    "month": (1, 12),
    "weekday": (0, 7),
}


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """Which pipeline runs, and what the run shall do besides training."""

    pipeline: str = "training"
    """The name of its compiled file."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Parameters that only this pipeline has."""
    deploy: bool = False
    """Deploy the package where the gate lets it through."""
    watch: bool = False
    """End with the rollout, red where it is rolled back."""
    fail_on_refusal: bool = False
    """End red where the gate refuses."""
    compare: bool = True
    """Compare with the model in service."""
    cache: bool = True
    """Take what pure steps gave before, as Kubeflow Pipelines finds it."""
    why: str = ""
    """Why it begins, which is kept with what it makes."""
    commit: str = ""
    """Of the repository in which it was asked for."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What is sent: a sound pipeline, and what it is told."""

    variant: str  # the compiled pipeline's file
    documents: compiled.Documents
    arguments: artifacts.Json
    account: str | None
    caching: bool | None  # None: as each step of the pipeline says


def submit(
    config: sections.Config,
    *,
    access: kubeflow.KubeflowAccess,
    asked: Wishes,
    name: str | None = None,
) -> artifacts.Json:
    """Start a run of a pipeline on a cluster; gives its id, name, pipeline and whether
    it was adopted.

    A run of the same name that has not ended is adopted rather than started twice; by default the
    name says what is asked for, so that asking twice is one run. Raises Unavailable where the API
    does not answer, PlatformError for a pipeline that is not sound.
    """
    sent = request(config, asked=asked)
    run_name = name or run_name_of(
        f"{config.name}-{asked.pipeline}", sent.documents, sent.arguments
    )
    namespace = access.namespace
    with kubeflow.connected(access) as client:
        runs = kubeflow.newest(client, namespace=namespace, limit=NEWEST_OF_A_NAME, name=run_name)
        found = adopted(runs, name=run_name)
        started = found or _start(client, sent, name=run_name, access=access)
    return {
        "run": started,
        "name": run_name,
        "pipeline": sent.variant,
        "adopted": found is not None,
    }


def schedule(
    config: sections.Config, *, cron: str, access: kubeflow.KubeflowAccess, asked: Wishes
) -> artifacts.Json:
    """Have a pipeline run at the times of a cron expression: never two at once, and none
    made up for. It takes the place of an earlier schedule of the same pipeline and deployment."""
    sent = request(config, asked=asked)
    name = f"{config.name}-{asked.pipeline}"
    with kubeflow.connected(access) as client:
        before = kubeflow.scheduled(client, name, namespace=access.namespace)
        experiment = client.create_experiment(EXPERIMENT, namespace=access.namespace)
        with _written(sent.documents) as file:
            made = client.create_recurring_run(
                experiment_id=experiment.experiment_id,
                job_name=name,
                pipeline_package_path=str(file),
                params=sent.arguments,
                service_account=sent.account,
                enable_caching=sent.caching,
                **times(cron),
            )
        schedule_id = kubeflow.identity(made.recurring_run_id, access=access)
        for old in before:  # after the new one is there: a failure leaves one schedule, not none
            client.delete_recurring_run(old)
    return {
        "schedule": schedule_id,
        "name": name,
        "cron": cron,
        "replaced": len(before),
    }


def unschedule(
    config: sections.Config, *, access: kubeflow.KubeflowAccess, pipeline: str = "training"
) -> artifacts.Json:
    """Delete the schedule of a deployment; runs that go on are left alone."""
    name = f"{config.name}-{pipeline}"
    with kubeflow.connected(access) as client:
        found = kubeflow.scheduled(client, name, namespace=access.namespace)
        for old in found:
            client.delete_recurring_run(old)
    return {"name": name, "removed": len(found)}


def times(cron: str) -> dict[str, Any]:
    """Return what the API is told of the times: its expression begins with seconds."""
    check_cron(cron)
    return {"cron_expression": f"0 {cron}", "no_catchup": True, "max_concurrency": 1}


def check_cron(cron: str) -> None:
    """Raise UsageError for what is no cron expression of five fields."""
    if not CRON.fullmatch(cron):
        raise errors.UsageError(
            f"the schedule is {errors.shortened(repr(cron))}: wanted minute, hour, day, month and weekday as cron "
            "has them, such as '0 3 * * *' for each night at three"
        )
    for (name, (least, most)), one in zip(BOUNDS.items(), cron.split(" "), strict=True):
        spans = re.sub(r"/[1-9][0-9]*", "", one)  # without the steps
        if "/" in spans or any(not least <= int(n) <= most for n in re.findall("[0-9]+", spans)):
            raise errors.UsageError(
                f"the schedule is {cron!r}, whose {name} is {one!r}: wanted numbers from {least} to {most}, as cron "
                "has them, and steps such as */5"
            )


def request(config: sections.Config, *, asked: Wishes) -> Submission:
    """Return what is sent; raises UsageError for files of this machine, PlatformError for a
    pipeline that would fail silently."""
    reads_data = asked.pipeline != BATCH
    config = travel.ready(config, deploys=asked.deploy, reads_data=reads_data)
    variant = compiled.file(asked.pipeline, config)
    documents = compiled.for_pipeline(variant, config)
    pitfalls.require(documents, environment=config.environment, what=variant)
    told = {
        "config": json.dumps(config.model_dump(mode="json", by_alias=True)),
        **(_challenging(asked) if reads_data else {}),
        **compiled.shown(asked.pipeline, config),
        **compiled.circumstances(asked.pipeline, why=asked.why, commit=asked.commit),
        **asked.more,
    }
    _check_size(told)
    return Submission(
        variant=variant,
        documents=documents,
        arguments=told,
        account=config.pipeline.service_account,
        caching=None if asked.cache else False,
    )


def _check_size(told: artifacts.Json) -> None:
    """Raise UsageError for what Kubeflow Pipelines cannot hand over: it gives a run's parameters to the
    first process of the run as one argument."""
    sizes = {name: len(json.dumps(said).encode()) for name, said in told.items()}
    if sum(sizes.values()) > pitfalls.LARGEST_INPUTS:
        largest = max(sizes, key=lambda name: sizes[name])
        raise errors.UsageError(
            f"the run's parameters have {sum(sizes.values())} bytes, of which {largest} has {sizes[largest]}: wanted "
            f"at most {pitfalls.LARGEST_INPUTS}, what an argument of a process can hold; name fewer configurations in "
            "one run, or shorten the longest list (data.features, data.ignore or data.extra)"
        )


def _challenging(asked: Wishes) -> artifacts.Json:
    return {
        "compare_with": "" if asked.compare else "none",
        "deploy_package": asked.deploy,
        "watch": asked.watch,
        "fail_on_refusal": asked.fail_on_refusal,
    }


def run_name_of(name: str, documents: compiled.Documents, arguments: artifacts.Json) -> str:
    """Return a name that begins so and is the same for the same request: pipeline, image, resources,
    configuration, champion. Who asks, and why, makes it no other request."""
    begun = compiled.CIRCUMSTANCES["training"]
    same = {name: value for name, value in arguments.items() if name not in begun}
    asked = hashlib.sha256(files.canonical([*documents, same])).hexdigest()
    return f"{name}-{asked[:8]}"


def adopted(runs: Iterable[Any], *, name: str) -> str | None:
    """Return the id of a run of this name that has not ended."""
    for run in runs:
        if run.display_name == name and (run.state or "PENDING") in remote_runs.GOING_ON:
            return str(run.run_id)
    return None


def _start(client: Any, sent: Submission, *, name: str, access: kubeflow.KubeflowAccess) -> str:
    with _written(sent.documents) as file:
        started = client.create_run_from_pipeline_package(
            str(file),
            arguments=sent.arguments,
            run_name=name,
            experiment_name=EXPERIMENT,
            namespace=access.namespace,
            service_account=sent.account,
            enable_caching=sent.caching,
        )
    return kubeflow.identity(started.run_id, access=access)


@contextlib.contextmanager
def _written(documents: compiled.Documents) -> Iterator[Path]:
    """Give the documents as the file that the client wants."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "pipeline.yaml"
        file.write_text(compiled.write(documents), encoding="utf-8")
        yield file
