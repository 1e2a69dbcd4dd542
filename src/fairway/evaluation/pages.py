"""Pages of one file: a template with drawings, nothing loaded from elsewhere, the same bytes for the
same content."""

from io import StringIO
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import matplotlib
from matplotlib.figure import Figure

from fairway.model import metrics

LOOK = Path(__file__).with_name("page.css")
INK, ACCENT, PALE, MUTED = "#1f2933", "#2563eb", "#cbd5e1", "#64748b"
SIZE = (4.4, 3.5)  # inches; the page scales the drawings to its columns
# no date, and a fixed salt for the ids; text stays text, so that it can be searched and no font is
# embedded
STYLE: Any = {
    "svg.hashsalt": "fairway",
    "svg.fonttype": "none",
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": PALE,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "font.size": 9,
    "text.parse_math": False,
}


def render(template: Path, **values: Any) -> str:
    """Return a template's page as HTML; `style` is what pages look like."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": lambda value: f"{100 * value:.2f} %",
        "count": lambda value: f"{value:,}",
        "figure": metrics.figure,
    }
    style = markupsafe.Markup(LOOK.read_text(encoding="utf-8"))  # noqa: S704 - a file of ours
    page = environment.from_string(template.read_text(encoding="utf-8"))
    return page.render(style=style, **values)


def drawn(draw: Any, *values: Any) -> str:
    """Return what `draw(axes, *values)` draws as SVG, to stand within a page."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SIZE)
        axes = figure.subplots()
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        draw(axes, *values)
        figure.tight_layout()
        out = StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
