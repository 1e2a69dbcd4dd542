"""`fairway labels`: requests are drawn from what was served, and labels that come back say how good
all answers are."""

import csv
import functools
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairway.monitoring.eventstore import answers, archive, places
from fairway.rollout.states import Phase
from tests.cli import running, standing
from tests.cli.running import Done
from tests.monitoring import made
from tests.serving import support

REVISION, REQUESTS = "0123456789ab", 600


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a model with the classes no and yes has answered 600 requests, and a seventh of
    them has a label."""
    folder = tmp_path_factory.mktemp("labels")
    home = standing.deployed(folder, "aaa", phase=Phase.STABLE, stable="aaa")
    package = support.packaged(folder / "package").path
    standing.serve(home, Path(package), revision=REVISION)
    store = places.opened(home / "events.db")
    store.add([_prediction(place, sure) for place, sure in enumerate(_sureness())])
    store.add([_label(place, "no") for place in range(0, REQUESTS, 7)])
    store.close()
    return folder


@pytest.fixture
def folder(made_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (".fairway", "fairway.yaml", "few.csv"):
        place = made_once / name
        (shutil.copytree if place.is_dir() else shutil.copy)(place, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def called(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Return the command line, called in this process."""
    return functools.partial(running.here, capsys)


def _sureness() -> list[float]:
    found: list[float] = np.random.default_rng(1).uniform(0.5, 1, REQUESTS).round(3).tolist()
    return found


def _prediction(place: int, sure: float) -> dict[str, object]:
    return made.prediction(
        f"r{place}",
        revision=REVISION,
        deployment="few",
        label="no",
        at=made.START + place,
        inputs={"age": [20.0 + place % 50], "sector": ["=1+1"]},
        redacted=["hours"],
        probabilities=[[sure, 1 - sure]],
    )


def _label(place: int, truth: str) -> dict[str, object]:
    return made.label(f"r{place}", truth, deployment="few", at=made.START + 1_000)


@pytest.fixture
def store(folder: Path) -> Iterator[archive.EventStore]:
    opened = places.opened(folder / ".fairway" / "events.db")
    yield opened
    opened.close()


def test_labels_of_a_sample_say_how_good_all_answers_are(
    called: Callable[..., Done], store: archive.EventStore
) -> None:
    done = called("labels", "sample", "--count", "150")
    assert done.returncode == 0, done.stderr
    assert f"of 514 requests without a label of revision {REVISION}, by importance" in done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert 110 < len(rows) < 190
    assert set(rows[0]) == {
        "request_id",
        "age",
        "sector",
        "hours",
        "answer",
        "probability",
        "label",
    }
    assert (rows[0]["hours"], rows[0]["sector"], rows[0]["answer"]) == ("", "'=1+1", "no")

    sure, rng = _sureness(), np.random.default_rng(2)
    wrong = [rng.random() > one for one in sure]  # as often as the model says
    drawn = [int(row["request_id"].removeprefix("r")) for row in rows]
    store.add([_label(place, "yes" if wrong[place] else "no") for place in drawn])
    shown = called("labels", "quality")
    assert shown.returncode == 0, shown.stderr
    assert f"{len(rows)} of {len(rows)}" in shown.stdout

    record = _object(called("labels", "quality", "few", "-o", "json"))
    (found,) = record["samples"]
    assert (found["labelled"], found["labelledBefore"]) == (len(rows), 86)
    truth = sum(one for place, one in enumerate(wrong) if place % 7) / REQUESTS
    alone, powered = found["loss"]["labelsAlone"], found["loss"]["powered"]
    assert alone["low"] < truth < alone["high"]
    assert powered["low"] < truth < powered["high"]
    assert powered["high"] - powered["low"] < alone["high"] - alone["low"]


