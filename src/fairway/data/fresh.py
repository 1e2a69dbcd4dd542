"""Newly labelled rows, and where each of them goes.

As a person asks for it (`data.extra` alone) most join the training split, and three in ten are the
split `recent`: what the world looks like now, beside the test split, which stays what it was.

As retraining asks for it (`data.heldOut`) the newest are the test split, in place of the source's,
and no row that equals one of them is learnt from; the others join training and validation. With
`data.sliding` they take the place of the oldest rows there, which are kept apart as split `older`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairway import errors
from fairway.config import sections
from fairway.data import frames, split, splits
from fairway.data.sources import parquet
from fairway.model import tasks
from fairway.model.schema import Schema

RECENT_OF_TEN = 3, 10  # three newly labelled rows in ten are kept for evaluation
LEARNT = ("train", "validation")
OLD_OF_CLASS = 20  # rows of a class that no new row shows: as many as a leaf of a tree wants

Raw = dict[str, NDArray[Any]]
Content = dict[str, tuple[Raw, list[Any], NDArray[np.int64]]]  # columns, labels, rows' numbers


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """Newly labelled rows of one file, the oldest first, and a hash of the features of each."""

    raw: Raw
    labels: list[Any]
    identity: NDArray[Any]

    def at(self, places: NDArray[np.int64]) -> "Fresh":
        return Fresh(
            raw={name: values[places] for name, values in self.raw.items()},
            labels=[self.labels[place] for place in places],
            identity=self.identity[places],
        )

    def __len__(self) -> int:
        return len(self.labels)


def join(
    content: Content,
    *,
    section: sections.Data,
    known: Schema,
    identities: Mapping[str, NDArray[Any]],
) -> tuple[str, ...]:
    """Put the rows of `data.extra` into the splits in `content`, whose rows have these identities;
    return a sentence for what was left out."""
    sentences: list[str] = []
    learnt = {name: len(content[name][1]) for name in LEARNT}
    for number, file in enumerate(section.extra, start=1):
        rows, strange = _read(file, known)
        if strange:
            sentences.append(
                f"{strange} of {strange + len(rows)} newly labelled rows in {file.name} were left "
                f"out: their {known.target} is not {tasks.of(known).wanted(known)}"
            )
        if section.held_out and number == len(section.extra):
            _renew(content, rows, section=section, identities=identities)
        else:
            sentences += _add(
                content, rows, identities=identities, of=strange + len(rows), file=file
            )
    if section.sliding:
        for name, most in learnt.items():
            sentences += _slide(content, name, most, classes=known.classes)
        _unseen(content, known)
    return tuple(sentences)


def identity(raw: Mapping[str, NDArray[Any]], known: Schema) -> NDArray[Any]:
    """Return a hash of each row's features, whatever their order: equal rows, equal hashes."""
    columns = {
        name: _hashable(raw[name]) for name in sorted(feature.name for feature in known.features)
    }
    hashes: NDArray[Any] = pd.util.hash_pandas_object(pd.DataFrame(columns), index=False).to_numpy()
    return hashes


def _hashable(values: NDArray[Any]) -> Any:
    return values if values.ndim == 1 else [value.tobytes() for value in values]


def _read(file: Path, known: Schema) -> tuple[Fresh, int]:
    """Return the rows whose label the task knows, and how many others there are."""
    extra = parquet.frame(file, what="data.extra")
    missing = [
        name
        for name in (*(feature.name for feature in known.features), known.target)
        if name not in extra.columns
    ]
    if missing:
        raise errors.DataError(
            f"{file} has no column {missing[0]!r}: wanted the raw features and {known.target}"
        )
    task = tasks.of(known)
    labels = task.read(frames.plain(extra[known.target]))
    raw = frames.to_raw(extra, schema=known)
    rows = Fresh(raw=raw, labels=labels, identity=identity(raw, known))
    good = task.known(task.encode(labels, known))
    return rows.at(np.flatnonzero(good)), int((~good).sum())


