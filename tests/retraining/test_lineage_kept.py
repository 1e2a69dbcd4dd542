"""A real retraining on this machine: what its revision remembers, and what `fairway lineage` says."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairway import files
from fairway.config import sections
from fairway.monitoring.eventstore import places
from fairway.pipelines import run
from fairway.platforms.local import state
from fairway.platforms.local.home import Home
from fairway.platforms.local.rollouts import LocalPlatform
from tests.cli.running import assert_one_sentence, fairway
from tests.pipelines import runs
from tests.retraining.test_challenger import label, prediction

WHY = "ticket OPS-7: realised accuracy fell"
REQUESTS = 100


def configuration(rows: Path) -> sections.Config:
    gate = {"maxCalibrationError": 1, "beatZeroRule": False, "threshold": 0.1}
    return sections.Config.model_validate(
        {
            "name": "digits",
            "data": {"source": "csv", "path": str(rows), "target": "answer"},
            "training": {"family": "boosting", "rounds": 10, "threads": 1},
            "evaluation": {"gate": gate},
            "retraining": {"deploy": True, "sliding": False},
        }
    )


def rows(count: int, *, first: float, seed: int) -> tuple[np.ndarray, list[str]]:
    """Return numbers around `first`, where the answer of users differs from what was learnt."""
    found = first + np.random.default_rng(seed).uniform(-1, 1, size=(count, 2)).round(4)
    return found, ["yes" if row[0] > first else "no" for row in found]


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, run.TrainingRun]:
    """Return the folder in which a model was retrained on labels of a place that it did not know,
    and the run of the model before."""
    folder = tmp_path_factory.mktemp("retrained")
    known, answers = rows(200, first=0.0, seed=1)
    table = [f"{a},{b},{said}" for (a, b), said in zip(known, answers, strict=True)]
    (folder / "rows.csv").write_text("\n".join(["a,b,answer", *table]) + "\n")
    config, home = configuration(folder / "rows.csv"), folder / ".fairway"
    first = run.run_training(config, home=home, champion=None, deploy=True, why="asked for by ann")
    new, truths = rows(REQUESTS, first=10.0, seed=2)
    store = places.opened(home / "events.db")
    events = [
        event
        for number, (row, truth) in enumerate(zip(new, truths, strict=True))
        for event in (
            prediction(
                str(number), {"a": [float(row[0])], "b": [float(row[1])]}, rows=1, labels=["no"]
            ),
            label(str(number), truth),
        )
    ]
    store.add(events)
    store.close()
    asked = {"--home": home, "--config": runs.written(config, folder / "config.json")}
    asked |= {"--champion": Path(str(first.package)), "--why": Path(WHY)}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "fairway.retraining.challenger"),
            *("--deployment", "digits", "--run", "second"),
            *(str(part) for pair in asked.items() for part in pair),
        ],
        env={**os.environ, "PYTHONPATH": str(Path(run.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, first


def told(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    done = fairway("lineage", *arguments, "--output", "json", where=folder)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["lineage"]
    return found


def test_the_revision_names_run_reason_data_and_champion_and_the_champion_its_own(
    retrained: tuple[Path, run.TrainingRun],
) -> None:
    folder, before = retrained
    store = state.Store(folder / ".fairway" / "state.db")
    [*_, newest] = store.revisions("digits")
    store.close()
    kept = newest.lineage
    assert (kept["run"], kept["why"], kept["champion"]) == ("second", WHY, before.digest)
    assert kept["data"]["files"] == {"rows.csv": files.digest_file(folder / "rows.csv")}
    assert kept["data"]["places"] == {"path": "rows.csv"}
    assert list(kept["data"]["labelled"]) == ["labelled.parquet"]
    assert kept["data"]["rows"]["test"] == 30  # three in ten of the labelled
    chain = told(folder, f"digits@{newest.revision}")
    assert chain[0] == kept
    assert [(one["run"], one["why"]) for one in chain] == [
        ("second", WHY),
        (before.run, "asked for by ann"),
    ]
    assert chain[0]["data"]["version"] != chain[1]["data"]["version"]
    assert chain[1]["champion"] is None


def test_a_run_and_a_package_tell_the_same_and_text_is_a_tree(
    retrained: tuple[Path, run.TrainingRun],
) -> None:
    folder, before = retrained
    chain = told(folder, "second")
    package = f".fairway/packages/{chain[0]['digest'].removeprefix('sha256:')}"
    assert told(folder, package) == chain
    text = fairway("lineage", "second", where=folder).stdout
    assert f"\n└─ compared with digits  {before.digest}\n" in text
    assert WHY in text


def test_who_deploys_the_package_again_is_not_who_made_it(
    retrained: tuple[Path, run.TrainingRun],
) -> None:
    folder, before = retrained
    home = Home(folder / ".fairway")
    config = configuration(folder / "rows.csv")
    LocalPlatform(home).deploy(config, package=Path(str(before.package)), note="back")
    [first, *_] = LocalPlatform(home).lineage("digits", revision=before.revision)
    assert (first["run"], first["why"]) == (before.run, "asked for by ann")


MISTAKES = {
    "no such deployment": (("nothing",), 2, "there is no deployment 'nothing'"),
    "no such revision": (("digits@aaa",), 2, "digits has no revision aaa: wanted one of"),
    "no name": (("a/b",), 2, "wanted at most 53 lower-case letters"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_what_is_not_there_is_named(case: str, retrained: tuple[Path, run.TrainingRun]) -> None:
    arguments, status, words = MISTAKES[case]
    done = fairway("lineage", *arguments, where=retrained[0])
    assert_one_sentence(done, status=status, words=words)
