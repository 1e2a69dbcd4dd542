"""What was found in a file of rows as a `fairway.yaml` with the reason beside each key, and as a few
lines for the terminal."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from fairway.config import documents, sections
from fairway.data import inspect
from fairway.model.tasks.base import percent

RARE = 0.05  # share of a class below which accuracy says nothing
IMBALANCE = 0.1  # share of a class below which accuracy alone says little
MANY_ROWS = 10_000  # from here on larger batches are faster and no worse
TWO = 2


def render(
    findings: inspect.Findings, *, name: str | None = None, relative_to: Path | None = None
) -> str:
    """Return the text of `fairway.yaml`. The path is written relative to `relative_to` where the
    file lies below or near it."""
    lines = [
        *_head(findings, name),
        *_data(findings, relative_to),
        *_split_lines(findings),
        *_training(findings),
        *_evaluation(findings),
    ]
    return "\n".join(lines) + "\n"


def summary(findings: inspect.Findings) -> str:
    """Return a few lines for the terminal: rows, classes, what is left out and why."""
    lines = [
        f"{findings.path.name}: {findings.rows:,} rows, {len(findings.features)} columns to predict "
        f"{findings.target} from"
    ]
    lines.append(f"task     {findings.task}: {findings.task_why}")
    lines.append(f"target   {findings.shown}")
    if findings.remark:
        lines.append(f"look at  {findings.target}: {findings.remark}")
    lines += [
        f"ignored  {column.name}: {column.why}{_remedy(column)}" for column in findings.ignored
    ]
    lines += [f"look at  {column.name}: {column.why}" for column in findings.features if column.why]
    lines.append(f"split    {findings.method}: {findings.split_why}")
    chosen = _metric(findings)
    if chosen is not None:
        lines.append("metric   {}: {}".format(*chosen))
    return "\n".join(lines)


def _remedy(column: inspect.Column) -> str:
    return f"; {column.needs}" if column.needs not in ("", inspect.USELESS) else ""


def _head(findings: inspect.Findings, name: str | None) -> Iterator[str]:
    origin = f"{_comment(findings.path.name)}: {findings.rows:,} rows"
    yield f"# Written by `fairway init` from {origin}. Change what you know better."
    why = "names the deployment" if name else "names the deployment; from the file's name"
    yield _line("name", name or _name(findings.path), why, indent=0)
    yield ""


def _data(findings: inspect.Findings, relative_to: Path | None) -> Iterator[str]:
    yield "data:"
    yield _line("source", findings.source, "")
    yield _line("path", _path(findings.path, relative_to), "")
    rare = findings.rarest
    seldom = rare is not None and rare < IMBALANCE / 2
    hint = (
        f"; the rarest has {percent(rare)}: look at recall by class"
        if rare is not None and seldom
        else ""
    )
    remark = f"; {findings.remark}" if findings.remark else ""
    yield _line("target", findings.target, f"{findings.shown}{hint}{remark}")
    yield _line("task", findings.task, findings.task_why)
    for key, value in findings.keys.items():
        yield _line(key, list(value) if isinstance(value, tuple) else value, "")
    yield "  # To predict from:"
    width = min(24, max(len(column.name) for column in findings.features))
    for column in findings.features:
        remark = f"; {column.why}" if column.why else ""
        yield f"  #   {_comment(column.name):<{width}}  {_comment(column.found + remark)}"
    if findings.ignored:
        yield "  ignore:                       # left out; take a line away to use the column, and do what it says"
        for column in findings.ignored:
            remark = f"; {column.needs}" if column.needs else ""
            yield f"    - {_scalar(column.name)}".ljust(32) + f"# {_comment(column.why + remark)}"
    else:
        yield _line(
            "ignore",
            [],
            "no column looks like an identifier or like something only known afterwards",
        )
    yield _line(
        "categorical",
        [],
        "number columns that are codes; text columns are categories by themselves",
    )
    most = max((column.categories for column in findings.features), default=0)
    if most > inspect.USUAL_CATEGORIES:
        yield _line(
            "maxCategories",
            most,
            f"a text column has {most} different values, with enough rows of each",
        )


def _split_lines(findings: inspect.Findings) -> Iterator[str]:
    shares = sections.Split()
    yield "  split:"
    yield _line("method", findings.method, findings.split_why, indent=4)
    if findings.split_column is not None:
        yield _line("column", findings.split_column, "", indent=4)
    rows = round(shares.validation * findings.rows), round(shares.test * findings.rows)
    yield _line(
        "validation", shares.validation, f"about {rows[0]:,} rows for early stopping", indent=4
    )
    yield _line(
        "test", shares.test, f"about {rows[1]:,} rows that evaluation looks at once", indent=4
    )
    yield ""


def _training(findings: inspect.Findings) -> Iterator[str]:
    categories = sum(1 for column in findings.features if column.categories)
    yield "training:"
    seen = f"{len(findings.features) - categories} numbers and {categories} categories, no pictures"
    yield _line("family", "tabular", f"{seen}; or boosting, gradient-boosted trees")
    if findings.rows >= MANY_ROWS:
        yield _line(
            "batchSize", 256, f"{findings.rows:,} rows: larger batches are faster and no worse"
        )
    if findings.rarest is not None and findings.rarest < IMBALANCE:
        why = f"`balanced` finds more of the rarest class ({percent(findings.rarest)}), at the cost of calibration"
        yield _line("classWeights", "none", why)


def _evaluation(findings: inspect.Findings) -> Iterator[str]:
    chosen = _metric(findings)
    if chosen is not None:
        metric, why = chosen
        yield from ("", "evaluation:", _line("metric", metric, why))


def _metric(findings: inspect.Findings) -> tuple[str, str] | None:
    """Return the metric that is proposed in place of the task's first, and why; None where that one
    suits."""
    if findings.rarest is None or findings.rarest >= RARE:
        return None
    why = f"a model that never says the rarest class is right in {percent(1 - findings.rarest)}: accuracy hides it"
    return ("average_precision" if findings.classes == TWO else "balanced_accuracy"), why


def _line(key: str, value: Any, comment: str, *, indent: int = 2) -> str:
    text = " " * indent + f"{key}: {_scalar(value)}"
    return f"{text:<31} # {_comment(comment)}" if comment else text


def _scalar(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    if documents.parse(text) != value:  # a letter that YAML takes for the end of a line
        text = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return text.removesuffix("\n").removesuffix("...").rstrip("\n")


def _comment(text: str) -> str:
    """Return text that cannot end a comment: names and values come from the file."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _name(path: Path) -> str:
    stem = re.sub(r"[^a-z0-9]+", "-", path.name.split(".")[0].lower()).strip("-")[:53].strip("-")
    return stem or "model"


def _path(path: Path, relative_to: Path | None) -> str:
    if relative_to is None:
        return str(path)
    near = os.path.relpath(path.resolve(), relative_to.resolve())
    return str(path.resolve()) if near.count("..") > 2 else near
