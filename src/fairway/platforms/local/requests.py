"""Rows and labels sent to the platform: read, shaped for the Open Inference Protocol, posted."""

import contextlib
import csv
import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from fairway import errors
from fairway.data import sources
from fairway.data.sources import csv as table
from fairway.model import kinds, spelling, tasks
from fairway.model.schema import Feature, Schema
from fairway.monitoring.eventstore import access
from fairway.packaging import manifest
from fairway.platforms.local import client, state
from fairway.platforms.local.home import Home

BATCH = 500
TIMEOUT_SECONDS = 60.0


def predict(
    home: Home,
    name: str,
    *,
    data: Path | None,
    limit: int,
    row: str | None,
    separator: str | None = None,
) -> list[dict[str, Any]]:
    """Return one record a row: request id, the answer and what it comes with, revision, and the
    truth where the data has it."""
    addresses = client.need(home)
    package = _package(home, name)
    task = tasks.of(package.schema)
    rows = (
        [_object(row)]
        if row is not None
        else _rows(home, name, data=data, package=package, limit=limit)
    )
    answers = []
    for values in rows:
        body = {"inputs": [tensor(values, feature) for feature in package.features]}
        answered = _post(addresses.gateway, f"/v2/models/{name}/infer", body, headers={})
        said = answered["parameters"]
        outputs = {out["name"]: _first(out) for out in answered["outputs"]}
        answer = {"request_id": said["request_id"], **task.told(outputs)}
        answer |= (
            {"revision": said["revision"]} if "revision" in said else {}
        )  # told where serving.revealRevision says so
        if "unreadable" in said:
            answer["unreadable"] = said["unreadable"]
        if package.target in values:
            answer["truth"] = truth(values[package.target], package.schema, separator=separator)
        answers.append(answer)
    return answers


def truth(value: Any, schema: Schema, *, separator: str | None = None) -> Any:
    """Return a row's own target in the form of an answer, as it is written where it has no such
    form."""
    readings = _readings(value, separator) if isinstance(value, str) else (value,)
    labels = (tasks.of(schema).label(one, schema) for one in readings)
    found = next((label for label in labels if label is not None), None)
    return str(value) if found is None else found


def _first(output: Mapping[str, Any]) -> Any:
    """Return the only row of an output tensor."""
    return output["data"][0] if len(output["shape"]) == 1 else output["data"]


def tensor(values: Mapping[str, Any], feature: Feature) -> dict[str, Any]:
    """Return one feature of one row as a tensor; raises UsageError where the row lacks it."""
    if feature.name not in values:
        raise errors.UsageError(
            f"the row has no {feature.name!r}: wanted a value for it, null where it is not known"
        )
    return {
        "name": feature.name,
        "datatype": kinds.of(feature).datatype,
        "shape": [1, *feature.shape],
        "data": [_json(values[feature.name])]
        if not feature.shape
        else _block(values[feature.name], feature),
    }


def _block(value: Any, feature: Feature) -> list[Any]:
    """Return a picture's numbers side by side, which a file may hold as text."""
    kind = kinds.of(feature)
    try:
        return kind.plain_list(kind.read([value], feature))
    except kinds.Unreadable as error:
        raise errors.UsageError(
            f"{feature.name} is no picture of the model's: wanted {error.wanted}"
        ) from error


def _json(value: Any) -> Any:
    """Return a value as JSON has it; the server reads it, as it reads what any client sends."""
    with contextlib.suppress(ValueError):  # bytes that are no text, which no server reads either
        value = spelling.plain(value)
    if kinds.is_missing(value):
        return None
    return value if isinstance(value, str | bool | int | float | list) else str(value)


def read_rows(
    file: Path, columns: Sequence[str], *, may_lack: str | None = None
) -> tuple[list[dict[str, str]], int]:
    """Return the rows of a CSV file, as a spreadsheet saves it too, that must have something in each of
    the columns, and how many rows were left out as they lack what they `may_lack`."""
    wanted = f"{', '.join(columns[:-1])} and {columns[-1]}"
    try:
        with file.open(newline="", encoding="utf-8-sig") as handle:
            first = handle.readline()
            handle.seek(0)
            reader = csv.DictReader(handle, delimiter=table.separator_of(first))
            names = [name or "" for name in reader.fieldnames or ()]
            rows = list(reader)
    except UnicodeDecodeError as error:
        raise errors.UsageError(f"--file {file} is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise errors.UsageError(
            f"--file {file}: {error.strerror}; wanted CSV with the columns {wanted}"
        ) from error
    if not set(columns) <= set(names):
        has = errors.shortened(", ".join(names)) or "none"
        raise errors.UsageError(f"--file {file} has the columns {has}: wanted {wanted}")
    found = []
    for number, row in enumerate(rows, start=2):
        absent = [column for column in columns if not row[column]]
        if absent == [may_lack]:
            continue
        if absent:
            raise errors.UsageError(
                f"{file} line {number} has no {' and no '.join(absent)}: wanted a value in the columns {wanted}"
            )
        found.append(row)
    return found, len(rows) - len(found)


class Sent(NamedTuple):
    """How many labels or outcomes were sent, were new to the collector, and are of requests that it
    does not know."""

    sent: int
    new: int
    unknown: int


