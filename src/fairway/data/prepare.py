"""The data stage: rows read, checked, split, and the preprocessing fitted on the training split
only."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairway import artifacts, errors, files
from fairway.config import sections
from fairway.data import frames, infer, leakage, profile, sources, split, splits
from fairway.data.sources import base, parquet
from fairway.model import preprocessing, tasks
from fairway.model.schema import Schema

RECENT_OF_TEN = 3, 10  # three newly labelled rows in ten are kept for evaluation

EQUAL = "equal a training row in every feature"


def prepare(section: sections.Data, *, out: Path) -> artifacts.Dataset:
    """Return the prepared dataset in `out`, which is replaced as a whole. The same rows and section
    give the same version.

    Rows without a target are left out and counted. Of the newly labelled rows (`data.extra`) most
    join the training split, and the rest are the split `recent`: what the world looks like now, for
    evaluation. Those that equal a validation or test row are left out, so that the test stays
    unseen.
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
    identity = _identity(raw, known)
    division = section.division
    column = _dividing(frame, section)
    parts = split.divide(
        division, strata=task.strata(target), identity=identity, column=column, seed=section.seed
    )
    numbers = frame.index.to_numpy().astype(np.int64)
    content = {}
    for name in split.SPLITS:
        chosen = getattr(parts, name)
        content[name] = (
            {key: values[chosen] for key, values in raw.items()},
            [labels[i] for i in chosen],
            numbers[chosen],
        )
    held_out = set(identity[np.concatenate([parts.validation, parts.test])].tolist())
    added = _add_extra(content, section=section, known=known, held_out=held_out)
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


def _identity(raw: dict[str, NDArray[Any]], known: Schema) -> NDArray[Any]:
    """Return a hash of each row's features, whatever their order: equal rows, equal hashes."""
    columns = {
        name: _hashable(raw[name]) for name in sorted(feature.name for feature in known.features)
    }
    hashes: NDArray[Any] = pd.util.hash_pandas_object(pd.DataFrame(columns), index=False).to_numpy()
    return hashes


def _hashable(values: NDArray[Any]) -> Any:
    return values if values.ndim == 1 else [value.tobytes() for value in values]


def _add_extra(
    content: dict[str, Any], *, section: sections.Data, known: Schema, held_out: set[Any]
) -> tuple[str, ...]:
    """Divide the newly labelled rows between the training split and `recent`; gives a sentence for
    what was left out."""
    sentences = []
    for file in section.extra:
        extra = parquet.frame(file, what="data.extra")
        missing = [
            name
            for name in (*(f.name for f in known.features), known.target)
            if name not in extra.columns
        ]
        if missing:
            raise errors.DataError(
                f"{file} has no column {missing[0]!r}: wanted the raw features and {known.target}"
            )
        labels = tasks.of(known).read(frames.plain(extra[known.target]))
        raw = frames.to_raw(extra, schema=known)
        identity = _identity(raw, known)
        good = tasks.of(known).known(tasks.of(known).encode(labels, known))
        strange = int((~good).sum())
        if strange:
            sentences.append(
                f"{strange} of {len(good)} newly labelled rows in {file.name} were left out: "
                f"their {known.target} is not {tasks.of(known).wanted(known)}"
            )
        equal = good & np.isin(identity, np.array(list(held_out), dtype=np.uint64))
        if equal.any():
            sentences.append(
                f"{equal.sum()} of {len(good)} newly labelled rows in {file.name} were left out: "
                "they equal validation or test rows"
            )
        good &= ~equal
        # by content: a row that came twice is on one side only
        recent = identity % RECENT_OF_TEN[1] < RECENT_OF_TEN[0]
        for split_name, chosen in (("train", good & ~recent), ("recent", good & recent)):
            places = np.flatnonzero(chosen)
            _join(
                content,
                split_name,
                {key: values[places] for key, values in raw.items()},
                [labels[i] for i in places],
            )
    return tuple(sentences)


def _join(
    content: dict[str, Any], name: str, raw: dict[str, NDArray[Any]], labels: list[str]
) -> None:
    new = raw, labels, np.full(len(labels), splits.NEW, dtype=np.int64)
    if name in content:
        old = content[name]
        joined = {key: np.concatenate([old[0][key], raw[key]]) for key in raw}
        new = joined, old[1] + labels, np.concatenate([old[2], new[2]])
    if new[1]:
        content[name] = new


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
