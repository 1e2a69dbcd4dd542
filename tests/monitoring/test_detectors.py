from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage, stats
from sklearn.datasets import load_digits

from fairway import errors
from fairway.config import sections
from fairway.model.kinds import untrained
from fairway.model.schema import Feature, Schema
from fairway.monitoring import detectors
from fairway.monitoring.detectors import base, columns
from tests import strangers

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", params=["alibi", "native"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def detector(engine: str) -> base.Detector:
    return detectors.load(engine, p_value=0.01, schema=Schema(target="t", features=()))


def numbers(seed: int, *, rows: int = 300, features: int = 5) -> dict[str, np.ndarray]:
    values = np.random.default_rng(seed).normal(size=(rows, features))
    return {f"x{i}": values[:, i] for i in range(features)}


def test_numbers_are_tested_as_scipy_tests_them_with_one_bonferroni_correction(
    detector: base.Detector,
) -> None:
    reference, window = numbers(1), numbers(2, rows=200)
    window["x3"] = window["x3"] + 0.4
    result = detector.check(reference, window)
    for feature in result.features:
        oracle = stats.ks_2samp(reference[feature.name], window[feature.name], method="asymp")
        assert feature.p_value == pytest.approx(oracle.pvalue, rel=1e-4)
        assert feature.statistic == pytest.approx(oracle.statistic, rel=1e-4)
        assert feature.drifted == (oracle.pvalue < 0.01 / 5)
    smallest = min(
        stats.ks_2samp(reference[n], window[n], method="asymp").pvalue for n in reference
    )
    assert result.p_value == pytest.approx(min(1.0, 5 * smallest), rel=1e-4)
    assert result.drifted == (result.p_value < result.threshold)


def test_a_category_is_tested_as_scipy_tests_it(detector: base.Detector) -> None:
    rng = np.random.default_rng(3)
    reference = {"job": rng.choice(["a", "b", "c"], p=[0.6, 0.3, 0.1], size=400)}
    window = {"job": rng.choice(["a", "b", "c"], p=[0.3, 0.6, 0.1], size=200)}
    (feature,) = detector.check(reference, window).features
    table = [[(side["job"] == v).sum() for v in ("a", "b", "c")] for side in (reference, window)]
    assert feature.p_value == pytest.approx(stats.chi2_contingency(table).pvalue, rel=1e-4)
    assert feature.drifted
    assert feature.effect == pytest.approx(
        abs(np.array(table[0]) / 400 - np.array(table[1]) / 200).sum() / 2
    )


def test_a_new_category_is_found(detector: base.Detector) -> None:
    reference = {"job": np.array(["a", "b"] * 150)}
    window = {"job": np.array(["a", "b", "c", "a"] * 50, dtype=object)}
    assert detector.check(reference, window).drifted


def test_many_rare_categories_alone_are_no_drift(detector: base.Detector) -> None:
    rng = np.random.default_rng(4)
    draws = [rng.choice([f"c{i}" for i in range(150)], size=n) for n in (400, 200)]
    assert not detector.check({"city": draws[0]}, {"city": draws[1]}).drifted


def test_the_engines_say_the_same_of_the_same_windows() -> None:
    rng = np.random.default_rng(14)
    schema = Schema(target="t", features=())
    loaded = [detectors.load(name, p_value=0.01, schema=schema) for name in ("alibi", "native")]
    for shift in (0.0, 0.2, 1.0):
        reference = {"x": rng.normal(size=300), "job": rng.choice(["a", "b", "c"], 300)}
        window = {"x": rng.normal(shift, 1, 200), "job": rng.choice(["a", "b", "d"], 200)}
        window["x"][:20] = np.nan
        one, other = (detector.check(reference, window) for detector in loaded)
        assert (one.drifted, [feature.name for feature in one.moved]) == (
            other.drifted,
            [feature.name for feature in other.moved],
        )
        for ours, theirs in zip(one.features, other.features, strict=True):
            assert (ours.p_value, ours.statistic) == pytest.approx(
                (theirs.p_value, theirs.statistic), rel=1e-4
            )


def test_a_code_that_comes_back_as_a_float_is_the_same_category(engine: str) -> None:
    detector = detectors.load(
        engine,
        p_value=0.01,
        schema=Schema(target="t", features=(Feature(name="code", kind="category"),)),
    )
    rng = np.random.default_rng(5)
    reference, window = rng.integers(0, 4, 300), rng.integers(0, 4, 200).astype(float)
    assert not detector.check({"code": reference}, {"code": window}).drifted


def test_a_missing_value_does_not_silence_the_test_of_its_feature(detector: base.Detector) -> None:
    reference, window = numbers(6), numbers(7, rows=200)
    window["x0"] = window["x0"] + 1.0
    window["x0"][0] = np.nan
    result = detector.check(reference, window)
    assert [feature.name for feature in result.moved] == ["x0"]
    assert all(np.isfinite(feature.p_value) for feature in result.features)


def test_more_missing_values_are_found_by_an_exact_test(detector: base.Detector) -> None:
    reference, window = numbers(8), numbers(9, rows=200)
    reference["x1"][:3] = np.nan
    window["x1"][:30] = np.nan
    (moved,) = detector.check(reference, window).moved
    assert (moved.name, moved.kind) == ("x1 (missing)", "missing")
    assert moved.p_value == pytest.approx(stats.fisher_exact([[3, 297], [30, 170]])[1])
    assert moved.effect == pytest.approx(0.15 - 0.01)


