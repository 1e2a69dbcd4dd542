"""The verb of monitoring: what was seen in service, and what would have been."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairway import artifacts, errors
from fairway.cli import accepting, fleet, loops, options

if TYPE_CHECKING:
    from fairway.config import sections
    from fairway.data import histories
    from fairway.monitoring.drift import hindsight
    from fairway.platforms.local import home as homes
    from fairway.platforms.local import state


@click.group(invoke_without_command=True)
@click.option(
    "--limit", type=click.IntRange(min=1), default=10, show_default=True, help="Windows to show."
)
@options.config
@options.home
@options.output
@click.pass_context
def monitor(
    context: click.Context,
    limit: int,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Show drift, realised loss (of classes: accuracy) and alerts of the deployment."""
    if context.invoked_subcommand is not None:
        return
    options.need_posix()
    from fairway.monitoring import references, watched
    from fairway.monitoring.eventstore import places
    from fairway.platforms.local import client

    config = options.load(path, overrides)
    home = options.open_home(root)
    deployment = client.deployment(home, config.name)
    with contextlib.closing(places.to_read(home.events)) as store:
        serving = [
            _measured(store, config, revision, share=share, home=home)
            for revision, share in _shares(deployment)
            if revision
        ]
        most: dict[str, Any] = (
            serving[0]
            if serving
            else {"revision": None, "labelled": 0, "loss": None, "accuracy": None}
        )
        windows = (
            store.conclusions.drift(config.name, revision=most["revision"], limit=limit)
            if serving
            else []
        )
        mark = store.conclusions.mark(watched.mark(config.name))
        known_alerts = [
            artifacts.as_json(alert) for alert in store.conclusions.alerts(deployment=config.name)
        ]
    record = {
        "deployment": config.name,
        **{key: most[key] for key in ("revision", "labelled", "loss", "accuracy")},
        "serving": serving,
        "retraining": deployment.retraining,
        "learning": _learning(mark or {}, windows, config.monitoring, revision=most["revision"]),
        "usual": accepting.usual(mark or {}, references.local(home.root, config.name)),
        "windows": windows,
        "alerts": known_alerts,
    }
    options.show(record, form=form, text=_monitored(record))


def _shares(deployment: "state.Deployment") -> list[tuple[str | None, int]]:
    """Return the revisions that answer and their shares in percent, the largest first."""
    from fairway.rollout import states

    current = deployment.state
    weight, _ = deployment.weights
    shares = [(current.stable, states.TOTAL - weight), (current.candidate, weight)]
    return sorted((share for share in shares if share[1]), key=lambda share: -share[1])


def _learning(
    mark: Mapping[str, Any],
    windows: Sequence[Mapping[str, Any]],
    section: "sections.Monitoring",
    *,
    revision: str | None,
) -> dict[str, int] | None:
    """Return how many windows were learnt of those that are wanted; None where windows are held
    against what was learnt, of this revision or of one with the same inputs."""
    from fairway.monitoring.drift import learning

    learnt = mark.get("learnt")
    held = not windows or any(not window["learning"] for window in windows)
    if revision is None or learnt == revision or (learnt and held):
        return None
    known = mark.get("learning", {}).get("windows", 0)
    return {"windows": known, "wanted": learning.Plan.of(section).windows}


def _measured(
    store: Any, config: Any, revision: str, *, share: int, home: "homes.Home"
) -> dict[str, Any]:
    """Return a revision that answers with its share of the requests and its realised loss by the
    newest labels, and its performance by all of them."""
    from fairway.monitoring import performance

    known = store.history.realised(
        config.name, revision, namespace=config.namespace, limit=config.retraining.min_labels
    )
    loss = known.lost / known.rows if known.rows else None
    accuracy = 1 - loss if loss is not None and known.task is None else None
    return {
        "revision": revision,
        "share": share,
        "labelled": known.rows,
        "loss": loss,
        "accuracy": accuracy,
        "performance": performance.measured(
            store,
            config.name,
            revision,
            namespace=config.namespace,
            slices=config.evaluation.slices,
            told_apart=_classes(home, revision),
        ),
    }


