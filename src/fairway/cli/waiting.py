"""Runs on a cluster, for the command line: looked at, and waited for."""

import contextlib
import functools
import time
from collections.abc import Callable
from typing import Any

from fairway import artifacts, errors
from fairway.cli import progress
from fairway.pipelines import compiled, kubeflow, remote_runs, run_records

POLL_SECONDS = 5.0  # a step takes minutes; the API reads its database at each look
PATIENCE_SECONDS = 300.0  # without an answer: a port-forward or a rollout of the API comes back


def record_of(client: Any, run: Any) -> artifacts.Json:
    """Return a run's record; the reason is the deciding step's own where its log can be read."""
    found = remote_runs.record(run, names=names())
    step = remote_runs.deciding(found)
    if step is None or step["pod"] is None:
        return found
    log = ""
    with contextlib.suppress(errors.MissingFile):  # the pod may be gone
        log = kubeflow.log_of(client, run=found["run"], pod=step["pod"])
    return remote_runs.explained(found, log=log)


def wait(
    access: kubeflow.KubeflowAccess,
    run: str,
    *,
    quiet: bool,
    recorded: Callable[[artifacts.Json], None],
) -> artifacts.Json:
    """Return the record of a run when it has ended, telling what its steps do; `recorded` is called
    with the record at each look."""
    before: artifacts.Json | None = None
    answered = time.monotonic()
    with progress.steps(quiet=quiet, remote=True) as report:
        while True:
            try:
                with kubeflow.connected(access) as client:
                    found = record_of(client, client.get_run(run))
            except errors.Unavailable:
                if time.monotonic() - answered > PATIENCE_SECONDS:
                    raise
            else:
                answered = time.monotonic()
                if report is not None:
                    for told in remote_runs.changes(before, found):
                        report(told)
                recorded(found)
                before = found
                if found["outcome"] != run_records.RUNNING:
                    return found
            time.sleep(POLL_SECONDS)


def ended(found: artifacts.Json) -> None:
    """Raise what a run on a cluster ended with: Refused (3) where it was refused, TrainingError (1)
    where it failed or was canceled."""
    said = found["reason"] or "its steps' logs say why"
    match found["outcome"]:
        case "refused":
            raise errors.Refused(f"run {found['run']} was refused: {said}")
        case run_records.INTERRUPTED:
            raise errors.TrainingError(f"run {found['run']} was canceled")
        case run_records.FAILED:
            raise errors.TrainingError(
                f"run {found['run']} failed: {said}; `fairway runs logs {found['run']} --on kubernetes` has the step's "
                "log"
            )


@functools.cache  # five documents, of a second together
def names() -> tuple[str, ...]:
    """Return the names of all our pipelines' steps."""
    found = (compiled.read(compiled.find(f"{name}.yaml")) for name in compiled.PIPELINES)
    return tuple(
        dict.fromkeys(step for documents in found for step in remote_runs.step_names(documents))
    )
