"""A comparison as a record, for programs and for the page: what moved, in which words, and how the
columns looked. Pure."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import artifacts
from fairway.model.kinds import moment
from fairway.model.traits import UNSEEN
from fairway.monitoring import aligned as alignment
from fairway.monitoring.detectors import base
from fairway.monitoring.drift import comparison, labelshift
from fairway.monitoring.populations import Population

THINNED = 0.5  # of the rows: fewer are told; less is the rest of a block
PARTS = 5  # of one column, the surest first
OWN = ("mean", "spread", comparison.ANOTHER)  # parts that are told in the column's own numbers
WHAT = {
    "quality": "the data broke on its way, or is filled otherwise: look at what fills the column",
    "covariate": "the inputs moved",
    "prediction": "the answers moved",
    "label": "the classes became rarer or more common, or the quantity moved",
    "concept": "the answers lose more or less than before",
}


def record(
    aligned: alignment.Aligned, compared: comparison.Comparison, *, detector: Any = None
) -> artifacts.Json:
    """Return what `fairway drift` says, as plain JSON."""
    sides = {"before": aligned.before, "after": aligned.after}
    return {
        "drift": compared.drifted or bool(aligned.changes),
        "schema": [asdict(change) for change in aligned.changes],
        "pValue": compared.p_value,
        "threshold": compared.threshold,
        **{side: {"name": one.name, "of": one.of, "rows": one.rows} for side, one in sides.items()},
        "compared": {
            "rows": list(compared.rows),
            "block": compared.block,
            "permutations": compared.permutations,
            "columns": sum(not column.joint for column in compared.columns),
        },
        "moved": [column.name for column in compared.moved],
        "columns": [_column(column, aligned) for column in compared.columns],
        "foundFrom": dict(compared.found_from),
        "alike": None
        if compared.alike is None
        else {"column": compared.alike[0], "rows": compared.alike[1]},
        "unreadable": [
            {"side": side, **asdict(one)}
            for side, population in sides.items()
            for one in population.misread
        ],
        "dates": [one.name for one in aligned.schema.features if one.kind == "datetime"],
        "labels": _labels(aligned.labels),
        "detector": detector,
        "remarks": list(aligned.remarks),
    }


def _column(column: comparison.ColumnDifference, aligned: alignment.Aligned) -> artifacts.Json:
    return {
        "name": column.name,
        "joint": column.joint,
        "kind": column.kind,
        "moved": column.moved,
        "pValue": column.p_value,
        "parts": [_part(column, part, aligned) for part in column.parts[:PARTS]],
    }


def _part(
    column: comparison.ColumnDifference, part: comparison.Difference, aligned: alignment.Aligned
) -> artifacts.Json:
    before, after = part.before, part.after
    own = [_own(side, column.name, part.part) for side in (aligned.before, aligned.after)]
    if part.unit == "sd":  # of ranks: a person knows the column's own numbers
        before, after = own
    constant = {"was": own[0], "now": own[1]} if part.part == comparison.ANOTHER else {}
    return {
        "part": part.part,
        "kind": part.kind,
        "unit": part.unit,
        "effect": part.effect,
        "low": part.low,
        "high": part.high,
        "before": before,
        "after": after,
        "pValue": part.p_value,
        "moved": part.moved,
        **constant,
    }


def _own(side: Population, name: str, part: str) -> Any:
    """Return the median of a column of numbers or moments, or the span of its middle half; None of
    others."""
    values = values_of(side, name)
    if values is None or values.dtype.kind not in "fiu" or part not in OWN:
        return None
    known = values[np.isfinite(values)].astype(np.float64)
    if not len(known):
        return None
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75]).tolist()
    if not any(one.name == name and one.kind == "datetime" for one in side.schema.features):
        return high - low if part == "spread" else middle
    return (
        f"{(high - low) / moment.DAY:.4g} days" if part == "spread" else moment.iso(round(middle))
    )


def values_of(side: Population, name: str) -> NDArray[Any] | None:
    """Return what a column of the account is made of: one value a row, or None."""
    values = side.columns.get(name)
    if values is None:
        return _answers(side, name)
    flat: NDArray[Any] = values.reshape(len(values), -1)
    return flat[:, 0] if flat.shape[1] == 1 else None


def _answers(side: Population, name: str) -> NDArray[Any] | None:
    """Return the answers that a stream of them is about, see `Task.traits`."""
    answers = side.columns.get(base.ANSWERS)
    if answers is None:
        return None
    names = [f"probability[{one}]" for one in side.schema.classes]
    names += [f"answer[{place}]" for place in range(answers.shape[1])]
    if name == "answer" or name not in names:
        return answers[:, 0] if name == "answer" else None
    place = names.index(name)
    chosen: NDArray[Any] = answers[:, place % max(len(side.schema.classes), answers.shape[1])]
    return chosen


def _labels(found: labelshift.LabelShift | None) -> artifacts.Json | None:
    if found is None:
        return None
    return {
        "kind": "label",
        "refusal": found.refusal,
        "refuted": found.refuted,
        "labelled": found.labelled,
        "moved": [one.name for one in found.moved],
        "classes": [asdict(one) for one in found.classes],
    }


def classes(labels: Mapping[str, Any]) -> str:
    """Return what the shares of the classes are by."""
    if labels["labelled"]:
        return f"by the labels of {labels['labelled']:,} rows"
    return "estimated by the answers, where each class looks as before"


def shown(column: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the parts of a column that are told: those that moved, else the surest."""
    parts: list[Mapping[str, Any]] = column["parts"]
    moved = [part for part in parts if part["moved"]]
    if any(part["part"] == UNSEEN for part in moved):
        moved = [part for part in moved if part["part"] != "rarer words"]  # they are the same
    return moved or parts[:1]


