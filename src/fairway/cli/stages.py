"""The verbs from data to package: one stage each."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from fairway import artifacts, errors, files
from fairway.cli import options

MOST_RECALLS = 10  # classes whose recall the terminal shows


@click.command()
@options.config
@options.home
@options.output
def prepare(path: Path, overrides: tuple[str, ...], root: Path, form: str) -> None:
    """Read the data, check and split it, fit the preprocessing on the training split."""
    from fairway.data import importing
    from fairway.data import prepare as stage

    config = options.load(path, overrides)
    work = _work(root, config.name)
    if config.data.addresses():
        importing.bring(config.data, out=work / "rows")
    section = importing.brought(config.data, folder=work / "rows")
    record = stage.prepare(section, out=work / "dataset")
    for warning in record.warnings:
        click.echo(f"warning: {warning}", err=True)
    options.show(record, form=form)


@click.command()
@options.config
@options.home
@options.output
def train(path: Path, overrides: tuple[str, ...], root: Path, form: str) -> None:
    """Fit a model on the prepared data and export it to ONNX, by the best settings where
    training.tune names some to choose from."""
    from fairway.cli import progress

    config = options.load(path, overrides)
    work = _work(root, config.name)
    _need(work / "dataset" / "dataset.json", verb="prepare")
    section = config.training
    if section.tune is not None:
        from fairway.training import tune

        found = tune.tune(
            section, dataset=work / "dataset", tell=lambda line: click.echo(line, err=True)
        )
        section = section.chosen(found.best)
    with progress.epochs(section.most_epochs, quiet=form == "json") as report:
        from fairway.training import fit

        record = fit.fit(
            section, dataset=work / "dataset", out=work / "checkpoint", progress=report
        )
    plain = artifacts.as_json(record)
    history = plain.pop("history")
    options.show(
        artifacts.as_json(record)
        if form == "json"
        else plain | {"last_epoch": history[-1] if history else None},
        form=form,
    )


@click.command()
@options.config
@options.home
@options.output
@click.option(
    "--champion",
    type=click.Path(path_type=Path),
    default=None,
    help="Package of the model in service; by default the one that serves.",
)
def evaluate(
    path: Path, overrides: tuple[str, ...], root: Path, form: str, champion: Path | None
) -> None:
    """Measure the model on the test split, compare it with the one in service, ask the gate. Exit 3
    where it refuses."""
    config = options.load(path, overrides)
    work = _work(root, config.name)
    _need(work / "checkpoint" / "checkpoint.json", verb="train")
    from fairway.evaluation import gate, measure

    record = measure.evaluate(
        config.evaluation,
        dataset=work / "dataset",
        checkpoint=work / "checkpoint",
        champion=champion or serving(root, config.name),
        out=work / "evaluation",
    )
    decision = gate.decide(config.evaluation.gate, evaluation=record)
    artifacts.write_json(
        work / "evaluation" / "gate.json",
        {"model": _digest(work), "decision": artifacts.as_json(decision)},
    )
    options.show(
        {"evaluation": artifacts.as_json(record), "gate": artifacts.as_json(decision)},
        form=form,
        text=f"{_scores(record)}  rows {record.rows}\nreport   {work / 'evaluation' / 'report.html'}\ngate     "
        f"{decision.reason}" + "".join(f"\nmind     {note}" for note in decision.notes),
    )
    if not decision.promote:
        raise errors.Refused(f"the gate refused: {decision.reason}")


@click.command()
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option(
    "--schema",
    "schema_file",
    type=click.Path(path_type=Path),
    default=None,
    help="Features and target of a MODEL trained elsewhere (YAML or JSON).",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=None,
    help="Rows (csv or parquet) that tell MODEL's schema instead; MODEL must answer them as its package does.",
)
@click.option(
    "--target", default=None, metavar="COLUMN", help="The column of --data that MODEL predicts."
)
@click.option(
    "--evaluation",
    type=click.Path(path_type=Path),
    default=None,
    help="Its evaluation.json, where there is one.",
)
@click.option(
    "--name",
    default=None,
    help="Name of the deployment that MODEL is for; by default the configuration's.",
)
@click.option("--bento", is_flag=True, help="Build a Bento of the package too.")
@options.config
@options.home
@options.output
def package(
    model: Path | None,
    schema_file: Path | None,
    data: Path | None,
    target: str | None,
    evaluation: Path | None,
    name: str | None,
    bento: bool,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Build a model package of what was trained here, or of MODEL (ONNX, or a file of LightGBM,
    XGBoost or CatBoost, or models:/NAME/VERSION of an MLflow registry) and --schema, or --data with --target."""
    from fairway.packaging import package as stage

    if model is not None:
        if (schema_file is None) == (data is None) or (data is None) != (target is None):
            raise errors.UsageError(
                f"{model} needs --schema FILE, which names its features and what it predicts, or --data FILE with "
                "--target COLUMN, which tells them"
            )
        if name is not None:
            options.check_name(name, option="--name")
        place = options.open_home(root)
        deployment = name or (options.load(path, overrides).name if path.exists() else None)
        from fairway.packaging import elsewhere

        with _brought(model) as (file, usual, origin):
            record = elsewhere.package(
                file,
                schema=schema_file,
                data=data,
                target=target,
                name=deployment or usual,
                out=place.packages,
                evaluation=evaluation,
                origin=origin,
            )
    else:
        config = options.load(path, overrides)
        place, work = options.open_home(root), _work(root, config.name)
        _need(work / "checkpoint" / "checkpoint.json", verb="train")
        verdict = _verdict(work)
        if not verdict.promote:
            if form == "json":
                options.show({"package": None, "gate": artifacts.as_json(verdict)}, form=form)
            raise errors.Refused(f"the gate refused this model: {verdict.reason}")
        record = stage.build(
            name=config.name,
            dataset=work / "dataset",
            checkpoint=work / "checkpoint",
            evaluation=work / "evaluation" / "evaluation.json",
            gate=verdict,
            config=config,
            out=place.packages,
        )
    tag = _bento(record, place.root / "bentoml") if bento else None
    options.show(artifacts.as_json(record) | ({"bento": tag} if tag else {}), form=form)


