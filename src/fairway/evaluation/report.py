"""The evaluation as a page: one file, nothing loaded from elsewhere, the same bytes for the same
evaluation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fairway import artifacts
from fairway.evaluation import pages
from fairway.evaluation.pages import ACCENT, INK, PALE
from fairway.model import metrics, tasks

TEMPLATE = Path(__file__).with_name("report.html.j2")
MANY_CLASSES = 30  # beyond these a drawn confusion matrix cannot be read
LONG_NAME = 14  # characters of a class beside the matrix; the table below it has the whole name
CHAMPION = "the model in service"
BESIDE = 1  # metrics in the tables besides the primary one
RELIABILITY = (
    "Reliability",
    "How often it is right at each confidence; the larger a point, the more rows. On the line, confidence can be taken "
    "at its word.",
)
CONFUSION = (
    "Confusion",
    "True class down, predicted class across; the darker, the larger the share of the true class.",
)
TENTHS = (
    "Answers and truth",
    "The rows in ten parts by their answers: on the line, answers are right on average, whatever their size.",
)
ERRORS = ("Errors", "How far answers are from the truth, and to which side.")
TRAINING = ("Training", "Loss after each epoch; the weights of the marked one were kept.")


def render(
    record: artifacts.Evaluation,
    *,
    classes: Sequence[str],
    fitted: artifacts.Checkpoint,
    details: artifacts.Json,
) -> str:
    """Return the page as HTML; what of it is drawn follows from the details that the task gives."""
    task = tasks.named(record.task)
    primary = task.metric(record.primary)
    shown = task.measured(record.metrics)
    compared = [metric for metric in shown if metric.compared and metric != primary][:BESIDE]
    plots = _plots(details, classes=classes, fitted=fitted)
    rows = [("this model", record.metrics)]
    named = {"champion": CHAMPION, **task.rules}
    rows += [
        (words, record.baselines[name])
        for name, words in named.items()
        if record.baselines.get(name)
    ]
    return pages.render(
        TEMPLATE,
        record=record,
        fitted=fitted,
        plots=plots,
        models=rows,
        verdict=_verdict(record, primary),
        primary=primary,
        cards=[primary, *(metric for metric in shown if metric != primary)],
        columns=[*compared, primary],
    )


def _plots(
    details: artifacts.Json, *, classes: Sequence[str], fitted: artifacts.Checkpoint
) -> list[tuple[str, str, str]]:
    """Return title, caption and drawing of each plot that there is something for."""
    drawings: list[tuple[str, str, Any, tuple[Any, ...]]] = []
    if "reliability" in details:
        drawings.append((*RELIABILITY, _reliability, (details["reliability"],)))
    if "confusion" in details and len(classes) <= MANY_CLASSES:
        drawings.append((*CONFUSION, _confusion, (details["confusion"], classes)))
    if "tenths" in details:
        drawings.append((*TENTHS, _tenths, (details["tenths"],)))
    if "errors" in details:
        drawings.append((*ERRORS, _errors, (details["errors"],)))
    if fitted.history:
        drawings.append((*TRAINING, _training, (fitted,)))
    return [
        (title, caption, pages.drawn(draw, *values)) for title, caption, draw, values in drawings
    ]


def _verdict(record: artifacts.Evaluation, primary: metrics.Metric) -> str:
    """Return the page's first sentence: what the model is worth beside what it is to replace."""
    champion, rule = record.baselines.get("champion"), record.baselines["zero_rule"]
    beside, name = (
        (champion, CHAMPION) if champion else (rule, tasks.named(record.task).rules["zero_rule"])
    )
    ours, theirs = record.metrics[primary.name], beside[primary.name]
    words = primary.words[0].upper() + primary.words[1:]
    return f"{words} {primary.shown(ours)} on {record.rows:,} test rows; {name}: {primary.shown(theirs)}."


def _reliability(axes: Axes, rows: Sequence[dict[str, float]]) -> None:
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1)
    for row in rows:
        axes.plot(
            [row["confidence"]] * 2,
            [row["confidence"], row["accuracy"]],
            color=ACCENT,
            alpha=0.35,
            linewidth=1,
        )
    axes.scatter(
        [row["confidence"] for row in rows],
        [row["accuracy"] for row in rows],
        s=[12 + 260 * row["share"] for row in rows],
        color=ACCENT,
        alpha=0.85,
        linewidth=0,
        zorder=3,
    )
    axes.set(xlabel="confidence", ylabel="share that is right", xlim=(0, 1.04), ylim=(0, 1.04))


def _tenths(axes: Axes, rows: Sequence[dict[str, float]]) -> None:
    answered, true = [row["answered"] for row in rows], [row["true"] for row in rows]
    ends = [min(*answered, *true), max(*answered, *true)]
    axes.plot(ends, ends, color=PALE, linewidth=1)
    axes.scatter(answered, true, s=28, color=ACCENT, zorder=3)
    axes.set(xlabel="mean answer", ylabel="mean true value")


def _errors(axes: Axes, found: artifacts.Json) -> None:
    axes.stairs(found["rows"], found["edges"], color=ACCENT, fill=True, alpha=0.85)
    axes.set(xlabel="answer less true value", ylabel="rows")


def _confusion(axes: Axes, table: Sequence[Sequence[int]], classes: Sequence[str]) -> None:
    shares = [[count / max(1, sum(row)) for count in row] for row in table]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    small = 9 if len(classes) <= 4 else 7 if len(classes) <= 12 else 5
    for i, row in enumerate(table):
        for j, count in enumerate(row):
            if count:
                axes.text(
                    j,
                    i,
                    f"{count:,}",
                    ha="center",
                    va="center",
                    fontsize=small,
                    color="white" if shares[i][j] > 0.5 else INK,
                )
    names = [name if len(name) <= LONG_NAME else f"{name[: LONG_NAME - 1]}…" for name in classes]
    axes.set(xlabel="predicted", ylabel="true", xticks=range(len(names)), yticks=range(len(names)))
    slanted = sum(map(len, names)) > 40
    axes.set_xticklabels(
        names,
        fontsize=max(small, 6),
        rotation=40 if slanted else 0,
        ha="right" if slanted else "center",
    )
    axes.set_yticklabels(names, fontsize=max(small, 6))
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _training(axes: Axes, fitted: artifacts.Checkpoint) -> None:
    epochs = [row["epoch"] for row in fitted.history]
    validation = [row["validation_loss"] for row in fitted.history]
    axes.plot(epochs, [row["train_loss"] for row in fitted.history], color=PALE, label="training")
    axes.plot(epochs, validation, color=ACCENT, label="validation")
    axes.scatter(
        [fitted.best_epoch],
        [validation[fitted.best_epoch - 1]],
        s=28,
        color=ACCENT,
        zorder=3,
        label=f"kept: epoch {fitted.best_epoch}",
    )
    axes.set(xlabel="epoch", ylabel="loss")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8)
