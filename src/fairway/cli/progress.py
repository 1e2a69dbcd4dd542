"""Progress: a bar on a terminal, plain lines elsewhere, nothing where a program reads."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from fairway.pipelines.steps import Told

RUNNING, SAYS = "running", "says"
REFRESHES_A_SECOND = 2  # memory is asked of every process of the machine at each
STYLES = {"running": "cyan", "done": "green", "cached": "green", "failed": "red"}


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


@contextmanager
def steps(*, quiet: bool, remote: bool = False) -> "Iterator[Callable[[Told], None] | None]":
    """Return what a pipeline calls with what its steps do: a table on a terminal, lines elsewhere.
    Of `remote` steps nobody here knows the memory."""
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield lambda told: _say(told)
        return
    from rich.console import Console
    from rich.live import Live

    table = StepTable(clock=time.time, memory=_unknown if remote else _memory)
    with Live(table, console=Console(stderr=True), refresh_per_second=REFRESHES_A_SECOND):
        yield table.tell


class StepTable:
    """The steps of a run as they stand: status, time, memory, and the last line of each one's log.

    `memory` gives what the steps have now in bytes, None where that is not known.
    """

    def __init__(self, *, clock: Callable[[], float], memory: Callable[[], int | None]) -> None:
        self._clock, self._memory = clock, memory
        self._rows: dict[str, Told] = {}
        self._began: dict[str, float] = {}
        self._last: dict[str, str] = {}

    def tell(self, told: "Told") -> None:
        """Take what a step did."""
        if told.message:
            self._last[told.step] = told.message
        if told.status == SAYS:
            return
        self._rows[told.step] = told
        if told.status == RUNNING:
            self._began.setdefault(told.step, self._clock() - (told.seconds or 0.0))

    def __rich__(self) -> "Table":
        """Return the table as it is at this moment."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=True)
        for heading in ("STEP", "STATUS"):
            table.add_column(heading, no_wrap=True)
        for heading in ("TIME", "MEMORY"):
            table.add_column(heading, no_wrap=True, justify="right")
        table.add_column("LOG", no_wrap=True, ratio=1, overflow="ellipsis")
        for name, told in list(self._rows.items()):
            table.add_row(
                name,
                Text(told.status, style=STYLES.get(told.status, "")),
                f"{self._seconds(told):.1f} s",
                mebibytes(self._memory() if told.status == RUNNING else told.memory_bytes),
                Text(self._last.get(name, ""), style="dim"),
            )
        return table

    def _seconds(self, told: "Told") -> float:
        if told.status == RUNNING:
            return self._clock() - self._began[told.step]
        return told.seconds or 0.0


def mebibytes(size: int | None) -> str:
    """Return a size for people, a dash where it is not known."""
    return "-" if size is None else f"{size / 2**20:.0f} MiB"


def _say(told: "Told") -> None:
    if told.status == SAYS:
        return
    took = f" {told.seconds:6.1f} s" if told.seconds is not None else ""
    had = f"  {mebibytes(told.memory_bytes)}" if told.memory_bytes is not None else ""
    line = f"{told.step:<10} {told.status:<9}{took}{had}  {told.message}"
    click.echo(line.rstrip(), err=True)


def _unknown() -> None:
    return None


def _memory() -> int | None:
    """Return what the processes that this one started have resident."""
    try:
        import psutil
    except ImportError:  # of the extra `local`
        return None
    total = 0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended since
            total += process.memory_info().rss
    return total


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