def _classes(home: "homes.Home", revision: str) -> tuple[str, ...]:
    """Return the classes that a revision tells apart; none where its package cannot be read."""
    from fairway.model import tasks
    from fairway.packaging import manifest
    from fairway.platforms.local import state

    with contextlib.closing(state.Store(home.state)) as known:
        found = known.revision(revision)
    if found is None:
        return ()
    try:
        schema = manifest.load(Path(found.package)).schema
    except errors.PackageError:
        return ()
    return schema.classes if schema.task == tasks.USUAL else ()


def _monitored(record: dict[str, Any]) -> str:
    lines = [f"deployment  {record['deployment']}"]
    if record["serving"]:
        from fairway.monitoring import performance
    for one in record["serving"]:
        lines += [f"revision    {one['revision']}, {one['share']} % of the requests", _fares(one)]
        lines += performance.described(one["performance"])
    if not record["serving"]:
        lines.append("revision    no revision serves yet")
    redacted = record["windows"][-1].get("redacted") if record["windows"] else None
    if redacted:
        lines.append(f"redacted    {', '.join(redacted)}: not watched (serving.events.redact)")
    if record["retraining"]:
        lines.append(f"retraining  {record['retraining'].get('reason')}")
    if record["retraining"].get("said"):
        lines.append(f"last run    {record['retraining']['said']}")
    lines.append(
        f"windows     {len(record['windows'])} newest, {sum(bool(w.get('drifted')) for w in record['windows'])} drifted"
    )
    if record["learning"]:
        lines.append(
            "drift       what is usual is learnt: {windows} of {wanted} windows; no ticket opens before".format(
                **record["learning"]
            )
        )
    lines += accepting.described(record["usual"])
    lines += _beside(record["windows"][-1].get("beside", ()) if record["windows"] else ())
    for alert in record["alerts"]:
        state = "open" if alert["resolved_at"] is None else "resolved"
        lines.append(f"{alert['severity']:<7} {state:<9} {alert['name']}: {alert['summary']}")
        if state == "open":
            lines.append(f"        {alert['description']}")
    return "\n".join(lines)


