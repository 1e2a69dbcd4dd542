"""Files that are read in batches: each column is what it is in the whole file."""

from pathlib import Path

import pandas as pd
import pytest

from fairway.data import sources

COLUMNS = {
    "number": ["1", "2.5", ""],
    "whole": ["1", "2", "3"],
    "flag": ["true", "false", "true"],
    "late word": ["1.10", "2", "a"],
    "late gap": ["true", "", "false"],
    "code": ["007", "1", "2"],
    "enormous": ["1", "9007199254740993", "3"],
    "nothing": ["", "", ""],
}


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_csv_file_in_batches_is_the_file(tmp_path: Path, rows: int) -> None:
    file = tmp_path / "rows.csv"
    pd.DataFrame(COLUMNS).to_csv(file, index=False)
    section = sources.section_of(file)
    table = sources.batched(section)
    assert (table.names, table.rows) == (list(COLUMNS), 3)
    whole = sources.raw_rows(section).frame
    pd.testing.assert_frame_equal(pd.concat(list(table.batches(rows=rows))), whole)
    (some,) = table.batches(rows=5, names=["code", "whole"])
    assert set(some.columns) == {"code", "whole"}


def test_a_parquet_file_in_batches_is_the_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    frame = pd.DataFrame({"a": [1.5, None, 3.0], "b": ["x", "y", None], "c": [2**53 + 1, 2, 3]})
    frame.to_parquet(file)
    section = sources.section_of(file)
    table = sources.batched(section)
    assert (table.names, table.rows) == (["a", "b", "c"], 3)
    pd.testing.assert_frame_equal(
        pd.concat(list(table.batches(rows=2))), sources.raw_rows(section).frame
    )
