"""The table of a run's steps, as a terminal shows it."""

import io

from rich.console import Console

from fairway.cli import progress
from fairway.pipelines.steps import Told


def shown(table: progress.StepTable) -> list[list[str]]:
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    console.print(table)
    return [line.split() for line in console.file.getvalue().splitlines()]


def test_the_table_has_status_time_memory_and_the_last_line_of_each_step():
    now = [100.0]
    table = progress.StepTable(clock=lambda: now[0], memory=lambda: 300 << 20)
    table.tell(Told(step="prepare", status="cached", seconds=0.0))
    table.tell(Told(step="train", status="running"))
    table.tell(Told(step="train", status="says", message="reading"))
    now[0] = 104.0
    assert shown(table) == [
        ["STEP", "STATUS", "TIME", "MEMORY", "LOG"],
        ["prepare", "cached", "0.0", "s", "-"],
        ["train", "running", "4.0", "s", "300", "MiB", "reading"],
    ]
    table.tell(Told(step="train", status="failed", seconds=4.5, message="no", memory_bytes=1 << 30))
    now[0] = 200.0
    assert shown(table)[2] == ["train", "failed", "4.5", "s", "1024", "MiB", "no"]


def test_elsewhere_a_line_tells_when_a_step_begins_gets_on_and_ends(capsys):
    with progress.steps(quiet=False) as report:
        report(Told(step="train", status="running"))
        report(Told(step="train", status="says", message="reading"))
        report(Told(step="train", status="running", seconds=1.0, message="epoch 1"))
        report(Told(step="train", status="done", seconds=2.0, memory_bytes=5 << 20))
    assert [line.split() for line in capsys.readouterr().err.splitlines()] == [
        ["train", "running"],
        ["train", "running", "1.0", "s", "epoch", "1"],
        ["train", "done", "2.0", "s", "5", "MiB"],
    ]
