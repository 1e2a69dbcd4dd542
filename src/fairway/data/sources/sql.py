"""Source `sql`: the rows of one query, of PostgreSQL or SQLite."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import Field

from fairway import errors
from fairway.config import patterns, sections
from fairway.config.sections.base import Duration
from fairway.data.sources import base, parquet

if TYPE_CHECKING:
    import pandas as pd

ORIGIN = "the query"
ROWS = 10_000  # brought at a time
STEPS = 10_000  # of SQLite's machine, between two looks at the clock
PLAIN = (bool, int, float, str, datetime, date)


class SqlData(sections.Data):
    """Rows of one query, read in a transaction that cannot write."""

    source: Literal["sql"] = "sql"
    """For rows that a database holds: PostgreSQL, which needs `fairway[postgres]`, or SQLite."""
    query: Annotated[str, Field(min_length=1, max_length=65536)]
    """One SELECT; its columns are named as the features are. It is kept in the package's lineage, so
    no secrets in it."""
    url_variable: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")] = (
        "FAIRWAY_DATA_URL"
    )
    """The variable that holds `postgresql://user:password@host/database` or `sqlite:///file`; on Kubernetes
    `pipeline.secrets` gives it. A variable by default, since what a file like this names is copied into lineage."""
    url_file: Annotated[str, Field(pattern=patterns.FULL_PATH, max_length=4096)] | None = None
    """A file that holds the URL instead, such as one that a Secret is mounted as; none by default."""
    timeout: Duration = timedelta(minutes=10)
    """How long the database may take over the query, and over each batch of it: longer is rather a query without an
    index than patience."""

    def variables(self) -> tuple[str, ...]:
        return () if self.url_file is not None else (self.url_variable,)


SECTION = SqlData


def read(section: SqlData) -> base.Rows:
    import pyarrow as pa

    parts: list[Any] = []
    with _rows(section, url=_url(section, os.environ)) as (names, batches):
        doubled = [name for name in names if names.count(name) > 1]
        if doubled:
            raise errors.DataError(
                f"data.query has the column {doubled[0]!r} twice: give one another name with AS"
            )
        for rows in batches:
            columns = [[_plain(name, row[i]) for row in rows] for i, name in enumerate(names)]
            parts.append(pa.table({n: _array(n, c) for n, c in zip(names, columns, strict=True)}))
    table: Any = _joined(parts, names=names)
    frame: pd.DataFrame = parquet.exact(
        table.to_pandas(), schema=table.schema, as_stored=table.select
    )
    return base.Rows(frame, None, ORIGIN, {})


def _url(section: SqlData, environment: Mapping[str, str]) -> str:
    if section.url_file is None:
        url, where = environment.get(section.url_variable, ""), f"variable {section.url_variable}"
    else:
        where = f"file {section.url_file}"
        try:
            url = Path(section.url_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise errors.UsageError(f"data.urlFile is {section.url_file}: {error}") from error
    if not url.strip():
        raise errors.UsageError(
            f"the {where} is empty: wanted the database's URL, postgresql://user:password@host/database or "
            "sqlite:///file"
        )
    return url.strip()


@contextlib.contextmanager
def _rows(
    section: SqlData, *, url: str
) -> Iterator[tuple[Sequence[str], Iterator[Sequence[Sequence[Any]]]]]:
    """Give the names of the query's columns, and its rows some at a time."""
    query, seconds = section.query.strip().removesuffix(";"), section.timeout.total_seconds()
    scheme = urlsplit(url).scheme.lower()
    if scheme in ("postgresql", "postgres"):
        with _postgres(query, url=url, seconds=seconds) as found:
            yield found
    elif scheme == "sqlite" and url.lower().startswith("sqlite:///"):
        with _sqlite(query, file=Path(url[len("sqlite:///") :]), seconds=seconds) as found:
            yield found
    else:  # without the URL: it may hold a password
        raise errors.UsageError(
            f"the database's URL starts with {scheme or 'no scheme'!r}: wanted "
            "postgresql://user:password@host/database or sqlite:///file"
        )