def test_a_feature_that_goes_missing_altogether_is_found(detector: base.Detector) -> None:
    reference, window = numbers(10), numbers(11, rows=200)
    window["x2"][:] = np.nan
    assert [feature.name for feature in detector.check(reference, window).moved] == ["x2 (missing)"]


def test_constant_columns_are_left_out_and_a_constant_that_moves_is_found(
    detector: base.Detector,
) -> None:
    still = detector.check({"x": np.ones(300)}, {"x": np.ones(200)})
    assert (still.drifted, still.p_value, still.features) == (False, 1.0, ())
    (moved,) = detector.check({"x": np.ones(300)}, {"x": np.zeros(200)}).moved
    assert moved.effect < -1


def test_predicted_probabilities_are_tested_by_the_name_of_their_class(engine: str) -> None:
    detector = detectors.load(
        engine, p_value=0.01, schema=Schema(target="t", features=(), classes=("cat", "dog", "eel"))
    )
    rng = np.random.default_rng(12)
    before, after = rng.dirichlet([1, 1, 1], 300), rng.dirichlet([8, 1, 1], 200)
    result = detector.check({base.ANSWERS: before}, {base.ANSWERS: after})
    assert {feature.name for feature in result.moved} == {
        "probability[cat]",
        "probability[dog]",
        "probability[eel]",
    }


def test_a_feature_that_was_not_logged_is_named(detector: base.Detector) -> None:
    with pytest.raises(errors.DataError, match="no feature x4"):
        detector.check(numbers(1), numbers(2, features=4))


def test_a_large_picture_is_averaged_over_blocks() -> None:
    rng = np.random.default_rng(13)
    tested = columns.columns(
        {"image": rng.random((30, 3, 64, 65))},
        {"image": rng.random((20, 3, 64, 65))},
        schema=Schema(target="t", features=()),
    )
    assert len(tested) == 3 * 16 * 16 + 2 * untrained.FILTERS
    assert tested[0].name == "image[0,0,0]"


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return (load_digits().images[:, None] / 16).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_turned_digits_are_found_and_upright_ones_are_not(
    detector: base.Detector, digits: np.ndarray, seed: int
) -> None:
    chosen = np.random.default_rng(seed).permutation(len(digits))
    reference, clean = digits[chosen[:300]], digits[chosen[300:500]]
    turned = ndimage.rotate(digits[chosen[500:700]], 12, axes=(2, 3), reshape=False, order=1)
    assert not detector.check({"image": reference}, {"image": clean}).drifted
    found = detector.check({"image": reference}, {"image": turned})
    assert found.drifted
    assert found.moved[0].name.startswith("image[0,")
    assert detector.check({"image": reference}, {"image": turned}) == found


def test_clean_windows_raise_false_alarms_no_more_often_than_stated(
    detector: base.Detector,
) -> None:
    alarms = sum(
        detector.check(numbers(2 * seed), numbers(2 * seed + 1, rows=200)).drifted
        for seed in range(200)
    )
    # P(more than 8 of 200 at a rate of 1 %) is 0.0003.
    assert alarms <= 8


@pytest.mark.parametrize(
    "value",
    [1.7976931348623157e308, -1.7976931348623157e308, np.inf, -np.inf, np.nan, 5e-324],
    ids=str,
)
def test_a_value_at_the_end_of_what_a_float_holds_leaves_every_figure_finite(
    detector: base.Detector, value: float
) -> None:
    reference, window = numbers(1), numbers(2, rows=200)
    window["x3"][:2] = value
    picture = {"image": np.full((300, 1, 64, 64), 0.5)}, {"image": np.full((200, 1, 64, 64), 0.5)}
    picture[1]["image"][:2] = value
    result = detector.check({**reference, **picture[0]}, {**window, **picture[1]})
    assert all(
        np.isfinite([feature.p_value, feature.effect, feature.statistic]).all()
        for feature in result.features
    )


def test_detectors_beside_are_chosen_by_name() -> None:
    section = sections.Monitoring.model_validate({"beside": ["mmd", "alibi-knn", "mmd"]})
    assert section.beside == ("mmd", "alibi-knn")
    with pytest.raises(ValidationError, match="wanted some of alibi, alibi-classifier"):
        sections.Monitoring.model_validate({"beside": ["psi"]})


STRANGER = """
from fairway.monitoring.detectors import base

class Means:
    def __init__(self, *, p_value, schema):
        self.names = [feature.name for feature in schema.features]

    def check(self, reference, window):
        drifted = any(abs(window[name].mean() - reference[name].mean()) > 1 for name in self.names)
        return base.DriftResult(drifted=drifted, p_value=1.0, threshold=0.5, features=())

DETECTOR = Means
"""


def test_a_strangers_detector_is_configured_and_asked_without_a_line_of_ours(
    tmp_path: Path,
) -> None:
    modules, entries = {"means": STRANGER}, {"detectors": {"means": "means"}}
    folder = strangers.install(tmp_path, "means", version="0.3", modules=modules, groups=entries)
    script = """
from pathlib import Path

import numpy as np
from fairway.config import sections
from fairway.model.schema import Feature, Schema
from fairway.monitoring import detectors
schema = Schema(target="t", features=(Feature(name="x", kind="number"),))
engine = sections.Monitoring.model_validate({"engine": "means"}).engine
detector = detectors.load(engine, p_value=0.01, schema=schema)
print([detector.check({"x": np.zeros(9)}, {"x": np.full(9, level)}).drifted for level in (0.5, 2.0)])
"""
    done = strangers.python(folder, "-c", script)
    assert done.stdout.strip() == "[False, True]", done.stderr
    with pytest.raises(ValidationError, match="wanted alibi or native"):
        sections.Monitoring.model_validate({"engine": "means"})
