"""Models of other libraries as graphs: the same answers on their own rows and at every split."""

import catboost
import lightgbm
import numpy as np
import onnxruntime
import pytest
import xgboost

from fairway import errors
from fairway.training import converters, stress
from fairway.training.converters import lightgbm_trees

ROWS = 1500


def rows() -> np.ndarray:
    """Return float32 rows: numbers, one of them with missing values, whole ones with ties, and a
    column of codes."""
    rng = np.random.default_rng(0)
    made = rng.normal(size=(ROWS, 5)).astype(np.float32)
    made[:, 2] = rng.integers(-3, 4, ROWS)
    made[:, 3] = rng.integers(0, 12, ROWS)
    made[rng.random(ROWS) < 0.1, 1] = np.nan
    return made


X = rows()
TWO = (X[:, 0] + np.nan_to_num(X[:, 1]) + X[:, 2] > 0).astype(int)
THREE = (X[:, 0] > 0) * 1 + np.isin(X[:, 3], [1, 4, 7]) * 1
NUMBER = X[:, 0] * 10 + X[:, 3] + 1000
FEW = {"n_estimators": 40, "n_jobs": 1}
LIGHT = {**FEW, "verbosity": -1}
CAT = {"iterations": 40, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
NO_MISSING = np.nan_to_num(X)

MODELS = {
    "lightgbm classes": lambda: lightgbm.LGBMClassifier(**LIGHT).fit(
        X, THREE, categorical_feature=[3]
    ),
    "lightgbm two": lambda: lightgbm.LGBMClassifier(**LIGHT).fit(X, TWO),
    "lightgbm number": lambda: lightgbm.LGBMRegressor(**LIGHT).fit(X, NUMBER),
    "lightgbm counts": lambda: lightgbm.LGBMRegressor(objective="poisson", **LIGHT).fit(X, NUMBER),
    "lightgbm dart": lambda: lightgbm.LGBMClassifier(boosting_type="dart", **LIGHT).fit(X, TWO),
    "lightgbm without missing": lambda: lightgbm.LGBMClassifier(**LIGHT).fit(NO_MISSING, TWO),
    "lightgbm booster": lambda: lightgbm.train(
        {"objective": "binary", "verbosity": -1, "num_threads": 1},
        lightgbm.Dataset(X, label=TWO),
        20,
    ),
    "lightgbm of one leaf": lambda: lightgbm.LGBMRegressor(min_child_samples=ROWS, **LIGHT).fit(
        X, NUMBER
    ),
    "xgboost classes": lambda: xgboost.XGBClassifier(**FEW).fit(X, THREE),
    "xgboost two": lambda: xgboost.XGBClassifier(**FEW).fit(X, TWO),
    "xgboost number": lambda: xgboost.XGBRegressor(**FEW).fit(X, NUMBER),
    "xgboost pruned": lambda: xgboost.XGBRegressor(tree_method="exact", gamma=5000.0, **FEW).fit(
        X, NUMBER
    ),
    "xgboost counts": lambda: xgboost.XGBRegressor(objective="count:poisson", **FEW).fit(X, NUMBER),
    "xgboost stopped": lambda: xgboost.XGBClassifier(early_stopping_rounds=2, **FEW).fit(
        X[500:], TWO[500:], eval_set=[(X[:500], TWO[:500])], verbose=False
    ),
    "xgboost booster": lambda: xgboost.train(
        {"objective": "multi:softmax", "num_class": 3, "nthread": 1},
        xgboost.DMatrix(X, label=THREE),
        20,
    ),
    "catboost classes": lambda: catboost.CatBoostClassifier(**CAT).fit(X, THREE),
    "catboost two": lambda: catboost.CatBoostClassifier(**CAT).fit(X, TWO),
    "catboost number": lambda: catboost.CatBoostRegressor(**CAT).fit(X, NUMBER),
}


def answered(foreign: converters.Converted, asked: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        foreign.proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: asked})[0]


@pytest.mark.parametrize("name", MODELS)
def test_a_graph_answers_as_its_model_on_every_row_and_at_every_split(name):
    foreign = converters.of(MODELS[name](), output="probabilities")
    edges = stress.edges(foreign.proto, X, missing=foreign.takes_missing)
    asked = X if edges is None else np.concatenate([X, edges.rows])
    expected = foreign.answer(asked)
    scale = np.maximum(1, np.abs(expected))
    assert foreign.columns == X.shape[1]
    assert (np.abs(answered(foreign, asked) - expected) / scale).max() < 1e-5
    assert len(asked) > ROWS or name == "lightgbm of one leaf"
    assert np.ptp(expected, axis=0).max() > 0 or name == "lightgbm of one leaf"


def test_a_split_that_is_taken_up_by_one_float32_is_found(monkeypatch):
    """A check of the check: of 1,500 rows none lies there, and those at the splits all do."""
    model = MODELS["lightgbm two"]()
    monkeypatch.setattr(
        "fairway.training.forest.below",
        lambda splits: np.nextafter(splits.astype(np.float32), np.float32(np.inf)),
    )
    foreign = converters.of(model, output="probabilities")
    edges = stress.edges(foreign.proto, X, missing=True).rows
    off = [
        np.abs(answered(foreign, asked) - foreign.answer(asked)).max(axis=1) > 1e-4
        for asked in (X, edges)
    ]
    assert off[0].mean() < 0.25 < off[1].mean()


