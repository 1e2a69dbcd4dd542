"""An alert of a real Alertmanager trains one challenger on this machine, which goes through its rollout
while users are answered."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from fairway.config import sections
from fairway.pipelines import run
from fairway.platforms.local import client, requests, state
from fairway.platforms.local.home import Home
from fairway.rollout.states import Phase
from tests.cluster import watchers
from tests.local import world
from tests.serving import support

pytestmark = pytest.mark.timeout(900)
NAME, ALERT = "paid", "RealisedQualityBurn"


def answer(age: float, hours: float, *, moved: bool) -> str:
    """Return what the world answers; once it has moved, to other people."""
    return "high" if (age - hours > 0 if moved else age + hours > 95) else "low"


def rows(folder: Path) -> Path:
    rng = np.random.default_rng(1)
    lines = [
        f"{age:.1f},{hours:.1f},{answer(age, hours, moved=False)}"
        for age, hours in rng.uniform(15, 80, (900, 2))
    ]
    (folder / "paid.csv").write_text("\n".join(["age,hours,pay", *lines]) + "\n")
    return folder / "paid.csv"


def configuration(path: Path) -> sections.Config:
    return sections.Config.model_validate(
        {
            "name": NAME,
            "data": {"source": "csv", "path": str(path), "target": "pay"},
            "training": {"family": "boosting"},
            "evaluation": {"gate": {"maxCalibrationError": 1}},
            "strategy": {
                **world.QUICK,
                "shadow": {"enabled": False},
                "guards": [{"name": "errors", "type": "errors", "maxRate": 0.05}],
            },
            # what labels alone would start, this never does: the alert is to be the reason
            "retraining": {"maxLossIncrease": 1.0, "minLabels": 50, "alerts": [ALERT]},
        }
    )


class Callers:
    """Users of the moved world, one after the other, who tell later what was right."""

    def __init__(self, home: Home) -> None:
        self._home, self._url = home, client.need(home).gateway
        self._stopping, self._rng = threading.Event(), np.random.default_rng(2)
        self._thread = threading.Thread(target=self._run, name="callers")
        self.statuses: list[int] = []
        self.told = 0

    def __enter__(self) -> "Callers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(30)

    def _run(self) -> None:
        known: list[tuple[str, str]] = []
        with httpx.Client(base_url=self._url, timeout=30) as session:
            while not self._stopping.is_set():
                known.append(self._ask(session))
                if len(known) >= 100:
                    known = self._tell(known)
                time.sleep(0.01)

    def _ask(self, session: httpx.Client) -> tuple[str, str]:
        age, hours = (float(value) for value in self._rng.uniform(15, 80, 2))
        body = {
            "inputs": [
                {"name": name, "datatype": "FP64", "shape": [1, 1], "data": [value]}
                for name, value in (("age", age), ("hours", hours))
            ]
        }
        unit = {"x-fairway-unit": f"user-{self._rng.integers(100_000)}"}
        said = session.post(f"/v2/models/{NAME}/infer", json=body, headers=unit)
        self.statuses.append(said.status_code)
        return said.headers["x-request-id"], answer(age, hours, moved=True)

    def _tell(self, known: list[tuple[str, str]]) -> list[tuple[str, str]]:
        sent = requests.send_labels(
            self._home, NAME, namespace="default", labels=known, now=time.time()
        )
        self.told += sent.sent
        return []


def deployment(home: Home) -> state.Deployment:
    with contextlib.closing(state.Store(home.state)) as store:
        found = store.deployment(NAME)
    assert found is not None
    return found


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    place = Home(tmp_path / "home")
    place.make()
    client.up(place)
    yield place
    client.down(place)


def test_an_alert_that_fires_trains_one_challenger_and_its_rollout_ends_in_service(
    home: Home, tmp_path: Path
) -> None:
    config = configuration(rows(tmp_path))
    done = run.run_training(config, home=home.root, champion=None, deploy=True, watch=True)
    assert done.outcome == "deployed"
    first = deployment(home)
    assert first.state.phase is Phase.STABLE
    (tmp_path / "watching").mkdir()
    target = client.need(home).monitor.removeprefix("http://")
    token = home.token.read_text().strip()
    fire = {"alertname": ALERT, "namespace": "default", "deployment": NAME}
    with (
        Callers(home) as users,
        watchers.watching(tmp_path / "watching", target=target, token=token) as alertmanager,
    ):
        support.eventually(lambda: users.told >= 600, seconds=120)
        assert deployment(home).retraining.get("running") is None  # labels alone start nothing

        def challenged() -> bool:
            alertmanager.fire(**fire)  # as Prometheus does, over and over
            return deployment(home).desired != first.desired

        support.eventually(challenged, seconds=240)
        challenger = deployment(home).desired
        ended = client.follow(home, NAME, revision=challenger, timeout_seconds=300)
        before = alertmanager.told()

        def told_again() -> bool:
            alertmanager.fire(**fire)
            return alertmanager.told() >= before + 2  # it says it again every 2 seconds

        support.eventually(told_again)
        assert all(status == 200 for status in users.statuses)
    assert (ended.state.phase, ended.state.stable) == (Phase.STABLE, challenger), ended.state.reason
    assert deployment(home).retraining["why"] == f"alert {ALERT} fires"
    with contextlib.closing(state.Store(home.state)) as store:
        started = [event for _, event in store.story(NAME) if event.type == "RetrainingStarted"]
    assert len(started) == 1


@pytest.mark.parametrize(
    ("headers", "labels", "said"),
    [
        ({}, {}, (401, "wanted `Authorization: Bearer TOKEN`")),
        ({"token": "yes"}, {"deployment": "other"}, (200, "none that this monitor watches")),
    ],
)
def test_an_alert_of_a_stranger_or_about_one_starts_nothing(
    home: Home, headers: dict[str, Any], labels: dict[str, str], said: tuple[int, str]
) -> None:
    support.eventually(home.token.exists)  # the collector makes it
    token = home.token.read_text().strip()
    shown = {"authorization": f"Bearer {token}"} if headers else {}
    named = {"alertname": ALERT, "namespace": "default", "deployment": NAME, **labels}
    message = {"alerts": [{"status": "firing", "labels": named}]}

    def asked() -> httpx.Response:
        return httpx.post(f"{client.need(home).monitor}/v1/alerts", json=message, headers=shown)

    def ready() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return asked().status_code != 503  # until then it imports its engines
        return False

    support.eventually(ready, seconds=60)
    found = asked()
    assert found.status_code == said[0]
    assert said[1] in found.text
