"""docs/drift.md: its commands are run as they stand there, and print what stands below them."""

import re
from pathlib import Path

from tests import test_readme as readme

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "drift.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^```text\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def heads(text: str) -> list[list[str]]:
    """Return the words of each line but its last figures, which may move a little."""
    return [re.findall(r"[a-z]+", line) for line in text.splitlines()]


def test_the_commands_of_the_page_print_what_it_shows(tmp_path: Path) -> None:
    (blocks,) = readme.groups(readme.blocks(PAGE)).values()
    printed = []
    for block in blocks:
        status, out = readme.run(f"set +x\n{block.text}", where=tmp_path, timeout=120)
        assert status == 0, out
        printed.append(out.removeprefix("+ set +x\n"))
    assert [heads(one) for one in printed] == [heads(one) for one in SHOWN]
    assert "tickets    1\n" in printed[0]


def test_the_page_is_written_by_the_benchmark_where_it_says_so() -> None:
    parts = re.findall(
        r"^<!-- (\w+), written by python -m benchmarks.drift -->$", PAGE, re.MULTILINE
    )
    assert sorted(parts) == ["discrepancy", "fleet", "losses", "memory", "streams"]
    assert all(f"<!-- end of {part} -->" in PAGE for part in parts)


def test_the_page_is_linked_from_where_it_is_looked_for() -> None:
    assert "(docs/drift.md" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(drift.md" in (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
