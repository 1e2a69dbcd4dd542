"""The evaluation stage: the exported graph measured on the test split, the same graph that will be
served."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import artifacts, errors, files
from fairway.config import sections
from fairway.data import splits
from fairway.evaluation import baselines, bounds, paired, quantiles, report, slices
from fairway.model import graph, metrics, tasks
from fairway.model.metrics import quantities
from fairway.model.schema import Schema

BOUND = 0.99  # confidence of the bound on the disagreement
LOSS_BOUND = 0.95  # and of that on the loss, which retraining starts from


def evaluate(
    section: sections.Evaluation,
    *,
    dataset: Path,
    checkpoint: Path,
    champion: Path | None,
    out: Path,
) -> artifacts.Evaluation:
    """Return what the checkpoint is worth; leaves evaluation.json and report.html in `out`, which
    is replaced as a whole.

    `champion` is the package of the model in service: it answers the same rows, and the share of
    rows on which the two differ is kept, because that much disagreement is to be expected when the
    challenger shadows it. It is measured on the newly labelled rows where there are any: they are
    what traffic looks like now.
    """
    data = splits.load(dataset)
    fitted = _checkpoint(checkpoint, dataset=dataset)
    if not len(data.test):
        raise errors.DataError(
            f"the test split of {dataset} has no rows: wanted some; prepare the data with more rows or another split"
        )
    primary = tasks.of(data.schema).metric(section.metric)
    quantiles.refuse(section.quantiles, task=tasks.of(data.schema), validation=len(data.validation))
    subject = Subject(data.schema, fitted, checkpoint / "model.onnx", champion)
    tested = subject.compare(data.test)
    recent = subject.compare(data.recent) if data.recent is not None else None
    details = subject.task.details(tested.ours, data.test.target, data.schema)
    stated = subject.quantiles(section.quantiles, data, tested)
    details |= {"quantiles": stated} if stated else {}
    losses = subject.task.loss(tested.answers, data.test.labels, data.schema)
    record = artifacts.Evaluation(
        rows=len(data.test),
        slices=tuple(slices.measure(section, data=data, raw=tested.ours)),
        baselines=subject.baselines(data, tested),
        task=data.schema.task,
        primary=primary.name,
        metrics=subject.task.measure(tested.ours, data.test.target, data.schema)
        | {quantities.named(row["quantile"]): row["pinball"] for row in stated},
        details={
            name: value for name, value in details.items() if name not in ("confusion", "per_class")
        },
        different=len(set(map(repr, tested.answers))),
        loss=float(losses.mean()),
        loss_bound=bounds.of_losses(losses, confidence=LOSS_BOUND),
        dataset_version=fitted.dataset_version,
        paired=subject.paired(data.test, tested, metric=primary),
        paired_recent=subject.paired(data.recent, recent, metric=primary),
        champion_digest=baselines.digest(champion) if champion else None,
        notes=baselines.notes(champion, seed=_seed(dataset)) if champion else (),
        recent=subject.recent(data, recent, metric=primary.name) if recent is not None else None,
        **_disagreement(recent if recent is not None else tested),
    )
    _told(record, primary=primary.name)
    record = _with_details(record, details)
    page = report.render(record, classes=data.schema.classes, fitted=fitted, details=details)
    _write(out, record=record, page=page)
    return record


@dataclass(frozen=True)
class SideBySide:
    """What two models answer to the same rows, and how far their answers to each request are apart."""

    ours: NDArray[Any]
    answers: list[Any]  # what ours mean
    theirs: NDArray[Any] | None
    apart: NDArray[Any] | None


@dataclass(frozen=True)
class Subject:
    """The model that is evaluated, and the package of the one in service."""

    schema: Schema
    fitted: artifacts.Checkpoint
    model: Path
    champion: Path | None

    @property
    def task(self) -> tasks.Task:
        """Return what the model is asked to do."""
        return tasks.of(self.schema)

    def compare(self, rows: splits.Split) -> SideBySide:
        """Return the answers of both models to these rows."""
        ours = self.answered(rows)
        answers = self.task.answers(ours, self.schema)
        if self.champion is None:
            return SideBySide(ours, answers, None, None)
        theirs, labels = baselines.champion(self.champion, rows=rows, schema=self.schema)
        return SideBySide(ours, answers, theirs, self._apart(rows, answers, labels))

    def answered(self, rows: splits.Split) -> NDArray[Any]:
        """Return what the model's graph answers these rows."""
        return graph.run(
            self.model,
            rows.inputs(self.fitted.layout),
            output=self.task.output,
            width=self.task.width(self.schema),
        )

    def _apart(
        self, rows: splits.Split, ours: Sequence[Any], theirs: Sequence[Any]
    ) -> NDArray[Any]:
        """Return how far the two models' answers to each request are apart, as shadow will see
        them."""
        requests = self.task.together(rows.labels)
        if requests is None:
            return self.task.differ(ours, theirs, self.schema)
        pairs = (
            ([ours[row] for row in places], [theirs[row] for row in places]) for places in requests
        )
        return np.array([self.task.differ(one, other, self.schema).mean() for one, other in pairs])

    def baselines(self, data: splits.Splits, tested: SideBySide) -> artifacts.Json:
        """Return the metrics of the simplest rules and of the model in service."""
        rules = self.task.baselines(data.train.target, data.test.target, self.schema)
        champion = (
            None
            if tested.theirs is None
            else self.task.compare(tested.theirs, data.test.target, self.schema)
        )
        return {**rules, "champion": champion}

    def quantiles(
        self, levels: Sequence[float], data: splits.Splits, tested: SideBySide
    ) -> list[artifacts.Json]:
        """Return what each stated quantile is on the test rows."""
        if not levels:
            return []
        held_out = self.answered(data.validation)[:, 0].astype(np.float64)
        return quantiles.measure(
            levels,
            off=data.validation.target - held_out,
            said=tested.ours[:, 0].astype(np.float64),
            target=data.test.target,
            train=data.train.target,
        )

    def paired(
        self, rows: splits.Split | None, both: SideBySide | None, *, metric: metrics.Metric
    ) -> artifacts.Json | None:
        """Return by how much the metric drops from the model in service, by the same rows; None
        where there is none, or rows that belong together."""
        if rows is None or both is None or both.theirs is None:
            return None
        if self.task.together(rows.labels) is not None:
            return None
        return paired.compared(
            metric, ours=both.ours, theirs=both.theirs, target=rows.target, schema=self.schema
        )

    def recent(self, data: splits.Splits, compared: SideBySide, *, metric: str) -> artifacts.Json:
        """Return how both models fare on the newly labelled rows that were kept from training."""
        assert data.recent is not None
        target = data.recent.target
        theirs = (
            None
            if compared.theirs is None
            else self.task.compare(compared.theirs, target, self.schema).get(metric)
        )
        ours = self.task.compare(compared.ours, target, self.schema).get(metric)
        return {"rows": len(data.recent), metric: ours, f"champion_{metric}": theirs}


