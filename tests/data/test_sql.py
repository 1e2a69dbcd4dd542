"""Rows of a query: of a real PostgreSQL, and of SQLite."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from fairway import errors
from fairway.config import sections
from fairway.data import sources
from fairway.data.sources import sql
from tests.monitoring import postgres

TABLE = """
    CREATE TABLE people (id bigint, age integer, wage numeric(12, 2), member boolean, name text,
                         born timestamp, code uuid, label text)
"""
PEOPLE = """
    INSERT INTO people VALUES
        (9007199254740993, 41, 1234.50, true, 'Ada', '1815-12-10', NULL, 'yes'),
        (NULL, NULL, NULL, false, '100 % Ö', NULL, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'no')
"""


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    import psycopg

    with postgres.running() as found:
        with psycopg.connect(found.url, autocommit=True) as connection:
            connection.execute(TABLE)
            connection.execute(PEOPLE)
        yield found


@pytest.fixture
def database(server: postgres.Server, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FAIRWAY_DATA_URL", server.url)
    return server.url


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with contextlib.closing(sqlite3.connect(tmp_path / "rows.db")) as connection:
        connection.executescript("CREATE TABLE rows (a, label); INSERT INTO rows VALUES (1, 'x')")
    monkeypatch.setenv("FAIRWAY_DATA_URL", f"sqlite:///{tmp_path}/rows.db")
    return tmp_path / "rows.db"


def read(query: str, **keys: object) -> pd.DataFrame:
    return sources.raw_rows(sections.Data.of(source="sql", query=query, **keys)).frame


@pytest.mark.cluster  # where Debian's PostgreSQL is
def test_types_come_as_parquet_keeps_them(database: str, tmp_path: Path) -> None:
    frame = read("SELECT * FROM people ORDER BY id -- the known one first")
    assert frame["id"].tolist()[0] == 9007199254740993
    assert frame["age"].tolist()[0] == 41
    assert frame["wage"].tolist()[0] == 1234.5
    assert frame["member"].dtype == bool
    assert frame["name"].tolist() == ["Ada", "100 % Ö"]
    assert frame["born"].tolist()[0] == pd.Timestamp("1815-12-10")
    assert frame["code"].tolist()[1] == "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    assert frame[["id", "age", "wage", "born"]].loc[1].isna().all()
    plain = ["age", "wage", "member", "name", "born"]
    frame[plain].to_parquet(tmp_path / "rows.parquet")
    again = sections.Data.of(source="parquet", path=tmp_path / "rows.parquet")
    pd.testing.assert_frame_equal(frame[plain], sources.raw_rows(again).frame)


@pytest.mark.cluster
def test_many_rows_come_in_batches_whose_kinds_are_joined(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "ROWS", 1000)
    query = (
        "SELECT n AS n, CASE WHEN n > 1500 THEN n / 2.0 END AS half FROM generate_series(1, 2500) n"
    )
    frame = read(query)
    assert frame["n"].tolist() == list(range(1, 2501))
    assert frame["half"].count() == 1000
    assert frame["half"].dtype == float


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("query", "kind", "said"),
    [
        ("SELECT 1 AS a; COMMIT; DROP TABLE people", errors.DataError, "multiple commands"),
        ("DELETE FROM people RETURNING *", errors.DataError, "the database refused data.query"),
        ("SELECT setval('counter', 5)", errors.DataError, "read-only transaction"),
        ("SELECT nextval('counter')", errors.DataError, "read-only transaction"),
        ("SELECT nothing FROM people", errors.DataError, 'column "nothing" does not exist'),
        ("SELECT 1 AS a, 2 AS a", errors.DataError, "column 'a' twice: give one another name"),
        ("SELECT array[1, 2] AS a", errors.DataError, "gives a list in the column 'a'"),
        ("SELECT pg_sleep(20)::text AS a", errors.DataError, "took longer than 0.3 s"),
    ],
)
def test_a_query_that_is_none_is_told_with_the_way_and_changes_nothing(
    database: str, query: str, kind: type[Exception], said: str
) -> None:
    import psycopg

    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE SEQUENCE IF NOT EXISTS counter")
    with pytest.raises(kind, match=said):
        read(query, timeout="300ms")
    assert len(read("SELECT id FROM people;")) == 2


def test_the_password_is_in_no_sentence_and_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    section = sections.Data.of(source="sql", query="SELECT 1")
    for url, kind in (
        ("postgresql://ada:s3cr3t/x@127.0.0.1:1/db", errors.FairwayError),
        ("postgresql://ada:s3cr3t@127.0.0.1:1/db", errors.Unavailable),
        ("mysql://ada:s3cr3t@host/db", errors.UsageError),
        ("s3cr3t", errors.UsageError),
    ):
        monkeypatch.setenv("FAIRWAY_DATA_URL", url)
        with pytest.raises(kind) as caught:
            sources.raw_rows(section)
        assert "s3cr3t" not in str(caught.value)
    assert "s3cr3t" not in json.dumps(section.model_dump(mode="json"))


def test_a_url_that_nobody_gave_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAIRWAY_DATA_URL", raising=False)
    with pytest.raises(errors.UsageError, match="variable FAIRWAY_DATA_URL is empty: wanted the"):
        read("SELECT 1")
    with pytest.raises(errors.UsageError, match=r"data\.urlFile is /nowhere/url"):
        read("SELECT 1", url_file="/nowhere/url")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT 1; SELECT 2", "You can only execute one statement at a time"),
        ("DELETE FROM rows", "attempt to write a readonly database"),
        ("SELECT absent FROM rows", "no such column: absent"),
        ("PRAGMA query_only = OFF", "gives no rows: wanted one SELECT"),
        ("SELECT x'00' AS a", "gives a bytes in the column 'a'"),
        ("SELECT 1 AS a UNION ALL SELECT 'x'", "holds values of different kinds"),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
            "took longer than 0.3 s",
        ),
    ],
)
def test_a_file_is_only_read(file: Path, query: str, said: str) -> None:
    with pytest.raises(errors.DataError, match=said):
        read(query, timeout="300ms")
    assert read("SELECT * FROM rows;").to_dict("list") == {"a": [1], "label": ["x"]}


def test_a_query_without_rows_is_told_so(file: Path) -> None:
    section = sections.Data.of(source="sql", query="SELECT * FROM rows WHERE a > 1")
    with pytest.raises(errors.DataError, match="has a header but no rows"):
        sources.read(section)


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("FAIRWAY_DATA_URL", f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(errors.UsageError, match="which is not there"):
        read("SELECT 1")
    assert not (tmp_path / "none.db").exists()