@contextlib.contextmanager
def _brought(model: Path) -> Iterator[tuple[Path, str, str]]:
    """Give the file of a model, the name that it has by itself, and where it was brought from."""
    from fairway.addresses import mlflow

    uri = str(model)
    if not mlflow.names_model(uri):
        yield model, model.stem, ""
        return
    from fairway.packaging import registered

    with tempfile.TemporaryDirectory() as scratch:
        yield registered.bring(uri, out=Path(scratch)), mlflow.name_of(uri), uri


def _work(root: Path, name: str) -> Path:
    return options.open_home(root).root / "work" / name


def _need(file: Path, *, verb: str) -> None:
    if not file.exists():
        raise errors.UsageError(f"{file} is not there: run `fairway {verb}` first")


def _verdict(work: Path) -> artifacts.GateDecision:
    """Return what the gate said of the model that lies there now; of another one, trained before,
    it says nothing."""
    file = work / "evaluation" / "gate.json"
    _need(file, verb="evaluate")
    said = artifacts.read_json(file)
    if said.get("model") != _digest(work):
        raise errors.UsageError(
            f"{file} is about a model that was replaced since: run `fairway evaluate` again"
        )
    return artifacts.from_json(artifacts.GateDecision, said["decision"])


def _scores(record: artifacts.Evaluation) -> str:
    """Return the task's metrics in words."""
    from fairway.model import tasks
    from fairway.model.metrics import figure

    metrics = tasks.named(record.task).measured(record.metrics)
    said = "  ".join(f"{metric.words} {figure(record.metrics[metric.name])}" for metric in metrics)
    found = [f"{row['class']} {row['recall']:.3f}" for row in record.per_class[:MOST_RECALLS]]
    more = (
        f" and {len(record.per_class) - MOST_RECALLS} more"
        if len(record.per_class) > MOST_RECALLS
        else ""
    )
    return said + (f"\nrecall   {', '.join(found)}{more}" if found else "")


def _digest(work: Path) -> str:
    return files.digest_file(work / "checkpoint" / "model.onnx")


def serving(root: Path, name: str) -> Path | None:
    """Return the package of the revision in service here, if there is one: the champion."""
    from fairway.platforms.local import state

    place = options.open_home(root)
    if not place.state.exists():
        return None
    with contextlib.closing(state.Store(place.state)) as store:
        revision = store.serving(name)
    return Path(revision.package) if revision else None


def _bento(record: artifacts.Package, bento_home: Path) -> str:
    from fairway.packaging import bento

    return bento.build(Path(record.path), home=bento_home).tag