def _told(record: artifacts.Evaluation, *, primary: str) -> None:
    """Refuse a primary metric that does not tell these rows, which a package's may not."""
    told = {"the model": record.metrics, **record.baselines}
    silent = [who for who, scores in told.items() if scores is not None and primary not in scores]
    if silent:
        raise errors.DataError(
            f"evaluation.metric {primary} says nothing of the test rows as {silent[0]} answers them: "
            "wanted a number, choose another metric"
        )


def _disagreement(compared: SideBySide) -> artifacts.Json:
    if compared.apart is None:
        return {}
    return {
        "champion_disagreement": float(compared.apart.mean()),
        "champion_disagreement_bound": bounds.of_losses(compared.apart, confidence=BOUND),
    }


def _with_details(record: artifacts.Evaluation, details: artifacts.Json) -> artifacts.Evaluation:
    """Return the record with the tables of classification, where the task has them."""
    found: artifacts.Json = {
        name: record.metrics.get(name) for name in ("accuracy", "log_loss", "calibration_error")
    }
    if "confusion" in details:
        found["confusion"] = tuple(tuple(row) for row in details["confusion"])
        found["per_class"] = tuple(details["per_class"])
    return dataclasses.replace(record, **found)


def _checkpoint(folder: Path, *, dataset: Path) -> artifacts.Checkpoint:
    try:
        fitted = artifacts.from_json(
            artifacts.Checkpoint, artifacts.read_json(folder / "checkpoint.json")
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.UsageError(
            f"{folder} holds no checkpoint that can be read ({error}): run `fairway train` first"
        ) from error
    try:
        version = str(artifacts.read_json(dataset / "dataset.json")["version"])
    except (OSError, ValueError, KeyError) as error:
        raise errors.DataError(
            f"{dataset} is no prepared dataset ({error}): run `fairway prepare`"
        ) from error
    if fitted.dataset_version != version:
        raise errors.UsageError(
            f"{folder} was trained on dataset {fitted.dataset_version[:19]}, {dataset} holds {version[:19]}: "
            "train again"
        )
    return fitted


def _seed(dataset: Path) -> int | None:
    """Return the seed that divided the rows; None of a dataset of an earlier version."""
    seed: int | None = artifacts.read_json(dataset / "dataset.json").get("lineage", {}).get("seed")
    return seed


def _write(out: Path, *, record: artifacts.Evaluation, page: str) -> None:
    with files.replacing(out, records=artifacts.RECORDS) as folder:
        artifacts.write_json(folder / "evaluation.json", record)
        files.write_bytes(folder / "report.html", page.encode())
