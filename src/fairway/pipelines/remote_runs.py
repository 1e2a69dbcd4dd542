"""What Kubeflow Pipelines says of a run, as the record that a run here has. Pure: values of its API
(`kfp_server_api.V2beta1Run` and its parts) in, records out.

The API tells states and times, and no memory, exit status or metrics; a step's pod has its log.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from fairway import artifacts
from fairway.pipelines import compiled, run_records, steps

STATUS = {
    "PENDING": "pending",
    "RUNNING": "running",
    "SUCCEEDED": "done",
    "SKIPPED": "skipped",
    "FAILED": "failed",
    "CANCELING": "running",
    "CANCELED": "canceled",
    "PAUSED": "paused",
}
GOING_ON = frozenset({"RUNTIME_STATE_UNSPECIFIED", "PENDING", "RUNNING", "CANCELING", "PAUSED"})
EXECUTOR = "executor"  # the pod of a step that does its work, below the step's own node
REFUSE, REFUSED = "refuse", "the gate refused: "


def step_names(documents: compiled.Documents) -> tuple[str, ...]:
    """Return the names of the steps, which the API lists among drivers, groups and executors."""
    return tuple(name.removeprefix("exec-") for name in compiled.containers(documents[0]))


def record(run: Any, *, names: Iterable[str]) -> artifacts.Json:
    """Return the run's record, as far as the API tells it."""
    details = list((run.run_details.task_details if run.run_details else None) or ())
    wanted = set(names)
    found = [_step(one, details) for one in details if one.display_name in wanted]
    found.sort(key=lambda step: (step["began"] is None, step["began"]))
    outcome = outcome_of(run.state, {step["step"]: step["status"] for step in found})
    config = _config(run)
    return {
        "run": run.run_id,
        "name": run.display_name,
        "deployment": config.get("name", ""),
        "outcome": outcome,
        "reason": _reason(run, found) if outcome != run_records.RUNNING else "",
        "steps": found,
        "began": _seconds(run.created_at),
        "seconds": _between(run.created_at, run.finished_at),
        "config": config,
        "pipeline": "batch"
        if "rows" in _parameters(run)
        else "training",  # which the API does not name
    }


def outcome_of(state: str | None, by_step: dict[str, str]) -> str:
    """Return how a run ended, `running` while it goes on: a refusal is what the step `refuse` says."""
    if (state or "PENDING") in GOING_ON:
        return run_records.RUNNING
    if state == "CANCELED":
        return run_records.INTERRUPTED
    if by_step.get(REFUSE) in ("done", "failed"):
        return "refused"
    if state != "SUCCEEDED":
        return run_records.FAILED
    ends = {"deploy": "deployed", "package": "packaged", "decide-retraining": "waited"}
    ends |= {"batch-predict": "answered"}
    return next((end for step, end in ends.items() if by_step.get(step) == "done"), "packaged")


def changes(before: artifacts.Json | None, after: artifacts.Json) -> Iterator[steps.Told]:
    """Return what is worth telling between two looks at a run."""
    seen = {one["step"]: one["status"] for one in (before or {"steps": ()})["steps"]}
    for step in after["steps"]:
        if seen.get(step["step"]) != step["status"]:
            yield steps.Told(
                step=step["step"],
                status=step["status"],
                seconds=step["seconds"],
                message=step["error"],
            )


def deciding(found: artifacts.Json) -> artifacts.Json | None:
    """Return the step whose log says why the run ended as it did, None where none need be asked."""
    made: list[artifacts.Json] = found["steps"]
    failed = [step for step in made if step["status"] == "failed"]
    refused = [step for step in made if step["step"] == REFUSE]
    by_outcome = {"refused": refused, run_records.FAILED: failed}
    asked = by_outcome.get(found["outcome"], [])
    return asked[-1] if asked else None


def explained(found: artifacts.Json, *, log: str) -> artifacts.Json:
    """Return the record with the reason that the deciding step's log has: what a step refused, such
    as a rollout that was rolled back, is a refusal of the run."""
    refusals = [line for line in log.splitlines() if line.startswith(REFUSED)]
    if found["outcome"] == "refused":
        return found | ({"reason": refusals[-1].removeprefix(REFUSED)} if refusals else {})
    kind, sentence = steps.error_in(log)
    if not sentence:
        return found
    return found | {
        "outcome": "refused" if kind == "Refused" else found["outcome"],
        "reason": sentence,
    }


def _step(one: Any, details: list[Any]) -> artifacts.Json:
    return {
        "step": one.display_name,
        "status": STATUS.get(one.state or "PENDING", "pending"),
        "seconds": _between(one.start_time, one.end_time),
        "began": _seconds(one.start_time),
        "exit": None,
        "memory_bytes": None,
        "error": (one.error.message or "") if one.error else "",
        "pod": _pod(one, details),
        "artifacts": {},
    }


def _pod(one: Any, details: list[Any]) -> str | None:
    """Return the pod that did the step's work."""
    below = {name for child in one.child_tasks or () for name in (child.task_id, child.pod_name)}
    for detail in details:
        if detail.display_name == EXECUTOR and {detail.task_id, detail.pod_name} & (below - {None}):
            return str(detail.pod_name) if detail.pod_name else None
    return one.pod_name or None


def _reason(run: Any, found: list[artifacts.Json]) -> str:
    errors = [step["error"] for step in found if step["error"]]
    said = run.error.message if run.error else None
    return str(said or (errors[-1] if errors else ""))


def _parameters(run: Any) -> artifacts.Json:
    return (run.runtime_config.parameters if run.runtime_config else None) or {}


def _config(run: Any) -> artifacts.Json:
    try:
        found: artifacts.Json = json.loads(_parameters(run).get("config") or "{}")
    except ValueError:
        return {}
    return found


def _seconds(moment: datetime | None) -> float | None:
    # the API's zero of Go's clock stands for no time
    return moment.timestamp() if moment is not None and moment.year > 1970 else None


def _between(began: datetime | None, ended: datetime | None) -> float | None:
    first, last = _seconds(began), _seconds(ended)
    return None if first is None or last is None else round(last - first, 1)
