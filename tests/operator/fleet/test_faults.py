"""What goes wrong around a cluster's monitor costs one look of one deployment, and is told once."""

import contextlib
import http.client
import json
from pathlib import Path
from typing import Any

import httpx
import prometheus_client
import pytest

from fairway import errors
from fairway.monitoring import listener, receiver
from fairway.monitoring.eventstore import blobs, distant, places
from fairway.operator import status
from fairway.operator.fleet import jobs, packages, watching
from tests.operator.fleet import test_fleet as fleets
from tests.operator.fleet.test_fleet import (  # noqa: F401 - fixtures
    LEARNT,
    LOOP,
    NAMESPACE,
    Stage,
    packaged,
    stage,
)

pytestmark = pytest.mark.timeout(300)


def once(function: Any) -> Any:
    """Return the function, which fails the first time as a collector that is away."""
    failed: list[bool] = []

    def calling(*given: Any, **named: Any) -> Any:
        if not failed:
            failed.append(True)
            raise errors.Unavailable("the collector does not answer: timed out")
        return function(*given, **named)

    return calling


def test_a_store_that_is_away_while_a_monitor_begins_costs_it_one_look(
    stage: Stage,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage.deploy()
    stage.show()
    assert stage.play(stage.monitor(), LEARNT + 2) == 0
    fleet = stage.monitor()
    with monkeypatch.context() as patched:
        patched.setattr(distant.DistantShelf, "read", once(distant.DistantShelf.read))
        stage.look(fleet)
        stage.look(fleet)
    assert stage.condition() == ("True", "Usual")
    assert stage.play(fleet, 40, shift=2.0)


def test_a_look_that_fails_resolves_no_ticket(
    stage: Stage,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage.deploy()
    stage.show()
    fleet = stage.monitor()
    stage.play(fleet, LEARNT + 2)
    assert stage.play(fleet, 30, shift=2.0)
    ticket = stage.monitoring()["ticket"]
    with monkeypatch.context() as patched:
        patched.setattr(distant.DistantHistory, "newest", once(distant.DistantHistory.newest))
        stage.look(fleet)
    assert stage.monitoring()["ticket"]["openedAt"] == ticket["openedAt"]
    assert stage.monitoring()["learnt"] == f"{LEARNT}/{LEARNT}"
    stage.look(fleet)
    assert not [one for one in stage.cluster.events if one.startswith("DriftTicketResolved")]


def job(name: str, number: str, **annotations: str) -> dict[str, Any]:
    labels = {jobs.DEPLOYMENT: "income", jobs.RUN: number}
    return {
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": labels,
            "annotations": annotations,
            "creationTimestamp": "2027-01-15T08:00:00Z",
        },
        "status": {"conditions": [{"type": "Complete", "status": "True"}]},
    }


def looping(stage: Stage) -> watching.Fleet:  # noqa: F811
    stage.cluster._keep(("CronJob", "train"), json.loads(json.dumps(fleets.CRON)))
    stage.packaged = fleets.good(stage.packaged)
    stage.deploy(retraining=LOOP)
    stage.show()
    fleet = stage.monitor()
    stage.look(fleet)
    return fleet


def test_a_job_that_somebody_labelled_is_none_of_ours(stage: Stage) -> None:  # noqa: F811
    fleet = looping(stage)
    stage.cluster._keep(("Job", "theirs"), job("theirs", "x"))
    stage.look(fleet)
    assert stage.condition() == ("False", "Learning")
    assert "run" not in stage.monitoring()["retraining"]


def test_a_run_has_a_number_that_no_job_has_though_the_mark_was_lost(
    stage: Stage,  # noqa: F811
) -> None:
    fleet = looping(stage)
    stage.cluster._keep(("Job", "income-retraining-3"), job("income-retraining-3", "3"))
    fleet.ask(NAMESPACE, "income", alert="RealisedQualityBurn", now=stage.now)
    stage.look(fleet)
    assert fleets.jobs_of(stage) == ["income-retraining-3", "income-retraining-4"]


def test_a_name_that_another_job_has_is_no_run_that_began(stage: Stage) -> None:  # noqa: F811
    fleet = looping(stage)
    other = job("income-retraining-1", "x")
    stage.cluster._keep(("Job", "income-retraining-1"), other)
    fleet.ask(NAMESPACE, "income", alert="RealisedQualityBurn", now=stage.now)
    stage.look(fleet)
    assert not [one for one in stage.cluster.events if one.startswith("RetrainingStarted")]


def test_long_names_make_jobs_of_their_own_within_what_a_label_holds() -> None:
    owner = {"metadata": {"namespace": "a"}, "spec": {"model": {"digest": "d"}}}
    made = [
        jobs.job(
            {**owner, "metadata": {**owner["metadata"], "name": "a" * 47 + end}},
            fleets.CRON,
            number=1234,
            revision="r",
            reason="why",
        )["metadata"]["name"]
        for end in ("-eu", "-us")
    ]
    assert len(set(made)) == 2
    assert all(len(name) <= 57 for name in made)  # and a pod's six more


def test_an_alert_that_had_to_wait_too_long_asks_again(stage: Stage) -> None:  # noqa: F811
    fleet = looping(stage)
    stage.cluster.objects["ModelDeployment", "income"]["status"]["phase"] = "Canary"
    fleet.ask(NAMESPACE, "income", alert="RealisedQualityBurn", now=stage.now)
    stage.look(fleet, seconds=receiver.ASKED_SECONDS + 60)
    stage.cluster.objects["ModelDeployment", "income"]["status"]["phase"] = "Stable"
    stage.look(fleet)
    assert fleets.jobs_of(stage) == []
    fleet.ask(NAMESPACE, "income", alert="RealisedQualityBurn", now=stage.now)
    stage.look(fleet)
    assert fleets.jobs_of(stage) == ["income-retraining-1"]


def test_an_alert_waits_for_the_labels_that_a_run_needs(stage: Stage) -> None:  # noqa: F811
    fleet = looping(stage)
    asked = [one for _ in range(4) for one in stage.serve()]
    stage.label(asked[:60], "cat")
    fleet.ask(NAMESPACE, "income", alert="RealisedQualityBurn", now=stage.now)
    stage.look(fleet)
    assert fleets.jobs_of(stage) == []
    said = stage.monitoring()["retraining"]["reason"]
    assert "but 60 of the 67 labels that a run needs are in" in said
    stage.label(asked[60:67], "cat")
    stage.look(fleet)
    assert fleets.jobs_of(stage) == ["income-retraining-1"]


def test_series_go_with_their_deployment(stage: Stage) -> None:  # noqa: F811
    fleet = looping(stage)
    assert 'loss_limit{deployment="income"' in fleet.series.text()
    del stage.cluster.objects["ModelDeployment", "income"]
    stage.look(fleet)
    for name in ("loss_limit", "loss_evidence", "run_active", "ticket_open", "learning"):
        assert f'{name}{{deployment="income"' not in fleet.series.text()


def test_a_reference_that_unpacks_to_too_much_is_refused(
    stage: Stage,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packages, "LARGEST", 1000)
    stage.deploy()
    stage.show()
    stage.look(stage.monitor())
    (found,) = [one for one in stage.status()["conditions"] if one["type"] == "Monitored"]
    assert (found["reason"], "wanted at most" in found["message"]) == ("Failing", True)


def test_a_namespace_has_room_for_its_newest_packages_alone(
    stage: Stage,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blobs, "NAMESPACE_BYTES", 2500)
    store = places.opened(stage.store.with_name("other.db"))

    def place(revision: str, namespace: str = "a") -> blobs.BlobPlace:
        return blobs.BlobPlace(
            namespace=namespace, deployment="d", revision=revision, name="reference.npz"
        )

    for at, revision in enumerate(("one", "two", "three")):
        store.blobs.put(place(revision), bytes(1000), at=at)
    store.blobs.put(place("one", "b"), bytes(1000), at=9)
    kept = [name for name in ("one", "two", "three") if store.blobs.get(place(name))]
    assert kept == ["two", "three"]
    assert store.blobs.get(place("one", "b")) is not None
    store.blobs.touch(place("two"), at=blobs.DAY + 5)
    store.blobs.put(place("four"), bytes(1000), at=4)
    assert store.blobs.get(place("two")) is not None  # its servers run still
    store.close()


def test_an_alert_that_comes_before_the_first_look_is_told_to_come_again() -> None:
    registry = prometheus_client.CollectorRegistry()
    heard = listener.Listener(host="127.0.0.1", port=0, registry=registry, token=None)
    labels = {"alertname": "A", "namespace": "a", "deployment": "b"}
    body = {"alerts": [{"status": "firing", "labels": labels}]}
    url = f"http://127.0.0.1:{heard.port}"
    assert httpx.post(f"{url}/v1/alerts", json=body).status_code == 401
    assert httpx.get(f"{url}/readyz").status_code == 503
    heard._knows = lambda _: True  # type: ignore[method-assign]
    assert httpx.post(f"{url}/v1/alerts", json=body).status_code == 503
    heard.watch(alive=lambda: True, ask=lambda found: f"{found.alert} is taken")
    answer = httpx.post(f"{url}/v1/alerts", json=body)
    assert (answer.status_code, answer.text) == (200, "a/b: A is taken\n")
    for length in ("\u00b2", "9" * 5_000, "-1", ""):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", heard.port)) as asking:
            asking.putrequest("POST", "/v1/alerts")
            asking.putheader("content-length", length)
            asking.endheaders()
            assert asking.getresponse().status == 413
    assert httpx.post(f"{url}/v1/alerts", content=b"{}").status_code == 400
    assert httpx.get(f"{url}/readyz").status_code == 200
    heard.close()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"alerts: []", "the body is no JSON, it begins with b'alerts: []': wanted Alertmanager's"),
        (b"\xff\xfe", r"the body is no JSON, it begins with b'\xff\xfe': wanted Alertmanager's"),
        (b"[" * 100_000, "the body is no JSON, it begins with b'[[[[[[[[[[[[[[[[[[[['"),
        (b"", "the body is no JSON, it begins with b'': wanted Alertmanager's webhook message"),
        (b"[]", "the body has no alerts: wanted Alertmanager's webhook message"),
    ],
    ids=["yaml", "bytes", "deep", "empty", "list"],
)
def test_a_body_that_is_no_message_is_answered_with_a_sentence(
    body: bytes, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("shown")
    heard = listener.Listener(
        host="127.0.0.1",
        port=0,
        registry=prometheus_client.CollectorRegistry(),
        token=tmp_path / "token",
    )
    try:
        answer = httpx.post(
            f"http://127.0.0.1:{heard.port}/v1/alerts",
            content=body,
            headers={"authorization": "Bearer shown"},
        )
    finally:
        heard.close()
    assert answer.status_code == 400
    assert answer.text.startswith(sentence)
    assert answer.text.endswith("; nothing was started\n")


def test_the_operator_carries_what_the_monitor_wrote_meanwhile() -> None:
    old = [{"type": "Ready", "status": "True"}, {"type": status.MONITORED, "status": "False"}]
    new = [{"type": "Ready", "status": "False"}, {"type": status.MONITORED, "status": "True"}]
    found = {"metadata": {}, "status": {"phase": "Stable", "conditions": old}}
    newest = {
        "metadata": {},
        "status": {
            "phase": "Stable",
            "conditions": [old[0], new[1]],
            "monitoring": {"drift": "Usual"},
        },
    }
    assert status.own(found) == status.own(newest)
    said = status.carried({"phase": "Canary", "conditions": [new[0], old[1]]}, newest)
    assert said == {"phase": "Canary", "conditions": new, "monitoring": {"drift": "Usual"}}
