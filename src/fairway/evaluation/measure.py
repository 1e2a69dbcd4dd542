"""The evaluation stage: the exported graph measured on the test split, the same graph that will be served."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fairway import artifacts, errors, files
from fairway.config import sections
from fairway.data import splits
from fairway.evaluation import baselines, calibration, metrics, report, slices
from fairway.model import graph

BOUND = 0.99  # confidence of the bound on the disagreement


def evaluate(
    section: sections.Evaluation, *, dataset: Path, checkpoint: Path, champion: Path | None, out: Path
) -> artifacts.Evaluation:
    """Return what the checkpoint is worth; leaves evaluation.json and report.html in `out`, which is replaced as a whole.

    `champion` is the package of the model in service: it answers the same rows, and the share of rows on which the two
    differ is kept, because that much disagreement is to be expected when the challenger shadows it. It is measured on the
    newly labelled rows where there are any: they are what traffic looks like now.
    """
    data = splits.load(dataset)
    fitted = _checkpoint(checkpoint, dataset=dataset)
    truth, names = data.test.target, data.schema.classes
    if not len(truth):
        raise errors.DataError(
            f"the test split of {dataset} has no rows: wanted some; prepare the data with more rows or another split"
        )
    model = checkpoint / "model.onnx"
    probabilities = graph.run(model, data.test.inputs(fitted.layout), output=graph.PROBABILITIES, width=len(names))
    table = metrics.confusion(probabilities.argmax(axis=1), truth, classes=len(names))
    answers = baselines.champion(champion, rows=data.test, classes=names) if champion else None
    now, differing, compared = _recent(data, fitted, model=model, champion=champion)
    if answers is not None and not compared:
        differing, compared = answers.differing(probabilities), len(truth)
    record = artifacts.Evaluation(
        rows=len(truth),
        accuracy=metrics.accuracy(probabilities, truth),
        log_loss=metrics.log_loss(probabilities, truth),
        calibration_error=calibration.error(probabilities, truth),
        per_class=tuple(metrics.per_class(table, names=names)),
        slices=tuple(slices.measure(section, data=data, probabilities=probabilities)),
        baselines=_baselines(data, truth, answers),
        confusion=tuple(tuple(int(count) for count in row) for row in table),
        dataset_version=fitted.dataset_version,
        champion_digest=baselines.digest(champion) if champion else None,
        recent=now,
        champion_disagreement=differing / compared if compared else None,
        champion_disagreement_bound=metrics.upper_bound(differing, compared, confidence=BOUND) if compared else None,
    )
    _write(
        out,
        record=record,
        page=report.render(
            record, classes=names, fitted=fitted, reliability=calibration.reliability(probabilities, truth)
        ),
    )
    return record


def _baselines(data: splits.Splits, truth: NDArray[Any], champion: baselines.Answers | None) -> artifacts.Json:
    train, classes = data.train.target, len(data.schema.classes)
    return {
        "random": baselines.random(train, truth, classes=classes),
        "zero_rule": baselines.zero_rule(train, truth, classes=classes),
        "champion": champion.scores(truth) if champion else None,
    }


def _recent(
    data: splits.Splits, fitted: artifacts.Checkpoint, *, model: Path, champion: Path | None
) -> tuple[artifacts.Json | None, int, int]:
    """Return how challenger and champion fare on the newly labelled rows that were kept from training, and on how many of how
    many of these they differ."""
    rows, names = data.recent, data.schema.classes
    if rows is None:
        return None, 0, 0
    ours = graph.run(model, rows.inputs(fitted.layout), output=graph.PROBABILITIES, width=len(names))
    found: artifacts.Json = {
        "rows": len(rows),
        "accuracy": metrics.accuracy(ours, rows.target),
        "champion_accuracy": None,
    }
    if champion is None:
        return found, 0, 0
    theirs = baselines.champion(champion, rows=rows, classes=names)
    return found | {"champion_accuracy": theirs.scores(rows.target)["accuracy"]}, theirs.differing(ours), len(rows)


def _checkpoint(folder: Path, *, dataset: Path) -> artifacts.Checkpoint:
    try:
        fitted = artifacts.from_json(artifacts.Checkpoint, artifacts.read_json(folder / "checkpoint.json"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.UsageError(
            f"{folder} holds no checkpoint that can be read ({error}): run `fairway train` first"
        ) from error
    try:
        version = str(artifacts.read_json(dataset / "dataset.json")["version"])
    except (OSError, ValueError, KeyError) as error:
        raise errors.DataError(f"{dataset} is no prepared dataset ({error}): run `fairway prepare`") from error
    if fitted.dataset_version != version:
        raise errors.UsageError(
            f"{folder} was trained on dataset {fitted.dataset_version[:19]}, {dataset} holds {version[:19]}: train again"
        )
    return fitted


def _write(out: Path, *, record: artifacts.Evaluation, page: str) -> None:
    with files.replacing(out, records=artifacts.RECORDS) as folder:
        artifacts.write_json(folder / "evaluation.json", record)
        files.write_bytes(folder / "report.html", page.encode())
