"""A run's record as events of OpenLineage (https://openlineage.io, spec 2-0-2), and what sends them.

Events are plain JSON of the published schemas, so that no library is needed for them; a test holds
them to the classes of the OpenLineage client. Sending has a thread of its own: an endpoint that does
not answer costs a run one warning.
"""

import contextlib
import json
import os
import queue
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fairway import __version__, artifacts, errors
from fairway.config import sections
from fairway.pipelines import run, run_records

PRODUCER = f"https://github.com/fairway-ml/fairway/tree/v{__version__}"
SPEC = "https://openlineage.io/spec"
EVENT = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
FACETS = {  # by their names in an event
    "parent": "1-2-0/ParentRunFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet",
    "processing_engine": "1-1-1/ProcessingEngineRunFacet",
    "tags": "1-0-0/TagsRunFacet",
    "jobType": "2-0-4/JobTypeJobFacet",
    "dataSource": "1-0-1/DatasourceDatasetFacet",
    "version": "1-0-1/DatasetVersionDatasetFacet",
    "schema": "1-2-0/SchemaDatasetFacet",
}
# the artifacts of a run: what makes each, what reads it, and the metadata that says its version
ARTIFACTS = {
    "dataset": ("prepare", ("train", "evaluate", "package"), "version"),
    "model": ("train", ("evaluate", "package"), ""),
    "package": ("package", ("deploy",), "digest"),
}
READERS = ("import-data", "prepare")  # of the source
BATCH, ANSWERS = "batch", ("batch-predict", "answers")  # the step that answers, and what it makes
ENDED = {"done": "COMPLETE", "cached": "COMPLETE", run_records.FAILED: "FAIL"}
TIMEOUT_SECONDS = 5.0  # of one event
LAST_SECONDS = 10.0  # for what is left when a run has ended


@contextlib.contextmanager
def telling(
    config: sections.Config | None,
    *,
    warn: Callable[[str], None],
    environment: Mapping[str, str] = os.environ,
) -> Iterator[run.Recorded]:
    """Give what is called with a run's record at each change, and sends its events where an endpoint
    is set (`platform.lineage.url` or OPENLINEAGE_URL); elsewhere it does nothing."""
    section = config.platform.lineage if config else sections.LineageEvents()
    url = environment.get("OPENLINEAGE_URL") or section.url
    if config is None or not url or environment.get("OPENLINEAGE_DISABLED", "").lower() == "true":
        yield lambda record: None
        return
    key = environment.get("OPENLINEAGE_API_KEY") or _read(section.api_key_file)
    path = environment.get("OPENLINEAGE_ENDPOINT") or "api/v1/lineage"
    sender = EventSender(f"{url.rstrip('/')}/{path.lstrip('/')}", key=key, warn=warn)
    last: artifacts.Json | None = None

    def recorded(record: artifacts.Json) -> None:
        nonlocal last
        now = datetime.now(UTC).isoformat()
        for event in events(last, record, config=config, fields=_fields(record), now=now):
            sender.put(event)
        last = record

    try:
        yield recorded
    finally:
        sender.close()


class EventSender:
    """Sends events in their order; after the first that is not taken it warns and sends no more."""

    def __init__(self, url: str, *, key: str | None, warn: Callable[[str], None]) -> None:
        self._url, self._key, self._warn = url, key, warn
        self._waiting: queue.SimpleQueue[artifacts.Json | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def put(self, event: artifacts.Json) -> None:
        self._waiting.put(event)

    def close(self) -> None:
        """Wait until all is sent, but not for long."""
        self._waiting.put(None)
        self._thread.join(LAST_SECONDS)

    def _send(self) -> None:
        headers = {"content-type": "application/json", "user-agent": f"fairway/{__version__}"}
        headers |= {"authorization": f"Bearer {self._key}"} if self._key else {}
        while (event := self._waiting.get()) is not None:
            body = json.dumps(event).encode()
            try:
                request = urllib.request.Request(self._url, data=body, headers=headers)  # noqa: S310
                urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS).close()  # noqa: S310
            except (OSError, ValueError) as error:
                self._warn(
                    f"no OpenLineage events of this run are kept: {self._url} does not take them ({error}); see "
                    "platform.lineage.url, or OPENLINEAGE_URL"
                )
                return


