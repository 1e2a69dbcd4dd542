"""Cells that are numbers to look at and something else to their owner: read as they are meant by
training, by a client that copies them, and by `predict --data` whatever other rows its file has."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from fairway import errors
from fairway.data import infer, prepare, sources, splits
from fairway.model import kinds, tasks
from fairway.model.schema import Feature
from tests.data import made

ROWS = 120
LABELS = [("no", "yes")[row % 2] for row in range(ROWS)]


def trained(tmp_path: Path, cells: list[Any], **keys: Any) -> tuple[Feature, list[Any]]:
    """Return the feature that the cells became, and its raw values in the file's order."""
    rows = "".join(f"{row},{cell},{LABELS[row]}\n" for row, cell in enumerate(cells))
    path = made.csv(tmp_path / "a.csv", "x,c,label\n" + rows)
    out = tmp_path / "out"
    prepare.prepare(made.section(path=path, **keys), out=out)
    parts = [splits.columns(out, name) for name in ("train", "validation", "test")]
    order = np.argsort(np.concatenate([numbers for _, numbers in parts]))
    (feature,) = (one for one in splits.load(out).schema.features if one.name == "c")
    return feature, np.concatenate([columns["c"] for columns, _ in parts])[order].tolist()


def arrived(feature: Feature, *values: Any) -> list[Any]:
    return kinds.of(feature).from_json(list(values), len(values), feature).tolist()


def test_codes_with_a_point_are_the_words_that_they_are(tmp_path):
    cells = [("1.1", "1.10", "2.0", "1e5")[row % 4] for row in range(ROWS)]
    feature, read = trained(tmp_path, cells, categorical=("c",))
    assert set(feature.categories) == {"1.1", "1.10", "2", "1e5"}
    assert arrived(feature, *cells) == read
    assert arrived(feature, 2, "2", 1e5, "100000") == ["2", "2", "1e5", "1e5"]


def test_a_number_that_two_codes_are_is_refused_and_said_beforehand(tmp_path):
    feature, _ = trained(
        tmp_path, [("1.1", "1.10")[row % 2] for row in range(ROWS)], categorical=("c",)
    )
    with pytest.raises(
        kinds.Unfit, match=r"wanted the text '1\.1.*' or '1\.1.*', which are one number"
    ):
        arrived(feature, 1.1)
    (warning,) = (one for one in prepare_warnings(tmp_path) if "one number" in one)
    assert warning.endswith("clients must send them as text")


def prepare_warnings(tmp_path: Path) -> tuple[str, ...]:
    section = made.section(path=tmp_path / "a.csv", categorical=("c",))
    return prepare.prepare(section, out=tmp_path / "out").warnings


@pytest.mark.parametrize("way", ["2.5", "2.50", 2.5, Decimal("2.50"), np.float32(2.5)])
def test_a_code_that_is_a_decimal_number_is_known_however_it_is_written(way):
    feature = Feature(name="c", kind="category", categories=("2.5", "x"))
    assert kinds.of(feature).read([way], feature).tolist() == ["2.5"]
    assert kinds.of(feature).read(["02.5", "2.51"], feature).tolist() == ["02.5", "2.51"]


def test_points_between_groups_are_read_so_where_a_person_says_it(tmp_path):
    cells = [f"{1 + row % 9}.{row:03}" for row in range(ROWS)]
    feature, read = trained(tmp_path, cells, notations={"c": "comma-grouped"})
    assert read == [float(cell.replace(".", "")) for cell in cells]
    assert arrived(feature, *cells) == read


@pytest.mark.parametrize("some", [["1.10"], ["1.234", "2.500"], ["1E5"], ["true"], [" 7 "]])
def test_the_cells_of_a_file_are_sent_as_they_are_whatever_other_rows_it_has(tmp_path, some):
    path = made.csv(tmp_path / "some.csv", "c\n" + "\n".join(some) + "\n")
    assert [row["c"] for row in sources.first_rows(path, limit=5)] == [one.strip() for one in some]


def test_a_long_document_is_a_cell(tmp_path):
    made.csv(tmp_path / "a.csv", "c,label\n" + "word " * 40_000 + ",yes\n")
    (row,) = sources.first_rows(tmp_path / "a.csv", limit=1)
    assert len(row["c"]) == 5 * 40_000 - 1


@pytest.mark.parametrize("said", [{}, {"notations": {"label": "comma-grouped"}}])
def test_a_quantity_and_its_later_labels_are_written_in_one_way(tmp_path, said):
    prices = [f"{1 + row % 9}.{row:03}" + ("" if said else ",50") for row in range(ROWS)]
    rows = "".join(f"{row};{price}\n" for row, price in enumerate(prices))
    section = made.section(path=made.csv(tmp_path / "a.csv", "x;label\n" + rows), **said)
    frame = sources.read(section).frame
    schema = infer.infer(frame, section=section, image_shape=None)
    task = tasks.of(schema)
    assert task.name == "regression"
    assert task.label("1.234", schema) == 1234.0
    assert task.label(12.5, schema) == 12.5
    assert infer.labels(frame, task=task, section=section)[1] == (2001.0 if said else 2001.5)
    assert tasks.gauge(schema)["notation"] == "comma-grouped"


def test_identifiers_with_gaps_are_exact_in_a_file_that_no_pandas_wrote(tmp_path):
    values = [None if row % 9 == 0 else 2**53 + row % 5 for row in range(ROWS)]
    columns = {"c": pa.array(values, pa.int64()), "label": LABELS, "x": list(range(ROWS))}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    section = made.section(path=tmp_path / "a.parquet", source="parquet", categorical=("c",))
    prepare.prepare(section, out=tmp_path / "out")
    (feature,) = (one for one in splits.load(tmp_path / "out").schema.features if one.name == "c")
    assert set(feature.categories) == {str(2**53 + number) for number in range(5)}


def test_a_notation_that_no_quantity_has_is_refused(tmp_path):
    path = made.csv(tmp_path / "a.csv", "x,label\n" + "1,2.5\n" * 20)
    section = made.section(path=path, notations={"label": "day-first"})
    with pytest.raises(errors.DataError, match=r"notations\.label is 'day-first': wanted grouped"):
        prepare.prepare(section, out=tmp_path / "out")
