"""The data stage: rows read, checked, split, and the preprocessing fitted on the training split
only."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairway import artifacts, errors, files
from fairway.config import sections
from fairway.data import frames, fresh, infer, leakage, profile, sources, split, splits
from fairway.data.sources import base
from fairway.model import preprocessing, tasks
from fairway.model.schema import Schema

EQUAL = "equal a training row in every feature"


def prepare(section: sections.Data, *, out: Path) -> artifacts.Dataset:
    """Return the prepared dataset in `out`, which is replaced as a whole. The same rows and section
    give the same version.

    Rows without a target are left out and counted; newly labelled ones (`data.extra`) join as
    `data.fresh` says.
    """
    rows = sources.read(section)
    frame, dropped = _usable(rows.frame, section=section)
    known = infer.infer(frame, section=section, image_shape=rows.image_shape)
    task = tasks.of(known)
    raw, labels = (
        frames.to_raw(frame, schema=known),
        infer.labels(frame, task=task, section=section),
    )
    target = task.encode(labels, known)
    identity = fresh.identity(raw, known)
    division = section.division
    column = _dividing(frame, section)
    parts = split.divide(
        division, strata=task.strata(target), identity=identity, column=column, seed=section.seed
    )
    numbers = frame.index.to_numpy().astype(np.int64)
    content = {}
    identities = {name: identity[getattr(parts, name)] for name in split.SPLITS}
    for name in split.SPLITS:
        chosen = getattr(parts, name)
        content[name] = (
            {key: values[chosen] for key, values in raw.items()},
            [labels[i] for i in chosen],
            numbers[chosen],
        )
    added = fresh.join(content, section=section, known=known, identities=identities)
    warnings = (
        *dropped,
        *_without(content, known),
        *_overlaps(division, parts=parts, identity=identity, column=column),
        *profile.remarks(raw, schema=known),
        *leakage.too_good(raw, target, schema=known),
        *added,
    )
    return _write(out, content=content, known=known, section=section, rows=rows, warnings=warnings)


def _usable(frame: pd.DataFrame, *, section: sections.Data) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the rows that have a target (and `limit` of them at most), their index being the row
    in the source."""
    frame = frame.reset_index(drop=True)
    known = frame[frame[section.target].notna()]
    lost = len(frame) - len(known)
    sentences = (
        [f"{lost} of {len(frame)} rows have no {section.target} and were left out"] if lost else []
    )
    if known.empty:
        raise errors.DataError(f"no row has a {section.target}: wanted a label in each")
    if section.limit is not None and section.limit < len(known):
        keep = np.sort(
            np.random.default_rng(section.seed).choice(len(known), section.limit, replace=False)
        )
        known = known.iloc[keep]
    return known, tuple(sentences)


def _dividing(frame: pd.DataFrame, section: sections.Data) -> NDArray[Any] | None:
    """Return the groups as text, or the moments as numbers that can be ordered; None where no
    column is named."""
    name = section.division.column
    if name is None:
        return None
    if name not in frame.columns:
        hint = infer.near(name, [str(other) for other in frame.columns])
        raise errors.DataError(f"data.split.column is {name!r}, which is no column{hint}")
    column = frame[name]
    if column.isna().any():
        raise errors.DataError(
            f"data.split.column {name} is missing in {column.isna().sum()} rows, "
            f"first in row {column.index[column.isna()][0]}: wanted a value in each"
        )
    if section.division.method != "time":
        return column.astype(str).to_numpy(dtype=object)
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy()
    return infer.moments(column, section=section)


def _without(content: dict[str, Any], known: Schema) -> list[str]:
    """Return a sentence for what validation or test rows do not show; what training lacks cannot be
    learnt."""
    sentences = []
    task = tasks.of(known)
    for name in split.SPLITS:
        absent = task.lacking(task.encode(content[name][1], known), known)
        if absent and name == "train":
            raise errors.DataError(
                f"the train split has no row of {absent[0]}: "
                "wanted rows of every class; choose another split, or leave the class out"
            )
        sentences += [
            f"the {name} split has no row of {lacking}: its scores say nothing of it"
            for lacking in absent
        ]
    return sentences


def _overlaps(
    section: sections.Split,
    *,
    parts: split.Parts,
    identity: NDArray[Any],
    column: NDArray[Any] | None,
) -> tuple[str, ...]:
    """Return a sentence where training saw held-out rows (methods group and time) or their groups
    (the other methods)."""
    if section.method in ("group", "time"):
        return leakage.shared(
            identity,
            parts,
            what=EQUAL,
            remedy="take the copies out of the data where they are copies",
        )
    if parts.apart:
        different = len(np.unique(identity))
        few = f"equal rows are divided, or the classes' shares would differ: {different} different rows are few"
        return leakage.shared(identity, parts, what=EQUAL, remedy=few)
    if column is None:
        return ()
    return leakage.shared(
        column,
        parts,
        what=f"share their {section.column} with training rows",
        remedy="use data.split.method group",
    )


def _write(
    out: Path,
    *,
    content: dict[str, Any],
    known: Schema,
    section: sections.Data,
    rows: base.Rows,
    warnings: tuple[str, ...],
) -> artifacts.Dataset:
    """Write everything beside `out` and renames it, so that a reader sees the old dataset or the
    new one."""
    with files.replacing(out, records=artifacts.RECORDS) as folder:
        for name, (raw, labels, numbers) in content.items():
            splits.write(
                folder / f"{name}.parquet", raw=raw, labels=labels, rows=numbers, schema=known
            )
        artifacts.write_json(folder / "schema.json", known.to_json())
        artifacts.write_json(
            folder / "preprocessing.json",
            preprocessing.fit(content["train"][0], schema=known).dump(),
        )
        profiles = {
            name: profile.describe(raw, labels, schema=known)
            for name, (raw, labels, _) in content.items()
        }
        artifacts.write_json(folder / "profile.json", profiles)
        written = sorted(file for file in folder.iterdir() if file.name != "profile.json")
        version = files.digest_bytes(
            files.canonical({file.name: files.digest_file(file) for file in written})
        )
        extra = {file.name: files.digest_file(file) for file in section.extra}
        record = artifacts.Dataset(
            path=str(out),
            version=version,
            source=rows.origin,
            target=known.target,
            task=known.task,
            classes=known.classes,
            features=tuple(feature.name for feature in known.features),
            rows={name: len(labels) for name, (_, labels, _) in content.items()},
            warnings=warnings,
            lineage={
                "files": rows.digests,
                "extra": extra,
                "seed": section.seed,
                "split": section.division.model_dump(mode="json", by_alias=True),
            },
        )
        artifacts.write_json(folder / "dataset.json", record)
    return record
