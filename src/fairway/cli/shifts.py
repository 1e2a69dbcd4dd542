"""The verb that holds two populations against each other: files, packages, what was served."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairway import errors
from fairway.cli import options, past

if TYPE_CHECKING:
    from fairway.config import sections
    from fairway.monitoring.aligned import Aligned
    from fairway.monitoring.populations import Population


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option("--time", help="Of files: the column with the time of each row, which is no input.")
@click.option("--label", help="Of two files: the column with the truth; the second may lack it.")
@click.option("--prediction", help="Of two files: the column with the answer.")
@click.option(
    "--p-value",
    type=click.FloatRange(min=0.005, max=0.5),
    default=0.01,
    show_default=True,
    help="Of all comparisons without a shift, the share that may say drift.",
)
@click.option(
    "--unordered",
    is_flag=True,
    help="The order of the rows means nothing, such as in a sorted file.",
)
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the account as a page, one file with plots.",
)
@click.option(
    "--detector",
    metavar="NAME",
    help="Ask another detector beside, such as native, mmd or alibi-mmd-online (docs/drift.md).",
)
@click.option("--fail-on-drift", is_flag=True, help="End with exit status 3 where there is drift.")
@past.origin
@options.output
def drift(
    before: str,
    after: str,
    time: str | None,
    label: str | None,
    prediction: str | None,
    p_value: float,
    unordered: bool,
    page: Path | None,
    detector: str | None,
    fail_on_drift: bool,
    origin: past.AskedOf,
    form: str,
) -> None:
    """Say what moved from A to B: which columns, by how much, how sure.

    Each is a file of rows (CSV, Parquet, JSON lines), the folder of a package (its reference), or
    what a deployment served: income@500 (the newest rows), income@2026-11-01..2026-11-02 (UTC, up to
    the second), income@REVISION. Files need no configuration.

    With --label and --prediction it says too whether the answers lose more, and how common each
    class became in B, whose labels need not be known.
    """
    from fairway.data import histories
    from fairway.monitoring import aligned
    from fairway.monitoring.drift import account, comparison

    config = options.load_or_default(origin.path, origin.overrides)
    columns = histories.Columns(time=time, label=label, prediction=prediction)
    sides = aligned.sides(
        before,
        after,
        columns=columns,
        section=config.data,
        ordered=not unordered,
        population=lambda text: _population(text, config=config, origin=origin),
    )
    compared = comparison.compare(
        sides.before.columns,
        sides.after.columns,
        schema=sides.schema,
        roles=sides.roles,
        least=config.monitoring.least_shift,
        threshold=p_value,
        ordered=not unordered,
    )
    beside = None if detector is None else _asked(detector, sides, p_value=p_value)
    record = account.record(sides, compared, detector=beside)
    if page is not None:
        _write(page, record, sides)
    options.show(record, form=form, text=_described(record))
    if fail_on_drift and record["drift"]:
        raise errors.Refused(f"{after} is not like {before}: {account.because(record)}")


def _asked(name: str, sides: "Aligned", *, p_value: float) -> dict[str, Any]:
    """Return what another detector says of both sides; the verdict stays ours."""
    from fairway.monitoring import detectors

    detector = detectors.compared_by(name, p_value=p_value, schema=sides.schema)
    return detectors.told(name, detector.check(sides.before.columns, sides.after.columns))


def _population(text: str, *, config: "sections.Config", origin: past.AskedOf) -> "Population":
    from fairway.monitoring import populations, stretch

    if Path(text).is_dir():
        return populations.of_package(Path(text))
    meant = stretch.asked(text)
    with past.revisions(meant, text, config, origin) as found:
        return populations.in_service(
            found.past,
            meant,
            text=text,
            namespace=found.namespace,
            revisions=found.names,
            package_of=found.package_of,
        )


def _write(page: Path, record: Mapping[str, Any], sides: "Aligned") -> None:
    try:
        from fairway.monitoring.drift import drawing
    except ImportError as error:
        raise errors.UsageError(
            f'--html needs matplotlib and jinja2 ({error}): `pip install "fairway[train]"`'
        ) from error
    wrote = options.write(page, drawing.render(record, sides).encode())
    click.echo(f"fairway: the page is {wrote}", err=True)


def _described(record: Mapping[str, Any]) -> str:
    from fairway.monitoring.drift import account

    lines = [
        f"{side:<9} {record[side]['name']} ({record[side]['of']}), {record[side]['rows']:,} rows"
        for side in ("before", "after")
    ]
    lines += [f"schema    {change['sentence']}" for change in record["schema"]]
    lines.append(f"drift     {account.verdict(record)}")
    moved = [column for column in record["columns"] if column["name"] in record["moved"]]
    if moved:
        lines += ["", options.table([row for column in moved for row in _rows(column)])]
    still = [
        column["name"]
        for column in record["columns"]
        if not column["moved"] and not column["joint"]
    ]
    if still:
        more = f" and {len(still) - 10} more" if len(still) > 10 else ""
        lines += ["", f"as before {', '.join(still[:10])}{more}"]
    lines += _labels(record["labels"])
    if record["detector"]:
        lines.append(f"beside    {account.beside(record['detector'])}")
    power = account.power(record)
    lines += [f"power     {power}"] if power else []
    lines += [f"mind      {note}" for note in [*account.notes(record), *record["remarks"]]]
    return "\n".join(lines)


def _rows(column: Mapping[str, Any]) -> list[dict[str, str]]:
    from fairway.monitoring.drift import account

    return [
        {
            "column": column["name"],
            "kind": part["kind"],
            "what": account.what(part),
            "before": account.level(part, "before"),
            "after": account.level(part, "after"),
            "moved by": account.shift(part),
            "p": f"{part['pValue']:.3g}",
        }
        for part in account.shown(column)
    ]


def _labels(labels: Mapping[str, Any] | None) -> list[str]:
    """Return the lines about how common each class became."""
    from fairway.monitoring.drift import account

    if labels is None:
        return []
    if labels["refusal"]:
        return [f"classes   not told: {labels['refusal']}"]
    shown = sorted(labels["classes"], key=lambda one: -abs(one["after"] - one["before"]))[:5]
    lines = [
        f"classes   {account.classes(labels)}",
        options.table(
            [
                {
                    "class": one["name"],
                    "before": f"{100 * one['before']:.1f} %",
                    "answered": f"{100 * one['answered']:.1f} %",
                    "labelled"
                    if labels["labelled"]
                    else "estimated": f"{100 * one['after']:.1f} %",
                    "95 %": f"{100 * one['low']:.1f} to {100 * one['high']:.1f} %",
                }
                for one in shown
            ]
        ),
    ]
    if labels["refuted"]:
        lines.append("          no shares explain the answers: what a class looks like changed too")
    return lines
