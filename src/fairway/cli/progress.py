"""Progress: a bar on a terminal, plain lines elsewhere, nothing where a program reads."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click


@contextmanager
def epochs(total: int, *, quiet: bool) -> Iterator[Callable[..., None] | None]:
    """Return what training calls after each epoch with its record."""
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield lambda row: click.echo(_epoch(row, total), err=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("training"),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda row: bar.update(task, completed=row["epoch"], description=_epoch(row, total))


@contextmanager
def rows(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Return what is called with how many rows are done, of how many; nothing is said but on a
    terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rows")
        yield lambda done, total: bar.update(task, completed=done, total=total)


def steps(*, quiet: bool) -> Callable[..., None] | None:
    """Return what a pipeline calls when a step starts and ends."""
    if quiet:
        return None

    def report(step: str, status: str, seconds: float | None = None, message: str = "") -> None:
        took = f" {seconds:6.1f} s" if seconds is not None else ""
        click.echo(f"{step:<10} {status:<9}{took}  {message}".rstrip(), err=True)

    return report


def _epoch(row: Any, total: int) -> str:
    losses = f"train loss {row['train_loss']:.4f}  validation loss {row['validation_loss']:.4f}"
    return f"epoch {row['epoch']:>3}/{total}  {losses}  {_besides(row)}".rstrip()


def _besides(row: Mapping[str, Any]) -> str:
    """Return what the task measures on validation rows besides the loss."""
    measured = {
        name.removeprefix("validation_"): value
        for name, value in row.items()
        if name.startswith("validation_")
    }
    return "  ".join(f"{name} {value:.4f}" for name, value in measured.items() if name != "loss")
