"""What every source keeps to, ours and a stranger's: the acceptance test of docs/adding.md."""

import contextlib
import re
import sqlite3
import sys
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from fairway import plugins
from fairway.config import loader, sections
from fairway.data import sources
from tests import strangers
from tests.data import made

STRANGER = '''
"""Rows of a fixed-width file, of a package that fairway has never heard of."""
from pathlib import Path
from typing import Literal

import pandas as pd

from fairway import files
from fairway.config import sections
from fairway.data.sources import base


class FixedWidthData(sections.Data):
    source: Literal["fixed-width"] = "fixed-width"
    path: Path
    widths: tuple[int, ...]


SECTION = FixedWidthData


def read(section):
    path = base.file(section.path, what="data.path")
    frame = pd.read_fwf(path, widths=list(section.widths))
    return base.Rows(frame, None, path.name, {path.name: files.digest_file(path)})


def recognises(path, start):
    return path.suffix == ".fwf"
'''


def write(source: str, folder: Path) -> dict[str, object]:
    """Write rows that the source reads; return the keys of its section."""
    frame = made.frame(60)
    if source == "csv":
        frame.to_csv(folder / "rows.csv", index=False)
        return {"path": folder / "rows.csv"}
    if source == "parquet":
        frame.to_parquet(folder / "rows.parquet")
        return {"path": folder / "rows.parquet"}
    if source == "jsonl":
        frame.to_json(folder / "rows.jsonl", orient="records", lines=True)
        return {"path": folder / "rows.jsonl"}
    if source == "function":
        (folder / "rows_of_mine.py").write_text(
            "from tests.data import made\ndef rows(section):\n    return made.frame(60)\n"
        )
        return {"function": "rows_of_mine:rows"}
    if source == "idx":
        images, labels = (
            made.SHARED / f"t10k-{name}-ubyte.gz" for name in ("images-idx3", "labels-idx1")
        )
        return {"path": images, "labels": labels}
    if source == "sql":
        with contextlib.closing(sqlite3.connect(folder / "rows.db")) as connection:
            frame.to_sql("rows", connection, index=False)
        (folder / "url").write_text(f"sqlite:///{folder}/rows.db\n")
        return {"query": "SELECT * FROM rows", "url_file": str(folder / "url")}
    assert source == "digits", f"this test has no rows for source {source}: write some"
    return {}


@pytest.mark.parametrize("source", sorted(sections.SOURCES.sections))
def test_a_source_gives_rows_with_the_target_and_survives_the_configuration(
    source, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    section = sections.Data.of(source=source, **write(source, tmp_path))
    config = sections.Config(data=section)
    again = loader.check(config.model_dump(mode="json", by_alias=True), where="the dump")
    assert again.data == section
    assert type(again.data) is sections.SOURCES.sections[source]
    rows, twice = sources.read(section), sources.read(again.data)
    assert section.target in rows.frame.columns
    assert rows.origin
    assert set(rows.digests) == {path.name for path in section.paths().values()}
    pd.testing.assert_frame_equal(rows.frame, twice.frame)


def test_a_configuration_of_before_sources_had_keys_of_their_own_is_read():
    before = {
        "source": "csv",
        "path": "rows.csv",
        "labels": None,
        "function": None,
        "target": "income",
    }
    assert sections.Data.of(**before).target == "income"
    assert (
        sections.Data.of(source="digits", path=None, labels=None, function=None).source == "digits"
    )
    with pytest.raises(ValidationError, match="labels"):
        sections.Data.of(source="csv", path="rows.csv", labels="labels.idx")


@pytest.mark.parametrize("source", sorted(sections.SOURCES.sections))
def test_every_key_of_a_source_says_why(source):
    described = sections.SOURCES.sections[source].model_fields
    assert [
        key for key, field in described.items() if not field.description and key != "split"
    ] == []


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """Return the folder of an installed package with a source of its own."""
    modules, entries = {"fixed_width": STRANGER}, {"sources": {"fixed-width": "fixed_width"}}
    return strangers.install(
        tmp_path, "fixed-width", version="1.2", modules=modules, groups=entries
    )


def test_a_strangers_source_is_prepared_listed_and_looked_at_without_a_line_of_ours(
    stranger, tmp_path
):
    rows = [
        "age   label",
        *(
            f"{age:<6}{label}"
            for age, label in made.frame(300)[["age", "label"]].itertuples(index=False)
        ),
    ]
    (tmp_path / "rows.fwf").write_text("\n".join(rows))
    script = f"""
import json
from pathlib import Path
from fairway import plugins
from fairway.config import loader
from fairway.data import prepare, sources
rows = Path({str(tmp_path / "rows.fwf")!r})
config = loader.load(None, overrides=["data.source=fixed-width", f"data.path={{rows}}", "data.widths=[6, 6]"])
record = prepare.prepare(config.data, out=Path({str(tmp_path / "out")!r}))
found = plugins.found("sources")["fixed-width"]
print(json.dumps([sum(record.rows.values()), sources.of_file(rows), found.distribution, found.version]))
"""
    done = strangers.python(stranger, "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == '[300, "fixed-width", "fixed-width", "1.2"]'


def test_check_says_which_package_a_source_is_of(stranger):
    done = strangers.python(stranger, "-m", "fairway", "check", "--home", str(stranger / "home"))
    assert re.search(
        r"ok +sources +csv, digits, function, idx, jsonl, parquet, sql$", done.stdout, re.M
    ), done.stdout
    assert re.search(r"ok +sources +fixed-width, of fixed-width 1.2$", done.stdout, re.M)


def test_init_says_what_a_strangers_source_needs_besides_the_file(stranger):
    (stranger / "rows.fwf").write_text("age   label\n41    yes\n")
    done = strangers.python(stranger, "-m", "fairway", "init", "rows.fwf", "--target", "label")
    assert done.returncode == 2, done.stderr
    assert "rows.fwf is of source fixed-width, which needs widths too" in done.stderr


def test_two_packages_that_claim_one_name_are_refused_with_both_named(stranger):
    strangers.declare(stranger, {"sources": {"csv": "fixed_width"}})
    done = strangers.python(stranger, "-c", "from fairway import plugins\nplugins.found('sources')")
    assert "both add sources 'csv': uninstall one of them" in done.stderr
    assert "fixed-width" in done.stderr


def test_our_own_sources_are_found_as_anybodys_are():
    found = plugins.found("sources")
    assert {"csv", "digits", "function", "idx", "parquet", "sql"} <= set(found)
    assert {found[name].distribution for name in ("csv", "idx")} == {"fairway"}
