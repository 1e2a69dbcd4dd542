"""The e-detector's promise: what reaches 1 by chance is at most what was spent."""

import json

import numpy as np
import pytest
from scipy import integrate

from fairway.monitoring.drift.edetector import DELAY, MOST_OF_ALL, EDetector, e_value
from fairway.monitoring.drift.realised import MONTH, LossWatch


def test_the_mean_of_an_e_value_is_one_where_p_is_uniform() -> None:
    mean, _ = integrate.quad(lambda log: e_value(np.exp(-log)) * np.exp(-log), 1e-6, 60, limit=500)
    assert mean == pytest.approx(1, abs=0.02)
    assert e_value(1.0) == 0.5
    assert e_value(0.2) > e_value(0.3) > e_value(0.9)


@pytest.mark.parametrize("reference", [20, 100, 400])
def test_evidence_without_a_change_exceeds_what_was_spent_by_nothing_on_average(
    reference: int,
) -> None:
    spend, crossings, looks = 1 / 200, 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        evidence = EDetector(rng.normal(size=(reference, 1)), weights=[1.0])
        for at in range(1000):
            evidence.look([float(rng.normal())], spend=spend, at=float(at))
            looks += 1
            if evidence.total >= 1:
                crossings += 1
                evidence.restart()
    assert crossings <= looks * spend  # 300; of 60 histories of five expected at most each


def test_evidence_grows_while_windows_surprise_and_says_since_when() -> None:
    rng = np.random.default_rng(3)
    evidence = EDetector(rng.normal(size=(200, 2)), weights=[0.5, 0.5])
    for at in range(30):
        evidence.look([float(rng.normal()), float(rng.normal())], spend=1e-4, at=float(at))
    before = evidence.total
    for at in range(30, 45):
        evidence.look([float(rng.normal()), 9.0], spend=1e-4, at=float(at))
    assert before < 0.01
    assert evidence.values[1] > 1 > evidence.values[0]
    assert evidence.began[1] is not None
    assert 29 <= evidence.began[1] <= 33


def test_a_shift_that_lasts_becomes_usual_late() -> None:
    evidence = EDetector(np.zeros((40, 1)), weights=[1.0])
    for at in range(DELAY):
        evidence.look([9.0], spend=1e-4, at=float(at))
    assert evidence.windows == 40
    evidence.look([9.0], spend=1e-4, at=float(DELAY))
    assert evidence.windows == 41


def test_what_is_kept_is_bounded_however_many_streams_there_are() -> None:
    evidence = EDetector(np.zeros((50, 20_000)), weights=[1 / 20_000] * 20_000)
    assert evidence.windows <= max(MOST_OF_ALL // 20_000, 1)


def test_a_restart_goes_on_where_it_was() -> None:
    rng = np.random.default_rng(5)
    calibration = rng.normal(size=(60, 3))
    one, other = (EDetector(calibration, weights=[0.2, 0.3, 0.5]) for _ in range(2))
    for at in range(120):
        one.look(rng.normal(size=3).tolist(), spend=1e-3, at=float(at))
    other.restore(json.loads(json.dumps(one.dump())), usual=one.usual())
    scores = [float(f"{value:.7g}") for value in rng.normal(size=3)]
    for evidence in (one, other):
        evidence.look(scores, spend=1e-3, at=120.0)
    assert other.values == one.values
    assert other.dump() == one.dump()
    with pytest.raises(ValueError, match="the state has 3 streams: wanted 1"):
        EDetector(calibration[:, :1], weights=[1.0]).restore(one.dump(), usual=one.usual())


def test_a_loss_within_its_limit_starts_nothing_more_often_than_the_budget_says() -> None:
    started = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        watch = LossWatch(limit=0.2, false_starts_per_month=0.05)
        started += any(
            watch.look(float(loss), at=at * MONTH / 4000)
            for at, loss in enumerate(rng.random(4000) < 0.2)
        )
    # ten are expected at most, on the very limit; three standard deviations more are chance's
    assert started <= 0.05 * 200 + 3 * (0.05 * 200) ** 0.5


def test_a_loss_above_its_limit_is_found() -> None:
    rng = np.random.default_rng(1)
    watch = LossWatch(limit=0.2, false_starts_per_month=0.05)
    found = [
        at
        for at, loss in enumerate(rng.random(3000) < 0.35)
        if watch.look(float(loss), at=at * MONTH / 4000)
    ]
    assert found
    assert found[0] <= 800  # six days
