"""The frozen records that travel between stages, and how they are written down.

A stage returns one of these; a pipeline, the CLI and a test read the same fields.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fairway import errors, files

Json = dict[str, Any]
R = TypeVar("R")
# a folder that a stage wrote holds one of them
RECORDS = ("dataset.json", "checkpoint.json", "evaluation.json")
LARGEST_JSON = 256 << 20  # bytes: golden rows of large pictures, written out


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What `data.prepare` leaves in `path`: the splits as raw values, and what is known of them.

    Files: `train.parquet`, `validation.parquet`, `test.parquet`, `schema.json`,
    `preprocessing.json`, `profile.json`, `dataset.json` (this record).
    """

    path: str
    version: str  # sha256:... of the content of the splits and the schema
    source: str  # where the rows came from, in words
    target: str
    classes: tuple[str, ...]
    rows: dict[str, int]  # by split
    features: tuple[str, ...]
    task: str = "classification"
    # files with digests, sampling, labelled rows added
    lineage: Json = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()  # leakage checks, dropped rows: one sentence each


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Whether rows are fit to be learnt from: each error and each warning is one sentence."""

    rows: int
    columns: tuple[Json, ...]  # name, kind, missing, was, unreadable, outside: shares of the rows
    errors: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What a search among settings found; empty where none was asked for."""

    best: Json  # keys of the training section
    loss: float | None  # of the best, on the validation rows
    trials: tuple[Json, ...]  # trial, settings, budget (null: the whole), loss or error


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What `training.fit` leaves in `path`.

    Files: `model.onnx`; `model.safetensors` and `model.pt2` for torch models; `checkpoint.json`
    (this record).
    """

    path: str
    dataset_version: str
    family: str  # convolutional | tabular | function
    layout: str  # "named": graph inputs numbers, categories, image; "flat": one input, features
    seed: int
    epochs: int
    best_epoch: int
    device: str  # cpu | cuda | mps
    precision: str  # float32 | bfloat16 | float16
    seconds: float
    history: tuple[Json, ...]  # per epoch: train_loss, validation_loss, validation_accuracy
    # largest difference of the ONNX graph's probabilities to the trained model's
    onnx_max_difference: float
    configuration: Json = dataclasses.field(default_factory=dict)
    # what the models have learnt from whose mean answers; history and epochs are the first's. Empty: one
    averaged: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What `evaluation.evaluate` measured on the test split. Rates are fractions, losses in nats."""

    rows: int
    slices: tuple[Json, ...]  # slice, rows, judged, and each metric by name
    # each rule's metrics by name: zero_rule, champion (or null), and what else the task has
    baselines: Json
    task: str = "classification"
    primary: str = "accuracy"  # the metric that gates, orders slices and starts retraining
    # every metric of the task by name
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    details: Json = dataclasses.field(default_factory=dict)  # the report's tables and curves
    different: int | None = None  # how many different answers the model gave the test rows
    # mean loss of the test rows' answers, from 0 to 1: what guards and retraining go by
    loss: float | None = None
    loss_bound: float | None = None  # the mean is no larger than this (95 %): the test rows are few
    # Of classification:
    accuracy: float | None = None
    log_loss: float | None = None
    calibration_error: float | None = None  # expected calibration error, 15 equal-width bins
    per_class: tuple[Json, ...] = ()  # class, rows, precision, recall, f1
    confusion: tuple[tuple[int, ...], ...] = ()
    # how much the primary metric drops from the model in service, with bounds: on the test rows, and
    # on the newly labelled ones
    paired: Json | None = None
    paired_recent: Json | None = None
    champion_digest: str | None = None
    # share of rows where champion and challenger answer differently: recent rows, else test rows
    champion_disagreement: float | None = None
    # it is no larger than this (exact bound, 99 %)
    champion_disagreement_bound: float | None = None
    recent: Json | None = (
        # On newly labelled rows kept from training: rows, and the primary metric of both models.
        None
    )
    dataset_version: str = ""
    # what to bear in mind of the comparison with the champion: one sentence each
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GateDecision:
    """Whether a challenger may be packaged and deployed, and the sentence that says why."""

    promote: bool
    reason: str
    checks: tuple[Json, ...]  # name, value, wanted, passed
    notes: tuple[str, ...] = ()  # the evaluation's, which no check knows of
    # the rows are too few to tell the challenger from the model in service: its shadow decides
    undecided: bool = False


@dataclass(frozen=True, kw_only=True)
class Package:
    """A model package on disk: content-addressed, immutable."""

    path: str
    digest: str  # sha256:<64 hex> of the canonical manifest
    name: str
    task: str  # classification
    classes: tuple[str, ...]
    dataset_version: str
    seed: int | None = None
    champion_disagreement: float | None = None


@dataclass(frozen=True, kw_only=True)
class BatchPrediction:
    """A file's worth of answers on disk."""

    path: str
    model: str
    digest: str  # of the package that answered
    rows: int
    unusual: Json  # rows beyond the training range, by feature
    unreadable: Json  # rows whose value was taken as missing, by feature


def folder_of(metadata: Mapping[str, str], *, at: Path) -> Path | None:
    """Return the folder of a package that an artifact's metadata names: on the machine that wrote
    it, else within the artifact; None where there is none."""
    named = metadata.get("folder")
    if not named:
        return None
    return Path(named) if Path(named).is_dir() else at / Path(named).name


def need_folder_of(metadata: Mapping[str, str], *, at: Path) -> Path:
    """Return the folder of a package as `folder_of`; raises UsageError where there is none."""
    found = folder_of(metadata, at=at)
    if found is None:
        raise errors.UsageError(
            "no model is in service: wanted one that answers; deploy a package first"
        )
    return found


def as_json(record: Any) -> Json:
    """Return a record as plain JSON values."""
    return dataclasses.asdict(record)


def from_json(kind: type[R], data: Mapping[str, Any]) -> R:
    """Return the record back; lists become tuples where the record says so, unknown keys are
    refused."""
    hints = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values = {}
    for key, value in data.items():
        field = hints[key]
        is_tuple = str(field.type).startswith(("tuple", "tuple["))
        values[key] = (
            tuple(tuple(v) if isinstance(v, list) else v for v in value)
            if is_tuple and value is not None
            else value
        )
    return kind(**values)


def write_json(path: Path, data: Any) -> None:
    payload = (
        as_json(data) if dataclasses.is_dataclass(data) and not isinstance(data, type) else data
    )
    files.write_bytes(path, json.dumps(payload, indent=2, ensure_ascii=False).encode() + b"\n")


def read_json(path: Path, *, strict: bool = False) -> Json:
    """Return what the file holds; ValueError where that is no JSON, or more than a record or a few
    rows can be. Strictly, NaN is no JSON."""
    size = path.stat().st_size
    if size > LARGEST_JSON:
        raise ValueError(f"it has {size} bytes: wanted at most {LARGEST_JSON}")
    try:
        data: Json = json.loads(
            path.read_text(encoding="utf-8"), parse_constant=_refuse_constant if strict else None
        )
    except RecursionError as error:
        raise ValueError("it is nested too deep to be read") from error
    return data


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def is_plain(values: list[Any], *, kinds: set[type], levels: int = 1) -> bool:
    """Say whether a list that came from JSON holds only values of these kinds, in at most so many
    levels of lists."""
    seen = set(map(type, values))
    if seen == {list}:
        return levels > 1 and all(
            is_plain(value, kinds=kinds, levels=levels - 1) for value in values
        )
    return seen <= kinds
