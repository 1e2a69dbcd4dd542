"""The demo's story as a page and as a few sentences."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

TEMPLATE = Path(__file__).with_name("page.html.j2")


def render(record: dict[str, Any], *, timeline: Sequence[tuple[float, str, str]]) -> str:
    """Return the page as HTML; nothing in it is loaded from elsewhere."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    pixels = {feature["name"]: feature["effect"] for feature in record["drift"]["features"]}
    largest = max(pixels.values(), default=1.0) or 1.0
    grid = [
        [pixels.get(f"image[0,{row},{column}]", 0.0) / largest for column in range(8)]
        for row in range(8)
    ]
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        record=record, timeline=timeline, summary=summary(record), grid=grid
    )


def summary(record: dict[str, Any]) -> str:
    """Return what a reader should take away, every number measured in this run."""
    accuracy, labels = record["accuracy"], record["labels"]
    return (
        f"{record['requests']} requests in {record['seconds']:.0f} s, {record['failed_requests']} failed "
        f"({record['defect_errors']} more were the defective model D's own answers). "
        f"Accuracy on pictures whose labels nobody sent: {accuracy['before_shift']:.3f} before the shift, "
        f"{accuracy['after_shift']:.3f} after it, "
        f"{accuracy['after_retraining']:.3f} with the challenger trained on {labels['joined']} late labels. "
        f"Stated error rates: a healthy revision is rolled back with probability at most "
        f"{record['false_rollback']:g}; one beyond a guard's limit is "
        f"certified with probability at most {record['false_promotion']:g}."
    )
