from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from kfp import dsl

from components.evaluation.champion import champion
from components.serving.batch_predict import batch_predict
from fairway import errors
from fairway.config import sections
from fairway.data.sources import base
from fairway.pipelines import batch_prediction
from fairway.serving import predictor
from tests.serving import support

ROWS = pd.DataFrame(
    {
        "id": [f"a{number}" for number in range(500)],
        "age": np.linspace(20, 70, 500),
        "hours": np.where(np.arange(500) % 50 == 7, np.nan, 40.0),
        "sector": np.resize(["private", "state", "?"], 500),
    }
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(support.packaged(tmp_path_factory.mktemp("package")).path)


@pytest.fixture(params=["csv", "parquet"])
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    file = tmp_path / f"rows.{request.param}"
    ROWS.to_csv(file, index=False) if request.param == "csv" else ROWS.to_parquet(file)
    return file


def test_each_row_is_answered_as_a_server_answers_it(package, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(base, "CELLS", 4 * 64)  # several chunks
    told: list[tuple[int, int]] = []
    record = batch_prediction.answer(
        package,
        rows=rows,
        out=tmp_path / "new" / "answers.parquet",
        keep=["id"],
        progress=lambda *done: told.append(done),
    )
    written = pq.read_table(record.path)
    model = predictor.Predictor.load(package)
    raw = model.predict({name: ROWS[name].to_numpy() for name in ("age", "hours", "sector")})
    assert written.column_names == ["row", "id", *model.outputs]
    assert written["row"].to_pylist() == list(range(500))
    assert written["id"].to_pylist() == ROWS["id"].tolist()
    assert written["label"].to_pylist() == model.labels(raw)
    assert np.allclose(np.array(written["probabilities"].to_pylist()), raw, atol=1e-6)
    assert (record.rows, record.digest) == (500, model.package.digest)
    assert len(told) > 3
    assert told[-1] == (500, 500)


def test_the_same_rows_give_the_same_bytes(package, rows, tmp_path):
    first, second = (
        Path(batch_prediction.answer(package, rows=rows, out=tmp_path / name).path).read_bytes()
        for name in ("a.parquet", "b.parquet")
    )
    assert first == second


@pytest.mark.parametrize(
    ("change", "keep", "sentence"),
    [
        ({"age": "old"}, [], "age has the value 'old'"),
        ({}, ["name"], "has no column 'name' to keep"),
        ({"label": "x"}, ["label"], "an output of the model has that name"),
    ],
)
def test_what_cannot_be_answered_is_said_and_leaves_no_file(
    change, keep, sentence, package, tmp_path
):
    file, out = tmp_path / "rows.csv", tmp_path / "out" / "answers.parquet"
    ROWS.assign(**change).to_csv(file, index=False)
    with pytest.raises((errors.DataError, errors.UsageError), match=sentence):
        batch_prediction.answer(package, rows=file, out=out, keep=keep)
    assert not out.parent.exists() or not list(out.parent.iterdir())


def test_what_cannot_be_read_is_missing_and_counted_where_servers_take_it_so(package, tmp_path):
    ROWS.assign(hours=["many", *ROWS["hours"][1:]]).to_csv(tmp_path / "rows.csv", index=False)
    record = batch_prediction.answer(
        package, rows=tmp_path / "rows.csv", out=tmp_path / "answers.parquet", lenient=True
    )
    assert record.unreadable == {"hours": 1}


def test_rows_that_are_none_are_said(package, tmp_path):
    ROWS[:0].to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(errors.DataError, match="rows"):
        batch_prediction.answer(
            package, rows=tmp_path / "rows.csv", out=tmp_path / "answers.parquet"
        )


def test_rows_come_from_an_address_and_answers_go_to_one(package, tmp_path):
    ROWS.to_csv(tmp_path / "rows.csv", index=False)
    to = tmp_path / "answers" / "today.parquet"
    to.parent.mkdir()
    record = batch_prediction.answer_address(
        package,
        rows=f"file://{tmp_path}/rows.csv",
        to=f"file://{to}",
        out=tmp_path / "answers.parquet",
    )
    assert to.read_bytes() == Path(record.path).read_bytes()


def test_an_address_that_takes_no_file_is_said_before_a_row_is_answered(package, tmp_path):
    out = tmp_path / "answers.parquet"
    with pytest.raises(errors.UsageError, match="takes no answers"):
        batch_prediction.answer_address(
            package, rows="rows.csv", to="https://example.com/answers.parquet", out=out
        )
    assert not out.exists()


def test_the_pipeline_answers_by_the_package_in_service(package, tmp_path):
    """The compiled steps, in order, as functions: what kfp runs."""
    ROWS.to_csv(tmp_path / "rows.csv", index=False)
    config = sections.Config.model_validate(
        {"name": "income", "data": {"source": "csv", "path": "rows.csv", "target": "label"}}
    ).model_dump_json(by_alias=True)
    serving = dsl.Model(uri=str(tmp_path / "champion"))
    answers = dsl.Dataset(uri=str(tmp_path / "answers.parquet"))
    champion.python_func(config=config, folder=str(package), home=str(tmp_path), package=serving)
    asked = {"config": config, "package": serving, "rows": str(tmp_path / "rows.csv")}
    count = batch_predict.python_func(**asked, to="", keep=["id"], answers=answers)
    assert (count, answers.metadata["rows"]) == (500, 500)
    assert pq.read_table(answers.path).column_names[:2] == ["row", "id"]


def test_the_rows_own_file_a_folder_and_a_device_are_no_place_for_answers(package, tmp_path):
    rows, link = tmp_path / "rows.parquet", tmp_path / "link"
    ROWS.to_parquet(rows)
    before = rows.read_bytes()
    link.symlink_to(rows)
    for out in (rows, link, tmp_path, Path(""), Path("/dev/null")):
        with pytest.raises(errors.UsageError, match=r"name another|is a folder"):
            batch_prediction.answer(package, rows=rows, out=out)
    address = f"file://{rows}"
    for asked in (address, str(rows)):
        with pytest.raises(errors.UsageError, match="the rows themselves"):
            batch_prediction.answer_address(
                package, rows=asked, to=address, out=tmp_path / "answers.parquet"
            )
    assert (rows.read_bytes(), Path("/dev/null").is_char_device()) == (before, True)


def test_columns_that_are_kept_are_text_and_null_where_they_lack_a_value(package, tmp_path):
    rows, out = tmp_path / "rows.parquet", tmp_path / "answers.parquet"
    numbers = pd.array([1, None] * 250, dtype="Int64")
    ROWS.assign(number=numbers, day=pd.Timestamp("2026-01-02"), several=[[1, 2]] * 500).to_parquet(
        rows
    )
    batch_prediction.answer(package, rows=rows, out=out, keep=["number", "day"])
    written = pq.read_table(out)
    assert written["number"].to_pylist()[:2] == ["1", None]
    assert written["day"].to_pylist()[0].startswith("2026-01-02")
    with pytest.raises(errors.UsageError, match="column 'several' cannot be kept"):
        batch_prediction.answer(package, rows=rows, out=out, keep=["several"])
