"""The monitor of a cluster: a real collector keeps all that must survive it; the API server is the one
that lives in a dict."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import prometheus_client
import pytest

from fairway.monitoring import exporter
from fairway.monitoring.eventstore import access, batches, distant, places, wire
from fairway.operator import reported
from fairway.operator.fleet import jobs, shards, turns, watching
from fairway.packaging import manifest, package
from fairway.retraining import shown
from fairway.serving import delivery, showing
from tests.monitoring import made, processes
from tests.operator import world
from tests.serving import support

pytestmark = pytest.mark.timeout(300)
WINDOW, LEARNT = 20, 20  # rows of the only scale, windows that are learnt from
NOW = 1_800_000_000.0
NAMESPACE = "models"
ALL = shards.Shard(0, 1)


def rows(rng: np.random.Generator, count: int, *, shift: float = 0.0) -> list[dict[str, Any]]:
    ages, hours = rng.normal(40 + 10 * shift, 10, count), rng.normal(40, 10, count)
    sectors = rng.choice(["private", "state"], count)
    return [
        {"age": float(a), "hours": float(h), "sector": str(s)}
        for a, h, s in zip(ages, hours, sectors, strict=True)
    ]


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> manifest.Manifest:
    folder = tmp_path_factory.mktemp("package")
    declared = {**support.SCHEMA, "reference": "reference.json"}
    declared["features"] = [
        {**feature, "range": [-100, 200]} if "range" in feature else feature
        for feature in support.SCHEMA["features"]
    ]
    (folder / "schema.json").write_text(json.dumps(declared))
    reference = rows(np.random.default_rng(5), 300)
    (folder / "reference.json").write_text(json.dumps(reference))
    made_of = support.onnx_model(folder / "model.onnx")
    found = package.import_onnx(
        made_of, schema=folder / "schema.json", name="income", out=folder / "store"
    )
    return manifest.load(Path(found.path))


def showed(url: str, package: Path, *, name: str = "income", revision: str = "aaa") -> list[str]:
    """Show the package as a server of the revision does, and return what was sent."""
    sender = delivery.Sender(url)
    whose = {"namespace": NAMESPACE, "deployment": name, "revision": revision}
    with contextlib.closing(sender):
        return showing.show(sender, package, whose=whose)


@dataclass
class Stage:
    """A collector, a cluster, and traffic."""

    store: Path
    url: str
    packaged: manifest.Manifest
    cluster: world.Cluster = field(default_factory=world.Cluster)
    now: float = NOW
    sent: int = 0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @property
    def line(self) -> wire.Wire:
        return wire.Wire(url=self.url)

    def deploy(
        self,
        name: str = "income",
        *,
        revision: str = "aaa",
        learning: Mapping[str, Any] | None = None,
        **spec: Any,
    ) -> None:
        learn = {"rows": WINDOW * LEARNT, "duration": "0s", **(learning or {})}
        monitoring = {"scales": [WINDOW], "learn": learn}
        self.cluster._keep(
            ("ModelDeployment", name),
            {
                "apiVersion": "fairway.dev/v1alpha1",
                "kind": "ModelDeployment",
                "metadata": {
                    "name": name,
                    "namespace": NAMESPACE,
                    "uid": f"uid-{name}",
                    "generation": 1,
                },
                "spec": {
                    "model": {"digest": self.packaged.digest},
                    "monitoring": monitoring,
                    **spec,
                },
                "status": {
                    "phase": "Stable",
                    "stable": {"revision": revision, "digest": self.packaged.digest},
                    "checkpoint": "the operator's",
                },
            },
        )

    def show(self, name: str = "income", *, revision: str = "aaa") -> list[str]:
        return showed(self.url, self.packaged.path, name=name, revision=revision)

    def serve(self, name: str = "income", *, shift: float = 0.0, **data: Any) -> list[str]:
        """Log a window of requests, and return their ids."""
        weights = np.random.default_rng(0).normal(size=(2, 2)).astype(np.float32)
        batch = []
        for row in rows(self.rng, WINDOW, shift=shift):
            scores = np.array([(row["age"] - 40) / 10, (row["hours"] - 40) / 10]) @ weights
            chances = (np.exp(scores) / np.exp(scores).sum()).tolist()
            self.sent += 1
            said = {
                "deployment": name,
                "namespace": NAMESPACE,
                "inputs": {key: [value] for key, value in row.items()},
                "probabilities": [chances],
            }
            batch.append(made.prediction(f"r{self.sent}", at=self.now, **{**said, **data}))
        httpx.post(f"{self.url}/v1/events", json=batch).raise_for_status()
        return [one["data"]["requestId"] for one in batch]

    def label(self, ids: list[str], truth: str | list[str], *, name: str = "income") -> None:
        truths = [truth] * len(ids) if isinstance(truth, str) else truth
        batch = [
            made.label(one, said, at=self.now, deployment=name, namespace=NAMESPACE)
            for one, said in zip(ids, truths, strict=True)
        ]
        httpx.post(f"{self.url}/v1/labels", json=batch).raise_for_status()

    def monitor(self, shard: shards.Shard = ALL) -> watching.Fleet:
        series = exporter.Exporter()
        return watching.Fleet(
            self.cluster,
            self.line,
            shard=shard,
            engine="native",
            namespaces=(),
            series=series,
            losses=shown.Shown(series.registry),
        )

    def play(self, fleet: watching.Fleet, windows: int, **data: Any) -> int:
        """Serve so many windows and look at each; return after how many a ticket was open."""
        opened = 0
        for number in range(1, windows + 1):
            self.serve(**data)
            self.look(fleet)
            opened = opened or (number if self.monitoring()["drift"] == "Shifted" else 0)
        return opened

    def look(self, fleet: watching.Fleet, *, seconds: float = 60.0) -> int:
        self.now += seconds
        return fleet.look(now=self.now, leads=lambda: True)

    def status(self, name: str = "income") -> dict[str, Any]:
        return dict(self.cluster.objects["ModelDeployment", name]["status"])

    def monitoring(self, name: str = "income") -> dict[str, Any]:
        said = dict(self.status(name)["monitoring"])
        reported.Monitored.model_validate(said)  # as the API server would
        return said

    def condition(self, name: str = "income") -> tuple[str, str]:
        (found,) = [one for one in self.status(name)["conditions"] if one["type"] == "Monitored"]
        return found["status"], found["reason"]

    def concluded(self) -> list[tuple[str, str, bool]]:
        store = places.to_read(self.store)
        found = store.conclusions.alerts()
        store.close()
        return [(one.name, one.deployment, one.resolved_at is None) for one in found]

    def windows(self, name: str = "income") -> list[int]:
        store = places.to_read(self.store)
        found = store.conclusions.drift(f"{NAMESPACE}/{name}", limit=10_000)
        store.close()
        return [one["lastSeq"] for one in found]


@pytest.fixture
def stage(tmp_path: Path, packaged: manifest.Manifest) -> Iterator[Stage]:
    store = tmp_path / "events.db"
    with processes.collector(store, "--packages") as running:
        yield Stage(store, running.url, packaged)


def test_a_shift_is_told_once_whoever_watches_and_what_is_usual_resolves_it(stage: Stage) -> None:
    stage.deploy()
    assert stage.show() == ["manifest.json", "reference.npz"]
    assert stage.show() == []  # it has them
    fleet = stage.monitor()
    stage.look(fleet)
    assert stage.condition() == ("False", "Learning")
    assert stage.play(fleet, LEARNT + 5) == 0
    assert stage.monitoring()["learnt"] == f"{LEARNT}/{LEARNT}"
    assert stage.condition() == ("True", "Usual")
    fleet = stage.monitor()  # the first was killed
    opened = stage.play(fleet, 40, shift=1.0)
    assert opened
    ticket = stage.monitoring()["ticket"]
    assert "age +" in ticket["summary"]
    assert ticket["kind"] == "covariate"
    fleet = stage.monitor()
    stage.play(fleet, 3, shift=1.0)
    assert stage.monitoring()["ticket"]["openedAt"] == ticket["openedAt"]
    assert stage.concluded() == [("InputDrift", f"{NAMESPACE}/income", True)]
    told = [event for event in stage.cluster.events if event.startswith("DriftTicketOpened")]
    assert len(set(told)) == 1  # the name is made of what it says: the API server keeps one
    assert 'kind="covariate",namespace="models",part="age mean"' in fleet.series.text()
    assert len(stage.windows()) == len(set(stage.windows())) == LEARNT + 5 + 40 + 3
    assert stage.play(fleet, 45)
    assert stage.monitoring()["drift"] == "Usual"
    assert "ticket_shift{" not in fleet.series.text()
    assert stage.status()["checkpoint"] == "the operator's"
    assert any(event.startswith("DriftTicketResolved") for event in stage.cluster.events)


def test_who_was_overtaken_concludes_nothing_and_goes_on_where_the_other_is(stage: Stage) -> None:
    stage.deploy()
    stage.show()
    one, two = stage.monitor(), stage.monitor()
    stage.play(one, 3)
    stage.serve()
    stage.look(two)
    stage.serve()
    stage.look(one)  # it does not know of the other's window: what it says is refused
    stage.look(one)
    assert len(stage.windows()) == len(set(stage.windows())) == 5
    assert stage.monitoring()["learnt"] == f"5/{LEARNT}"
    assert stage.condition() == ("False", "Learning")  # being overtaken is no failure


def test_who_was_overtaken_over_labels_holds_nothing_of_the_inputs_that_is_old(
    stage: Stage,
) -> None:
    stage.deploy(learning={"duration": f"{LEARNT * 1000}s"})
    stage.show()
    one, two = stage.monitor(), stage.monitor()
    stage.play(one, 1)
    began = stage.now
    stage.serve()
    stage.look(two, seconds=1000)
    for seconds in (900, 950):  # its clock is behind: it asks for no window, and reads the labels
        stage.now = began
        stage.look(one, seconds=seconds)
    assert stage.monitoring()["learnt"] == f"2/{LEARNT}"
    stage.now = began
    stage.look(one, seconds=1050)
    assert len(stage.windows()) == len(set(stage.windows())) == 2


def test_a_batch_of_another_turn_is_refused_whole(stage: Stage) -> None:
    store = distant.Distant(stage.line, namespace=NAMESPACE, deployment="income")
    late = distant.Distant(stage.line, namespace=NAMESPACE, deployment="income")
    assert store.conclusions.mark("monitor/income") is None
    assert late.conclusions.mark("monitor/income") is None
    with store.writing():
        store.conclusions.set_mark("monitor/income", {"here": 1})
        store.conclusions.set_mark("retraining/income", 2)
    with pytest.raises(batches.Overtaken, match="another monitor has concluded"), late.writing():
        late.conclusions.set_mark("monitor/income", {"here": 9})
    with pytest.raises(batches.Overtaken):
        late.shelf.write("usual", b"of the one that was overtaken")
    assert late.conclusions.mark("monitor/income") == {"here": 1}
    assert late.shelf.read("usual") is None
    late.shelf.write("usual", b"now")
    assert store.shelf.read("usual") == b"now"
    late.shelf.remove("usual")
    assert store.shelf.read("usual") is None


@pytest.mark.parametrize(
    ("batch", "sentence"),
    [
        (b"[]", "wanted a turn and at most 100 steps"),
        (b"{", "is no JSON"),
        (b'{"turn": 0, "steps": [["drop", {}]]}', "each one of mark, drift, open, resolve"),
        (
            b'{"turn": 0, "steps": [["mark", {"key": "monitor/other", "value": 1}]]}',
            "wanted one of",
        ),
        (b'{"turn": 0, "steps": [["mark", {"value": 1}]]}', "the step mark is"),
        (b'{"turn": 0, "steps": [["open", {"name": "x"}]]}', "the step open is"),
    ],
)
def test_what_is_no_batch_is_refused_with_a_sentence(
    stage: Stage, batch: bytes, sentence: str
) -> None:
    where = {"namespace": NAMESPACE, "deployment": "income"}
    answer = httpx.post(f"{stage.url}/v1/conclusions", params=where, content=batch)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


def test_a_deployment_whose_servers_have_shown_nothing_says_so(stage: Stage) -> None:
    stage.deploy()
    fleet = stage.monitor()
    stage.look(fleet)
    assert stage.condition() == ("False", "NoPackage")
    assert stage.monitoring()["drift"] == "Unwatched"
    stage.show()
    stage.look(fleet)
    assert stage.condition() == ("False", "Learning")


def test_a_package_that_is_another_is_told_and_harms_no_other_deployment(
    stage: Stage, tmp_path: Path
) -> None:
    stage.deploy()
    stage.deploy("other")
    other = tmp_path / "other"
    other.mkdir()
    text = (stage.packaged.path / "manifest.json").read_text()
    (other / "manifest.json").write_text(text.replace('"income"', '"forged"'))
    showed(stage.url, other)
    stage.show("other")
    fleet = stage.monitor()
    stage.look(fleet)
    assert stage.condition() == ("False", "Failing")
    assert stage.monitoring()["drift"] == "Failing"
    assert stage.condition("other") == ("False", "Learning")


def test_a_file_that_is_not_the_manifests_is_refused(stage: Stage, tmp_path: Path) -> None:
    stage.deploy()
    for name in ("manifest.json", "reference.npz"):
        (tmp_path / name).write_bytes((stage.packaged.path / name).read_bytes())
    (tmp_path / "reference.npz").write_bytes(b"another")
    showed(stage.url, tmp_path)
    stage.look(stage.monitor())
    (found,) = [one for one in stage.status()["conditions"] if one["type"] == "Monitored"]
    assert "showed a reference.npz with the digest" in found["message"]


def test_a_collector_that_wants_no_packages_is_sent_none(
    tmp_path: Path, packaged: manifest.Manifest
) -> None:
    whose = {"namespace": NAMESPACE, "deployment": "income", "revision": "aaa"}
    with processes.collector(tmp_path / "events.db") as running:
        assert showed(running.url, packaged.path) == []
        answer = httpx.post(
            f"{running.url}/v1/packages", params={**whose, "name": "manifest.json"}, content=b"{}"
        )
    assert (answer.status_code, "--packages" in answer.json()["error"]) == (400, True)


def test_each_deployment_belongs_to_one_shard_and_its_monitor_alone_looks(stage: Stage) -> None:
    names = [f"model-{number}" for number in range(12)]
    parts = [shards.Shard(number, 3) for number in range(3)]
    for name in names:
        stage.deploy(name)
        stage.show(name)
    assert {sum(part.has(NAMESPACE, name) for part in parts) for name in names} == {1}
    stage.look(stage.monitor(parts[1]))
    looked = {name for name in names if "monitoring" in stage.status(name)}
    assert looked == {name for name in names if parts[1].has(NAMESPACE, name)}
    assert 0 < len(looked) < len(names)


CRON = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "metadata": {"name": "train", "namespace": NAMESPACE, "uid": "uid-train"},
    "spec": {
        "jobTemplate": {
            "metadata": {"labels": {"team": "a"}},
            "spec": {
                "template": {
                    "spec": {
                        "containers": [
                            {"name": "run", "image": "i", "env": [{"name": "A", "value": "1"}]}
                        ]
                    }
                }
            },
        }
    },
}
LOOP = {"cronJob": "train", "minLabels": 50, "maxLossIncrease": 0.05, "coolDown": "1h"}


def failing(stage: Stage) -> watching.Fleet:
    """Return a monitor of a model whose labels say that it is mostly wrong."""
    stage.packaged = good(stage.packaged)
    stage.deploy(retraining=LOOP)
    stage.show()
    fleet = stage.monitor()
    stage.look(fleet)
    for _ in range(24):
        ids = stage.serve()  # all answers are cat
        stage.label(ids, ["cat" if place % 4 == 3 else "dog" for place in range(len(ids))])
    return fleet


def good(packaged: manifest.Manifest) -> manifest.Manifest:
    """Return the package, which says that one in ten of its answers was wrong on its test rows."""
    path = packaged.path.parent / "measured"
    if not path.exists():
        path.mkdir()
        data = json.loads((packaged.path / "manifest.json").read_text())
        data["testAccuracy"], data["testLoss"] = 0.9, 0.1
        (path / "manifest.json").write_text(json.dumps(data))
        (path / "reference.npz").write_bytes((packaged.path / "reference.npz").read_bytes())
    return manifest.read(path)


def jobs_of(stage: Stage) -> list[str]:
    return [name for kind, name in stage.cluster.objects if kind == "Job"]


def test_answers_that_lose_too_much_start_one_run_and_a_kill_makes_none_twice(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.cluster._keep(("CronJob", "train"), json.loads(json.dumps(CRON)))
    fleet = failing(stage)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(turns.LabelTurn, "keep", killed)  # after the Job was made
        with pytest.raises(KeyboardInterrupt):
            stage.look(fleet)
    assert jobs_of(stage) == ["income-retraining-1"]
    stage.cluster.objects["Job", "income-retraining-1"]["metadata"]["creationTimestamp"] = (
        "2027-01-15T08:00:00Z"
    )
    fleet = stage.monitor()
    for _ in range(5):
        stage.label(stage.serve(), "dog")
        stage.look(fleet)
    assert jobs_of(stage) == ["income-retraining-1"]
    said = stage.monitoring()["retraining"]
    assert (said["run"], said["outcome"]) == ("income-retraining-1", "Running")
    job = stage.cluster.objects["Job", "income-retraining-1"]
    assert job["metadata"]["labels"]["team"] == "a"
    assert job["metadata"]["ownerReferences"][0]["uid"] == "uid-train"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    told = {one["name"]: one["value"] for one in container["env"]}
    assert (told["A"], told["FAIRWAY_DEPLOYMENT"], told["FAIRWAY_REVISION"]) == (
        "1",
        "income",
        "aaa",
    )
    assert "realised accuracy is" in told["FAIRWAY_REASON"]


def test_an_alert_starts_one_run_however_often_it_comes(stage: Stage) -> None:
    stage.cluster._keep(("CronJob", "train"), json.loads(json.dumps(CRON)))
    stage.packaged = good(stage.packaged)
    stage.deploy(retraining=LOOP)
    stage.show()
    fleet = stage.monitor()
    stage.look(fleet)
    for _ in range(3):
        said = fleet.ask(NAMESPACE, "income", alert="RealisedQualityBurn", now=stage.now)
        assert "a run is started" in said
    assert "starts no run" in fleet.ask(NAMESPACE, "income", alert="DriftTicket", now=stage.now)
    assert "none that this monitor" in fleet.ask("a", "b", alert="RealisedQualityBurn", now=0)
    stage.look(fleet)
    assert jobs_of(stage) == ["income-retraining-1"]
    job = stage.cluster.objects["Job", "income-retraining-1"]
    assert job["metadata"]["annotations"][jobs.REASON] == "alert RealisedQualityBurn fires"
    job["metadata"]["creationTimestamp"] = "2027-01-15T08:00:00Z"
    job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    fleet.ask(NAMESPACE, "income", alert="RealisedQualityBurn", now=stage.now)
    stage.look(fleet)
    assert 'challenger_waiting{deployment="income",namespace="models"} 1.0' in fleet.series.text()
    assert jobs_of(stage) == ["income-retraining-1"]  # the last is not long enough ago
    stage.look(fleet, seconds=3700)
    assert jobs_of(stage) == ["income-retraining-1"]  # its challenger was not asked for
    stage.look(fleet, seconds=3700)
    assert jobs_of(stage) == ["income-retraining-1", "income-retraining-2"]


def test_broken_data_trains_no_model(stage: Stage) -> None:
    stage.cluster._keep(("CronJob", "train"), json.loads(json.dumps(CRON)))
    stage.packaged = good(stage.packaged)
    stage.deploy(retraining=LOOP)
    stage.show()
    fleet = stage.monitor()
    assert stage.play(fleet, LEARNT + 2) == 0
    for _ in range(25):  # half of the ages are lost
        stage.serve(inputs={"age": [None], "hours": [40.0], "sector": ["state"]})
        stage.look(fleet)
    assert stage.monitoring()["ticket"]["kind"] == "quality"
    fleet.ask(NAMESPACE, "income", alert="RealisedQualityBurn", now=stage.now)
    stage.look(fleet)
    assert jobs_of(stage) == []
    assert "data is broken" in stage.monitoring()["retraining"]["reason"]


def test_without_a_cron_job_a_person_is_told(stage: Stage) -> None:
    fleet = failing(stage)
    stage.deploy(retraining={**LOOP, "cronJob": "nowhere"})
    stage.look(fleet)
    assert jobs_of(stage) == []
    reason = stage.monitoring()["retraining"]["reason"]
    assert "there is no CronJob nowhere in namespace models" in reason


def test_a_model_grows_stale_from_when_it_came_into_service_whoever_watches(stage: Stage) -> None:
    stage.deploy(retraining={"mostAge": "1d", "enabled": False})
    stage.show()
    stage.look(stage.monitor())
    fleet = stage.monitor()
    for hours, stale in ((23, 0.0), (2, 1.0)):
        stage.look(fleet, seconds=hours * 3600.0)
        labels = 'deployment="income",namespace="models",revision="aaa"'
        assert f"fairway_retraining_model_stale{{{labels}}} {stale}" in fleet.series.text()
    assert "longer than 1 (retraining.mostAge)" in stage.monitoring()["retraining"]["reason"]
    stage.deploy(revision="bbb", retraining={"mostAge": "1d", "enabled": False})
    stage.show(revision="bbb")
    stage.look(fleet)
    assert 'model_stale{deployment="income",namespace="models",revision="bbb"} 0.0' in (
        fleet.series.text()
    )
    assert 'revision="aaa"} 1.0' not in fleet.series.text()


def test_the_rights_of_a_monitor_are_roles() -> None:
    assert access.RIGHTS["inputs"] == ("get", "modeldeployments/inputs")
    assert access.RIGHTS["conclusions"] == ("create", "modeldeployments/conclusions")


def test_a_shard_is_a_number_of_so_many() -> None:
    assert shards.parse("2/3") == shards.Shard(2, 3)
    for text in ("3/3", "a/b", "1", "0/0", "-1/2"):
        with pytest.raises(Exception, match="wanted NUMBER/OF from 0"):
            shards.parse(text)


def test_the_series_of_a_loop_are_there(stage: Stage) -> None:
    registry = prometheus_client.CollectorRegistry()
    shown.Shown(registry).watch((NAMESPACE, "income"))
    names = {metric.name for metric in registry.collect()}
    assert {"fairway_retraining_runs", "fairway_retraining_loss_evidence"} <= names
