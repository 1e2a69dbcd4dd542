"""The command line as users call it: a process of its own in a folder of its own, or in this one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fairway import cli

FEW = "age,sector,income\n" + "".join(
    f"{20 + i % 40},{'state' if i % 3 else 'private'},{'high' if (i % 40 > 20) != (i % 7 == 0) else 'low'}\n"
    for i in range(200)
)


def fairway(*arguments: str, where: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fairway", *arguments],
        cwd=where,
        capture_output=True,
        text=True,
        timeout=320,
    )


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def here(capsys: pytest.CaptureFixture[str], *arguments: str) -> Done:
    """Call the command line in this process: the imports of one cost seconds."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    return Done(int(ended.value.code or 0), *capsys.readouterr())


def one_object(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the one JSON object that the program printed."""
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def assert_one_sentence(done: subprocess.CompletedProcess[str], *, status: int, words: str) -> None:
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert (
        len([line for line in done.stderr.splitlines() if line.startswith(("fairway:", "Error:"))])
        == 1
    )