def test_what_lightgbm_takes_for_zero_stays_on_its_side(monkeypatch):
    """LightGBM reads anything within 1e-35 of zero as zero, and splits there: the whole of it goes
    one way."""
    whole = NO_MISSING[:, 2:3]
    model = lightgbm.LGBMClassifier(**LIGHT).fit(whole, (whole[:, 0] < 0).astype(int))
    beside = np.array([[-1e-35], [-1e-36], [0], [1e-35], [-2e-35]], dtype=np.float32)
    exact = converters.of(model, output="probabilities")
    assert np.abs(answered(exact, beside) - exact.answer(beside)).max() < 1e-6
    monkeypatch.setattr(lightgbm_trees, "_past_nought", lambda splits: splits)
    as_written = converters.of(model, output="probabilities")
    assert np.abs(answered(as_written, beside) - as_written.answer(beside)).max() > 0.5


@pytest.mark.parametrize(
    ("model", "said"),
    [
        pytest.param(
            lambda: lightgbm.LGBMClassifier(),
            "the LGBMClassifier is not fitted",
            id="lightgbm not fitted",
        ),
        pytest.param(
            lambda: xgboost.XGBClassifier(),
            "the XGBClassifier is not fitted",
            id="xgboost not fitted",
        ),
        pytest.param(
            lambda: catboost.CatBoostClassifier(),
            "the CatBoostClassifier is not fitted",
            id="catboost not fitted",
        ),
        pytest.param(
            lambda: lightgbm.Dataset(X),
            "Dataset of LightGBM is no model: wanted a Booster",
            id="no model of lightgbm",
        ),
        pytest.param(
            lambda: xgboost.DMatrix(X), "DMatrix of XGBoost is no model", id="no model of xgboost"
        ),
        pytest.param(
            lambda: lightgbm.LGBMRegressor(objective="cross_entropy_lambda", **LIGHT).fit(X, TWO),
            "has the objective 'cross_entropy_lambda': wanted one of binary,",
            id="lightgbm objective",
        ),
        pytest.param(
            lambda: lightgbm.LGBMRegressor(reg_sqrt=True, **LIGHT).fit(X, NUMBER),
            "has the objective 'regression sqrt'",
            id="lightgbm root",
        ),
        pytest.param(
            lambda: lightgbm.LGBMClassifier(
                boosting_type="rf", subsample=0.5, subsample_freq=1, **LIGHT
            ).fit(X, TWO),
            r"averages its trees \(boosting rf\)",
            id="lightgbm random forest",
        ),
        pytest.param(
            lambda: lightgbm.LGBMRegressor(linear_tree=True, **LIGHT).fit(NO_MISSING, NUMBER),
            "has linear trees: wanted constant leaves",
            id="lightgbm linear trees",
        ),
        pytest.param(
            lambda: lightgbm.LGBMClassifier(zero_as_missing=True, **LIGHT).fit(X, TWO),
            "takes zeros for missing values",
            id="lightgbm zeros",
        ),
        pytest.param(
            lambda: xgboost.XGBRegressor(booster="gblinear", **FEW).fit(NO_MISSING, NUMBER),
            "has the booster gblinear: wanted gbtree",
            id="xgboost linear",
        ),
        pytest.param(
            lambda: xgboost.XGBRegressor(
                enable_categorical=True, feature_types=["q", "q", "q", "c", "q"], **FEW
            ).fit(NO_MISSING, NUMBER),
            r"splits categories \(enable_categorical\): wanted numbers",
            id="xgboost categories",
        ),
        pytest.param(
            lambda: catboost.CatBoostClassifier(cat_features=[3], **CAT).fit(
                [[*row[:3], str(int(row[3])), row[4]] for row in NO_MISSING.tolist()], TWO
            ),
            "has features that are no numbers, which its ONNX lacks",
            id="catboost categories",
        ),
    ],
)
def test_what_no_graph_can_answer_is_refused_with_a_sentence(model, said):
    with pytest.raises(errors.TrainingError, match=said):
        converters.of(model(), output="probabilities")


def test_what_is_of_no_library_is_left_to_others():
    assert converters.of(42, output="probabilities") is None


@pytest.mark.parametrize("suffix", converters.PICKLES)
def test_a_pickle_is_never_read(suffix, tmp_path):
    with pytest.raises(
        errors.TrainingError,
        match=r"is a pickle, which runs whatever code.*save_model\('model.txt'\)",
    ):
        converters.read(tmp_path / f"model{suffix}", output="probabilities")


@pytest.mark.parametrize(
    ("suffix", "library"), [(".txt", "LightGBM"), (".json", "XGBoost"), (".cbm", "CatBoost")]
)
def test_a_file_that_is_none_of_its_librarys_is_refused(suffix, library, tmp_path):
    (tmp_path / f"model{suffix}").write_text("no model\n")
    with pytest.raises(
        errors.TrainingError, match=f"is no model of {library} .*: wanted .*save_model"
    ):
        converters.read(tmp_path / f"model{suffix}", output="probabilities")
