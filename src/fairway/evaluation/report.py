"""The evaluation as a page: one file, nothing loaded from elsewhere."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from fairway import artifacts

TEMPLATE = Path(__file__).with_name("report.html.j2")
INK, ACCENT, PALE = "#1f2933", "#2563eb", "#cbd5e1"


def render(record: artifacts.Evaluation, *, classes: Sequence[str], fitted: artifacts.Checkpoint, reliability: Sequence[dict[str, float]]) -> str:
    """Gives the page as HTML."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    plots = {"reliability": _reliability(reliability), "confusion": _confusion(record, classes) if len(classes) <= 30 else None,
             "training": _training(fitted.history) if fitted.history else None}
    return template.render(record=record, fitted=fitted, classes=classes, plots=plots)


def _reliability(rows: Sequence[dict[str, float]]) -> str:
    figure = Figure(figsize=(4.2, 3.6))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1, label="confidence = accuracy")
    axes.plot([row["confidence"] for row in rows], [row["accuracy"] for row in rows], color=ACCENT, linewidth=1)
    axes.scatter([row["confidence"] for row in rows], [row["accuracy"] for row in rows], s=[10 + 250 * row["share"] for row in rows], color=ACCENT)
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure, axes)


def _confusion(record: artifacts.Evaluation, classes: Sequence[str]) -> str:
    figure = Figure(figsize=(4.2, 3.6))
    axes = figure.subplots()
    shares = [[count / max(1, sum(row)) for count in row] for row in record.confusion]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(record.confusion):
        for j, count in enumerate(row):
            if count:
                axes.text(j, i, str(count), ha="center", va="center", fontsize=7, color="white" if shares[i][j] > 0.5 else INK)
    axes.set(xlabel="predicted", ylabel="true", xticks=range(len(classes)), yticks=range(len(classes)))
    axes.set_xticklabels(classes, fontsize=7, rotation=45 if max(map(len, classes)) > 3 else 0)
    axes.set_yticklabels(classes, fontsize=7)
    return _svg(figure, axes)


def _training(history: Sequence[dict[str, Any]]) -> str:
    figure = Figure(figsize=(4.2, 3.6))
    axes = figure.subplots()
    epochs = [row["epoch"] for row in history]
    axes.plot(epochs, [row["train_loss"] for row in history], color=PALE, label="training loss")
    axes.plot(epochs, [row["validation_loss"] for row in history], color=ACCENT, label="validation loss")
    axes.set(xlabel="epoch", ylabel="loss (nats)")
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure, axes)


def _svg(figure: Figure, axes: Any) -> str:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    out = StringIO()
    # no date and a fixed salt for its ids: the same evaluation gives the same page
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "fairway", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg"):]