def test_a_label_that_another_draw_asked_for_counts_as_far_as_ones_own_labels_reach(
    called: Callable[..., Done], store: archive.EventStore
) -> None:
    many, few = (
        [
            row["requestId"]
            for row in _object(called("labels", "sample", *asked, "-o", "json"))["drawn"]
        ]
        for asked in (("--by", "uniform", "--count", "300"), ("--count", "100"))
    )
    both = set(many) & set(few)
    assert 0.4 < len(both) / len(few) < 0.75  # not all of them: each draw is by itself

    def labelled() -> list[int]:
        record = _object(called("labels", "quality", "-o", "json"))
        return [one["labelled"] for one in record["samples"]]

    store.add([_label(int(one[1:]), "no") for one in many])
    assert labelled() == [0, len(many)]
    store.add([_label(int(one[1:]), "no") for one in few[:30]])
    last = max(place for place, one in enumerate(few[:30], start=1) if one not in both)
    assert labelled() == [last, len(many)]
    store.add([_label(int(one[1:]), "no") for one in few])
    assert labelled() == [len(few), len(many)]


@pytest.mark.parametrize("by", ["uncertainty", "uniform"])
def test_a_draw_repeats_by_its_seed_and_the_last_ones_are_kept(
    called: Callable[..., Done], by: str
) -> None:
    again = [
        _object(called("labels", "sample", f"few@{rows}", "--by", by, "--count", "40",
                           "-o", "json"))
        for rows in (200, 200, 100)
    ]  # fmt: skip
    assert again[0]["drawn"] == again[1]["drawn"]
    probability = {row["probability"] for row in again[0]["drawn"]}
    assert (len(probability) == 1) == (by == "uniform")
    assert again[2]["requests"] < again[1]["requests"] < 200
    done = called("labels", "quality")
    assert done.stdout.count(REVISION) == 3
    assert "wanted 10 labels at least" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["quality"], 2, "no sample of few was drawn: `fairway labels sample` draws one"),
        (["sample", "other"], 2, "there is no deployment other in .fairway: it has few"),
        (["sample", "few@ffffff"], 2, "few@ffffff: few has no such revision"),
        (["sample", "few@2020-01-01..2020-01-02"], 1, "send requests, or name other times"),
        (["sample", "--count", "3"], 2, "x>=10"),
        (["sample", "--home", "nowhere"], 2, "nothing was served in nowhere"),
    ],
)
def test_a_mistake_in_what_is_drawn_gets_a_sentence(
    called: Callable[..., Done], arguments: list[str], status: int, words: str
) -> None:
    done = called("labels", *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_losses_are_those_of_the_newest_label_and_need_all_rows(store: archive.EventStore) -> None:
    store.add([_label(1, "yes"), _label(2, "no"), _label(2, "yes")])
    store.add([made.prediction("two", revision=REVISION, deployment="few", label=["no", "no"])])
    store.add([made.label("two", ["yes", None], deployment="few")])
    asked = {"r0": ["no"], "r1": ["no"], "r2": ["no"], "two": ["no", "no"], "none": ["no"]}
    place = {"namespace": answers.NAMESPACE, "revision": REVISION}
    assert store.history.lost("few", asked, **place) == {"r0": 0, "r1": 1, "r2": 1}
    store.add([made.label("two", ["yes", "no"], deployment="few")])
    assert store.history.lost("few", asked, **place)["two"] == 1


def test_the_monitor_says_which_answers_get_labels_and_how_diverse_the_items_are(
    called: Callable[..., Done], store: archive.EventStore
) -> None:
    changed = [
        made.prediction(f"y{place}", revision=REVISION, deployment="few", label="yes",
                        at=made.START + 700 + place, inputs={"age": [20.0]})
        for place in range(600)
    ]  # fmt: skip
    store.add(changed)
    done = called("monitor", "loops", "--item", "age")
    assert done.returncode == 0, done.stderr
    assert "share of 50 items seen in 120 rows" in done.stdout
    assert "fewer items get more of the places" in done.stdout
    assert "yes was answered 600 times and got 0 labels" in done.stdout
    record = _object(called("monitor", "loops", "few@600", "--reference", "few@1200", "-o", "json"))
    assert record["requests"] == {"before": 1200, "now": 600}
    assert [one["labelled"] for one in record["answers"]] == [0]


def _object(done: Done) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
