"""Late labels and their requests become rows to learn from, beside those that the import brings."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fairway import errors
from fairway.data import importing, prepare, splits
from fairway.monitoring.eventstore import archive, places
from fairway.retraining import late_labels
from tests.pipelines import runs
from tests.retraining.test_challenger import SEEN, label, pictures, prediction


@pytest.fixture
def store(tmp_path: Path) -> Iterator[archive.EventStore]:
    """Return a store with a request for each picture, of which the first ten have a label."""
    made = places.opened(tmp_path / "events.db")
    images, truth = pictures()
    made.add(
        [
            prediction(str(number), {"image": images[number : number + 1]}, rows=1)
            for number in range(SEEN)
        ]
    )
    made.add([label(str(number), truth[number]) for number in range(10)])
    yield made
    made.close()


def told(folder: Path, numbers: range, *, wrong: int | None = None) -> str:
    """Return the address of a file with labels of these requests."""
    _, truth = pictures()
    labels = [truth[number] if number != wrong else "0" for number in numbers]
    frame = pd.DataFrame({"request_id": [str(number) for number in numbers], "label": labels})
    frame.to_csv(folder / "labels.csv", index=False)
    return f"file://{folder}/labels.csv"


def test_labels_of_a_file_join_those_of_the_store_and_the_newest_are_held_out(
    promoted: runs.Promoted, store: archive.EventStore, tmp_path: Path
) -> None:
    config = runs.settings()
    made, rows = late_labels.joined(
        store,
        config,
        champion=promoted.package,
        labels=told(tmp_path, range(8, SEEN)),
        out=tmp_path / "rows",
    )
    assert rows == SEEN  # two are in both, and count once
    assert (made.data.held_out, made.data.extra) == (24, ())  # the place is the next step's
    assert made.evaluation.gate.better
    section = importing.brought(made.data, folder=tmp_path / "rows")
    record = prepare.prepare(section, out=tmp_path / "dataset")
    tested = splits.load(Path(record.path)).test
    images, truth = pictures()
    assert tested.labels == truth[-24:]
    np.testing.assert_allclose(
        tested.columns["image"].reshape(24, 64), np.array(images[-24:]), atol=1e-6
    )


def test_a_files_label_is_the_later_one(
    promoted: runs.Promoted, store: archive.EventStore, tmp_path: Path
) -> None:
    address = told(tmp_path, range(SEEN), wrong=3)
    late_labels.joined(
        store, runs.settings(), champion=promoted.package, labels=address, out=tmp_path / "rows"
    )
    written = pd.read_parquet(tmp_path / "rows" / importing.LABELLED)
    assert (written["digit"][3], written["digit"][4]) == ("0", pictures()[1][4])


def test_too_few_are_refused_with_what_is_wanted(
    promoted: runs.Promoted, store: archive.EventStore, tmp_path: Path
) -> None:
    with pytest.raises(
        errors.Refused, match="10 answers have a label and logged inputs: wanted 67"
    ):
        late_labels.joined(
            store, runs.settings(), champion=promoted.package, labels=None, out=tmp_path / "rows"
        )


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "cannot be read"), ("id,truth\n1,2\n", "has no row with a request_id")],
)
def test_a_file_that_holds_no_labels_is_used_wrongly(
    promoted: runs.Promoted, store: archive.EventStore, tmp_path: Path, text, words
) -> None:
    if text is not None:
        (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(errors.UsageError, match=words):
        late_labels.joined(
            store,
            runs.settings(),
            champion=promoted.package,
            labels=str(tmp_path / "labels.csv"),
            out=tmp_path / "rows",
        )


def test_an_earlier_file_of_the_kind_gives_way_to_what_was_brought(tmp_path: Path) -> None:
    (tmp_path / importing.LABELLED).write_bytes(b"")
    section = runs.settings("data.extra=[theirs.parquet, runs/one/labelled.parquet]").data
    found = importing.brought(section, folder=tmp_path)
    assert [path.name for path in found.extra] == ["theirs.parquet", importing.LABELLED]
    assert found.extra[1] == tmp_path / importing.LABELLED
