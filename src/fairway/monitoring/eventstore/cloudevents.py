"""What a logged prediction, a delayed label and a delayed outcome must look like, and the row that
the store keeps of each."""

import functools
import json
import math
from collections.abc import Mapping
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple, NoReturn

from fairway import artifacts, errors
from fairway.model import labels
from fairway.monitoring.eventstore import stored_json

PREDICTION = "dev.fairway.prediction.v1"
LABEL = "dev.fairway.label.v1"
OUTCOME = "dev.fairway.outcome.v1"
ROLES = ("stable", "canary", "shadow")
LONGEST_NAME = 256  # characters of an id or a name: bounds what one event may put into the index
# characters that are kept of a logged input: a client chose it, and whoever reads the store reads
# it again
LONGEST_WORD = 4096
MOST_LEVELS = 4  # of lists in each other: a row of pictures
# of one row's label or answer, where it is a list: as many classes as a model may have
MOST_WORDS = 10_000
LONGEST_TASK = 65_536  # characters of what a task's losses need: it is kept with every answer
MOST_TASK_LEVELS = 4  # of lists and objects in each other there
NUMBERS: set[type] = {int, float, type(None)}
FLAT = NUMBERS | {bool}
PLAIN = FLAT | {str}


class EventRow(NamedTuple):
    """One event as the store keeps it; the order is that of the table's columns."""

    type: str  # prediction | label | outcome
    deployment: str
    request_id: str
    revision: str  # empty for labels; the name of an outcome, of which a request may have several
    role: str  # empty for labels and outcomes
    namespace: str
    unit: str | None
    time: float  # seconds since the epoch
    status: int | None
    rows: int
    input_digest: str | None
    latency: float | None  # seconds
    client: str | None  # bucket of the address that the gateway was asked from; no address
    labels: str | None  # JSON list: the predicted ones, or the true ones; of an outcome, its value
    # JSON object: name and facts of the task that the answers are of; None: they are classes
    task: str | None
    inputs: str | None  # JSON object of lists
    probabilities: str | None  # JSON list of lists
    # JSON list of the names of which its answers are made, which a server tells now and then; kept apart
    classes: str | None = None


def parse(event: Any, *, position: int = 0) -> EventRow:
    """Return the row of one CloudEvent; `DataError` names its position in the batch, the field,
    what it is and what was wanted."""
    reader = _Reader(event, where=f"event {position}")
    kind = reader.mapping.get("type")
    if reader.mapping.get("specversion") != "1.0":
        reader.refuse("specversion", reader.mapping.get("specversion"), '"1.0"')
    data = _Reader(reader.mapping.get("data"), where=f"event {position}: data")
    if not isinstance(kind, str) or kind not in READERS:
        reader.refuse("type", kind, f"{PREDICTION}, {LABEL} or {OUTCOME}")
    return READERS[kind](data, time=reader.time("time"))


def label(
    item: Any, *, deployment: str | None, namespace: str, time: float, position: int = 0
) -> EventRow:
    """Return the row of a label in its short form, `{"requestId": ..., "label": ..., "deployment":
    ...}`."""
    return _label(
        _short(item, "label", deployment=deployment, namespace=namespace, position=position),
        time=time,
    )


def outcome(
    item: Any, *, deployment: str | None, namespace: str, time: float, position: int = 0
) -> EventRow:
    """Return the row of an outcome in its short form, `{"requestId": ..., "outcome": ..., "value":
    ..., "deployment": ...}`."""
    return _outcome(
        _short(item, "outcome", deployment=deployment, namespace=namespace, position=position),
        time=time,
    )


def _short(
    item: Any, kind: str, *, deployment: str | None, namespace: str, position: int
) -> "_Reader":
    reader = _Reader(item, where=f"{kind} {position}")
    defaults = {"deployment": deployment, "namespace": namespace}
    return _Reader(
        {**{k: v for k, v in defaults.items() if v}, **reader.mapping}, where=f"{kind} {position}"
    )


def _label(data: "_Reader", *, time: float) -> EventRow:
    """Return the row of a label.

    A list always has one entry for each row. Where a row's label is itself a list of words, that is
    a list in the list: `[["red", "round"]]` for a request of one row. So a label is read alike
    whether its answer has come or not.
    """
    truth = data.mapping.get("label")
    given = truth if isinstance(truth, list) else [truth]
    values = [_words(one) for one in given]
    unknown = [one for one, word in zip(given, values, strict=True) if word is None]
    if not values or any(one is not None or not isinstance(truth, list) for one in unknown):
        wanted = (
            "a class name or a number, or a list with an entry for each row: one of those, a list of names, or null "
            "where it is not known"
        )
        data.refuse("label", truth, wanted)
    return EventRow(
        type="label",
        deployment=data.name("deployment"),
        request_id=data.name("requestId"),
        revision="",
        role="",
        namespace=data.name("namespace"),
        unit=None,
        time=time,
        status=None,
        rows=len(values),
        input_digest=None,
        latency=None,
        client=None,
        labels=stored_json.compact(values),
        task=None,
        inputs=None,
        probabilities=None,
    )


