"""Events of other servers: what the payload loggers of KServe and of Seldon send, a CloudEvent of
the request and another of its response, read as the two halves of a prediction. Pure.

    KServe    type org.kubeflow.serving.inference.request | .response   id is the request's
    Seldon    type io.seldon.serving.inference.request | .response      requestid is the request's

Attributes as both have them: inferenceservicename (the deployment), namespace, endpoint (KServe:
`default` or `canary`; Seldon: the predictor's name), component (KServe: predictor, transformer or
explainer). See kserve/kserve pkg/logger/worker.go and SeldonIO/seldon-core executor/logger/worker.go.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, NoReturn
from urllib.parse import unquote

import orjson

from fairway import errors
from fairway.monitoring.eventstore import answers, cloudevents, payloads, stored_json

Side = Literal["request", "response"]
OTHER: Mapping[Side, Side] = {"request": "response", "response": "request"}
TYPES: Mapping[str, Side] = {
    f"{maker}.serving.inference.{side}": side
    for maker in ("org.kubeflow", "io.seldon")
    for side in OTHER
}
VERSIONS = ("0.2", "0.3", "1.0")  # of the specification; the attributes read here are the same
PREFIX = "ce-"  # of a header that is an attribute


class Half(NamedTuple):
    """The request or the response of one prediction."""

    namespace: str
    deployment: str
    request_id: str
    revision: str
    role: str
    side: Side
    time: float  # seconds since the epoch
    rows: int
    inputs: str | None  # as an event's; of a request
    labels: str | None  # of a response
    probabilities: str | None
    task: str | None

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        return self.namespace, self.deployment, self.request_id, self.revision, self.role

    @property
    def size(self) -> int:
        """Return its characters, without its names."""
        return sum(len(text) for text in (self.inputs, self.labels, self.probabilities) if text)


class LoggerUrl(NamedTuple):
    """What the logger's URL says of all that it sends."""

    namespace: str | None = None
    revision: str | None = None
    role: str | None = None
    redact: tuple[str, ...] = ()  # columns whose values are not kept


def attributes(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes of an event in the headers (binary mode); empty where it is in the body."""
    return {
        name[len(PREFIX) :].lower(): unquote(value)
        for name, value in headers.items()
        if name.lower().startswith(PREFIX)
    }


def told(query: Mapping[str, str]) -> LoggerUrl:
    """Return what the logger's URL says; raise DataError for what cannot be."""
    role = query.get("role")
    if role is not None and role not in cloudevents.ROLES:
        _refuse("the query's role", role, ", ".join(cloudevents.ROLES))
    said = {key: query[key] for key in ("namespace", "revision") if key in query}
    for key in said:
        _name(said, key, where="the query")
    redact = tuple(name for name in query.get("redact", "").split(",") if name)
    return LoggerUrl(said.get("namespace"), said.get("revision"), role, redact)


def half(event: Any, *, told: LoggerUrl, now: float, position: int = 0) -> Half:
    """Return the half of a prediction that the event is; raise DataError with what is wrong."""
    where = f"event {position}"
    if not isinstance(event, Mapping):
        _refuse(where, event, "a CloudEvent")
    kind = event.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        _refuse(f"{where}: type", kind, " or ".join(TYPES))
    version = event.get("specversion", VERSIONS[-1])
    if version not in VERSIONS:
        _refuse(f"{where}: specversion", version, " or ".join(VERSIONS))
    component = event.get("component") or "predictor"
    if component != "predictor":
        _refuse(
            f"{where}: component", component, "predictor: log the model's requests, not another's"
        )
    endpoint = _name(event, "endpoint", default="default", where=where)
    common = {
        "namespace": told.namespace
        or _name(event, "namespace", default=answers.NAMESPACE, where=where),
        "deployment": _name(event, "inferenceservicename", where=where),
        "request_id": _name(event, "requestid" if event.get("requestid") else "id", where=where),
        "revision": told.revision or endpoint,
        "role": told.role or (endpoint if endpoint in cloudevents.ROLES else "stable"),
        "time": _time(event.get("time"), now=now, where=where),
    }
    try:
        data = _data(event, where=where)
        return _read(data, side=TYPES[kind], common=common, redact=told.redact)
    except errors.DataError:
        if not told.redact:
            raise
        raise errors.DataError(
            f"{where}: data cannot be read, or has not all of the columns {', '.join(told.redact)} that the logger's "
            f"URL redacts: none of its values is shown, and nothing was stored"
        ) from None


def joined(one: Half, other: Half) -> cloudevents.EventRow:
    """Return the prediction of the two halves; raise DataError where they have not as many rows."""
    request, response = (one, other) if one.side == "request" else (other, one)
    if request.rows != response.rows:
        raise errors.DataError(
            f"the response to {request.request_id} has {response.rows} rows: wanted {request.rows}, as its request; "
            f"both were dropped"
        )
    took = response.time - request.time
    return cloudevents.EventRow(
        type="prediction",
        deployment=request.deployment,
        request_id=request.request_id,
        revision=request.revision,
        role=request.role,
        namespace=request.namespace,
        unit=None,
        time=response.time,
        status=200,  # of others neither logs a response
        rows=request.rows,
        input_digest=None,
        latency=took if took >= 0 else None,
        client=None,
        labels=response.labels,
        task=response.task,
        inputs=request.inputs,
        probabilities=response.probabilities,
    )


def _read(body: Any, *, side: Side, common: Mapping[str, Any], redact: Sequence[str]) -> Half:
    if side == "request":
        columns = payloads.inputs(body)
        kept = {name: cloudevents.cut(values) for name, values in columns.values.items()}
        missing = [name for name in redact if name not in kept]
        if missing:  # spelt wrongly, its values would be kept
            _refuse("the query's redact", missing[0], "a column of the request")
        return Half(
            **common,
            side=side,
            rows=columns.rows,
            inputs=stored_json.written({**kept, **dict.fromkeys(redact)}),
            labels=None,
            probabilities=None,
            task=None,
        )
    said = payloads.answers(body)
    return Half(
        **common,
        side=side,
        rows=said.rows,
        inputs=None,
        labels=None if said.labels is None else stored_json.compact(said.labels),
        probabilities=None
        if said.probabilities is None
        else stored_json.written(said.probabilities),
        task=None if said.task is None else stored_json.compact(said.task),
    )


def _data(event: Mapping[str, Any], *, where: str) -> Any:
    data: Any = event.get("data")
    encoded: Any = event.get("data_base64")
    if encoded is None and not isinstance(data, str):
        return data
    try:
        return orjson.loads(data if encoded is None else base64.b64decode(encoded, validate=True))
    except (orjson.JSONDecodeError, TypeError, ValueError):
        _refuse(f"{where}: data", data, "the request or the response as JSON")


def _name(event: Mapping[str, Any], key: str, *, where: str, default: str | None = None) -> str:
    value = event.get(key) or default
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= cloudevents.LONGEST_NAME
        or not stored_json.storable(value)
    ):
        _refuse(f"{where}: {key}", value, f"a name of 1 to {cloudevents.LONGEST_NAME} characters")
    return value


def _time(text: Any, *, now: float, where: str) -> float:
    """Return when it was; now where the event has no time, as version 0.3 lets it be."""
    if text is None:
        return now
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        _refuse(f"{where}: time", text, "a time such as 2026-01-31T12:00:00Z")


def _refuse(what: str, seen: Any, wanted: str) -> NoReturn:
    raise errors.DataError(
        f"{what} is {cloudevents.shown(seen)}: wanted {wanted}; nothing was stored"
    )
