"""The evaluation stage: the exported graph measured on the test split, the same graph that will be served."""

import shutil
import tempfile
from pathlib import Path

from fairway import artifacts, errors
from fairway.config import schema
from fairway.data import prepare, splits
from fairway.evaluation import baselines, graph, metrics, report, slices


def evaluate(section: schema.Evaluation, *, dataset: Path, checkpoint: Path, champion: Path | None, out: Path) -> artifacts.Evaluation:
    """Gives what the checkpoint is worth; leaves evaluation.json and report.html in `out`, which is replaced as a whole.

    `champion` is the package of the model in service: it answers the same rows, and the share of rows on which the two
    differ is kept, because that much disagreement is to be expected when the challenger shadows it.
    """
    data = splits.load(dataset)
    fitted = _checkpoint(checkpoint, dataset=dataset)
    truth, classes = data.test.target, len(data.schema.classes)
    probabilities = graph.run(checkpoint / "model.onnx", data.test.inputs(fitted.layout))
    table = metrics.confusion(probabilities.argmax(axis=1), truth, classes=classes)
    answers = baselines.champion(champion, data=data) if champion else None
    rules = {"random": baselines.random(data.train.target, truth, classes=classes), "zero_rule": baselines.zero_rule(data.train.target, truth, classes=classes),
             "champion": {"accuracy": metrics.accuracy(answers, truth), "log_loss": metrics.log_loss(answers, truth)} if answers is not None else None}
    record = artifacts.Evaluation(
        rows=len(truth), accuracy=metrics.accuracy(probabilities, truth), log_loss=metrics.log_loss(probabilities, truth),
        calibration_error=metrics.calibration_error(probabilities, truth), per_class=tuple(metrics.per_class(table, names=data.schema.classes)),
        slices=tuple(slices.measure(section, data=data, probabilities=probabilities)), baselines=rules,
        confusion=tuple(tuple(int(count) for count in row) for row in table), dataset_version=fitted.dataset_version,
        champion_digest=artifacts.digest_bytes(artifacts.canonical(artifacts.read_json(champion / "manifest.json"))) if champion else None,
        champion_disagreement=float((answers.argmax(axis=1) != probabilities.argmax(axis=1)).mean()) if answers is not None else None)
    _write(out, record=record, page=report.render(record, classes=data.schema.classes, fitted=fitted, reliability=metrics.reliability(probabilities, truth)))
    return record


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