@contextlib.contextmanager
def _postgres(query: str, *, url: str, seconds: float) -> Iterator[Any]:
    try:
        import psycopg
        from psycopg import conninfo
    except ImportError as error:
        raise errors.UsageError(
            'PostgreSQL needs psycopg: install it with `pip install "fairway[postgres]"`'
        ) from error
    try:
        conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # whose text may show the password
        raise errors.UsageError(
            "the database's URL cannot be read: wanted postgresql://user:password@host/database, special characters "
            "percent-encoded"
        ) from None
    try:
        with psycopg.connect(url, connect_timeout=10, application_name="fairway") as connection:
            connection.read_only = True
            with connection.cursor() as cursor:
                milliseconds = str(max(round(seconds * 1000), 1))
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [milliseconds])
                # prepared: the protocol then takes one statement only
                declared: Any = f"DECLARE fairway NO SCROLL CURSOR FOR {query}"
                cursor.execute(declared, prepare=True)
                cursor.execute("FETCH FORWARD 0 FROM fairway")
                names = [column.name for column in cursor.description or ()]
                yield names, _fetched(cursor)
    except psycopg.errors.QueryCanceled as error:
        raise _slow(seconds) from error
    except psycopg.OperationalError as error:
        raise errors.Unavailable(f"the database cannot be asked now: {_line(error)}") from error
    except psycopg.Error as error:
        raise _refused(error) from error


def _fetched(cursor: Any) -> Iterator[Any]:
    while rows := cursor.execute(f"FETCH FORWARD {ROWS} FROM fairway").fetchall():
        yield rows


@contextlib.contextmanager
def _sqlite(query: str, *, file: Path, seconds: float) -> Iterator[Any]:
    if not file.is_file():
        raise errors.UsageError(
            f"the database's URL names {file}, which is not there: wanted a file"
        )
    ends = time.monotonic() + seconds
    try:
        address = f"file:{quote(str(file.absolute()))}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > ends, STEPS)
            cursor = connection.execute(query)
            if cursor.description is None:
                raise errors.DataError("data.query gives no rows: wanted one SELECT")
            names = [column[0] for column in cursor.description]
            yield names, iter(lambda: cursor.fetchmany(ROWS), [])
    except sqlite3.OperationalError as error:
        if str(error) == "interrupted":
            raise _slow(seconds) from error
        raise _refused(error) from error
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise _refused(error) from error


def _plain(name: str, value: Any) -> Any:
    """Return the value as a file would hold it."""
    if value is None or isinstance(value, PLAIN):
        return value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes | list | tuple | dict):
        raise errors.DataError(
            f"data.query gives a {type(value).__name__} in the column {name!r}: wanted numbers, words, times, true or "
            "false; take a part of it in the query"
        )
    return str(value)


def _array(name: str, values: list[Any]) -> Any:
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError) as error:
        raise _mixed(f"the column {name!r} of data.query", error) from error


def _joined(parts: list[Any], *, names: Sequence[str]) -> Any:
    import pyarrow as pa

    if not parts:
        return pa.table({name: pa.nulls(0) for name in names})
    try:
        return pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowException as error:
        raise _mixed("a column of data.query", error) from error


def _mixed(what: str, error: Exception) -> errors.DataError:
    return errors.DataError(
        f"{what} holds values of different kinds ({_line(error)}): CAST them to one in the query"
    )


def _slow(seconds: float) -> errors.DataError:
    return errors.DataError(
        f"data.query took longer than {seconds:g} s: ask for fewer rows, add an index, or raise data.timeout"
    )


def _refused(error: Exception) -> errors.DataError:
    return errors.DataError(
        f"the database refused data.query ({_line(error)}): wanted one SELECT that its user may read"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
