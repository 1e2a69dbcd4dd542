import gzip
import struct
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from fairway import errors
from fairway.data import frames, sources
from fairway.data.sources import base
from fairway.model.schema import Feature
from tests.data import made


def read(path, **values):
    return sources.read(made.section(source="csv", path=path, **values))


def test_adult_is_read_with_its_numbers_and_texts():
    rows = read(made.SHARED / "adult.data", target="income")
    assert rows.frame.shape == (30162, 15)
    assert sorted(rows.frame.income.unique()) == ["<=50K", ">50K"]
    assert rows.frame.age.dtype.kind == "i"
    assert set(rows.digests) == {"adult.data"}


def test_digits_are_what_scikit_learns_own_loader_gives():
    rows = sources.read(made.section(source="digits", target="digit"))
    loaded = datasets.load_digits()
    assert np.array_equal(np.stack(rows.frame["image"]), loaded.data)
    assert rows.frame["digit"].tolist() == [str(one) for one in loaded.target]


def test_digits_come_as_images():
    rows = sources.read(made.section(source="digits", target="digit"))
    assert rows.image_shape == (1, 8, 8)
    assert len(rows.frame) == 1797
    assert rows.frame.digit.nunique() == 10


@pytest.mark.parametrize("packed", [True, False])
def test_idx_is_read_gzipped_or_plain(tmp_path, packed):
    images, labels = (
        made.SHARED / "t10k-images-idx3-ubyte.gz",
        made.SHARED / "t10k-labels-idx1-ubyte.gz",
    )
    if not packed:
        for name, source in (("i", images), ("l", labels)):
            (tmp_path / name).write_bytes(gzip.decompress(source.read_bytes()))
        images, labels = tmp_path / "i", tmp_path / "l"
    rows = sources.read(made.section(source="idx", path=images, labels=labels))
    assert rows.image_shape == (1, 28, 28)
    assert len(rows.frame) == 10000
    assert max(value.max() for value in rows.frame.image) == 255


def test_missing_values_and_spaces_around_them_are_taken_away(tmp_path):
    frame = read(
        made.csv(tmp_path / "a.csv", "x, town,label\n1, Bath ,yes\n?, ? ,no\n3,York, yes\n")
    ).frame
    assert frame.x.tolist()[::2] == [1.0, 3.0]
    assert frame.isna().sum().tolist() == [1, 1, 0]
    assert frame.town.tolist()[0] == "Bath"
    assert frame.label.tolist() == ["yes", "no", "yes"]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_are_seen_in_the_header(tmp_path, separator):
    text = "a,label\n1,y\n2,n\n".replace(",", separator)
    assert list(read(made.csv(tmp_path / "a.csv", text)).frame.columns) == ["a", "label"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "empty"),
        ("a,label\n", "no rows"),
        ("a,labels\n1,y\n", "did you mean 'labels'"),
        ("a,Label\n1,y\n", "did you mean 'Label'"),
        ("a,a,label\n1,2,y\n", "column 'a' twice"),
        ("a,label\n1,y\n1,2,n\n", "3 cells in line 3: wanted 2"),
        ("a,b,label\n1,2,y\n1,n\n", "2 cells in line 3: wanted 3"),
        ("a,label\n1,y,\n2,n,\n", "3 cells in line 2: wanted 2"),
        ('a,label\n1,y\n2,"n\n', "cannot be read at line"),
    ],
)
def test_a_csv_that_cannot_be_used_is_told_in_one_sentence(tmp_path, text, sentence):
    with pytest.raises(errors.DataError, match=sentence) as told:
        read(made.csv(tmp_path / "a.csv", text))
    assert "\n" not in str(told.value)


def test_text_in_another_encoding_is_told(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"a,label\n\xe9,y\n")
    with pytest.raises(errors.DataError, match="UTF-8"):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("source", "keys"),
    [("csv", ["path"]), ("parquet", ["path"]), ("idx", ["path", "labels"])],
    ids=lambda value: str(value),
)
def test_a_file_that_is_not_there_is_a_usage_error(tmp_path, source, keys):
    with pytest.raises(errors.UsageError, match="no such file"):
        sources.read(made.section(source=source, **dict.fromkeys(keys, tmp_path / "absent")))


def test_a_file_that_is_no_parquet_is_told(tmp_path):
    with pytest.raises(errors.DataError, match="not a parquet file"):
        sources.read(
            made.section(source="parquet", path=made.csv(tmp_path / "a.parquet", "a,label\n"))
        )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"text", "no IDX file"),
        (struct.pack(">4I", 2051, 2, 2, 2) + b"123", "cut off"),
    ],
)
def test_a_damaged_idx_is_told(tmp_path, content, sentence):
    (tmp_path / "i").write_bytes(content)
    with pytest.raises(errors.DataError, match=sentence):
        sources.read(made.section(source="idx", path=tmp_path / "i", labels=tmp_path / "i"))