def _outcome(data: "_Reader", *, time: float) -> EventRow:
    value = data.mapping.get("value")
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        data.refuse("value", value, "a number")
    return EventRow(
        type="outcome",
        deployment=data.name("deployment"),
        request_id=data.name("requestId"),
        revision=data.name("outcome"),
        role="",
        namespace=data.name("namespace"),
        unit=None,
        time=time,
        status=None,
        rows=1,
        input_digest=None,
        latency=None,
        client=None,
        labels=stored_json.compact([float(value)]),
        task=None,
        inputs=None,
        probabilities=None,
    )


def _prediction(data: "_Reader", *, time: float) -> EventRow:
    role, rows = data.name("role"), data.integer("rows", low=0, high=1_000_000_000)
    task = data.task("task")
    if role not in ROLES:
        data.refuse("role", role, "stable, canary or shadow")
    return EventRow(
        type="prediction",
        deployment=data.name("deployment"),
        request_id=data.name("requestId"),
        revision=data.name("revision"),
        role=role,
        namespace=data.name("namespace"),
        unit=data.optional_name("unitId"),
        time=time,
        status=data.integer("status", low=100, high=599),
        rows=rows,
        input_digest=data.optional_name("inputDigest"),
        latency=data.seconds("latencySeconds"),
        client=data.optional_name("client"),
        labels=data.labels("labels", rows=rows)
        if task is None
        else data.answers("labels", rows=rows),
        task=task,
        inputs=data.inputs("inputs", redacted="redacted"),
        probabilities=data.probabilities("probabilities", rows=rows),
        classes=data.classes("classes"),
    )


READERS = {PREDICTION: _prediction, LABEL: _label, OUTCOME: _outcome}


class _Reader:
    """Reads the fields of one JSON object; every refusal is one sentence that names the field."""

    def __init__(self, value: Any, *, where: str) -> None:
        self.where = where
        if not isinstance(value, Mapping):
            raise errors.DataError(f"{where} is {shown(value)}: wanted a JSON object")
        self.mapping = value

    def refuse(self, key: str, value: Any, wanted: str) -> NoReturn:
        place = f"{self.where}.{key}" if self.where.endswith("data") else f"{self.where}: {key}"
        raise errors.DataError(
            f"{place} is {shown(value)}: wanted {wanted}; nothing of this batch was stored"
        )

    def name(self, key: str) -> str:
        value = self.mapping.get(key)
        if type(value) is str and _is_usual(value):
            return value
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
            self.refuse(key, value, f"a string of 1 to {LONGEST_NAME} characters")
        if not stored_json.storable(value):
            self.refuse(key, value, "text without lone surrogates or NUL characters")
        return value

    def optional_name(self, key: str) -> str | None:
        return self.name(key) if self.mapping.get(key) not in (None, "") else None

    def integer(self, key: str, *, low: int, high: int) -> int:
        value = self.mapping.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.refuse(key, value, f"a whole number from {low} to {high}")
        return value

    def seconds(self, key: str) -> float | None:
        value = self.mapping.get(key)
        if value is None:
            return None
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not math.isfinite(value)
            or value < 0
        ):
            self.refuse(key, value, "seconds, 0 or more")
        return float(value)

    def time(self, key: str) -> float:
        value = self.mapping.get(key)
        try:
            parsed = datetime.fromisoformat(value)  # type: ignore[arg-type]
            if parsed.tzinfo is None:
                raise ValueError("no offset")
            return parsed.timestamp()
        except (TypeError, ValueError, OverflowError):
            self.refuse(key, value, "a time such as 2026-01-31T12:00:00.000000Z")

    def labels(self, key: str, *, rows: int) -> str | None:
        value = self.mapping.get(key)
        if value is None:
            return None
        if (
            not isinstance(value, list)
            or len(value) != rows
            or not artifacts.is_plain(value, kinds={str})
        ):
            self.refuse(key, value, f"a list of {rows} class names, one a row, or null")
        return (
            _of_word(value[0]) if rows == 1 and _is_usual(value[0]) else stored_json.compact(value)
        )

    def answers(self, key: str, *, rows: int) -> str | None:
        """Return the answers of a task that has no classes."""
        value = self.mapping.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != rows or not _are_answers(value):
            self.refuse(
                key,
                value,
                f"a list of {rows} answers, one a row: names, finite numbers or lists of names, or null",
            )
        return stored_json.compact(value)

    def task(self, key: str) -> str | None:
        value = self.mapping.get(key)
        if value is None:
            return None
        wanted = (
            f"an object with the task's name and facts, in {LONGEST_TASK} characters and {MOST_TASK_LEVELS} levels at "
            "most, or none"
        )
        if not isinstance(value, Mapping) or not _are_facts(value, levels=MOST_TASK_LEVELS):
            self.refuse(key, value, wanted)
        _Reader(value, where=f"{self.where}.{key}").name("name")
        text = stored_json.compact(value)
        if len(text) > LONGEST_TASK:
            self.refuse(key, value, wanted)
        return text

    def classes(self, key: str) -> str | None:
        value = self.mapping.get(key)
        if value is None:
            return None
        names = isinstance(value, list) and artifacts.is_plain(value, kinds={str})
        text = stored_json.compact(value) if names else ""
        if (
            not text
            or not 0 < len(value) <= MOST_WORDS
            or len(text) > LONGEST_TASK
            or not stored_json.storable("".join(value))
        ):
            self.refuse(
                key, value, f"a list of names, in {LONGEST_TASK} characters at most, or none"
            )
        return text

    def probabilities(self, key: str, *, rows: int) -> str | None:
        value = self.mapping.get(key)
        if value is None:
            return None
        if (
            not isinstance(value, list)
            or len(value) != rows
            or not set(map(type, value)) <= {list}
            or not set(map(type, chain.from_iterable(value))) <= NUMBERS
        ):
            self.refuse(key, value, f"a list of {rows} lists of numbers, one a row, or null")
        return stored_json.written(value)

    def inputs(self, key: str, *, redacted: str) -> str | None:
        """Return the features' values; null instead of a list where a server keeps them to itself."""
        value = self.mapping.get(key)
        if value is None:
            return None
        kept = features(value)
        if kept is None:
            self.refuse(
                key,
                value,
                f"an object with a list for each feature, of values or of at most {MOST_LEVELS} levels of lists, or "
                f"null",
            )
        hidden = self.mapping.get(redacted) or ()
        if hidden and not (
            isinstance(hidden, list) and all(isinstance(name, str) for name in hidden)
        ):
            self.refuse(redacted, hidden, "a list of features' names, or none")
        return stored_json.written({**kept, **dict.fromkeys(hidden)} if hidden else kept)


