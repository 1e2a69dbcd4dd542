"""The training step on several nodes: sent, trained by two processes as Trainer's controller starts them,
and brought back."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fairway import addresses, errors
from fairway.addresses import parcels
from fairway.config import sections
from fairway.platforms.kubernetes import distributed, trainjobs
from fairway.training import fit
from tests.operator import world
from tests.training import made

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "step",
        "namespace": "models",
        "uid": "p-1",
        "labels": {"pipeline/runid": "run-7"},
        "ownerReferences": [
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Workflow",
                "name": "training-7",
                "uid": "w-7",
                "controller": True,
            }
        ],
    },
    "spec": {"serviceAccountName": "pipeline-runner"},
}


class Trainer(world.Cluster):
    """An API server beside a controller that starts each node of a TrainJob on this machine."""

    def __init__(self) -> None:
        super().__init__()
        self._keep(("Pod", "step"), json.loads(json.dumps(POD)))
        self.jobs: list[Any] = []
        self.nodes: list[subprocess.Popen[str]] = []
        self.said = ""

    def create(self, obj: Any, **named: Any) -> Any:
        made = super().create(obj, **named)
        self.jobs.append(made)
        trainer = made["spec"]["trainer"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for rank in range(trainer["numNodes"]):
            told = {
                "PET_NNODES": str(trainer["numNodes"]),
                "PET_NODE_RANK": str(rank),
                "PET_MASTER_ADDR": "127.0.0.1",
                "PET_MASTER_PORT": str(port),
                "GLOO_SOCKET_IFNAME": "lo",
            }
            self.nodes.append(
                subprocess.Popen(
                    [sys.executable, *trainer["command"][1:]],
                    env={**os.environ, **told},
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        return made

    def get(self, kind: str, namespace: str, name: str) -> Any:
        found = super().get(kind, namespace, name)
        if kind == "TrainJob" and found is not None and self._ended():
            well = all(one.returncode == 0 for one in self.nodes)
            said = {"type": "Complete" if well else "Failed", "status": "True"}
            if not self.said:
                self.said = "\n".join(one.communicate()[1] for one in self.nodes)
            words = {"reason": "Ended", "message": self.said}
            return {**found, "status": {"conditions": [{**said, **words}]}}
        return found

    def _ended(self) -> bool:
        return all(one.poll() is not None for one in self.nodes)


def config(workspace: str, **training: Any) -> sections.Config:
    return sections.Config.model_validate(
        {
            "name": "income",
            "data": {"source": "digits"},
            "training": training.get("training")
            or {**made.FAST, "family": "tabular", "dropout": 0, **training},
            "pipeline": {
                "nodes": 2,
                "workspace": workspace,
                "train": {"cpu": "4", "memory": "8Gi"},
                "environment": {"AWS_REGION": "eu-1"},
                "secrets": {"AWS_ACCESS_KEY_ID": {"secret": "bucket", "key": "access"}},
            },
        }
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainjobs, "POLL_SECONDS", 0.1)


@pytest.mark.timeout(240)
def test_two_nodes_train_what_one_does_and_a_second_try_adopts_their_job(tmp_path: Path) -> None:
    dataset, server = made.tabular(tmp_path), Trainer()
    asked = config((tmp_path / "bucket").as_uri())
    pod = distributed.PodName("models", "step")
    record = distributed.train(asked, dataset=dataset, out=tmp_path / "out", server=server, pod=pod)
    one = fit.fit(asked.training, dataset=dataset, out=tmp_path / "one")
    assert [row["validation_loss"] for row in record.history] == pytest.approx(
        [row["validation_loss"] for row in one.history], abs=1e-4
    )
    assert record.dataset_version == one.dataset_version
    assert (tmp_path / "out" / "model.onnx").is_file()
    (job,) = server.jobs
    assert job["metadata"]["ownerReferences"][0]["name"] == "training-7"
    assert job["spec"]["trainer"]["env"] == [
        {"name": "AWS_REGION", "value": "eu-1"},
        {
            "name": "AWS_ACCESS_KEY_ID",
            "valueFrom": {"secretKeyRef": {"name": "bucket", "key": "access"}},
        },
    ]
    again = distributed.train(
        asked, dataset=dataset, out=tmp_path / "again", server=server, pod=pod
    )
    assert len(server.jobs) == 1
    assert again.history == record.history


def test_a_training_that_fails_on_a_node_says_what_the_node_said(tmp_path: Path) -> None:
    dataset, server = made.tabular(tmp_path), Trainer()
    with pytest.raises(errors.TrainingError, match=r"family is boosting, which learns on one node"):
        distributed.train(
            config((tmp_path / "bucket").as_uri(), training={"family": "boosting"}),
            dataset=dataset,
            out=tmp_path / "out",
            server=server,
            pod=distributed.PodName("models", "step"),
        )
    assert not (tmp_path / "out").exists()


def test_another_dataset_or_section_of_one_run_has_a_job_of_its_own(tmp_path: Path) -> None:
    dataset = made.tabular(tmp_path)
    asked = config("s3://bucket/training")
    names = {
        distributed._place(distributed.wanted(one, dataset=dataset, pod=pod))
        for one in (asked, config("s3://bucket/training", seed=8))
        for pod in (POD, {**POD, "metadata": {**POD["metadata"], "labels": {}}})
    }
    assert len(names) == 4
    claimed = distributed.wanted(config("pvc://shared/work"), dataset=dataset, pod=POD)
    assert claimed.claims == ("shared",)


def test_outside_of_a_pod_the_step_says_where_it_runs(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match=r"this is no pod: wanted .*--on kubernetes"):
        distributed.this_pod({}, namespace=tmp_path / "namespace")
    (tmp_path / "namespace").write_text("models\n")
    found = distributed.this_pod({"HOSTNAME": "step"}, namespace=tmp_path / "namespace")
    assert found == distributed.PodName("models", "step")


def test_several_nodes_without_a_workspace_are_refused() -> None:
    with pytest.raises(ValueError, match="nodes is 2 without workspace: wanted where they meet"):
        sections.Pipeline.model_validate({"nodes": 2})


# -- parcels ---------------------------------------------------------------------------------------


def sent(folder: Path) -> tuple[Path, addresses.Folder]:
    (folder / "from" / "deep").mkdir(parents=True)
    (folder / "from" / "a.txt").write_text("a")
    (folder / "from" / "deep" / "b.txt").write_text("b")
    place = addresses.Folder(folder / "place")
    parcels.send(folder / "from", to=place)
    return folder / "place", place


LONG_AGO = 10**18  # nanoseconds since 1970: in 2001


def test_a_parcel_is_taken_whole_and_sent_once(tmp_path: Path) -> None:
    there, place = sent(tmp_path)
    parcels.take(place, out=tmp_path / "to", named="there", largest=10)
    assert (tmp_path / "to" / "deep" / "b.txt").read_text() == "b"
    os.utime(there / "a.txt", ns=(LONG_AGO, LONG_AGO))
    (tmp_path / "from" / "deep" / "b.txt").write_text("c")
    parcels.send(tmp_path / "from", to=place)
    assert (there / "a.txt").stat().st_mtime_ns == LONG_AGO
    parcels.take(place, out=tmp_path / "to", named="there", largest=10)
    assert (tmp_path / "to" / "deep" / "b.txt").read_text() == "c"


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("a.txt", "other", r"there/a\.txt has the digest .*: wanted .*, as index\.json says"),
        ("a.txt", "x" * 11, "larger than the 10 bytes"),
        ("index.json", "[", "is no index of a parcel"),
        ("index.json", '{"../a.txt": "sha256:1"}', "is no index of a parcel"),
        ("index.json", '{"/a.txt": "sha256:1"}', "is no index of a parcel"),
    ],
)
def test_a_parcel_that_is_not_what_was_sent_is_refused_whole(
    tmp_path: Path, file: str, content: str, sentence: str
) -> None:
    there, place = sent(tmp_path)
    (there / file).write_text(content)
    with pytest.raises(errors.AddressError, match=sentence):
        parcels.take(place, out=tmp_path / "to", named="there", largest=10)
    assert not (tmp_path / "to").exists()


def test_an_address_without_a_parcel_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.MissingFile, match=r"there has no index\.json"):
        parcels.take(addresses.Folder(tmp_path), out=tmp_path / "to", named="there", largest=10)
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.UsageError, match="has no files"):
        parcels.send(tmp_path / "empty", to=addresses.Folder(tmp_path))
