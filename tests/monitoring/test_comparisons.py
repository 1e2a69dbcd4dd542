"""What every detector that two samples may be held against each other by keeps to, of both engines."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairway import errors, plugins
from fairway.model.schema import Feature, Schema
from fairway.monitoring import detectors
from fairway.monitoring.detectors import base
from tests import strangers

pytestmark = pytest.mark.timeout(900)
SCHEMA = Schema(
    target="", features=(Feature(name="yes", kind="boolean"),), classes=("cat", "dog", "eel")
)
NAMES = sorted({*plugins.found("detectors"), *plugins.found("comparisons")})
# an outlier is a row that is like none: one that lacks a value is like the average of the others
OUTLIERS = {
    f"alibi-{name}" for name in ("gmm", "iforest", "knn", "lof", "mahalanobis", "pca", "svm")
}
NAMED = {"x", "columns together", "outliers", "uncertainty", "probability[cat]"}
MOST_BYTES = 200 << 20  # that a test of 800 rows takes


def made(rows: int, seed: int, *, shift: float = 0.0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=rows) + shift,
        "gaps": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
        "word": rng.choice(np.array(list("abc"), dtype=object), rows),
        "yes": (rng.random(rows) < 0.3).astype(float),
        "still": np.ones(rows),
        base.ANSWERS: rng.dirichlet([1 + 3 * shift, 1, 1], rows),
    }


REFERENCE = made(800, 0)


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def detector(name: str) -> base.Detector:
    return detectors.compared_by(name, p_value=0.01, schema=SCHEMA)


@dataclass
class Cost:
    """What a call took: bytes at most, and seconds of the processor on other threads than ours."""

    bytes: int
    elsewhere: float
    seconds: float


def measured(call: Callable[[], base.DriftResult]) -> tuple[base.DriftResult, Cost]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, threads = _kilobytes("VmRSS"), _seconds()
    result = call()
    ours, others = (after - began for after, began in zip(_seconds(), threads, strict=True))
    return result, Cost((_kilobytes("VmHWM") - before) << 10, others - ours, ours)


def _seconds() -> tuple[float, float]:
    return time.thread_time(), time.process_time()


def _kilobytes(key: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{key}:\s+(\d+)", status)[1])  # type: ignore[index]


def test_a_gross_shift_is_found_alike_each_time_on_one_thread_and_in_little_memory(
    detector: base.Detector,
) -> None:
    shifted = made(60, 2, shift=3)
    found, cost = measured(lambda: detector.check(REFERENCE, shifted))
    assert found.drifted
    assert found.p_value < found.threshold == 0.01
    assert {feature.name for feature in found.moved} & NAMED
    assert cost.bytes < MOST_BYTES
    assert cost.elsewhere < 0.1 + 0.1 * cost.seconds
    np.random.seed(9)  # whoever else draws has no part in it
    assert detector.check(REFERENCE, shifted) == found


def test_rows_of_the_reference_and_rows_like_them_are_no_drift(detector: base.Detector) -> None:
    own = {name: values[7:800:13] for name, values in REFERENCE.items()}
    windows = [own, *(made(60, seed) for seed in (10, 11, 12))]
    # P(more than 1 of 4 at 1 %) is 0.0006
    assert sum(detector.check(REFERENCE, window).drifted for window in windows) <= 1


def test_no_p_value_is_0_where_the_library_counts_permutations() -> None:
    detector = detectors.compared_by("alibi-mmd", p_value=0.01, schema=SCHEMA)
    assert detector.check(REFERENCE, made(60, 2, shift=3)).p_value == 1 / 200


def test_a_column_that_goes_missing_is_drift_and_no_nan_comes_out(
    name: str, detector: base.Detector
) -> None:
    window = made(60, 4)
    window["x"][::2] = np.nan
    window["gaps"][:] = np.nan
    window[base.ANSWERS][:] = made(60, 4, shift=3)[base.ANSWERS]
    window[base.ANSWERS][::2] = np.nan
    found = detector.check(REFERENCE, window)
    assert found.drifted or name in OUTLIERS
    assert all(np.isfinite([one.p_value, one.statistic]).all() for one in found.features)


@pytest.mark.parametrize("value", [-np.inf, 1.7976931348623157e308], ids=str)
def test_one_value_at_the_end_of_what_a_float_holds_decides_nothing(
    detector: base.Detector, value: float
) -> None:
    window = made(60, 1)
    window["x"][0] = value
    found = detector.check(REFERENCE, window)
    assert not found.drifted
    assert all(np.isfinite([one.p_value, one.statistic]).all() for one in found.features)


def test_columns_that_never_vary_are_no_drift(detector: base.Detector) -> None:
    still = {
        "x": np.ones(200),
        "word": np.array(["a"] * 200, dtype=object),
        "empty": np.full(200, np.nan),
        base.ANSWERS: np.full((200, 3), 1 / 3),
    }
    found = detector.check(still, {name: values[:50] for name, values in still.items()})
    assert (found.drifted, found.p_value) == (False, 1.0)


def test_the_cvm_test_of_columns_with_ties_is_no_false_alarm() -> None:
    """Of 0/1 columns the library gives p 0 without any shift."""
    detector = detectors.compared_by(
        "alibi-cvm", p_value=0.01, schema=Schema(target="", features=())
    )
    alarms = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        sides = [{"x": (rng.random(rows) < 0.3).astype(float)} for rows in (300, 200)]
        alarms += detector.check(*sides).drifted
    assert alarms <= 5  # P(more than 5 of 100 at 1 %) is 0.0005


def test_rows_that_went_wrong_for_a_while_are_found_online() -> None:
    window = made(200, 5)
    window["x"][100:130] += 3
    detector = detectors.compared_by("alibi-cvm-online", p_value=0.01, schema=SCHEMA)
    assert detector.check(REFERENCE, window).drifted


def test_an_online_detector_goes_on_from_no_window_before() -> None:
    """It is armed anew for each, so that a restart loses nothing."""
    detector = detectors.compared_by("alibi-lsdd-online", p_value=0.01, schema=SCHEMA)
    first = detector.check(REFERENCE, made(60, 11))
    detector.check(REFERENCE, made(60, 2, shift=3))
    assert detector.check(REFERENCE, made(60, 11)) == first


def test_what_an_online_detector_cannot_hold_is_said() -> None:
    online = detectors.compared_by("alibi-cvm-online", p_value=0.01, schema=SCHEMA)
    with pytest.raises(errors.DataError, match="the reference has 199 rows: an online detector"):
        online.check(made(199, 0), made(60, 1))
    drawn = (np.random.default_rng(rows).random((80, rows)) for rows in (200, 60))
    wide = [{f"x{place}": column for place, column in enumerate(side)} for side in drawn]
    with pytest.raises(errors.DataError, match="wanted at most 128 where each is a stream"):
        online.check(*wide)


def test_few_outliers_are_found_by_their_share_and_said_as_such() -> None:
    window = made(200, 6)
    window["x"][::10] += 6  # one row in ten
    found = detectors.compared_by("alibi-knn", p_value=0.01, schema=SCHEMA).check(REFERENCE, window)
    assert [(one.name, one.drifted) for one in found.features] == [("outliers", True)]
    assert found.features[0].effect == pytest.approx(0.1, abs=0.05)


def test_intervals_that_widen_are_found_and_answers_that_say_nothing_are_refused() -> None:
    facts = {"mean": 0.0, "std": 1.0, "spread": 4.0, "coverage": 0.9}
    quantity = Schema(target="y", features=(), task="regression", facts=facts)
    detector = detectors.compared_by("alibi-uncertainty", p_value=0.01, schema=quantity)
    middle = np.random.default_rng(0).normal(size=(3, 200))
    around = np.random.default_rng(1).uniform(1, 2, size=(3, 200)) * [[1], [1], [2]]
    reference, same, wide = (
        {base.ANSWERS: np.stack([one, one - width, one + width], axis=1)}
        for one, width in zip(middle, around, strict=True)
    )
    assert not detector.check(reference, same).drifted
    found = detector.check(reference, wide)
    assert found.drifted
    assert found.features[0].effect > 1
    alone = {base.ANSWERS: reference[base.ANSWERS][:, :1]}
    with pytest.raises(errors.DataError, match="do not say how sure they are"):
        detector.check(alone, alone)
    with pytest.raises(errors.DataError, match="one side holds no served answers, as a file does"):
        detector.check({"age": middle[0]}, {"age": middle[1]})


def test_a_name_that_is_none_gets_those_that_there_are() -> None:
    with pytest.raises(errors.UsageError, match="no detector 'psi': wanted one of alibi, alibi-cl"):
        detectors.compared_by("psi", p_value=0.01, schema=SCHEMA)


def test_few_rows_are_refused_by_a_test_of_all_columns() -> None:
    detector = detectors.compared_by("mmd", p_value=0.01, schema=SCHEMA)
    with pytest.raises(errors.DataError, match="19 rows are too few to be tested together"):
        detector.check(made(100, 0), made(19, 1))


STRANGER = """
from fairway.monitoring.detectors import together

class Means(together.TogetherDetector):
    def test(self, reference, window):
        moved = abs(window.mean(axis=0) - reference.mean(axis=0)).max()
        return (0.001 if moved > 0.5 else 1.0), float(moved)
"""


def test_a_strangers_comparison_is_asked_without_a_line_of_ours(tmp_path: Path) -> None:
    modules, entries = {"means_of": STRANGER}, {"comparisons": {"means": "means_of:Means"}}
    folder = strangers.install(tmp_path, "means-of", version="0.1", modules=modules, groups=entries)
    for name, shift in (("a", 0), ("b", 2)):
        values = np.random.default_rng(shift).normal(shift, 1, 200)
        np.savetxt(tmp_path / f"{name}.csv", values, header="x", comments="")
    done = strangers.python(
        folder, "-m", "fairway", "drift", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"),
        *("--detector", "means"),
    )  # fmt: skip
    assert "beside    means says drift (p 0.001): columns together" in done.stdout, done.stderr