def call(tmp_path, monkeypatch, body, name="rows"):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    module = f"mine_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{module}.py").write_text(body)
    return sources.read(made.section(source="function", function=f"{module}:{name}"))


def test_a_function_of_the_current_folder_gives_the_rows(tmp_path, monkeypatch):
    body = "import pandas\ndef rows(section):\n    return pandas.DataFrame({'a': [1, 2], section.target: ['y', 'n']})\n"
    pd.testing.assert_frame_equal(
        call(tmp_path, monkeypatch, body).frame, pd.DataFrame({"a": [1, 2], "label": ["y", "n"]})
    )


@pytest.mark.parametrize(
    ("body", "kind", "sentence"),
    [
        (
            "def rows(section):\n    raise OSError('no disk')\n",
            errors.DataError,
            "raised OSError: no disk",
        ),
        ("1 / 0", errors.UsageError, "raised ZeroDivisionError"),
        ("def other(section): ...", errors.UsageError, "no function 'rows'"),
        ("def rows(section):\n    return [1]\n", errors.DataError, "returned a list"),
    ],
)
def test_a_function_that_fails_is_told_in_its_own_words(
    tmp_path, monkeypatch, body, kind, sentence
):
    with pytest.raises(kind, match=sentence):
        call(tmp_path, monkeypatch, body)


@pytest.mark.parametrize("named", ["nomodule:rows", "without_colon"])
def test_a_function_that_is_not_there_is_a_usage_error(named):
    with pytest.raises(errors.UsageError, match=r"data\.function"):
        sources.read(made.section(source="function", function=named))


def test_parquet_gives_what_was_written(tmp_path):
    frame = made.frame(20)
    frame.to_parquet(tmp_path / "a.parquet")
    rows = sources.read(made.section(source="parquet", path=tmp_path / "a.parquet"))
    assert np.array_equal(rows.frame.age, frame.age)


def test_parquet_of_columns_that_were_numbers_has_words_for_names(tmp_path):
    path = tmp_path / "numbers.parquet"
    pd.DataFrame({0: [1.5, 2.5], 1: ["a", "b"]}).to_parquet(path)
    assert list(sources.raw_rows(sources.section_of(path)).frame.columns) == ["0", "1"]
    file = sources.batched(sources.section_of(path))
    assert [list(part.columns) for part in file.some(["1"], 1)] == [["1"], ["1"]]


LATE = {  # columns whose last row makes them what they are
    "number": [1, 2, 3, 4, 5, 6, 7.5],
    "gap": [1, 2, 3, 4, 5, 6, None],
    "word": ["1.10", "2", "3", "4", "5", "6", "seven"],
    "digits": ["01", "2.0", "3", "4", "5", "6", "7"],
    "large": [2**60 + 1, 2, 3, 4, 5, 6, None],
    "switch": [True, False, True, True, False, True, None],
}


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_rows_that_are_read_some_at_a_time_are_what_they_are_among_all(
    tmp_path, monkeypatch, ending
):
    path = tmp_path / f"rows.{ending}"
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in LATE.items()})
    frame = frame.astype({"number": float, "gap": "Int64", "large": "Int64"})
    if ending == "csv":
        frame.to_csv(path, index=False)
    elif ending == "parquet":
        frame.to_parquet(path, row_group_size=2)
    else:
        frame.to_json(path, orient="records", lines=True)
    whole = sources.raw_rows(sources.section_of(path)).frame
    monkeypatch.setattr(base, "CELLS", 2 * len(LATE))
    file = sources.batched(sources.section_of(path))
    parts = list(file.some(None, 3))
    assert [list(part.index) for part in parts] == [[0, 1, 2], [3, 4, 5], [6]]
    for name in file.columns:
        word = Feature(name=name, kind="category")
        read = [value for part in parts for value in frames.column(part[name], word)]
        assert read == frames.column(whole[name], word).tolist()
    assert list(next(file.some(["gap"], 7)).columns) == ["gap"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_of_long_rows_fewer_are_read_at_a_time_as_many_as_of_the_longest_that_follow_one_another(
    tmp_path, ending
):
    words = ["x" * 10_000] * 500 + ["x"] * 20_000  # of one word each: Parquet writes it once
    frame = pd.DataFrame({"note": words, "n": 1.5})
    path = tmp_path / f"rows.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    file = sources.batched(sources.section_of(path))
    assert file.row_size == pytest.approx(10_000, rel=0.01)
    assert file.at_once() == pytest.approx(base.CHARACTERS / 10_000, rel=0.01)
    assert base.at_once(2, row_size=10.0) == base.CELLS // 2
