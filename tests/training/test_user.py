from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fairway import errors
from fairway.config import sections
from fairway.data import prepare, splits
from fairway.model import graph
from fairway.training import fit
from tests.training import made

SKLEARN = """
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler

    def fit(splits, *, seed):
        estimator = {estimator}
        return estimator.fit(splits.train.inputs("flat")["features"], splits.train.target)
"""
BOOSTER = """
    import catboost, lightgbm, xgboost
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def fit(splits, *, seed):
        rows, target = splits.train.inputs("{layout}")["features"], splits.train.target
        return {booster}
"""
LIGHT = "lightgbm.LGBMClassifier(n_estimators=30, verbosity=-1, random_state=seed)"
NAMED = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, splits):
            super().__init__()
            self.embedding = nn.Embedding(splits.preprocessor.cardinalities[0], 3)
            self.last = nn.Linear(2 + 3, 2)

        def forward(self, categories, numbers):
            return self.last(torch.cat([numbers, self.embedding(categories[:, 0])], dim=1))

    def fit(splits, *, seed):
        return Net(splits)
"""
FLAT = """
    from torch import nn

    class Net(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.last = nn.Linear(width, 2)

        def forward(self, features):
            return {logits}

    def fit(splits, *, seed):
        return Net(splits.train.inputs("flat")["features"].shape[1])
"""
RETURNS = """
    def fit(splits, *, seed):
        {line}
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return made.tabular(tmp_path_factory.mktemp("user"))


@pytest.fixture
def run(dataset, tmp_path, monkeypatch):
    """Return a run of a user's module that lies outside the package, in the current directory."""

    def start(text: str, *, name: str):
        function = made.code(tmp_path, monkeypatch, name=name, text=text)
        return fit.fit(
            made.training(family="function", function=function),
            dataset=dataset,
            out=tmp_path / "out",
        )

    return start


def answers(folder: Path, dataset: Path, *, layout: str) -> np.ndarray:
    return graph.run(
        folder / "out" / "model.onnx",
        splits.load(dataset).test.inputs(layout),
        output="probabilities",
        width=2,
    )


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param("RandomForestClassifier(20, random_state=seed)", id="random forest"),
        pytest.param("LogisticRegression()", id="logistic regression"),
        pytest.param("make_pipeline(StandardScaler(), LogisticRegression())", id="pipeline"),
        pytest.param("HistGradientBoostingClassifier(random_state=seed)", id="histogram boosting"),
        pytest.param(
            "make_pipeline(RobustScaler(), RandomForestClassifier(20, random_state=seed))",
            id="trees behind a scaler",
        ),
    ],
)
def test_a_scikit_learn_classifier_is_exported_and_useful(estimator, run, dataset, tmp_path):
    record = run(SKLEARN.format(estimator=estimator), name="user_sklearn")
    exported = onnx.load(tmp_path / "out" / "model.onnx").graph
    right = (
        answers(tmp_path, dataset, layout="flat").argmax(axis=1) == splits.load(dataset).test.target
    )
    assert (record.family, record.layout) == ("function", "flat")
    assert [node.name for node in exported.input] == ["features"]
    assert [node.name for node in exported.output] == ["probabilities"]
    assert record.onnx_max_difference < 1e-4
    assert right.mean() > 0.8


@pytest.mark.parametrize(
    ("layout", "booster"),
    [
        pytest.param("flat", f"{LIGHT}.fit(rows, target)", id="lightgbm"),
        pytest.param(
            "columns",
            f"{LIGHT}.fit(rows, target, categorical_feature=[2])",
            id="lightgbm categories",
        ),
        pytest.param(
            "flat",
            "lightgbm.train({'objective': 'binary', 'verbosity': -1}, lightgbm.Dataset(rows, label=target), 20)",
            id="lightgbm booster",
        ),
        pytest.param(
            "flat", "xgboost.XGBClassifier(n_estimators=30).fit(rows, target)", id="xgboost"
        ),
        pytest.param(
            "columns",
            "xgboost.XGBClassifier(n_estimators=30).fit(rows, target)",
            id="xgboost columns",
        ),
        pytest.param(
            "flat",
            f"make_pipeline(StandardScaler(), {LIGHT}).fit(rows, target)",
            id="lightgbm scaled",
        ),
        pytest.param(
            "flat",
            "catboost.CatBoostClassifier(iterations=30, verbose=0, allow_writing_files=False).fit(rows, target)",
            id="catboost",
        ),
    ],
)
def test_a_booster_is_exported_and_useful(layout, booster, run, dataset, tmp_path):
    record = run(BOOSTER.format(layout=layout, booster=booster), name="user_booster")
    wanted = "flat" if layout == "flat" else "named"
    right = (
        answers(tmp_path, dataset, layout=wanted).argmax(axis=1) == splits.load(dataset).test.target
    )
    assert (record.layout, record.onnx_max_difference < 1e-6) == (wanted, True)
    assert right.mean() > 0.8


