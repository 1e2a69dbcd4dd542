"""The dashboards: what each shows is a module, and `panels` makes Grafana's JSON of it. `python
manifests/generate.py` writes them."""

import json
from collections.abc import Iterator
from pathlib import Path

from manifests.dashboards import drift, fleet, labels, panels, rollouts, serving

ALL = (serving, rollouts, drift, labels, fleet)


def files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Give the file of each dashboard, and its text."""
    for module in ALL:
        text = json.dumps(panels.written(module.DASHBOARD), indent=2, ensure_ascii=False) + "\n"
        yield folder / f"{module.DASHBOARD.name}.json", text
