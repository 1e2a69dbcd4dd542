"""Rows of JSON lines: what becomes a number, and the sentence for what is no row."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from fairway import errors
from fairway.config import sections
from fairway.data import sources


def read(folder: Path, text: str, *, name: str = "rows.jsonl"):
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return sources.raw_rows(sources.section_of(path)).frame


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.ndjson", "ROWS.JSONL", "rows.jsonl.gz"])
def test_a_file_is_known_by_its_name(tmp_path, name):
    assert read(tmp_path, '{"a": 1}\n\n{"a": 2}\n', name=name)["a"].tolist() == [1, 2]


def test_values_keep_the_type_that_they_are_written_in(tmp_path):
    frame = read(
        tmp_path,
        '{"whole": 1, "half": 1, "yes": true, "code": "007", "big": 9007199254740993, "mixed": 1}\n'
        '{"whole": 2, "half": null, "yes": false, "code": "7", "big": 1, "mixed": "x", "late": 1.5}\n',
    )
    assert {name: frame[name].dtype.kind for name in frame} == {
        "whole": "i",
        "half": "f",
        "yes": "b",
        "code": "O",
        "big": "O",
        "mixed": "O",
        "late": "f",
    }
    assert np.isnan(frame["half"][1])
    assert np.isnan(frame["late"][0])
    assert frame["big"][0] == 9007199254740993


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty: wanted a JSON object in each line"),
        ('{"a": 1}\n{"a": ', "rows.jsonl, line 2 is no JSON"),
        ("[1, 2]\n", "line 1 is no object"),
        ('{"a": {"b": 1}}\n', "line 1 has a dict for a: wanted a number"),
        ("[" * 100_000, "line 1 is no JSON"),
    ],
    ids=["empty", "broken", "a list", "nested", "deep"],
)
def test_what_is_no_row_is_named_with_its_line(tmp_path, text, sentence):
    with pytest.raises(errors.DataError, match=sentence):
        read(tmp_path, text)


def test_a_file_that_is_cut_off_or_no_text_is_named(tmp_path):
    cut, other = tmp_path / "rows.jsonl.gz", tmp_path / "rows.jsonl"
    cut.write_bytes(gzip.compress(b'{"a": 1}\n' * 1000)[:-20])
    other.write_bytes(b'{"a": "\xff"}\n')
    for path, words in ((cut, "cannot be read"), (other, "is not UTF-8 text")):
        section = sources.section_of(path)
        with pytest.raises(errors.DataError, match=words):
            sources.raw_rows(section)


def test_it_is_configured_as_any_source_is(tmp_path):
    section = sections.Data.of(source="jsonl", path=tmp_path / "rows.jsonl")
    with pytest.raises(errors.UsageError, match="there is no such file"):
        sources.raw_rows(section)
