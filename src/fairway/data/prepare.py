"""The data stage: rows read, checked, split, and the preprocessing fitted on the training split only."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairway import artifacts, errors
from fairway.config import schema as configuration
from fairway.data import fitting, infer, leakage, profile, sources, split, splits
from fairway.data.schema import Feature, Schema

RECENT_OF_TEN = 3, 10  # three newly labelled rows in ten are kept for evaluation


def prepare(section: configuration.Data, *, out: Path, seed: int) -> artifacts.Dataset:
    """Gives the prepared dataset in `out`, which is replaced as a whole. The same rows and seed give the same version.

    Rows without a target are left out and counted. Of the newly labelled rows (`data.extra`) most join the training split,
    and the rest are the split `recent`: what the world looks like now, for evaluation. Those that equal a validation or
    test row are left out, so that the test stays unseen.
    """
    rows = sources.read(section)
    frame, dropped = _usable(rows.frame, section=section, seed=seed)
    known = infer.infer(frame, section=section, image_shape=rows.image_shape)
    raw, names = to_raw(frame, schema=known), infer.labels(frame[section.target])
    place = {label: index for index, label in enumerate(known.classes)}
    target = np.array([place[name] for name in names], dtype=np.int64)
    identity = _identity(raw, known)
    column = frame[section.split.column].to_numpy() if section.split.column in frame.columns else None
    parts = split.divide(section.split, target=target, identity=identity, column=column, seed=seed)
    numbers = frame.index.to_numpy().astype(np.int64)
    content = {name: ({key: values[getattr(parts, name)] for key, values in raw.items()}, [names[i] for i in getattr(parts, name)],
                      numbers[getattr(parts, name)]) for name in split.SPLITS}
    held_out = set(identity[np.concatenate([parts.validation, parts.test])].tolist())
    added = _add_extra(content, section=section, known=known, held_out=held_out)
    warnings = (*dropped, *leakage.too_good(raw, target, schema=known), *added)
    return _write(out, content=content, known=known, section=section, rows=rows, warnings=warnings, seed=seed)


def to_raw(frame: pd.DataFrame, *, schema: Schema) -> dict[str, NDArray[Any]]:
    """Gives the feature columns of a frame as raw arrays: numbers with NaN, categories with "", images as float32 [n, c, h, w]."""
    return {feature.name: _raw(frame[feature.name], feature) for feature in schema.features}


def _raw(column: "pd.Series[float]", feature: Feature) -> NDArray[Any]:
    if feature.kind == "image":
        flat = np.stack([np.asarray(value, dtype=np.float32).ravel() for value in column])
        return flat.reshape(len(flat), *feature.shape)
    if feature.kind == "category":
        return np.array(infer.texts(column), dtype=object)
    numbers: NDArray[Any] = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers


def _usable(frame: pd.DataFrame, *, section: configuration.Data, seed: int) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Gives the rows that have a target (and `limit` of them at most), their index being the row in the source."""
    frame = frame.reset_index(drop=True)
    known = frame[frame[section.target].notna()]
    sentences = [] if len(known) == len(frame) else [f"{len(frame) - len(known)} of {len(frame)} rows have no {section.target} and were left out"]
    if known.empty:
        raise errors.DataError(f"no row has a {section.target}: wanted a label in each")
    if section.limit is not None and section.limit < len(known):
        keep = np.sort(np.random.default_rng(seed).choice(len(known), section.limit, replace=False))
        known = known.iloc[keep]
    return known, tuple(sentences)


def _identity(raw: dict[str, NDArray[Any]], known: Schema) -> NDArray[Any]:
    """Gives a hash of each row's features: equal rows, equal hashes."""
    columns: dict[str, Any] = {}
    for feature in known.features:
        values = raw[feature.name]
        if feature.kind == "image":
            columns[feature.name] = [value.tobytes() for value in values]
        else:
            columns[feature.name] = values
    hashes: NDArray[Any] = pd.util.hash_pandas_object(pd.DataFrame(columns), index=False).to_numpy()
    return hashes


def _add_extra(content: dict[str, Any], *, section: configuration.Data, known: Schema, held_out: set[Any]) -> tuple[str, ...]:
    """Divides the newly labelled rows between the training split and `recent`; gives a sentence for what was left out."""
    sentences = []
    for file in section.extra:
        if not file.is_file():
            raise errors.UsageError(f"data.extra is {file}: there is no such file; wanted the labelled rows that retraining wrote")
        extra = pd.read_parquet(file)
        missing = [name for name in (*(f.name for f in known.features), known.target) if name not in extra.columns]
        if missing:
            raise errors.DataError(f"{file} has no column {missing[0]!r}: wanted the raw features and {known.target}")
        names = infer.labels(extra[known.target])
        raw = to_raw(extra, schema=known)
        identity = _identity(raw, known)
        good = np.array([name in known.classes for name in names], dtype=bool)
        good &= ~np.isin(identity, np.array(list(held_out), dtype=np.uint64))
        if not good.all():
            sentences.append(f"{(~good).sum()} of {len(good)} newly labelled rows were left out: they are test rows, or of an unknown class")
        recent = identity % RECENT_OF_TEN[1] < RECENT_OF_TEN[0]  # by content: a row that came twice is on one side only
        for split_name, chosen in (("train", good & ~recent), ("recent", good & recent)):
            _join(content, split_name, {key: values[chosen] for key, values in raw.items()}, [names[i] for i in np.flatnonzero(chosen)])
    return tuple(sentences)


def _join(content: dict[str, Any], name: str, raw: dict[str, NDArray[Any]], labels: list[str]) -> None:
    new = raw, labels, np.full(len(labels), splits.NEW, dtype=np.int64)
    if name in content:
        old = content[name]
        new = {key: np.concatenate([old[0][key], raw[key]]) for key in raw}, old[1] + labels, np.concatenate([old[2], new[2]])
    if new[1]:
        content[name] = new


def _write(
    out: Path, *, content: dict[str, Any], known: Schema, section: configuration.Data, rows: sources.Rows, warnings: tuple[str, ...], seed: int
) -> artifacts.Dataset:
    """Writes everything beside `out` and renames it, so that a reader sees the old dataset or the new one."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        for name, (raw, target, numbers) in content.items():
            splits.write(folder / f"{name}.parquet", raw=raw, target=target, rows=numbers, schema=known)
        artifacts.write_json(folder / "schema.json", known.to_json())
        artifacts.write_json(folder / "preprocessing.json", fitting.fit(content["train"][0], schema=known).dump())
        profiles = {name: profile.describe(raw, target, schema=known) for name, (raw, target, _) in content.items()}
        artifacts.write_json(folder / "profile.json", profiles)
        files = sorted(file for file in folder.iterdir() if file.name != "profile.json")
        version = artifacts.digest_bytes(artifacts.canonical({file.name: artifacts.digest_file(file) for file in files}))
        extra = {file.name: artifacts.digest_file(file) for file in section.extra}
        record = artifacts.Dataset(
            path=str(out), version=version, source=rows.origin, target=known.target, classes=known.classes, features=tuple(f.name for f in known.features),
            rows={name: len(target) for name, (_, target, _) in content.items()}, warnings=warnings,
            lineage={"files": rows.digests, "extra": extra, "seed": seed, "split": section.split.model_dump(mode="json", by_alias=True)})
        artifacts.write_json(folder / "dataset.json", record)
        folder.chmod(0o755)
        replace(folder, out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return record


def replace(folder: Path, out: Path) -> None:
    """Puts `folder` in the place of `out`, whatever was there."""
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    folder.rename(out)
    shutil.rmtree(old, ignore_errors=True)
