"""Two pictures: how many healthy revisions each judge has rolled back by when, and what a bad one
costs by how bad it is."""

from pathlib import Path

import matplotlib
import numpy as np

from benchmarks.judge.cells import Cells

COLOURS = {
    "fairway .05": "#0b5fa5",
    "fairway .01": "#5aa9e6",
    "fairway fused .05": "#17806d",
    "Argo 60 s, limit 0": "#b35900",
    "Argo 60 s, limit 3": "#e0a458",
    "Flagger stock": "#8c2d8c",
    "z-test, each 60 s": "#999999",
    "mSPRT .05": "#c23b3b",
}
HARMS = {"1 %": "canary 1%", "2 %": "canary 2%", "5 %": "canary 5%", "20 %": "canary 20%"}
RATES = (1, 10, 100)


def draw(short: Cells, long: Cells, *, folder: Path) -> None:
    """Write judge-false-rollback.svg and judge-harm.svg."""
    matplotlib.use("svg")
    matplotlib.rcParams |= {
        "svg.hashsalt": "fairway",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 3, figsize=(10, 3.2), sharey=True, layout="constrained")
    for panel, rate in zip(panels, RATES, strict=True):
        for judge, colour in COLOURS.items():
            at = np.sort(long[judge, "healthy", rate].at)
            minutes = np.linspace(0, 30, 361)
            panel.plot(
                minutes,
                100 * np.searchsorted(at, minutes * 60, side="right") / len(at),
                color=colour,
                label=judge,
            )
        panel.set(title=f"{rate} requests/s", xlabel="minutes", ylim=(0, 100))
    panels[0].set_ylabel("healthy revisions rolled back, %")
    _save(figure, panels, folder / "judge-false-rollback.svg")

    figure, panels = pyplot.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    for panel, rate in zip(panels, RATES, strict=True):
        for judge, colour in COLOURS.items():
            bad = [
                max(0.5, float(np.median(short[judge, name, rate].bad))) for name in HARMS.values()
            ]
            panel.plot(list(HARMS), bad, color=colour, marker="o", markersize=3, label=judge)
        panel.set(title=f"{rate} requests/s", xlabel="the canary's failures", yscale="log")
    panels[0].set_ylabel("median failed requests served in 10 min")
    _save(figure, panels, folder / "judge-harm.svg")


def _save(figure: "matplotlib.figure.Figure", panels: "np.ndarray", path: Path) -> None:
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
