"""The loop of the benchmark: labels come late, challengers are the product's own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.elec import __main__ as bench
from benchmarks.elec import market


def turning(rows: int, *, at: int) -> pd.DataFrame:
    """Return a stream whose classes change places."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, 2))
    target = (values[:, 0] + 0.3 * rng.normal(size=rows) > 0) ^ (np.arange(rows) >= at)
    return pd.DataFrame(
        {
            "one": values[:, 0],
            "two": values[:, 1],
            market.TARGET: np.where(target, "1", "0"),
            market.ORDER: range(rows),
        }
    )


def test_the_policy_recovers_from_a_world_that_turned_with_few_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market, "FIRST", 1000)
    frame = turning(5000, at=2000)
    still, moving = (market.Loop(frame, tmp_path / name) for name in "ab")
    assert still.play(market.never) < 0.45
    assert moving.play(market.ours) > 0.6
    assert moving.losses[-1000:].mean() < 0.25
    assert 1 <= moving.deployed <= moving.runs <= 8


def test_labels_are_known_a_day_after_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market, "FIRST", 1000)
    loop = market.Loop(turning(2000, at=5000), tmp_path)
    loop.play(market.never)
    assert loop.known == 2000 - market.DELAY
    assert loop.watching.labels == 2000 - market.DELAY - 1000
    assert (loop.runs, loop.deployed) == (0, 0)


@pytest.mark.parametrize(("accuracy", "runs", "good"), [("0.757", 20, True), ("0.75", 26, False)])
def test_the_targets_are_those_of_the_page(accuracy: str, runs: int, good: bool) -> None:
    targets = bench.held({"accuracy": accuracy, "runs": runs})
    assert [target["held"] for target in targets] == ["yes" if good else "NO"] * 2
