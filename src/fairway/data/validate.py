"""Whether rows are fit to be learnt from, before anything is: they can be prepared as `data` says,
and are what the model in service knows. Every finding is a sentence."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from fairway import artifacts, errors
from fairway.config import sections
from fairway.data import agreement, prepare, sources
from fairway.model import kinds
from fairway.model.schema import Feature, Schema

ROWS = "the new rows"
Raw = Mapping[str, NDArray[Any]]


def validate(
    section: sections.Data, *, champion: Schema | None = None, reference: Raw | None = None
) -> artifacts.Validation:
    """Return what is found: what `prepare` would say, and how the columns agree with the schema and
    the reference of the model in service, where there is one.

    Never raises DataError: rows that cannot be used at all are an error among the findings.
    """
    try:
        frame = sources.read(section).frame
    except errors.DataError as error:
        return artifacts.Validation(rows=0, columns=(), errors=(str(error),), warnings=())
    features = frame.drop(columns=[section.target, *section.ignore], errors="ignore")
    wrong, columns = (
        ([], []) if champion is None else _agreeing(features, champion, reference, section.quality)
    )
    if len(frame) < section.quality.least_rows:
        least = section.quality.least_rows
        wrong.append(f"{ROWS} are {len(frame)}: wanted {least} (data.quality.leastRows)")
    warnings = [*_unseen(columns)]
    try:
        with tempfile.TemporaryDirectory() as scratch:
            warnings += prepare.prepare(section, out=Path(scratch) / "dataset").warnings
    except errors.DataError as error:
        wrong.append(str(error))
    return artifacts.Validation(
        rows=len(frame), columns=tuple(columns), errors=tuple(wrong), warnings=tuple(warnings)
    )


def need(record: artifacts.Validation) -> None:
    """Raise DataError with the first findings for rows that are not fit."""
    if record.errors:
        more = f"; and {len(record.errors) - 3} more" if len(record.errors) > 3 else ""
        raise errors.DataError(
            f"the rows are not fit to be learnt from: {'; '.join(record.errors[:3])}{more}; mend what "
            "fills them, or set data.quality and the keys of data to what they are now"
        )


def figures(record: artifacts.Validation) -> dict[str, int]:
    """Return what is worth comparing between runs."""
    return {
        "rows": record.rows,
        "errors": len(record.errors),
        "warnings": len(record.warnings),
    }


def page(record: artifacts.Validation) -> str:
    """Return the findings as Markdown."""
    verdict = f"**not fit: {len(record.errors)} errors**" if record.errors else "**fit**"
    lines = [f"# {record.rows:,} rows: {verdict}", ""]
    for title, found in (("Errors", record.errors), ("Warnings", record.warnings)):
        lines += [f"## {title}", "", *(f"- {one}" for one in found), ""] if found else []
    if record.columns:
        head = "| column | kind | missing | was | unreadable | beyond what the model knows |"
        lines += ["## Beside the model in service", "", head, "|---|---|---|---|---|---|"]
        lines += [_row(one) for one in record.columns]
    return "\n".join([*lines, ""])


def _agreeing(
    frame: pd.DataFrame, known: Schema, reference: Raw | None, limits: sections.Quality
) -> tuple[list[str], list[artifacts.Json]]:
    """Return what is wrong beside the model in service, and each column's shares of the rows."""
    names = [str(name) for name in frame.columns]
    wanted = [feature.name for feature in known.features]
    wrong = [one.sentence for one in agreement.gone(wanted, names, name=ROWS)]
    there = tuple(one for one in known.features if one.name in names)
    raw, misread, changes = agreement.columns(
        frame, schema=replace(known, features=there), name=ROWS
    )
    wrong += [one.sentence for one in changes]
    unreadable = {one.column: one for one in misread}
    columns = []
    for feature in there:
        if feature.name not in raw:
            continue
        lost = unreadable.get(feature.name)
        shares = _shares(feature, raw, reference or {}, unreadable=lost.share if lost else 0.0)
        columns.append(shares)
        wrong += _beyond(shares, limits, example=lost.example if lost else "")
    return wrong, columns


def _shares(feature: Feature, raw: Raw, reference: Raw, *, unreadable: float) -> artifacts.Json:
    values = raw[feature.name]
    kind = kinds.of(feature)
    counted = kind.outside(feature)
    was = reference.get(feature.name)
    return {
        "name": feature.name,
        "kind": feature.kind,
        "missing": kind.profile(values)["missing"],
        "was": None if was is None else kind.profile(was)["missing"],
        "unreadable": unreadable,
        "outside": counted(values) / len(values) if counted is not None else 0.0,
    }


def _beyond(column: artifacts.Json, limits: sections.Quality, *, example: str) -> Iterator[str]:
    """Return a sentence for each share that is above its limit."""
    name = column["name"]
    if column["unreadable"] > limits.most_unreadable:
        yield (
            f"{column['unreadable']:.1%} of {name} in {ROWS} cannot be read, such as {example}: wanted at most "
            f"{limits.most_unreadable:.1%} (data.quality.mostUnreadable)"
        )
    # what cannot be read counts as missing, and was told
    rise = column["missing"] - column["unreadable"] - (column["was"] or 0.0)
    if column["was"] is not None and rise > limits.most_missing_rise:
        yield (
            f"{column['missing']:.1%} of {name} in {ROWS} are missing, {column['was']:.1%} were: wanted a rise of "
            f"at most {limits.most_missing_rise:.1%} (data.quality.mostMissingRise)"
        )


def _unseen(columns: list[artifacts.Json]) -> Iterator[str]:
    for one in columns:
        if one["outside"] > 0:
            yield f"{one['outside']:.1%} of {one['name']} is beyond what the model in service knows"


def _row(one: artifacts.Json) -> str:
    was = "-" if one["was"] is None else f"{one['was']:.1%}"
    shares = f"{one['missing']:.1%} | {was} | {one['unreadable']:.1%} | {one['outside']:.1%}"
    return f"| {one['name']} | {one['kind']} | {shares} |"
