"""The verb `batch`: every row of a file answered, without a server."""

from pathlib import Path

import click

from fairway.cli import options


@click.command()
@click.argument("rows", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The answers' file (Parquet)."
)
@click.option(
    "--package",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder of the package that answers; by default the newest that was built for this configuration.",
)
@click.option(
    "--keep",
    multiple=True,
    metavar="COLUMN",
    help="A column of ROWS to write beside the answers as text, such as an identifier; may be repeated.",
)
@options.config
@options.home
@options.output
def batch(
    rows: Path,
    out: Path,
    package: Path | None,
    keep: tuple[str, ...],
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Answer every row of ROWS (csv or parquet) and write the answers to a Parquet file.

    What a value is, what is missing and what is refused are read as the servers read them
    (`serving.unreadable`). No event is logged: nobody acted on these answers yet.
    """
    from fairway.cli import progress
    from fairway.pipelines import batch_prediction

    config = options.load(path, overrides)
    chosen = package or options.newest(options.open_home(root).packages, config.name)
    with options.interruptible(), progress.rows(quiet=form == "json") as tell:
        record = batch_prediction.answer(
            chosen,
            rows=rows,
            out=out,
            keep=keep,
            lenient=config.serving.lenient,
            progress=tell,
        )
    for what, found in (
        ()
        if form == "json"
        else (
            ("beyond the training range", record.unusual),
            ("taken as missing", record.unreadable),
        )
    ):
        for name, count in found.items():
            click.echo(f"warning: {name} is {what} in {count} of {record.rows} rows", err=True)
    options.show(
        record,
        form=form,
        text=f"{record.rows} rows answered by {record.model}, {record.digest}: {record.path}",
    )
