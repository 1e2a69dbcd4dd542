"""What every detector that two samples may be held against each other by keeps to, of both engines."""

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
SCHEMA = Schema(target="", features=(Feature(name="yes", kind="boolean"),))
NAMES = sorted({*plugins.found("detectors"), *plugins.found("comparisons")})


def made(rows: int, seed: int, *, shift: float = 0.0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=rows) + shift,
        "gaps": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
        "word": rng.choice(np.array(list("abc"), dtype=object), rows),
        "yes": (rng.random(rows) < 0.3).astype(float),
        "still": np.ones(rows),
    }


@pytest.fixture(scope="module", params=NAMES)
def detector(request: pytest.FixtureRequest) -> base.Detector:
    return detectors.compared_by(request.param, p_value=0.01, schema=SCHEMA)


def test_samples_of_one_distribution_are_no_drift_and_a_shift_is(
    detector: base.Detector,
) -> None:
    reference = made(400, 0)
    same, shifted = (
        detector.check(reference, made(300, seed, shift=shift)) for seed, shift in ((1, 0), (2, 1))
    )
    assert not same.drifted
    assert same.p_value > 0.01
    assert shifted.drifted
    assert shifted.p_value < shifted.threshold == 0.01
    assert shifted.moved[0].name in ("x", "columns together")
    assert detector.check(reference, made(300, 2, shift=1)) == shifted


def test_a_column_that_goes_missing_is_drift_and_no_nan_comes_out(detector: base.Detector) -> None:
    reference, window = made(400, 3), made(300, 4)
    window["x"][::2] = np.nan
    window["gaps"][:] = np.nan
    found = detector.check(reference, window)
    assert found.drifted
    assert all(np.isfinite([one.p_value, one.statistic]).all() for one in found.features)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1.7976931348623157e308, 5e-324], ids=str)
def test_one_value_at_the_end_of_what_a_float_holds_decides_nothing(
    detector: base.Detector, value: float
) -> None:
    window = made(300, 1)
    window["x"][0] = value
    found = detector.check(made(400, 0), window)
    assert not found.drifted
    assert all(np.isfinite([one.p_value, one.statistic]).all() for one in found.features)


def test_columns_that_never_vary_are_no_drift(detector: base.Detector) -> None:
    still = {"x": np.ones(100), "word": np.array(["a"] * 100, dtype=object)}
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