def send_labels(
    home: Home,
    name: str,
    *,
    namespace: str,
    labels: Sequence[tuple[str, str]],
    now: float,
    separator: str | None = None,
) -> Sent:
    """Send labels to the collector, each as what it means to the task, `separator` standing between
    several words.

    Raises UsageError for a label that means nothing.
    """
    schema = _package(home, name).schema
    items = [
        {
            "requestId": request,
            "label": meant(text, schema, of=request, separator=separator),
            "deployment": name,
            "namespace": namespace,
        }
        for request, text in labels
    ]
    return _send(home, "label", items, now=now)


def meant(text: str, schema: Schema, *, of: str, separator: str | None = None) -> Any:
    """Return the label as the collector takes it: one of several words is a list in the list of
    rows.

    Several words are a JSON list, or divided by the separator.
    """
    task = tasks.of(schema)
    labels = (task.label(value, schema) for value in _readings(text, separator))
    found = next((label for label in labels if label is not None), None)
    if found is None:
        raise errors.UsageError(
            f"the label of request {of} is {errors.shortened(repr(text))}: wanted {task.wanted(schema)}; "
            "nothing was sent"
        )
    return [found] if isinstance(found, list) else found


def _readings(text: str, separator: str | None) -> Iterator[Any]:
    """Return what a text may mean, likeliest first: itself, the JSON list that it is, its parts."""
    yield text
    if text.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            yield json.loads(text)
    if separator is not None and separator in text:
        yield [part.strip() for part in text.split(separator) if part.strip()]


def send_outcomes(
    home: Home, name: str, *, namespace: str, outcomes: Sequence[tuple[str, str, float]], now: float
) -> Sent:
    """Send outcomes (request, name, value) to the collector in batches."""
    return _send(
        home,
        "outcome",
        [
            {
                "requestId": request,
                "outcome": outcome,
                "value": value,
                "deployment": name,
                "namespace": namespace,
            }
            for request, outcome, value in outcomes
        ],
        now=now,
    )


def _send(home: Home, kind: str, items: Sequence[dict[str, Any]], *, now: float) -> Sent:
    addresses = client.need(home)
    at = datetime.fromtimestamp(now, tz=UTC).isoformat().replace("+00:00", "Z")
    sent = Sent(len(items), 0, 0)
    for start in range(0, len(items), BATCH):
        events = [
            {
                "specversion": "1.0",
                "type": f"dev.fairway.{kind}.v1",
                "id": data["requestId"],
                "time": at,
                "datacontenttype": "application/json",
                "source": f"/fairway/{data['namespace']}/{data['deployment']}/{kind}s",
                "data": data,
            }
            for data in items[start : start + BATCH]
        ]
        answer = _post(
            addresses.collector,
            f"/v1/{kind}s",
            events,
            headers={
                "content-type": "application/cloudevents-batch+json",
                **access.authorization(home.token),
            },
        )
        sent = sent._replace(
            new=sent.new + int(answer["new"]), unknown=sent.unknown + int(answer.get("unknown", 0))
        )
    return sent


def _package(home: Home, name: str) -> manifest.Manifest:
    with contextlib.closing(state.Store(home.state)) as store:
        revision = store.serving(name)
    if revision is None:
        raise errors.UsageError(f"nothing serves as {name} yet: see `fairway status`")
    return manifest.load(Path(revision.package))


def _rows(
    home: Home, name: str, *, data: Path | None, package: manifest.Manifest, limit: int
) -> list[dict[str, Any]]:
    """Return the first rows of a file, the values as plain Python ones."""
    file = data or home.root / "work" / name / "dataset" / "test.parquet"
    if not file.is_file():
        runs = sorted(home.runs.glob("*/**/test.parquet"), key=lambda found: found.stat().st_mtime)
        if data is not None or not runs:
            raise errors.UsageError(
                f"{file} does not exist: name rows with --data FILE, or one with --row JSON"
            )
        file = runs[-1]
    rows = sources.first_rows(file, limit=limit)
    lacking = [feature.name for feature in package.features if rows and feature.name not in rows[0]]
    if lacking:
        raise errors.UsageError(
            f"{file} has no column {lacking[0]!r}: the model in service wants "
            f"{', '.join(f.name for f in package.features)}"
        )
    return rows


def _object(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise errors.UsageError(
            f'--row is not JSON ({error}): wanted an object such as {{"age": 41}}'
        ) from error
    if not isinstance(values, dict):
        raise errors.UsageError(
            f'--row is a {type(values).__name__}: wanted an object such as {{"age": 41}}'
        )
    return values


def _post(base: str, path: str, body: Any, *, headers: Mapping[str, str]) -> Any:
    """Return the JSON answer; raises UsageError for what the server refuses, Unavailable where it
    cannot answer."""
    place = urlsplit(base)
    connection = http.client.HTTPConnection(
        place.hostname or "", place.port, timeout=TIMEOUT_SECONDS
    )
    try:
        connection.request(
            "POST", path, json.dumps(body), {"content-type": "application/json", **headers}
        )
        response = connection.getresponse()
        content = response.read()
    except OSError as error:
        raise errors.Unavailable(
            f"{base} does not answer ({error}): see `fairway status`"
        ) from error
    finally:
        connection.close()
    try:
        answer = json.loads(content)
    except json.JSONDecodeError:
        answer = {"error": content.decode(errors="replace")[:300]}
    if response.status >= 500:
        raise errors.Unavailable(
            f"{base}{path} answered {response.status}: {answer.get('error', answer)}"
        )
    if response.status >= 400:
        raise errors.UsageError(
            f"{base}{path} answered {response.status}: {answer.get('error', answer)}"
        )
    return answer
