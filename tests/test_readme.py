"""The README's commands are run as they stand there.

Before each bash block stands an HTML comment: `<!-- run: NAME -->` (blocks of one name run in
order, in one shell, in a directory of their own) or `<!-- skip: REASON -->` (for what needs a clean
machine, a cluster or the network).
"""

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
FENCE = re.compile(r"^```(?:bash|sh|shell|console)\s*$")
MARK = re.compile(r"^<!--\s*(run|skip):\s*(.+?)\s*-->$")
LONGEST_SECONDS = 900


@dataclass(frozen=True)
class Block:
    """One block of commands, the line where it starts, and its mark (None where it has none)."""

    line: int
    text: str
    mark: tuple[str, str] | None


def blocks(text: str) -> list[Block]:
    """The blocks of commands; a mark is the last line before a block that is not empty."""
    found, lines, mark, number = [], text.splitlines(), None, 0
    while number < len(lines):
        line = lines[number].strip()
        if line.startswith("```"):
            end = next(
                (i for i in range(number + 1, len(lines)) if lines[i].strip() == "```"), len(lines)
            )
            if FENCE.match(line):
                found.append(Block(number + 1, "\n".join(lines[number + 1 : end]), mark))
            number, mark = end, None
        elif line:
            match = MARK.match(line)
            mark = (match[1], match[2]) if match else None
        number += 1
    return found


def groups(found: list[Block]) -> dict[str, list[Block]]:
    """The blocks to run, by name, in the README's order."""
    named: dict[str, list[Block]] = {}
    for block in found:
        if block.mark and block.mark[0] == "run":
            named.setdefault(block.mark[1], []).append(block)
    return named


def run(commands: str, *, where: Path, timeout: float) -> tuple[int, str]:
    """The exit status of one shell and what it printed; it stops at the first command that fails,
    and leaves nothing running."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("FAIRWAY_")
    }
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    shell = subprocess.Popen(
        ["bash", "-euxo", "pipefail", "-c", commands],
        cwd=where,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = shell.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)
        printed, _ = shell.communicate()
        printed += f"\nnot done after {timeout:.0f} s"
    finally:
        if (where / ".fairway").exists():  # servers outlive the shell by design
            subprocess.run(
                [sys.executable, "-m", "fairway", "down"],
                cwd=where,
                env=environment,
                capture_output=True,
                timeout=60,
            )
    return shell.returncode, printed


FOUND = blocks(README.read_text(encoding="utf-8"))
GROUPS = groups(FOUND)


@pytest.mark.local
@pytest.mark.timeout(LONGEST_SECONDS + 80)
@pytest.mark.parametrize(
    "name", [name for name in GROUPS if not name.startswith("cluster")]
)  # those: tests/cluster/test_journey.py
def test_commands_of_the_readme_work(name, tmp_path):
    (tmp_path / "adult.data").symlink_to(ROOT.parent / "shared" / "data" / "adult.data")
    status, printed = run(
        "\n".join(block.text for block in GROUPS[name]), where=tmp_path, timeout=LONGEST_SECONDS
    )
    where = ", ".join(str(block.line) for block in GROUPS[name])
    assert status == 0, (
        f"README.md, blocks at lines {where}, ended with status {status}:\n{printed[-4000:]}"
    )


def test_every_block_of_the_readme_is_run_or_says_why_not():
    unmarked = [block.line for block in FOUND if block.mark is None]
    assert not unmarked, (
        f"README.md, lines {unmarked}: wanted <!-- run: NAME --> or <!-- skip: REASON --> before the block"
    )


EXAMPLE = """
<!-- run: first -->
```bash
cd "$PWD" && export WORD=one
```

Some text.

```json
{"not": "run"}
```

<!-- skip: needs a cluster -->

```bash
exit 9
```

```bash
echo unmarked
```

<!-- run: first -->
```bash
echo "$WORD" > word
```
"""


def test_blocks_are_found_with_their_marks():
    marks = [block.mark for block in blocks(EXAMPLE)]
    assert marks == [("run", "first"), ("skip", "needs a cluster"), None, ("run", "first")]


def test_blocks_of_one_name_share_a_shell_in_a_directory_of_their_own(tmp_path):
    status, printed = run(
        "\n".join(block.text for block in groups(blocks(EXAMPLE))["first"]),
        where=tmp_path,
        timeout=30,
    )
    assert status == 0, printed
    assert (tmp_path / "word").read_text() == "one\n"


def test_a_command_that_fails_stops_its_group(tmp_path):
    status, printed = run("false\ntouch reached", where=tmp_path, timeout=30)
    assert status == 1
    assert "+ false" in printed
    assert not (tmp_path / "reached").exists()


def test_the_projects_own_commands_come_first(tmp_path):
    status, printed = run("command -v python", where=tmp_path, timeout=30)
    assert status == 0
    assert Path(printed.splitlines()[-1]).parent == Path(sys.executable).parent


def test_a_group_that_does_not_end_is_stopped(tmp_path):
    status, printed = run("cat <(tail -f /dev/null)", where=tmp_path, timeout=1)
    assert status == -signal.SIGKILL
    assert "not done after 1 s" in printed