def events(
    before: artifacts.Json | None,
    after: artifacts.Json,
    *,
    config: sections.Config,
    fields: list[artifacts.Json],
    now: str,
) -> Iterator[artifacts.Json]:
    """Return the events of what changed between two looks at a run. Pure; `fields` are the columns
    of its rows, as far as they are known."""
    job = f"{config.name}.{BATCH if _answers(after) else 'training'}"
    base = f"{config.namespace}/{after['run']}/{after.get('began')}/{after.get('tries', 1)}"
    own = str(uuid.uuid5(uuid.NAMESPACE_URL, base))
    place = {"namespace": config.namespace, "name": job}

    def event(
        kind: str, run_id: str, name: str, facets: artifacts.Json, data: artifacts.Json
    ) -> artifacts.Json:
        engine = _facet("processing_engine", name="fairway", version=__version__)
        sort = "PIPELINE" if name == job else "STEP"
        told = _facet("jobType", processingType="BATCH", integration="FAIRWAY", jobType=sort)
        return {
            "eventType": kind,
            "eventTime": now,
            "producer": PRODUCER,
            "schemaURL": EVENT,
            "run": {"runId": run_id, "facets": {"processing_engine": engine, **facets}},
            "job": {
                "namespace": config.namespace,
                "name": name,
                "facets": {"jobType": told},
            },
            **data,
        }

    tags = _tags(after)
    if before is None:
        yield event("START", own, job, tags, _nothing())
    seen = {step["step"]: step["status"] for step in (before or {"steps": ()})["steps"]}
    over = after["outcome"] != run_records.RUNNING
    for step in after["steps"]:
        name, was, status = step["step"], seen.get(step["step"]), step["status"]
        step_id = str(uuid.uuid5(uuid.UUID(own), name))
        facets = {"parent": _facet("parent", run={"runId": own}, job=place)}
        data = _data(name, after, config=config, fields=fields)
        if was is None and status != "pending":
            yield event("START", step_id, f"{job}.{name}", facets, data)
        if was in (None, run_records.RUNNING, "pending") and (kind := ENDED.get(status)):
            kind = "ABORT" if kind == "FAIL" and _aborted(after) else kind
            said = _error(step.get("error")) if kind == "FAIL" else {}
            yield event(kind, step_id, f"{job}.{name}", facets | said, data)
    if over and (before is None or before["outcome"] == run_records.RUNNING):
        broken = any(step["status"] == run_records.FAILED for step in after["steps"])
        failed = broken or after["outcome"] == run_records.FAILED
        kind = "ABORT" if _aborted(after) else "FAIL" if failed else "COMPLETE"
        said = _error(after["reason"]) if kind == "FAIL" else {}
        yield event(kind, own, job, tags | said, _whole(after, config=config, fields=fields))


def _aborted(record: Mapping[str, Any]) -> bool:
    return bool(record["outcome"] == run_records.INTERRUPTED)


def _facet(name: str, /, **said: Any) -> artifacts.Json:
    version, _, kind = FACETS[name].partition("/")
    schema = f"{SPEC}/facets/{version}/{kind}.json#/$defs/{kind}"
    return {"_producer": PRODUCER, "_schemaURL": schema, **said}


def _error(said: str | None) -> artifacts.Json:
    message = said or "it left no error"
    return {"errorMessage": _facet("errorMessage", message=message, programmingLanguage="python")}


def _tags(record: Mapping[str, Any]) -> artifacts.Json:
    """Return what is known of the run itself: its name, why it began, the commit, how it ended."""
    told = {name: record.get(name) for name in ("run", "why", "commit", "outcome")}
    pairs = [
        {"key": key, "value": value, "source": "fairway"} for key, value in told.items() if value
    ]
    return {"tags": _facet("tags", tags=pairs)}


