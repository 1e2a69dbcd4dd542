"""`fairway monitor accept`: a person takes a shift for the new usual, and everybody sees who and why."""

import functools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway import artifacts
from fairway.monitoring import exporter, monitor
from fairway.monitoring.eventstore import archive, places
from fairway.packaging import package
from fairway.rollout.states import Phase
from tests.cli import running, standing
from tests.cli.running import Done
from tests.monitoring import made
from tests.serving import support

REVISION, WINDOW = "0123456789ab", 20


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a model with a reference is in service, and watched."""
    folder = tmp_path_factory.mktemp("accepting")
    home = standing.deployed(folder, "aaa", phase=Phase.STABLE, stable="aaa")
    serve(home, packaged(folder / "package"))
    places.opened(home / "events.db").close()
    return folder


def packaged(folder: Path) -> Path:
    folder.mkdir()
    declared = {**support.SCHEMA, "reference": "reference.json"}
    (folder / "schema.json").write_text(json.dumps(declared))
    rows = [{"age": 20.0 + one, "hours": 40.0, "sector": "state"} for one in range(40)]
    (folder / "reference.json").write_text(json.dumps(rows))
    model = support.onnx_model(folder / "model.onnx")
    schema = folder / "schema.json"
    return Path(package.import_onnx(model, schema=schema, name="few", out=folder / "store").path)


def serve(home: Path, path: Path) -> None:
    """Put the package in service, and under watch."""
    standing.serve(home, path, revision=REVISION)
    watched = {
        "namespace": "default",
        "revision": REVISION,
        "package": str(path),
        "monitoring": {"engine": "native", "scales": [WINDOW], "learn": {"duration": "0s"}},
    }
    artifacts.write_json(home / "monitor.json", {"deployments": {"few": watched}})


@pytest.fixture
def folder(made_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (".fairway", "fairway.yaml", "few.csv"):
        place = made_once / name
        (shutil.copytree if place.is_dir() else shutil.copy)(place, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("USER", "ana")
    return tmp_path


@pytest.fixture
def store(folder: Path) -> Iterator[archive.EventStore]:
    opened = places.opened(folder / ".fairway" / "events.db")
    yield opened
    opened.close()


@pytest.fixture
def called(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Return the command line, called in this process."""
    return functools.partial(running.here, capsys)


def asked(store: archive.EventStore, window: int) -> None:
    """Store a window of requests, and their answers."""
    store.add(
        [
            made.prediction(
                f"r{window}-{place}",
                revision=REVISION,
                deployment="few",
                at=made.START + place,
                inputs={"age": [20.0 + place], "hours": [40.0], "sector": ["state"]},
                probabilities=[[0.6, 0.4]],
            )
            for place in range(WINDOW)
        ]
    )


def test_a_shift_is_accepted_and_the_monitor_shows_by_whom_and_why(
    called: Callable[..., Done], store: archive.EventStore, folder: Path
) -> None:
    home = folder / ".fairway"
    looking = monitor.Monitor(home, events=store, series=exporter.Exporter())
    asked(store, 1)
    assert looking.look(now=made.START + 60) == 1
    store.conclusions.open_alert(
        name="InputDrift", severity="ticket", deployment="few", at=1.0, summary="s", description="d"
    )
    done = called("monitor", "accept", "--why", "a\n campaign")
    assert done.returncode == 0, done.stderr
    assert f"few, revision {REVISION}" in done.stdout
    assert "accepted    by ana: a campaign" in done.stdout
    shown = called("monitor")
    assert "UTC by ana: a campaign; the monitor takes it at its next look" in shown.stdout

    asked(store, 2)
    assert looking.look(now=made.START + 120) == 1
    shown = called("monitor")
    assert "UTC by ana: a campaign\n" in shown.stdout
    assert "what is usual is learnt: 1 of" in shown.stdout
    record = _object(called("monitor", "-o", "json"))
    assert [one["resolution"] for one in record["alerts"]] == ["accepted by ana: a campaign"]
    (newest,) = record["usual"]["accepted"]
    assert record["usual"] == {
        "revision": None,
        "until": None,
        "since": newest,
        "accepted": [newest],
    }
    assert (newest["who"], newest["why"], newest["after"]) == ("ana", "a campaign", WINDOW)
    assert [one["accepted"] for one in record["windows"]] == [None, newest["at"]]

    again = _object(called("monitor", "accept", "few", "--why", "it is", "-o", "json"))
    assert (again["deployment"], again["why"], again["ticket"]) == ("few", "it is", None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--why", " "], "--why has 0 characters: wanted 1 to 500 that say why the shift is fine"),
        ([], "--why"),
        (["--why", "fine"], "few: nothing is watched, so there is nothing to accept"),
        (["other", "--why", "fine"], "there is no deployment other in .fairway: it has few"),
        (["few@500", "--why", "fine"], "few@500 names some requests: wanted the deployment alone"),
        (["--why", "fine", "--home", "nowhere"], "nothing was served in nowhere"),
        (["--why", "fine", "--on", "kubernetes"], "--on kubernetes without --collector"),
    ],
)
def test_a_mistake_in_what_is_accepted_gets_a_sentence(
    called: Callable[..., Done], arguments: list[str], words: str
) -> None:
    done = called("monitor", "accept", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_who_has_no_name_where_the_command_runs_is_asked_for_it(
    called: Callable[..., Done],
    store: archive.EventStore,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looking = monitor.Monitor(folder / ".fairway", events=store, series=exporter.Exporter())
    asked(store, 1)
    looking.look(now=made.START + 60)
    for name in ("USER", "LOGNAME"):  # as in a pod
        monkeypatch.delenv(name, raising=False)
    accept = ("monitor", "accept", "--why", "a campaign")
    for who in ((), ("--who", " "), ("--who", "a" * 101)):
        refused = called(*accept, *who)
        assert refused.returncode == 2
        assert "name yourself, such as --who ana" in refused.stderr
    assert "by bea: a campaign" in called(*accept, "--who", "bea").stdout


def test_classes_of_which_no_label_came_are_shown(
    called: Callable[..., Done], store: archive.EventStore
) -> None:
    asked(store, 1)
    one, other = support.SCHEMA["classes"]
    store.add([made.label("r1-0", one, deployment="few")])
    (serving,) = json.loads(called("monitor", "--output", "json").stdout)["serving"]
    known, missing = serving["performance"]["classes"]
    assert (known["class"], known["labelled"]) == (one, 1)
    assert missing == {"class": other, "labelled": 0, "recall": None, "interval": None}
    assert f"class       {other}: no label yet" in called("monitor").stdout


def test_a_package_without_a_reference_is_not_watched_and_nothing_is_accepted(
    called: Callable[..., Done], folder: Path
) -> None:
    serve(folder / ".fairway", support.packaged(folder / "other").path)
    done = called("monitor", "accept", "--why", "fine")
    assert done.returncode == 2
    assert f"the package of revision {REVISION} has no reference.npz" in done.stderr


def _object(done: Done) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
