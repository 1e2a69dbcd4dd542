"""The verbs of labels that are asked for: which requests to label, and what the labels say."""

import csv
import dataclasses
import io
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from fairway import errors
from fairway.cli import options, past

if TYPE_CHECKING:
    from fairway.monitoring.labelling import samples

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets run, where a client's text begins so


@click.group()
def labels() -> None:
    """Draw requests to label, and say how good answers are by the labels that came."""


@labels.command()
@click.argument("deployment", required=False)
@click.option(
    "--count",
    type=click.IntRange(min=10),
    default=100,
    show_default=True,
    help="About how many requests to draw.",
)
@click.option(
    "--by",
    type=click.Choice(["importance", "uncertainty", "uniform"]),
    default="importance",
    show_default=True,
    help="Whose labels are worth most: where the loss is least sure, the answer, or all alike.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@past.origin
@click.option(
    "--output",
    "-o",
    "form",
    type=click.Choice(["csv", "json"]),
    default="csv",
    show_default=True,
    help="How the requests are printed.",
)
def sample(
    deployment: str | None,
    count: int,
    by: "samples.By",
    seed: int,
    origin: past.AskedOf,
    form: str,
) -> None:
    """Draw requests of DEPLOYMENT without a label, for a person to label.

    DEPLOYMENT is the configuration's by default; its newest 5,000 rows are drawn from, or others:
    income@20000, income@2026-11-01..2026-11-02 (UTC), income@REVISION.

    Fill in the column label of the CSV and send it with `fairway label --file`. The order is
    random: stop where you like, and send the rows that have a label. How likely each request was
    to be drawn is kept, so that `fairway labels quality` is right however they were chosen.
    """
    from fairway.monitoring.labelling import samples

    with past.served(deployment, origin) as found:
        with found.reading():  # one instant for the draw and the inputs
            drawn = samples.draw(
                found.past, found.asked, by=by, count=count, seed=seed, now=time.time()
            )
            rows = list(samples.rows(found.past, drawn, asked=found.asked))
        with found.writing():
            samples.keep(found.shelf, drawn)
    click.echo(
        f"fairway: {len(rows)} of {drawn.requests:,} requests without a label of revision "
        f"{drawn.revision}, by {by}, seed {seed}",
        err=True,
    )
    if form == "csv":
        click.echo(_csv(rows), nl=False)
        return
    about = dataclasses.asdict(dataclasses.replace(drawn, drawn=()))
    options.show({**about, "drawn": rows}, form=form)


@labels.command()
@click.argument("deployment", required=False)
@past.origin
@options.output
def quality(deployment: str | None, origin: past.AskedOf, form: str) -> None:
    """Say how much the answers of DEPLOYMENT lose (of classes: their accuracy), by the labels of
    each sample that `fairway labels sample` drew.

    Twice: by the labels alone, and with what the model itself expects to lose (prediction-powered
    inference), each with an interval that holds in 95 of 100 draws. It opens no alert.
    """
    from fairway.model import tasks
    from fairway.monitoring.labelling import samples

    with past.served(deployment, origin) as requests:
        asked = requests.asked
        known = samples.kept(requests.shelf)
        place = {"deployment": asked.meant.deployment, "namespace": asked.namespace}
        found = [samples.quality(requests.past, one, beside=known, **place) for one in known]
    if not found:
        raise errors.UsageError(
            f"no sample of {asked.meant.deployment} was drawn: `fairway labels sample` draws one"
        )
    record = {
        "deployment": asked.meant.deployment,
        "task": tasks.of(asked.schema).name,
        "samples": found,
    }
    options.show(record, form=form, text=_described(record))


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a line a request: its inputs, the answer, the label to fill in."""
    names = list(dict.fromkeys(name for row in rows for name in row["inputs"]))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["request_id", *names, "answer", "probability", "label"])
    for row in rows:
        inputs = [_cell(row["inputs"].get(name)) for name in names]
        identity, answer = _plain(row["requestId"]), _cell(row["answer"])
        table.writerow([identity, *inputs, answer, f"{row['probability']:.6g}", ""])
    return text.getvalue()


def _cell(values: Any) -> str:
    """Return the value of a request's only row, or a JSON list; of a redacted input nothing."""
    if values is None:
        return ""
    one = values[0] if len(values) == 1 else values
    if one is None:
        return ""
    return _plain(one) if isinstance(one, str) else json.dumps(one, ensure_ascii=False)


def _plain(text: str) -> str:
    """Return a client's text so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _described(record: Mapping[str, Any]) -> str:
    right = record["task"] == "classification"
    rows = [_row(one, right=right) for one in record["samples"]]
    newest = record["samples"][0]
    lines = [
        f"deployment  {record['deployment']}: {'accuracy' if right else 'mean loss'}, 95 % intervals",
        "",
        options.table(rows),
        "",
    ]
    return "\n".join([*lines, *(f"mind        {note}" for note in _notes(newest))]).rstrip()


def _row(one: Mapping[str, Any], *, right: bool) -> dict[str, str]:
    loss = one["loss"] or {}
    return {
        "drawn": datetime.fromtimestamp(one["at"], UTC).strftime("%Y-%m-%d %H:%M"),
        "revision": one["revision"],
        "by": one["by"],
        "requests": f"{one['requests']:,}",
        "labelled": f"{one['labelled']} of {one['drawn']}",
        "labels alone": _span(loss.get("labelsAlone"), right=right),
        "with the model's estimate": _span(loss.get("powered"), right=right),
    }


def _span(found: Mapping[str, float] | None, *, right: bool) -> str:
    if found is None:
        return "-"
    value, low, high = (found[key] for key in ("value", "low", "high"))
    if right:
        value, low, high = 1 - value, 1 - high, 1 - low
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _notes(newest: Mapping[str, Any]) -> Iterable[str]:
    """Return what to mind of the newest sample."""
    from fairway.monitoring.labelling import powered

    if newest["loss"] is None:
        yield f"wanted {powered.LEAST} labels at least: send them with `fairway label --file`"
        return
    if newest["labelled"] < newest["drawn"]:
        yield (
            f"{newest['drawn'] - newest['labelled']} of those drawn have no label yet, and count as the "
            "others do: label them in the order of the file, whatever they are"
        )
    if newest["loss"]["few"]:
        yield (
            f"losses are worth fewer than {powered.FEW} wrong answers: the model's estimate is not used, "
            "and both intervals are wide; draw more"
        )