@pytest.mark.parametrize(
    ("name", "save"),
    [
        pytest.param(
            "mine.txt", f"{LIGHT}.fit(rows, target).booster_.save_model('mine.txt')", id="lightgbm"
        ),
        pytest.param(
            "mine.ubj",
            "xgboost.XGBClassifier().fit(rows, target).save_model('mine.ubj')",
            id="xgboost",
        ),
    ],
)
def test_a_boosters_own_file_may_be_returned(name, save, run, dataset, tmp_path):
    text = BOOSTER.format(layout="flat", booster=f"{save} and None or '{name}'")
    assert run(text, name="user_file").onnx_max_difference < 1e-6
    assert answers(tmp_path, dataset, layout="flat").shape == (len(splits.load(dataset).test), 2)


@pytest.fixture(scope="module")
def quantity(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("quantity")
    frame = made.table(600)
    frame["label"] = frame["age"] * 20 + frame["pay"] * 3 + 500 * (frame["town"] == "York")
    frame.to_csv(folder / "rows.csv", index=False)
    prepare.prepare(
        sections.Data.of(source="csv", path=folder / "rows.csv", coverage=None), out=folder / "data"
    )
    return folder / "data"


@pytest.mark.parametrize(
    "regressor",
    [
        "lightgbm.LGBMRegressor(n_estimators=40, verbosity=-1).fit(rows, target)",
        "xgboost.XGBRegressor(n_estimators=40).fit(rows, target)",
        "catboost.CatBoostRegressor(iterations=200, verbose=0, allow_writing_files=False).fit(rows, target)",
        "RandomForestRegressor(20, random_state=seed).fit(rows, target)",
        "HistGradientBoostingRegressor(random_state=seed).fit(rows, target)",
        "make_pipeline(StandardScaler(), Ridge()).fit(rows, target)",
    ],
    ids=["lightgbm", "xgboost", "catboost", "random forest", "histogram boosting", "pipeline"],
)
def test_a_regressor_is_exported_and_useful(regressor, quantity, tmp_path, monkeypatch):
    text = (
        "\n    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor\n"
    )
    text += "    from sklearn.linear_model import Ridge\n" + BOOSTER.format(
        layout="flat", booster=regressor
    )
    function = made.code(tmp_path, monkeypatch, name="user_regressor", text=text)
    section = made.training(family="function", function=function)
    record = fit.fit(section, dataset=quantity, out=tmp_path / "out")
    test = splits.load(quantity).test
    answered = graph.run(
        tmp_path / "out" / "model.onnx", test.inputs("flat"), output="value", width=1
    )
    assert record.onnx_max_difference < 1e-5
    assert np.corrcoef(answered[:, 0], test.target)[0, 1] > 0.9


def test_a_tree_behind_a_scaler_that_flips_a_row_is_said(run, tmp_path):
    estimator = "make_pipeline(QuantileTransformer(n_quantiles=50), RandomForestClassifier(20, random_state=seed))"
    said = (
        r"a row made up from validation rows on a split of its trees: the model answers \[.*\], the graph \[.*\]; "
        "a tree stands behind the QuantileTransformer, whose float32 in the graph falls on the other side of a split"
    )
    with pytest.raises(errors.TrainingError, match=said):
        run(SKLEARN.format(estimator=estimator), name="user_scaled")
    assert not (tmp_path / "out").exists()


def test_a_torch_module_takes_the_named_inputs_in_any_order(run, dataset, tmp_path):
    assert run(NAMED, name="user_named").layout == "named"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "model.onnx",
        "model.safetensors",
        "model.pt2",
        "checkpoint.json",
    }
    assert np.allclose(answers(tmp_path, dataset, layout="named").sum(axis=1), 1)


def test_a_torch_module_may_take_one_matrix(run, dataset, tmp_path):
    assert run(FLAT.format(logits="self.last(features)"), name="user_flat").layout == "flat"
    assert np.allclose(answers(tmp_path, dataset, layout="flat").sum(axis=1), 1)


