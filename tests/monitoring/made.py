"""CloudEvents for the tests, as a model server sends them."""

from datetime import UTC, datetime
from typing import Any

from fairway.monitoring.eventstore import loggers

START = 1_800_000_000.0


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def prediction(
    request_id: str,
    *,
    role: str = "stable",
    revision: str = "aaa",
    label: str | list[str] | None = "cat",
    at: float = START,
    **data: Any,
) -> dict[str, Any]:
    labels = [label] if isinstance(label, str) else label
    body = {
        "requestId": request_id,
        "unitId": None,
        "deployment": "income",
        "namespace": "default",
        "revision": revision,
        "role": role,
        "status": 200,
        "rows": len(labels) if labels is not None else 1,
        "inputDigest": "0123456789abcdef",
        "inputs": {"age": [39.0] * len(labels or [1])},
        "labels": labels,
        "probabilities": None if labels is None else [[0.25, 0.75]] * len(labels),
        "latencySeconds": 0.002,
    }
    return {
        "specversion": "1.0",
        "type": "dev.fairway.prediction.v1",
        "id": f"{request_id}/{revision}/{role}",
        "source": f"/fairway/default/income/{revision}",
        "time": stamp(at),
        "datacontenttype": "application/json",
        "data": {**body, **data},
    }


def outcome(
    request_id: str,
    value: float,
    *,
    name: str = "purchase",
    at: float = START,
    deployment: str = "income",
    namespace: str = "default",
) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": "dev.fairway.outcome.v1",
        "id": request_id,
        "source": "/fairway/default/income/outcomes",
        "time": stamp(at),
        "data": {
            "requestId": request_id,
            "deployment": deployment,
            "namespace": namespace,
            "outcome": name,
            "value": value,
        },
    }


def label(
    request_id: str,
    truth: Any,
    *,
    at: float = START,
    deployment: str = "income",
    namespace: str = "default",
) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": "dev.fairway.label.v1",
        "id": request_id,
        "source": "/fairway/default/income/labels",
        "time": stamp(at),
        "data": {
            "requestId": request_id,
            "deployment": deployment,
            "namespace": namespace,
            "label": truth,
        },
    }


SPREAD = {"name": "regression", "spread": 10.0}


def answered(
    request_id: str, answers: list[Any], *, task: Any = SPREAD, **data: Any
) -> dict[str, Any]:
    """Return a prediction of another task than classes, by default of numbers whose errors count by
    tenths."""
    rows = {
        "rows": len(answers),
        "inputs": {"age": [39.0] * len(answers)},
        "labels": answers,
        "task": task,
    }
    return prediction(request_id, label=None, **{**rows, **data})


def half(request_id: str, side: loggers.Side, *, at: float = START, rows: int = 1) -> loggers.Half:
    """Return the request or the response of another server's prediction."""
    asked = side == "request"
    return loggers.Half(
        namespace="default",
        deployment="income",
        request_id=request_id,
        revision="aaa",
        role="stable",
        side=side,
        time=at,
        rows=rows,
        inputs='{"age":[39.0]}' if asked else None,
        labels=None if asked else '["cat"]',
        probabilities=None,
        task=None,
    )
