"""The verbs by which a client's part is played: predict, label, outcome."""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fairway import errors
from fairway.cli import options

if TYPE_CHECKING:
    from fairway.platforms.local import requests

options.need_posix()

SAID_ALREADY = "said what the store has already"
FIRST_COUNTS = "of requests that have such an outcome, of which the first counts"


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=None,
    help="Rows to send, csv or parquet; by default the test rows that `prepare` left.",
)
@click.option(
    "--rows", type=click.IntRange(min=1), default=5, show_default=True, help="How many of them."
)
@click.option(
    "--row",
    default=None,
    metavar="JSON",
    help='One row as a JSON object, such as {"age": 41, ...}.',
)
@options.config
@options.home
@options.output
def predict(
    data: Path | None,
    rows: int,
    row: str | None,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Send rows to the model in service, through the gateway."""
    from fairway.platforms.local import requests

    config = options.load(path, overrides)
    home = options.open_home(root)
    answers = requests.predict(
        home, config.name, data=data, limit=rows, row=row, separator=config.data.separator
    )
    options.show(answers, form=form, text=options.table(answers))


@click.command()
@click.argument("request_id", required=False)
@click.argument("label", required=False)
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path),
    default=None,
    help="Many labels: CSV with the columns request_id and label; rows without a label are left out.",
)
@options.config
@options.home
@options.output
def label(
    request_id: str | None,
    label: str | None,
    file: Path | None,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Send the true LABEL of the prediction REQUEST_ID, or many from a file.

    Several labels of one row are a JSON list, such as '["bug", "login"]', or divided by
    data.separator.
    """
    from fairway.platforms.local import requests

    rows = _rows(
        file,
        {"request_id": request_id, "label": label},
        wanted="REQUEST_ID and LABEL, or --file with both as columns",
        may_lack="label",
    )
    config = options.load(path, overrides)
    pairs = [(row["request_id"], row["label"]) for row in rows]
    sent = requests.send_labels(
        options.open_home(root),
        config.name,
        namespace=config.namespace,
        labels=pairs,
        now=time.time(),
        separator=config.data.separator,
    )
    options.show(sent._asdict(), form=form, text=_sent(sent, "labels", again=SAID_ALREADY))


@click.command()
@click.argument("request_id", required=False)
@click.argument("name", required=False)
@click.argument("value", required=False)
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path),
    default=None,
    help="Many outcomes: CSV with the columns request_id, outcome and value.",
)
@options.config
@options.home
@options.output
def outcome(
    request_id: str | None,
    name: str | None,
    value: str | None,
    file: Path | None,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Send what became of REQUEST_ID (NAME such as purchase, VALUE a number), or many from a file;
    guards of type business read them.
    """
    from fairway.platforms.local import requests

    rows = _rows(
        file,
        {"request_id": request_id, "outcome": name, "value": value},
        wanted="REQUEST_ID, NAME and VALUE, or --file with them as columns",
    )
    config = options.load(path, overrides)
    outcomes = [
        (row["request_id"], row["outcome"], _finite(row["value"], of=row["request_id"]))
        for row in rows
    ]
    sent = requests.send_outcomes(
        options.open_home(root),
        config.name,
        namespace=config.namespace,
        outcomes=outcomes,
        now=time.time(),
    )
    options.show(sent._asdict(), form=form, text=_sent(sent, "outcomes", again=FIRST_COUNTS))


def _sent(sent: "requests.Sent", what: str, *, again: str) -> str:
    """Return what became of labels or outcomes; `again` says what those are that were not new."""
    unknown = (
        f"; {sent.unknown} of requests that the store does not know: they count once the server's event comes"
        if sent.unknown
        else ""
    )
    what = what if sent.sent != 1 else what.removesuffix("s")
    known = f"; {sent.sent - sent.new} {again}" if sent.new < sent.sent else ""
    return f"sent {sent.sent} {what}, {sent.new} of them new{known}{unknown}"


def _rows(
    file: Path | None, given: dict[str, str | None], *, wanted: str, may_lack: str | None = None
) -> list[dict[str, str]]:
    """Return the rows of the file where there is one, else the one that the arguments are; rows that
    lack what they may are left out, and told."""
    from fairway.platforms.local import requests

    if file is not None:
        rows, lacking = requests.read_rows(file, list(given), may_lack=may_lack)
        if lacking:
            click.echo(f"{lacking} of the rows of {file} without a {may_lack} left out", err=True)
        return rows
    row = {column: value for column, value in given.items() if value is not None}
    if len(row) < len(given):
        raise errors.UsageError(f"wanted {wanted}")
    return [row]


def _finite(text: str, *, of: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise errors.UsageError(f"the outcome of request {of} is {text!r}: wanted a number")
    return number
