"""The evaluation stage: the exported graph measured on the test split, the same graph that will be served."""

import shutil
import tempfile
from pathlib import Path

from fairway import artifacts, errors
from fairway.config import schema
from fairway.data import prepare, splits
from fairway.evaluation import baselines, graph, metrics, report, slices

BOUND = 0.99  # confidence of the bound on the disagreement


def evaluate(section: schema.Evaluation, *, dataset: Path, checkpoint: Path, champion: Path | None, out: Path) -> artifacts.Evaluation:
    """Gives what the checkpoint is worth; leaves evaluation.json and report.html in `out`, which is replaced as a whole.

    `champion` is the package of the model in service: it answers the same rows, and the share of rows on which the two
    differ is kept, because that much disagreement is to be expected when the challenger shadows it. It is measured on the
    newly labelled rows where there are any: they are what traffic looks like now.
    """
    data = splits.load(dataset)
    fitted = _checkpoint(checkpoint, dataset=dataset)
    truth, classes = data.test.target, len(data.schema.classes)
    probabilities = graph.run(checkpoint / "model.onnx", data.test.inputs(fitted.layout))
    table = metrics.confusion(probabilities.argmax(axis=1), truth, classes=classes)
    answers = baselines.champion(champion, rows=data.test, classes=data.schema.classes) if champion else None
    now = _recent(data, fitted, model=checkpoint / "model.onnx", champion=champion)
    differing, compared = (0, 0) if answers is None else (int((answers.argmax(axis=1) != probabilities.argmax(axis=1)).sum()), len(truth))
    if now is not None and champion is not None:
        differing, compared = now.pop("differing"), now["rows"]
    rules = {"random": baselines.random(data.train.target, truth, classes=classes), "zero_rule": baselines.zero_rule(data.train.target, truth, classes=classes),
             "champion": {"accuracy": metrics.accuracy(answers, truth), "log_loss": metrics.log_loss(answers, truth)} if answers is not None else None}
    record = artifacts.Evaluation(
        rows=len(truth), accuracy=metrics.accuracy(probabilities, truth), log_loss=metrics.log_loss(probabilities, truth),
        calibration_error=metrics.calibration_error(probabilities, truth), per_class=tuple(metrics.per_class(table, names=data.schema.classes)),
        slices=tuple(slices.measure(section, data=data, probabilities=probabilities)), baselines=rules,
        confusion=tuple(tuple(int(count) for count in row) for row in table), dataset_version=fitted.dataset_version,
        champion_digest=artifacts.digest_bytes(artifacts.canonical(artifacts.read_json(champion / "manifest.json"))) if champion else None,
        champion_disagreement=differing / compared if compared else None, recent=now,
        champion_disagreement_bound=metrics.upper_bound(differing, compared, confidence=BOUND) if compared else None)
    _write(out, record=record, page=report.render(record, classes=data.schema.classes, fitted=fitted, reliability=metrics.reliability(probabilities, truth)))
    return record


def _recent(data: splits.Splits, fitted: artifacts.Checkpoint, *, model: Path, champion: Path | None) -> artifacts.Json | None:
    """Gives how the challenger, and the champion, fare on the newly labelled rows that were kept from training."""
    if data.recent is None:
        return None
    rows, truth = data.recent, data.recent.target
    ours = graph.run(model, rows.inputs(fitted.layout))
    found: artifacts.Json = {"rows": len(truth), "accuracy": metrics.accuracy(ours, truth), "champion_accuracy": None}
    if champion is not None:
        theirs = baselines.champion(champion, rows=rows, classes=data.schema.classes)
        found |= {"champion_accuracy": metrics.accuracy(theirs, truth), "differing": int((theirs.argmax(axis=1) != ours.argmax(axis=1)).sum())}
    return found


def _checkpoint(folder: Path, *, dataset: Path) -> artifacts.Checkpoint:
    try:
        fitted = artifacts.from_json(artifacts.Checkpoint, artifacts.read_json(folder / "checkpoint.json"))
    except FileNotFoundError as error:
        raise errors.UsageError(f"{folder} holds no checkpoint: run `fairway train` first") from error
    version = artifacts.read_json(dataset / "dataset.json")["version"]
    if fitted.dataset_version != version:
        raise errors.UsageError(f"{folder} was trained on dataset {fitted.dataset_version[:19]}, {dataset} holds {version[:19]}: train again")
    return fitted


def _write(out: Path, *, record: artifacts.Evaluation, page: str) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        artifacts.write_json(folder / "evaluation.json", record)
        artifacts.write_bytes(folder / "report.html", page.encode())
        folder.chmod(0o755)
        prepare.replace(folder, out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
