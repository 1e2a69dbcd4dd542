"""The verbs from data to package: one stage each, and the whole pipeline."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fairway import artifacts, errors, files
from fairway.cli import apis, options

if TYPE_CHECKING:
    from fairway.pipelines.run import TrainingRun

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
    """Fit a model on the prepared data and export it to ONNX."""
    from fairway.cli import progress

    config = options.load(path, overrides)
    work = _work(root, config.name)
    _need(work / "dataset" / "dataset.json", verb="prepare")
    with progress.epochs(config.training.most_epochs, quiet=form == "json") as report:
        from fairway.training import fit

        record = fit.fit(
            config.training, dataset=work / "dataset", out=work / "checkpoint", progress=report
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
        champion=champion or _serving(root, config.name),
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
    XGBoost or CatBoost) and --schema, or --data with --target."""
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
        deployment = name or (options.load(path, overrides).name if path.exists() else model.stem)
        from fairway.packaging import elsewhere

        record = elsewhere.package(
            model,
            schema=schema_file,
            data=data,
            target=target,
            name=deployment,
            out=place.packages,
            evaluation=evaluation,
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


@click.group()
def run() -> None:
    """Run a whole pipeline."""


@run.command()
@apis.runner
@click.option("--deploy", is_flag=True, help="Deploy the package where the gate lets it through.")
@click.option(
    "--watch",
    is_flag=True,
    help="With --deploy: the run ends with the rollout, red where it is rolled back.",
)
@click.option(
    "--fail-on-refusal",
    is_flag=True,
    help="Let the run end red where the gate refuses; by default it is a run that did what it should.",
)
@click.option(
    "--upload",
    is_flag=True,
    help="Put data that is a file of this machine in platform.store first (--on kubernetes).",
)
@click.option(
    "--champion",
    type=click.Path(path_type=Path),
    default=None,
    help="Package of the model in service (here); by default the one that serves.",
)
@click.option(
    "--no-champion", is_flag=True, help="Compare with no model, though one is in service."
)
@click.option(
    "--cache/--no-cache",
    default=True,
    help="Take what train, evaluate and gate gave before where code, versions, configuration and content of the data "
    "are the same (here).  [default: cache]",
)
@click.option(
    "--wait",
    is_flag=True,
    help="Follow the run to its end, with its exit status (--on kubernetes); by default it is only started.",
)
@click.option(
    "--if-idle",
    is_flag=True,
    help="Do nothing while a run for this deployment goes on here, as a schedule wants; by default runs may overlap.",
)
@options.config
@options.home
@options.output
def training(
    where: apis.Runner,
    deploy: bool,
    watch: bool,
    fail_on_refusal: bool,
    upload: bool,
    champion: Path | None,
    no_champion: bool,
    cache: bool,
    wait: bool,
    if_idle: bool,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Run the training pipeline: import, prepare, train, evaluate, gate, package. Exit 3 where the
    gate refuses."""
    _check_run(
        where.remote,
        deploy=deploy,
        watch=watch,
        upload=upload,
        champion=champion,
        none=no_champion,
        wait=wait,
    )
    config = options.load(path, overrides)
    if where.remote:
        from fairway.cli import waiting
        from fairway.pipelines import submit, travel

        asked = submit.Wishes(
            deploy=deploy, watch=watch, fail_on_refusal=fail_on_refusal, compare=not no_champion
        )
        sent = travel.uploaded(config) if upload else config
        started = submit.submit(sent, access=where.access(), asked=asked)
        if not wait:
            options.show(started, form=form)
            return
        found = waiting.wait(where.access(), started["run"], quiet=form == "json")
        options.show(found, form=form, text=f"run      {found['run']}\noutcome  {found['outcome']}")
        waiting.ended(found)
        return
    from fairway.cli import progress
    from fairway.pipelines import run as runner

    place = options.open_home(root)
    if if_idle and _goes_on(place.root, config.name, form=form):
        return
    with options.interruptible(), progress.steps(quiet=form == "json") as report:
        record = runner.run_training(
            config,
            home=place.root,
            champion=None if no_champion else champion or _serving(root, config.name),
            deploy=deploy,
            watch=watch,
            cache=cache,
            progress=report,
        )
    show_run(record, form=form)


def show_run(record: "TrainingRun", *, form: str) -> None:
    """Print how a run ended; raises Refused where its gate refused."""
    for warning in record.warnings if form == "text" else ():
        click.echo(f"warning: {warning}", err=True)
    options.show(record, form=form, text=_told(record))
    if record.outcome == "refused":
        raise errors.Refused(f"the gate refused: {record.reason}")


def _goes_on(home: Path, deployment: str, *, form: str) -> bool:
    from fairway.pipelines import run_records

    found = run_records.newest_first(home, deployment=deployment)
    going = [record["run"] for record in found if record["outcome"] == run_records.RUNNING]
    if going:
        options.show({"run": None, "goes_on": going[0]}, form=form, text=f"{going[0]} goes on")
    return bool(going)


def _check_run(
    remote: bool,
    *,
    deploy: bool,
    watch: bool,
    upload: bool,
    champion: Path | None,
    none: bool,
    wait: bool,
) -> None:
    if wait and not remote:
        raise errors.UsageError("--wait is for runs elsewhere: one here is always waited for")
    if watch and not deploy:
        raise errors.UsageError("--watch follows a rollout: add --deploy")
    if champion is not None and none:
        raise errors.UsageError("--champion and --no-champion contradict: give one")
    if upload and not remote:
        raise errors.UsageError("--upload is for steps that run elsewhere: add --on kubernetes")
    if champion is not None and remote:
        raise errors.UsageError(
            "--champion is a folder of this machine, which no pod sees: leave it out, and the package of the "
            "ModelDeployment in service is taken"
        )


def _told(record: "TrainingRun") -> str:
    lines = [f"run      {record.run}", f"outcome  {record.outcome}: {record.reason}"]
    if record.package:
        lines.append(f"package  {record.package}")
    return "\n".join(lines)


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


def _serving(root: Path, name: str) -> Path | None:
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