def test_code_that_forgets_its_seed_still_gives_the_same_model_twice(run, tmp_path):
    run(NAMED, name="user_seed")
    first = (tmp_path / "out" / "model.onnx").read_bytes()
    run(NAMED, name="user_seed")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == first


def onnx_file(
    path: Path,
    *,
    inputs: dict[str, int],
    output: str = "probabilities",
    kind: int = TensorProto.FLOAT,
    softmax: bool = True,
    rows: int | None = None,
    ir_version: int = 10,
) -> None:
    """Write a graph of the first input's columns times random weights, with softmax or without."""
    name, width = next(iter(inputs.items()))
    weights = (
        np.random.default_rng(0)
        .normal(size=(width, 2))
        .astype(helper.tensor_dtype_to_np_dtype(kind))
    )
    last = (
        helper.make_node("Softmax", ["logits"], [output], axis=1)
        if softmax
        else helper.make_node("Identity", ["logits"], [output])
    )
    body = helper.make_graph(
        [helper.make_node("MatMul", [name, "weights"], ["logits"]), last],
        "made",
        [helper.make_tensor_value_info(key, kind, [rows, size]) for key, size in inputs.items()],
        [helper.make_tensor_value_info(output, kind, [rows, 2])],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(
        helper.make_model(
            body,
            opset_imports=[helper.make_opsetid("", 17)],
            ir_version=ir_version,
            doc_string="private",
        ),
        path,
    )


@pytest.mark.parametrize(
    ("made_with", "layout"),
    [
        pytest.param({"inputs": {"numbers": 2}}, "named", id="named"),
        pytest.param({"inputs": {"features": 5}}, "flat", id="flat"),
        pytest.param({"inputs": {"X": 5}, "output": "y"}, "flat", id="other names"),
        pytest.param({"inputs": {"features": 5}, "kind": TensorProto.DOUBLE}, "flat", id="float64"),
        pytest.param(
            {"inputs": {"X": 5}, "kind": TensorProto.DOUBLE, "output": "y"},
            "flat",
            id="float64 and other names",
        ),
    ],
)
def test_an_onnx_file_is_brought_into_the_form_that_is_served(
    made_with, layout, run, dataset, tmp_path
):
    onnx_file(tmp_path / "mine.onnx", **made_with)
    record = run(RETURNS.format(line="return 'mine.onnx'"), name="user_onnx")
    proto = onnx.load(tmp_path / "out" / "model.onnx")
    assert (record.layout, record.onnx_max_difference < 1e-6) == (layout, True)
    assert [(node.name, node.type.tensor_type.elem_type) for node in proto.graph.output] == [
        ("probabilities", TensorProto.FLOAT)
    ]
    assert [node.name for node in proto.graph.input] == (
        ["features"] if layout == "flat" else ["numbers"]
    )
    assert "private" not in str(proto)
    assert np.allclose(answers(tmp_path, dataset, layout=layout).sum(axis=1), 1)


@pytest.mark.parametrize(
    ("made_with", "said"),
    [
        pytest.param(
            {"inputs": {"numbers": 2, "other": 3}},
            "has the inputs numbers, other: wanted some of numbers, categories, image",
            id="unknown inputs",
        ),
        pytest.param(
            {"inputs": {"image": 5}},
            "wants the input 'image': the data has numbers, categories",
            id="an input that the data lacks",
        ),
        pytest.param(
            {"inputs": {"features": 4}},
            r"cannot be run on 36 rows .*: wanted inputs features \[n, 5\]",
            id="another width",
        ),
        pytest.param(
            {"inputs": {"features": 5}, "rows": 1},
            "with a first axis of any length",
            id="a fixed batch",
        ),
        pytest.param(
            {"inputs": {"features": 5}, "ir_version": 99},
            "no ONNX graph that can run: .*[Uu]nsupported model IR version: 99",
            id="too new",
        ),
        pytest.param(
            {"inputs": {"features": 5}, "softmax": False},
            "wanted probabilities that add up to 1, with the softmax inside",
            id="logits",
        ),
    ],
)
def test_an_onnx_file_that_cannot_be_served_is_refused_with_a_sentence(
    made_with, said, run, tmp_path
):
    onnx_file(tmp_path / "mine.onnx", **made_with)
    with pytest.raises((errors.ModelError, errors.TrainingError), match=said):
        run(RETURNS.format(line="return 'mine.onnx'"), name="user_onnx_bad")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_graph_is_refused(run, tmp_path):
    (tmp_path / "mine.onnx").write_bytes(b"no graph")
    with pytest.raises(errors.ModelError, match=r"mine.onnx is no ONNX graph that can run"):
        run(RETURNS.format(line="return 'mine.onnx'"), name="user_onnx_none")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(
            RETURNS.format(line="return 42"),
            "returned a int: wanted a torch module, a scikit-learn classifier",
            id="a number",
        ),
        pytest.param(
            BOOSTER.format(
                layout="flat", booster=f"make_pipeline(PCA(3), {LIGHT}).fit(rows, target)"
            ),
            "the Pipeline ends in a LGBMClassifier, which skl2onnx does not know, behind more than a scaler",
            id="a booster in a pipeline",
        ),
        pytest.param(
            BOOSTER.format(layout="flat", booster=f"{LIGHT}.fit(rows[:, :4], target)"),
            r'was fitted on 4 columns: wanted the 5 of inputs\("flat"\)',
            id="fewer columns",
        ),
        pytest.param(
            BOOSTER.format(layout="flat", booster=f"{LIGHT}.fit(rows, target + 1)"),
            r"the estimator knows the classes \['1', '2'\]: wanted 0 to 1",
            id="a booster of other classes",
        ),
        pytest.param(
            BOOSTER.format(
                layout="flat",
                booster="lightgbm.train({'objective': 'cross_entropy', 'verbosity': -1}, "
                "lightgbm.Dataset(rows, label=target), 5)",
            ),
            "a LightGBM model answers with 1 values a row: wanted 2",
            id="a booster of one number",
        ),
        pytest.param(
            RETURNS.format(line="open('mine.joblib', 'w').close(); return 'mine.joblib'"),
            r"mine.joblib is a pickle, which runs whatever code is in it .*: wanted a format of data alone",
            id="a pickle",
        ),
        pytest.param(
            RETURNS.format(line="return None"), "returned a NoneType: wanted", id="nothing"
        ),
        pytest.param(
            RETURNS.format(line="return 'gone.onnx'"),
            "returned the path gone.onnx: there is no such file",
            id="no file",
        ),
        pytest.param(
            RETURNS.format(line="raise ValueError('too few rows')"),
            "user_bad:fit raised ValueError: too few rows",
            id="raises",
        ),
        pytest.param(
            FLAT.format(logits="self.last(features)[:, :1]"),
            r"gives \[57, 1\] .*: wanted logits of shape \[57, 2\]",
            id="one column",
        ),
        pytest.param(
            FLAT.format(logits="self.last(features).softmax(1)"),
            "probabilities as it seems: wanted logits",
            id="softmax twice",
        ),
        pytest.param(
            FLAT.format(logits="self.last(features) / 0"),
            "gives NaN or infinity on validation rows",
            id="infinite",
        ),
        pytest.param(
            FLAT.format(logits="self.last(features @ features)"),
            "the network raised RuntimeError on its inputs",
            id="wrong shapes inside",
        ),
        pytest.param(
            FLAT.format(
                logits="self.last(features) if features.sum() > 0 else -self.last(features)"
            ),
            "torch cannot export the network",
            id="a branch on values",
        ),
        pytest.param(
            FLAT.replace("def forward(self, features)", "def forward(self, x)").format(
                logits="self.last(x)"
            ),
            "whose forward takes x: wanted numbers, categories by name, or one matrix features",
            id="unknown parameter",
        ),
        pytest.param(
            SKLEARN.format(estimator="LogisticRegression()").replace(
                "splits.train.target", "splits.train.target + 1"
            ),
            r"the estimator knows the classes \['1', '2'\]: wanted 0 to 1",
            id="other classes",
        ),
        pytest.param(
            "from sklearn.linear_model import LogisticRegression\ndef fit(splits, *, seed): return "
            "LogisticRegression()",
            "the estimator knows no classes: it is not fitted",
            id="not fitted",
        ),
        pytest.param(
            "class Mine:\n    classes_ = [0, 1]\n    def predict_proba(self, x): ...\ndef fit(splits, *, seed): "
            "return Mine()",
            "skl2onnx cannot convert a Mine",
            id="unknown to skl2onnx",
        ),
    ],
)
def test_what_a_user_s_function_gets_wrong_becomes_a_sentence(text, said, run, tmp_path):
    with pytest.raises(errors.TrainingError, match=said):
        run(text, name="user_bad")
    assert not (tmp_path / "out").exists()


def test_a_module_that_is_not_there_is_a_usage_error(dataset, tmp_path):
    section = made.training(family="function", function="nowhere.at_all:fit")
    with pytest.raises(errors.UsageError, match="there is no module 'nowhere'"):
        fit.fit(section, dataset=dataset, out=tmp_path / "out")