def _add(
    content: Content,
    rows: Fresh,
    *,
    identities: Mapping[str, NDArray[Any]],
    of: int,
    file: Path,
) -> list[str]:
    """Divide the rows between training and `recent`; those that equal a validation or test row are
    left out, so that the test stays unseen."""
    unseen = np.concatenate([identities["validation"], identities["test"]])
    equal = np.isin(rows.identity, unseen)
    # by content: a row that came twice is on one side only
    recent = rows.identity % RECENT_OF_TEN[1] < RECENT_OF_TEN[0]
    for name, chosen in (("train", ~equal & ~recent), ("recent", ~equal & recent)):
        _join(content, name, rows.at(np.flatnonzero(chosen)))
    if not equal.any():
        return []
    return [
        f"{equal.sum()} of {of} newly labelled rows in {file.name} were left out: "
        "they equal validation or test rows"
    ]


def _renew(
    content: Content,
    rows: Fresh,
    *,
    section: sections.Data,
    identities: Mapping[str, NDArray[Any]],
) -> None:
    """Make the newest rows the test split, and let the others join what is learnt from."""
    places = np.arange(len(rows))
    test, older = rows.at(places[-section.held_out :]), rows.at(places[: -section.held_out])
    for name in LEARNT:
        seen = np.isin(identities[name], test.identity)
        content[name] = _chosen(content[name], np.flatnonzero(~seen))
    older = older.at(np.flatnonzero(~np.isin(older.identity, test.identity)))
    share = section.division.validation / (1 - section.division.test)
    place = split.places(older.identity, seed=section.seed)
    _join(content, "validation", older.at(np.flatnonzero(place < share)))
    _join(content, "train", older.at(np.flatnonzero(place >= share)))
    content["test"] = _written(test)


def _join(content: Content, name: str, rows: Fresh) -> None:
    _put(content, name, _written(rows))


def _put(content: Content, name: str, new: tuple[Raw, list[Any], NDArray[np.int64]]) -> None:
    if not new[1]:
        return
    if name in content:
        old = content[name]
        joined = {key: np.concatenate([old[0][key], new[0][key]]) for key in new[0]}
        new = joined, old[1] + new[1], np.concatenate([old[2], new[2]])
    content[name] = new


def _slide(content: Content, name: str, most: int, *, classes: Sequence[str]) -> list[str]:
    """Keep the last rows, those of the source being first, in its order; the others are `older`. Of a
    class that no last row shows the newest old ones stay in training, and a sentence says so."""
    rows = content[name]
    count = len(rows[1])
    labels, first = rows[1], max(count - most, 0)
    stay: set[int] = set()
    sentences = []
    for word in classes if name == "train" else ():
        if not any(_shows(label, word) for label in labels[first:]):
            found = [place for place in range(first) if _shows(labels[place], word)][-OLD_OF_CLASS:]
            stay.update(found)
            sentences.append(
                f"no new row to learn from is of {word!r}: the newest {len(found)} old ones stay"
            )
    content[name] = _chosen(rows, np.array([*sorted(stay), *range(first, count)], dtype=np.int64))
    gone = np.array([place for place in range(first) if place not in stay], dtype=np.int64)
    _put(content, splits.OLDER, _chosen(rows, gone))
    return sentences


def _shows(label: Any, word: str) -> bool:
    return bool(label == word) or (isinstance(label, list | tuple) and word in label)


def _unseen(content: Content, known: Schema) -> None:
    """Take the rows that equal a validation row out of `older`: they are learnt from too."""
    if splits.OLDER in content:
        older, validation = (
            identity(content[name][0], known) for name in (splits.OLDER, "validation")
        )
        content[splits.OLDER] = _chosen(
            content[splits.OLDER], np.flatnonzero(~np.isin(older, validation))
        )


def _written(rows: Fresh) -> tuple[Raw, list[Any], NDArray[np.int64]]:
    return rows.raw, rows.labels, np.full(len(rows), splits.NEW, dtype=np.int64)


def _chosen(
    rows: tuple[Raw, list[Any], NDArray[np.int64]], places: NDArray[np.int64]
) -> tuple[Raw, list[Any], NDArray[np.int64]]:
    raw, labels, numbers = rows
    chosen = {name: values[places] for name, values in raw.items()}
    return chosen, [labels[place] for place in places], numbers[places]
