"""`python -m benchmarks.steps` measures what a step of the pipeline costs here over its stage called
in one process, and how long an unchanged training takes the second time. Prints a table.

The stages are called twice in this process and timed the second time, so that no import is in their
figures: what a step pays for a process of its own, its imports and its artifacts is the overhead.
"""

import contextlib
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.__main__ import table
from fairway.config import loader, sections
from fairway.data import prepare
from fairway.evaluation import gate, measure
from fairway.packaging import package
from fairway.pipelines import run
from fairway.training import fit

LIMITS = {"train": 5.0}  # seconds: torch is imported
LIMIT, RERUN_LIMIT = 1.5, 10.0
SETTINGS = (
    "name=digits",
    "data.source=digits",
    "data.target=digit",
    "training.family=convolutional",
    "training.epochs=8",
    "evaluation.gate.maxCalibrationError=1",
)


def main() -> None:
    config = loader.load(None, overrides=list(SETTINGS))
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        first = run.run_training(config, home=home, champion=None, deploy=False)
        again = run.run_training(config, home=home, champion=None, deploy=False)
        stages(config, Path(scratch) / "warm")
        alone = stages(config, Path(scratch) / "timed")
    rows = [_row(step["step"], step["seconds"], alone.get(step["step"])) for step in first.steps]
    print(table(rows))
    print(
        f"\nAll of it took {first.seconds} s, and the unchanged training a second time "
        f"{again.seconds} s (aim: {RERUN_LIMIT:g} s)."
    )


def stages(config: sections.Config, folder: Path) -> dict[str, float]:
    """Return the seconds of each stage, called one after the other in this process."""
    took: dict[str, float] = {}

    def timed(step: str, stage: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            made = stage(*arguments, **named)
        took[step] = time.perf_counter() - began
        return made

    dataset, checkpoint, evaluation = (folder / name for name in ("dataset", "model", "evaluation"))
    timed("prepare", prepare.prepare, config.data, out=dataset)
    timed("train", fit.fit, config.training, dataset=dataset, out=checkpoint)
    measured = timed(
        "evaluate",
        measure.evaluate,
        config.evaluation,
        dataset=dataset,
        checkpoint=checkpoint,
        champion=None,
        out=evaluation,
    )
    decision = timed("gate", gate.decide, config.evaluation.gate, evaluation=measured)
    timed(
        "package",
        package.build,
        name=config.name,
        dataset=dataset,
        checkpoint=checkpoint,
        evaluation=evaluation / "evaluation.json",
        gate=decision,
        config=config,
        out=folder / "packages",
    )
    return took


def _row(step: str, seconds: float, alone: float | None) -> dict[str, Any]:
    over = seconds - (alone or 0.0)
    return {
        "step": step,
        "as a step, s": f"{seconds:.2f}",
        "in one process, s": f"{alone or 0.0:.2f}",
        "overhead, s": f"{over:.2f}",
        "aim, s": f"{LIMITS.get(step, LIMIT):g}",
    }


if __name__ == "__main__":
    main()