def _words(value: Any) -> str | list[str] | None:
    """Return the label of one row: a word, or several; None for what is neither."""
    if not isinstance(value, list):
        return labels.word(value)
    words = [word for one in value[:MOST_WORDS] if (word := labels.word(one)) is not None]
    return words if len(words) == len(value) else None


def _are_answers(values: list[Any]) -> bool:
    """Say whether the answers are all names, all finite numbers, or all lists of names."""
    kinds = set(map(type, values))
    if kinds == {list}:
        return all(
            len(row) <= MOST_WORDS and artifacts.is_plain(row, kinds={str}) for row in values
        )
    if kinds <= {int, float}:
        return all(map(math.isfinite, values))
    return kinds <= {str}


def _are_facts(value: Any, *, levels: int) -> bool:
    """Say whether it is plain JSON in at most so many levels of lists and objects."""
    if not isinstance(value, list | Mapping):
        return type(value) in PLAIN
    if levels == 0 or (
        isinstance(value, Mapping) and not all(isinstance(key, str) for key in value)
    ):
        return False
    inner = value.values() if isinstance(value, Mapping) else value
    return all(_are_facts(one, levels=levels - 1) for one in inner)


def features(value: Any) -> Mapping[str, Any] | None:
    """Return the features' values with their words cut; None for what is no such object."""
    if not isinstance(value, Mapping) or not set(map(type, value.values())) <= {list}:
        return None
    if set(map(type, chain.from_iterable(value.values()))) <= FLAT:  # one look at most events
        return value
    if not all(map(is_feature, value.values())):
        return None
    return {name: cut(values) for name, values in value.items()}


def is_feature(values: Any) -> bool:
    """Say whether it is a list of values, or of lists of values in as many levels as are kept."""
    return isinstance(values, list) and artifacts.is_plain(values, kinds=PLAIN, levels=MOST_LEVELS)


def cut(values: list[Any]) -> list[Any]:
    """Return the feature's values with words of at most LONGEST_WORD characters."""
    if str not in map(type, values):
        return values
    return [value[:LONGEST_WORD] if isinstance(value, str) else value for value in values]


def _is_usual(name: str) -> bool:
    """Say whether it is a name of ASCII alone, as nearly all are, without a look at each surrogate."""
    return 0 < len(name) <= LONGEST_NAME and name.isascii() and "\0" not in name


@functools.lru_cache(maxsize=1024)
def _of_word(word: str) -> str:
    """Return `compact` of a list of one word: most answers are, of a few classes."""
    return stored_json.compact([word])


def shown(value: Any) -> str:
    """Return a short form of a wrong value for a message."""
    if value is None:
        return "missing"
    return errors.shortened(json.dumps(errors.excerpt(value), default=repr))
