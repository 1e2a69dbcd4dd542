"""Where rows come from: one module for each source, found by the entry-point group
`fairway.sources`.

A source module has

    SECTION        a subclass of sections.Data whose `source` is the module's name: what only this source needs
    read(section)  the rows, as base.Rows; raises UsageError for a wrong file or name, DataError for unusable content
    batched(section)  optional: the same rows some at a time, as base.Batched, so that a file may be larger than memory
    recognises(path, start)   optional: whether a file with these first bytes is one of this source's (`fairway init`)
    written(path)  optional: the rows as clients write them, where `read` takes numbers out of texts

A secret is named in a section, never held: the section travels into the package's lineage.
"""

import dataclasses
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fairway import errors, plugins
from fairway.config import sections
from fairway.data.sources import base

START_BYTES = 16
PLAINEST = "csv"  # what a file is taken for that no other source recognises


def read(section: sections.Data) -> base.Rows:
    """Return the rows of the configured source, its target among the columns.

    Raises UsageError for a wrong file or name, DataError for unusable content.
    """
    rows = raw_rows(section)
    if section.targets or section.separator is not None:
        from fairway.data import targets  # pandas, as below

        rows = dataclasses.replace(
            rows, frame=targets.joined(rows.frame, section, origin=rows.origin)
        )
    doubled = rows.frame.columns[rows.frame.columns.duplicated()].tolist()
    if doubled:
        raise errors.DataError(
            f"{rows.origin} has the column {doubled[0]!r} twice: rename one of them"
        )
    if section.target not in rows.frame.columns:
        from fairway.data import infer  # pandas, which a section that is only checked does not need

        hint = infer.near(section.target, [str(name) for name in rows.frame.columns])
        raise errors.DataError(f"{rows.origin} has no column {section.target!r} to predict{hint}")
    if rows.frame.empty:
        raise errors.DataError(f"{rows.origin} has a header but no rows: wanted some to learn from")
    from fairway.data import frames  # pandas too

    return dataclasses.replace(
        rows, frame=frames.tidied(rows.frame, missing=section.missing_values)
    )


def of_file(path: Path) -> str:
    """Return the name of the source that reads a file; raises UsageError where there is no such
    file."""
    if not path.is_file():
        what = "a folder" if path.is_dir() else "not there"
        raise errors.UsageError(f"{path} is {what}: wanted a csv, parquet or JSON lines file")
    with path.open("rb") as file:
        start = file.read(START_BYTES)
    for name in plugins.found("sources"):
        recognises = getattr(plugins.load("sources", name), "recognises", None)
        if recognises is not None and recognises(path, start):
            return name
    return PLAINEST


def section_of(path: Path, **values: Any) -> sections.Data:
    """Return the section that reads a file; raises UsageError where its source needs more than the
    file."""
    source = of_file(path)
    try:
        return sections.Data.of(source=source, path=path, **values)
    except ValidationError as error:
        keys = ", ".join(str(mistake["loc"][-1]) for mistake in error.errors())
        raise errors.UsageError(
            f"{path} is of source {source}, which needs {keys} too: write them under `data` in fairway.yaml"
        ) from error


def raw_rows(section: sections.Data) -> base.Rows:
    """Return the rows of the configured source as they came, whatever the target."""
    found: base.Rows = plugins.load("sources", section.source).read(section)
    return found


def batched(section: sections.Data) -> base.Batched:
    """Return the rows of the configured source as they came, some at a time; held as a whole where
    the source knows no other way."""
    source = plugins.load("sources", section.source)
    if not hasattr(source, "batched"):
        return base.sliced(raw_rows(section).frame)
    found: base.Batched = source.batched(section)
    return found


def first_rows(file: Path, *, limit: int) -> list[dict[str, Any]]:
    """Return the first rows of a file as plain Python values, missing ones as NaN or None.

    The cells of a csv file stay texts, which the server reads: what they are follows from the rows
    that were trained on, not from those of this file.
    """
    section = section_of(file)
    source = plugins.load("sources", section.source)
    frame = source.written(file) if hasattr(source, "written") else source.read(section).frame
    return [
        {str(key): _plain(value) for key, value in row.items()}
        for row in frame.head(limit).to_dict("records")
    ]


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