def _beside(said: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines of the detectors that are asked beside, about the newest window."""
    if not said:
        return []
    from fairway.monitoring.drift import account

    return [f"beside      {account.beside(one)}" for one in said]


def _fares(one: dict[str, Any]) -> str:
    """Return the line of a revision's labels: accuracy of classes, mean loss of other answers."""
    if not one["labelled"]:
        return "labels      none yet"
    name = "loss" if one["accuracy"] is None else "accuracy"
    plural = "" if one["labelled"] == 1 else "s"
    return f"{name:<11} {one[name]:.3f} on {one['labelled']} label{plural}"


@monitor.command()
@click.argument("rows", type=click.Path(path_type=Path))
@click.option(
    "--reference",
    required=True,
    metavar="ROWS",
    type=click.Path(path_type=Path),
    help="Rows that the others are held against, such as the month before.",
)
@click.option("--time", help="The column with the time of each row; without, rows are even.")
@click.option("--label", help="The column with the truth, with --prediction.")
@click.option("--prediction", help="The column with the answer, with --label.")
@click.option(
    "--beside",
    metavar="NAMES",
    help="Show where river's detectors would have alarmed by the losses: adwin, page-hinkley, kswin.",
)
@options.config
@options.output
def replay(
    rows: Path,
    reference: Path,
    time: str | None,
    label: str | None,
    prediction: str | None,
    beside: str | None,
    path: Path,
    overrides: tuple[str, ...],
    form: str,
) -> None:
    """Say which tickets a history would have opened: ROWS (CSV or Parquet, in the order of their
    time) held against --reference, under monitoring.budget.

    Without fairway.yaml the defaults hold; --set monitoring.KEY=VALUE changes them. Tickets are of
    the kinds quality (missing values, new words, out of range), covariate (the inputs moved) and,
    with --label and --prediction, concept (the answers lose more than they may).
    """
    from fairway.data import histories
    from fairway.monitoring.drift import beside as others
    from fairway.monitoring.drift import hindsight

    names = others.chosen(beside or "")
    if names and label is None:
        raise click.UsageError("--beside without --label and --prediction: wanted losses to show")
    if (label is None) != (prediction is None):
        there, lacks = ("--label", "--prediction") if label else ("--prediction", "--label")
        raise click.UsageError(f"{there} without {lacks}: wanted both, or neither")
    config = options.load_or_default(path, overrides)
    served, before, schema, remarks = histories.read(
        rows,
        reference,
        columns=histories.Columns(time=time, label=label, prediction=prediction),
        section=config.data,
    )
    for remark in remarks:
        click.echo(f"fairway: {remark}", err=True)
    record = hindsight.play(
        _history(before),
        _passed(served),
        schema=schema,
        section=config.monitoring,
        retraining=config.retraining,
        timed=time is not None,
    )
    for remark in served.remarks:
        click.echo(f"fairway: {remark}", err=True)
    if served.losses is not None:
        record["beside"] = others.alarms(served.losses, names)
    options.show(record, form=form, text=hindsight.described(record, timed=time is not None))


@monitor.command()
@click.argument("rows", type=click.Path(path_type=Path), required=False)
@click.option(
    "--rows-per-hour",
    type=click.FloatRange(min=0, min_open=True),
    required=True,
    help="Rows that one deployment serves in an hour.",
)
@click.option(
    "--deployments",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many share monitoring.budget.",
)
@click.option("--feature", help="The column that is asked about; by default a typical one.")
@click.option("--time", help="The column with the time of each row, to learn hours by.")
@options.config
@options.output
def plan(
    rows: Path | None,
    rows_per_hour: float,
    deployments: int,
    feature: str | None,
    time: str | None,
    path: Path,
    overrides: tuple[str, ...],
    form: str,
) -> None:
    """Say what can be found: the smallest shift that is told within an hour, a day and a week in
    nine of ten cases, under monitoring.budget.

    Simulated on the windows of ROWS (CSV or Parquet, in the order of their time), a month before
    for example; without ROWS, on rows of 20 numbers that hang on nothing, which real ones do.
    """
    from fairway.monitoring.drift import prospects

    if not math.isfinite(rows_per_hour):
        raise errors.UsageError(f"--rows-per-hour is {rows_per_hour}: wanted a finite number")
    if time is not None and rows is None:
        raise click.UsageError("--time without ROWS: wanted the file that has the column")
    config = options.load_or_default(path, overrides)
    columns, schema, at = _reference(rows, time=time, config=config)
    record = prospects.foresee(
        columns,
        schema=schema,
        traffic=prospects.Traffic(
            rows_per_hour=rows_per_hour,
            deployments=deployments,
            tickets_per_month=config.monitoring.budget.tickets_per_month,
        ),
        at=at,
        feature=feature,
        scales=config.monitoring.scales,
        least=config.monitoring.least_shift,
    )
    options.show(record, form=form, text=prospects.described(record))


def _reference(
    rows: Path | None, *, time: str | None, config: "sections.Config"
) -> tuple[Any, Any, Any]:
    """Return the columns of a file, their schema and times; rows that are made up without one."""
    if rows is None:
        from fairway.monitoring.drift import prospects

        return *prospects.made(), None
    from fairway.data import histories

    before, schema, remarks = histories.read_reference(rows, time=time, section=config.data)
    for remark in remarks:
        click.echo(f"fairway: {remark}", err=True)
    return before.columns, schema, before.at


def _history(served: "histories.Served") -> "hindsight.Recorded":
    from fairway.monitoring.drift import hindsight

    at = hindsight.evenly(served.rows) if served.at is None else served.at
    return hindsight.Recorded(
        columns=served.columns, at=at, losses=served.losses, answers=served.answers
    )


def _passed(served: "histories.Streamed") -> "hindsight.Passed":
    from fairway.monitoring.drift import hindsight

    at = hindsight.evenly(served.rows) if served.at is None else served.at
    return hindsight.Passed(
        at=at,
        batches=served.batches,
        at_once=served.at_once,
        losses=served.losses,
        answers=served.answers,
    )


monitor.add_command(fleet.run)
monitor.add_command(loops.loops)
monitor.add_command(accepting.accept)
