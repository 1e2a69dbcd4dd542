import catboost
import lightgbm
import numpy as np
import onnxruntime
import pytest
import xgboost
from sklearn import decomposition, ensemble, preprocessing
from sklearn.pipeline import make_pipeline

from fairway.model.schema import Schema
from fairway.training import losses, stress
from fairway.training.converters import folding, sklearn_graph

SIDE = losses.of(Schema(target="label", classes=("a", "b"), features=()))
RNG = np.random.default_rng(0)
X = (RNG.normal(size=(800, 4)) * [1, 1000, 1e-3, 7] + [0, 5000, 0, -3]).astype(np.float32)
TARGET = (X[:, 0] + (X[:, 1] - 5000) / 1000 + X[:, 2] * 1000 > 0).astype(int)
SCALERS = {
    "standard": preprocessing.StandardScaler(),
    "robust": preprocessing.RobustScaler(),
    "range": preprocessing.MinMaxScaler(feature_range=(-2, 3)),
    "clipped": preprocessing.MinMaxScaler(clip=True),
    "largest": preprocessing.MaxAbsScaler(),
}
TREES = {
    "forest": ensemble.RandomForestClassifier(10, random_state=0),
    "histogram": ensemble.HistGradientBoostingClassifier(max_iter=20, random_state=0),
    "lightgbm": lightgbm.LGBMClassifier(n_estimators=20, verbosity=-1),
    "xgboost": xgboost.XGBClassifier(n_estimators=20),
    "catboost": catboost.CatBoostClassifier(
        iterations=20, verbose=0, allow_writing_files=False, thread_count=1
    ),
}


def answered(proto, rows: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    table = next(node.name for node in session.get_outputs() if len(node.shape) == 2)
    return session.run([table], {session.get_inputs()[0].name: rows})[0]


@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize("trees", TREES)
def test_trees_behind_a_scaler_answer_every_float32_as_the_pipeline_does(scaler, trees):
    pipeline = make_pipeline(SCALERS[scaler], TREES[trees]).fit(X, TARGET)
    made = sklearn_graph.convert(pipeline, side=SIDE, columns=4)
    assert made.before is None
    assert "Scaler" not in [node.op_type for node in made.proto.graph.node]
    edges = stress.edges(made.proto, X, missing=False)
    asked = np.concatenate([X, edges.rows])
    assert len(edges.rows) > 100
    assert np.abs(answered(made.proto, asked) - made.answer(asked)).max() < 1e-6


def test_a_second_scaler_is_folded_too():
    pipeline = make_pipeline(SCALERS["standard"], SCALERS["robust"], TREES["forest"]).fit(X, TARGET)
    made = sklearn_graph.convert(pipeline, side=SIDE, columns=4)
    edges = stress.edges(made.proto, X, missing=False)
    assert np.abs(answered(made.proto, edges.rows) - made.answer(edges.rows)).max() < 1e-6


def test_what_mixes_columns_is_left_as_it_is():
    assert not folding.are_scalers([decomposition.PCA(2)])
    pipeline = make_pipeline(decomposition.PCA(2), TREES["forest"]).fit(X, TARGET)
    assert sklearn_graph.convert(pipeline, side=SIDE, columns=4).before == "PCA"