def _data(
    step: str, record: artifacts.Json, *, config: sections.Config, fields: list[artifacts.Json]
) -> artifacts.Json:
    """Return the datasets that a step reads and makes."""
    if _answers(record):
        return _answered(record, config=config) if step == ANSWERS[0] else _nothing()
    inputs = _sources(config, fields) if step in READERS else []
    outputs: list[artifacts.Json] = []
    for name, (maker, readers, version) in ARTIFACTS.items():
        if step not in (maker, *readers):
            continue
        steps = {one["step"]: one for one in record["steps"]}
        left = steps.get(maker, {}).get("artifacts", {}).get(name, {})
        stated = left.get("metadata", {}).get(version)
        facets = {"version": _facet("version", datasetVersion=stated)} if stated else {}
        if name == "dataset" and fields:
            facets["schema"] = _facet("schema", fields=fields)
        one = {"namespace": config.namespace, "name": f"{config.name}.{name}", "facets": facets}
        (outputs if step == maker else inputs).append(one)
    return {"inputs": inputs, "outputs": outputs}


def _whole(
    record: artifacts.Json, *, config: sections.Config, fields: list[artifacts.Json]
) -> artifacts.Json:
    """Return what the whole run read and made: its source, and the package where there is one."""
    if _answers(record):
        return _answered(record, config=config)
    made = record.get("package") is not None
    told = _data("package", record, config=config, fields=fields)["outputs"] if made else []
    return {"inputs": _sources(config, fields), "outputs": told}


def _answers(record: Mapping[str, Any]) -> bool:
    """Say whether the run answers rows and trains nothing."""
    return bool(record.get("pipeline") == BATCH)


def _answered(record: artifacts.Json, *, config: sections.Config) -> artifacts.Json:
    """Return the package that answered, with its version once it is known, and the answers."""
    steps = {one["step"]: one for one in record["steps"]}
    left = steps.get(ANSWERS[0], {}).get("artifacts", {}).get(ANSWERS[1], {})
    digest = left.get("metadata", {}).get("digest")
    version = {"version": _facet("version", datasetVersion=digest)} if digest else {}

    def named(name: str, facets: artifacts.Json) -> artifacts.Json:
        return {"namespace": config.namespace, "name": f"{config.name}.{name}", "facets": facets}

    return {"inputs": [named("package", version)], "outputs": [named(ANSWERS[1], {})]}


def _nothing() -> artifacts.Json:
    return {"inputs": [], "outputs": []}


def _sources(config: sections.Config, fields: list[artifacts.Json]) -> list[artifacts.Json]:
    """Return the files and addresses that rows come from, by OpenLineage's rules of naming."""
    found = []
    places: list[Path | str] = [*config.data.paths().values(), *config.data.addresses().values()]
    for where in places or [f"fairway://{config.data.source}/rows"]:
        uri = where if isinstance(where, str) else where.absolute().as_uri()
        parts = urlsplit(uri)
        local = parts.scheme == "file"
        facets = {"dataSource": _facet("dataSource", name=parts.path, uri=uri.partition("?")[0])}
        if fields:
            facets["schema"] = _facet("schema", fields=fields)
        found.append(
            {
                "namespace": "file" if local else f"{parts.scheme}://{parts.netloc}",
                "name": parts.path if local else parts.path.strip("/"),
                "facets": facets,
            }
        )
    return found


def _fields(record: artifacts.Json) -> list[artifacts.Json]:
    """Return the columns that the prepared dataset of a run has, none before it is there."""
    steps = {step["step"]: step for step in record["steps"]}
    place = steps.get("prepare", {}).get("artifacts", {}).get("dataset", {}).get("path")
    try:
        known = artifacts.read_json(Path(place or "nowhere") / "schema.json")
        columns = [{"name": one["name"], "type": one["kind"]} for one in known["features"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [*columns, {"name": str(known.get("target")), "type": str(known.get("task"))}]


def _read(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise errors.UsageError(
            f"platform.lineage.apiKeyFile is {file}, which cannot be read ({error.strerror}): wanted a "
            "file with the key"
        ) from error
