"""A run's record as a page of one file."""

from pathlib import Path

import jinja2
import markupsafe

from fairway import artifacts, evaluation, files

TEMPLATE = Path(__file__).with_name("run.html.j2")
LOOK = Path(evaluation.__file__).with_name("page.css")  # what all pages look like
TAIL_LINES, TAIL_BYTES = 40, 20_000  # of each step's log


def write(out: Path, record: artifacts.Json) -> None:
    """Write the page of a run, with the end of each step's log."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = markupsafe.Markup(LOOK.read_text(encoding="utf-8"))  # noqa: S704 - a file of ours
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        style=style,
        record=record,
        reports=[str(path) for path in reports(record)],
        tails={step["step"]: tail(Path(step["log"])) for step in record["steps"]},
    )
    files.write_bytes(out, page.encode())


def reports(record: artifacts.Json) -> list[Path]:
    """Return the pages that the steps made."""
    places = (step["artifacts"].get("report", {}).get("path") for step in record["steps"])
    return [Path(place) for place in places if place and Path(place).exists()]


def tail(log: Path, *, lines: int = TAIL_LINES) -> str:
    """Return the end of a log, empty where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
