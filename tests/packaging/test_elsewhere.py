"""Files of other libraries, packaged with a schema file or with rows that tell it."""

import json
import pickle
import warnings
from pathlib import Path

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

from fairway import artifacts, errors
from fairway.model.schema import Schema
from fairway.packaging import answering, elsewhere, golden, package

FEW = {"n_estimators": 30, "n_jobs": 1}


def frame(rows: int = 600) -> pd.DataFrame:
    """Return rows of a word between two numbers, with missing values, and the class that follows
    from them."""
    rng = np.random.default_rng(0)
    age, pay = (
        rng.normal(40, 12, rows).astype(np.float32).astype(float),
        rng.integers(1, 90, rows).astype(float),
    )
    town = rng.choice(["York", "Bath", "Rye"], rows)
    label = np.where(age + 20 * (town == "York") + pay > 90, "yes", "no")
    made = pd.DataFrame({"age": age, "town": town, "pay": pay, "label": label})
    made.loc[rng.random(rows) < 0.05, "pay"] = np.nan
    return made


def packaged(model: Path, data: Path, *, store: Path) -> artifacts.Package:
    """Return the package of a model whose schema the rows tell."""
    return elsewhere.package(
        model, schema=None, data=data, target="label", name="income", out=store
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    frame().to_csv(path, index=False)
    return path


def numbers(made: pd.DataFrame) -> pd.DataFrame:
    return made[["age", "pay"]]


def target(made: pd.DataFrame) -> np.ndarray:
    return (made["label"] == "yes").to_numpy().astype(int)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """Return rows of numbers alone."""
    path = tmp_path_factory.mktemp("plain") / "plain.csv"
    frame()[["age", "pay", "label"]].to_csv(path, index=False)
    return path


def light(path: Path) -> None:
    made = frame()
    model = lightgbm.LGBMClassifier(verbosity=-1, **FEW).fit(numbers(made), target(made))
    model.booster_.save_model(path)


def extreme(path: Path) -> None:
    made = frame()
    xgboost.XGBClassifier(**FEW).fit(numbers(made), target(made)).save_model(path)


def cat(path: Path) -> None:
    made = frame()
    model = catboost.CatBoostClassifier(
        iterations=30, verbose=0, allow_writing_files=False, thread_count=1
    )
    model.fit(numbers(made), target(made)).save_model(str(path))


SAVED = {"model.txt": light, "model.json": extreme, "model.ubj": extreme, "model.cbm": cat}
EXPECTED = {
    "model.txt": lambda path, rows: lightgbm.Booster(model_file=str(path)).predict(rows.to_numpy()),
    "model.json": lambda path, rows: booster(path).predict(xgboost.DMatrix(rows)),
    "model.ubj": lambda path, rows: booster(path).predict(xgboost.DMatrix(rows)),
    "model.cbm": lambda path, rows: (
        catboost.CatBoost()
        .load_model(str(path))
        .predict(rows.to_numpy(), prediction_type="Probability")[:, 1]
    ),
}


def booster(path: Path) -> xgboost.Booster:
    loaded = xgboost.Booster()
    loaded.load_model(path)
    return loaded


def answers(folder: Path, rows: pd.DataFrame) -> np.ndarray:
    """Return what the package answers to raw rows."""
    known = Schema.from_json(artifacts.read_json(folder / "schema.json"))
    loaded = package.load(folder)
    columns = golden.columns_of(
        {name: rows[name].tolist() for name in rows.columns}, features=known.features
    )
    return answering.load(folder, layout=loaded.layout, schema=known)(columns)


@pytest.mark.parametrize("name", SAVED)
def test_a_file_of_another_library_is_packaged_with_the_rows_that_tell_its_schema(
    name, plain, tmp_path
):
    SAVED[name](tmp_path / name)
    made = packaged(tmp_path / name, plain, store=tmp_path / "store")
    rows = numbers(frame())
    assert made.classes == ("no", "yes")
    assert answers(Path(made.path), rows)[:, 1] == pytest.approx(
        EXPECTED[name](tmp_path / name, rows), abs=1e-6
    )
    assert "reference.npz" in package.load(Path(made.path)).files
    assert not list(Path(made.path).glob("model.*[!x]"))


@pytest.mark.parametrize("name", SAVED)
def test_a_file_of_another_library_is_packaged_with_a_schema_file(name, tmp_path):
    SAVED[name](tmp_path / name)
    features = [
        {"name": "age", "kind": "number", "range": [0, 90]},
        {"name": "pay", "kind": "number", "range": [1, 90]},
    ]
    (tmp_path / "schema.json").write_text(
        json.dumps({"classes": ["no", "yes"], "features": features})
    )
    made = elsewhere.package(
        tmp_path / name,
        schema=tmp_path / "schema.json",
        data=None,
        target=None,
        name="income",
        out=tmp_path / "store",
    )
    rows = numbers(frame())
    assert answers(Path(made.path), rows)[:, 1] == pytest.approx(
        EXPECTED[name](tmp_path / name, rows), abs=1e-6
    )
    assert artifacts.read_json(Path(made.path) / "manifest.json")["lineage"]["source"].startswith(
        "imported from "
    )


def test_a_regressor_is_packaged_with_the_rows_that_tell_its_schema(tmp_path):
    made = frame().assign(label=lambda rows: rows["age"] * 31.25 + rows["pay"].fillna(0))
    made[["age", "pay", "label"]].to_csv(tmp_path / "rows.csv", index=False)
    model = lightgbm.LGBMRegressor(verbosity=-1, **FEW).fit(numbers(made), made["label"])
    model.booster_.save_model(tmp_path / "model.txt")
    packed = packaged(tmp_path / "model.txt", tmp_path / "rows.csv", store=tmp_path / "store")
    assert packed.task == "regression"
    assert answers(Path(packed.path), numbers(made))[:, 0] == pytest.approx(
        model.predict(numbers(made)), rel=1e-6
    )


def with_words(folder: Path, *, words: list[str]) -> tuple[Path, np.ndarray]:
    """Save LightGBM's model of a frame with pandas categories between its numbers; return it and
    its answers."""
    made = frame()
    made["town"] = pd.Categorical(made["town"], categories=words)
    inputs = made[["age", "town", "pay"]]
    model = lightgbm.LGBMClassifier(verbosity=-1, **FEW).fit(inputs, target(made))
    model.booster_.save_model(folder / "model.txt")
    return folder / "model.txt", model.predict_proba(inputs)[:, 1]


def test_words_that_lightgbm_knows_keep_their_codes_whatever_the_order_of_the_columns(
    data, tmp_path
):
    model, expected = with_words(tmp_path, words=["Rye", "York", "Bath"])
    made = packaged(model, data, store=tmp_path / "store")
    known = artifacts.read_json(Path(made.path) / "schema.json")
    rows = frame()[["age", "town", "pay"]]
    assert [feature["name"] for feature in known["features"]] == ["age", "town", "pay"]
    assert known["features"][1]["categories"] == ["Rye", "York", "Bath"]
    assert answers(Path(made.path), rows)[:, 1] == pytest.approx(expected, abs=1e-6)
    strange = rows.assign(town="Oslo")
    nobody = pd.DataFrame({"age": rows["age"], "town": -1.0, "pay": rows["pay"]})
    alone = lightgbm.Booster(model_file=str(model)).predict(
        nobody.to_numpy(), validate_features=False
    )
    assert answers(Path(made.path), strange)[:, 1] == pytest.approx(alone, abs=1e-6)


def test_a_row_that_float32_flips_is_refused_with_its_value_and_both_answers(tmp_path):
    rng = np.random.default_rng(0)
    price = np.where(rng.random(400) < 0.5, 0.1, 0.1 + 1e-12)  # one number in float32
    made = pd.DataFrame(
        {
            "price": price,
            "size": rng.normal(size=400).round(2),
            "label": np.where(price > 0.1, "b", "a"),
        }
    )
    made.to_parquet(tmp_path / "rows.parquet")
    model = lightgbm.LGBMClassifier(verbosity=-1, **FEW).fit(
        made[["price", "size"]], (price > 0.1).astype(int)
    )
    model.booster_.save_model(tmp_path / "model.txt")
    said = (
        r"answers differently from the model on \d+ of \d+ rows, .*; the first is data row \d+: the model answers "
        r"\[.*\], the graph \[.*\]; a package computes in float32, where price 0.1\d* becomes 0.1000000014\d*, "
    )
    with pytest.raises(errors.TrainingError, match=said):
        packaged(tmp_path / "model.txt", tmp_path / "rows.parquet", store=tmp_path / "store")
    assert not (tmp_path / "store").exists() or not any((tmp_path / "store").iterdir())


def refused(folder: Path, model: Path, *, said: str, features: list[dict[str, object]]) -> None:
    (folder / "schema.json").write_text(
        json.dumps({"classes": ["no", "yes"], "features": features})
    )
    with pytest.raises((errors.PackageError, errors.TrainingError), match=said):
        elsewhere.package(
            model,
            schema=folder / "schema.json",
            data=None,
            target=None,
            name="income",
            out=folder / "store",
        )


AGE, PAY = ({"name": name, "kind": "number", "range": [0, 90]} for name in ("age", "pay"))


@pytest.mark.parametrize(
    ("features", "said"),
    [
        pytest.param([AGE], "has 2 columns: wanted the schema's 1 features", id="fewer"),
        pytest.param(
            [PAY, AGE],
            "the features pay, age: wanted the order of a LightGBM model: age, pay",
            id="order",
        ),
    ],
)
def test_a_schema_of_other_columns_is_refused(features, said, tmp_path):
    light(tmp_path / "model.txt")
    refused(tmp_path, tmp_path / "model.txt", said=said, features=features)


def test_words_in_another_order_than_the_models_are_refused(tmp_path):
    model, _ = with_words(tmp_path, words=["Rye", "York", "Bath"])
    town = {"name": "town", "kind": "category", "categories": ["York", "Rye", "Bath"]}
    said = "town has the categories York, Rye, Bath: wanted those of a LightGBM model, in its order: Rye, York, Bath"
    refused(tmp_path, model, said=said, features=[AGE, town, PAY])


def test_rows_that_lack_a_column_of_the_model_are_refused(tmp_path):
    light(tmp_path / "model.txt")
    frame()[["age", "label"]].to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(
        errors.PackageError, match="has no column 'pay': wanted the 2 columns of a LightGBM model"
    ):
        packaged(tmp_path / "model.txt", tmp_path / "rows.csv", store=tmp_path / "store")


def test_a_model_of_another_number_of_classes_is_refused(plain, tmp_path):
    made = frame()
    model = lightgbm.LGBMClassifier(verbosity=-1, **FEW).fit(
        numbers(made), np.arange(len(made)) % 3
    )
    model.booster_.save_model(tmp_path / "model.txt")
    with pytest.raises(errors.TrainingError, match="answers with 3 values a row: wanted 2"):
        packaged(tmp_path / "model.txt", plain, store=tmp_path / "store")


def test_answers_that_are_no_probabilities_are_refused(tmp_path):
    made = frame().assign(label=np.arange(600) % 3)
    made[["age", "pay", "label"]].to_csv(tmp_path / "rows.csv", index=False)
    model = lightgbm.LGBMClassifier(objective="multiclassova", verbosity=-1, **FEW).fit(
        numbers(made), made["label"]
    )
    model.booster_.save_model(tmp_path / "model.txt")
    with pytest.raises(
        errors.PackageError, match=r"a LightGBM model answers with a row .*: wanted probabilities"
    ):
        packaged(tmp_path / "model.txt", tmp_path / "rows.csv", store=tmp_path / "store")


def test_classes_in_another_order_than_the_datas_are_refused(plain, tmp_path):
    made = frame()
    model = lightgbm.LGBMClassifier(verbosity=-1, **FEW).fit(numbers(made), 1 - target(made))
    model.booster_.save_model(tmp_path / "model.txt")
    said = r"model.txt gives \d% of the rows their class, and 9\d% if its classes are yes, no: write a schema file"
    with pytest.raises(errors.PackageError, match=said):
        packaged(tmp_path / "model.txt", plain, store=tmp_path / "store")


class Loud:
    """What a pickle may hold: it leaves a file where it is read."""

    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib"])
def test_a_pickle_is_refused_unread(name, plain, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(pickle.dumps(Loud()))
    with (
        warnings.catch_warnings(),
        pytest.raises(errors.TrainingError, match="is a pickle, which runs whatever code"),
    ):
        packaged(tmp_path / name, plain, store=tmp_path / "store")
    assert not (tmp_path / "ran").exists()