def shift(part: Mapping[str, Any]) -> str:
    """Return how far a part moved, with its interval."""
    if part["unit"] == "distance":
        return f"{part['effect']:.2g} squared distance"
    if part["low"] is None:
        return f"{'more' if part['effect'] > 0 else 'less'}, it never varied"
    digits = 2 if part["unit"] != "share" or abs(part["effect"]) >= 0.1 else 3
    effect, low, high = (f"{part[key]:+.{digits}f}" for key in ("effect", "low", "high"))
    unit = {"sd": "sd", "share": "of the rows", "correlation": "correlation"}[part["unit"]]
    return f"{effect} {unit} ({low} to {high})"


def level(part: Mapping[str, Any], key: str) -> str:
    """Return what a part was before or is after, as a person writes it."""
    value = part[key]
    if value is None or part["unit"] == "distance":
        return "-"
    if part["unit"] == "share":
        return f"{100 * value:.1f} %"
    return _figure(value)


def _figure(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def what(part: Mapping[str, Any]) -> str:
    """Return a part's name in words: ranks are told by the median and the middle half."""
    if part.get("was") is not None:
        same = part["now"] in (part["was"], None)
        now = "others too" if same else f"{_figure(part['now'])} (median)"
        return f"was constant at {_figure(part['was'])}; now {now}"
    if part["unit"] != "sd":
        return str(part["part"])
    return {"mean": "level (median)", "spread": "spread (middle half)"}.get(
        part["part"], str(part["part"])
    )


def verdict(record: Mapping[str, Any]) -> str:
    """Return the account's first sentence."""
    total = record["compared"]["columns"]
    threshold = f"p at most {record['threshold']:g}, corrected for all columns"
    moved = [column for column in record["columns"] if column["name"] in record["moved"]]
    first = "yes: " if record["drift"] else "no: "
    if record["schema"]:
        changed = len(record["schema"])
        first += f"the schema changed ({changed} column{'s' * (changed > 1)}); "
    if not moved:
        return f"{first}none of {total} columns moved ({threshold})"
    if all(column["joint"] for column in moved):
        return f"{first}no column by itself, but what they have in common ({threshold})"
    alone = sum(not column["joint"] for column in moved)
    return f"{first}{alone} of {total} columns moved ({threshold})"


def because(record: Mapping[str, Any]) -> str:
    """Return why two samples are not alike, the schema first."""
    moved = record["moved"]
    names = f"{', '.join(moved[:5])} moved" if moved else ""
    return "; ".join(filter(None, [*(one["sentence"] for one in record["schema"][:3]), names]))


def beside(detector: Mapping[str, Any]) -> str:
    """Return what another detector says, which takes rows for independent, or why it says nothing."""
    if detector.get("refusal"):
        return f"{detector['name']} says nothing: {detector['refusal']}"
    said = "drift" if detector["drifted"] else "no drift"
    moved = detector["moved"]
    names = f": {', '.join(moved[:5])}" if moved else ""
    more = f" and {len(moved) - 5} more" if len(moved) > 5 else ""
    return f"{detector['name']} says {said} (p {detector['pValue']:.3g}){names}{more}"


def notes(record: Mapping[str, Any]) -> list[str]:
    """Return what should be minded beside the verdict, a sentence each."""
    found = [
        f"{column['name']}: surely, but by less than matters ({shift(column['parts'][0])}; monitoring.leastShift)"
        for column in record["columns"]
        if not column["moved"] and column["pValue"] <= record["threshold"] and not column["joint"]
    ]
    found += [
        f"{one['share']:.2%} of {one['column']} in {record[one['side']]['name']} cannot be read, such as "
        f"{one['example']}: they count as missing"
        for one in record["unreadable"]
    ]
    found += [
        f"{name} is a date: that time goes on is no drift"
        + (
            f"; where it is the time of the rows, say --time {name}"
            * (record["after"]["of"] == "file")
        )
        for name in record["dates"]
        if name in record["moved"]
    ]
    for side, rows in zip(("before", "after"), record["compared"]["rows"], strict=True):
        if rows < THINNED * record[side]["rows"]:
            found.append(
                f"{record[side]['name']}: of {record[side]['rows']:,} rows {rows:,} were compared, evenly spread"
            )
    alike = record["alike"]
    if alike is not None:
        found.append(
            f"rows that follow each other are alike: of {alike['column']} {record['compared']['rows'][0]:,} rows "
            f"say as much as {alike['rows']:,.0f}; where their order means nothing (a sorted file), add --unordered"
        )
    return found


def power(record: Mapping[str, Any]) -> str | None:
    """Return the smallest shift that would have been found, in words."""
    sizes = {"sd": "{:.2g} sd", "share": "{:.2g} of the rows"}
    told = [sizes[unit].format(size) for unit, size in record["foundFrom"].items() if unit in sizes]
    if not told:
        return None
    return f"of a typical column a shift of {' or '.join(told)} would be found in 8 of 10 cases"
