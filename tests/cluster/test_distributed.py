"""Training on several nodes on a cluster: the step runs as a pod with the shipped role, sends the dataset to
the bucket, has a TrainJob made by Trainer's real definition, and brings back what two pods have trained.

Trainer's controller needs JobSet's, which cannot be had here. What it does is done by the test: a pod for each
node, with the image, the command and the variables of the TrainJob, and the condition at the end.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes.config
import pytest
import yaml

from fairway.pipelines import compiled
from fairway.platforms.kubernetes import api
from tests.cluster import driver, images, world
from tests.cluster.cluster import Cluster
from tests.cluster.test_pipelines import (  # noqa: F401 - fixtures
    bucket,
    run,
    runner,
    settings,
)
from tests.cluster.test_trainjob import server  # noqa: F401 - a fixture

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
PORT = 29400


class Trainer:
    """Trainer's controller as far as it is needed here: one TrainJob of the namespace."""

    def __init__(self, cluster: Cluster, found: api.Api) -> None:
        self._cluster, self._api = cluster, found
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trainer")
        self.jobs: list[api.Object] = []
        self.logs: list[str] = []

    def __enter__(self) -> "Trainer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stopping.wait(0.5):
            for job in self._api.find("TrainJob", world.NAMESPACE):
                if not job.get("status") and job["metadata"]["uid"] not in self._known:
                    self.jobs.append(job)
                    self._train(job)

    @property
    def _known(self) -> list[str]:
        return [one["metadata"]["uid"] for one in self.jobs]

    def _train(self, job: api.Object) -> None:
        nodes = int(job["spec"]["trainer"]["numNodes"])
        documents = [_service(job), *(_node(job, rank, of=nodes) for rank in range(nodes))]
        self._cluster.kubectl("create", "--filename=-", input=yaml.safe_dump_all(documents))
        names = [one["metadata"]["name"] for one in documents[1:]]
        well = [self._ended(name) for name in names]
        condition = {
            "type": "Complete" if all(well) else "Failed",
            "status": "True",
            "reason": "PodsEnded",
            "message": "every node has ended well" if all(well) else self.logs[-1][-500:],
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        now = self._api.get("TrainJob", world.NAMESPACE, job["metadata"]["name"])
        if now is not None:
            self._api.replace_status({**now, "status": {"conditions": [condition]}})

    def _ended(self, pod: str) -> bool:
        where = ("--namespace", world.NAMESPACE)
        while not self._stopping.wait(0.5):
            found = self._api.get("Pod", world.NAMESPACE, pod)
            phase = (found or {}).get("status", {}).get("phase")
            if phase in ("Succeeded", "Failed"):
                self.logs.append(self._cluster.kubectl(*where, "logs", pod).stdout)
                return phase == "Succeeded"
        return False


def _labels(job: api.Object, rank: int) -> dict[str, str]:
    return {"trainjob": job["metadata"]["name"], "node": str(rank)}


def _owned(job: api.Object, name: str, **metadata: Any) -> dict[str, Any]:
    owner = {key: job[key] for key in ("apiVersion", "kind")}
    owner |= {key: job["metadata"][key] for key in ("name", "uid")}
    return {"name": name, "namespace": world.NAMESPACE, "ownerReferences": [owner], **metadata}


def _service(job: api.Object) -> dict[str, Any]:
    """Return the name under which the first node is found."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _owned(job, job["metadata"]["name"]),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": _labels(job, 0),
            "ports": [{"port": PORT}],
        },
    }


def _node(job: api.Object, rank: int, *, of: int) -> dict[str, Any]:
    trainer = job["spec"]["trainer"]
    told = {
        "PET_NNODES": str(of),
        "PET_NODE_RANK": str(rank),
        "PET_MASTER_ADDR": f"{job['metadata']['name']}.{world.NAMESPACE}.svc",
        "PET_MASTER_PORT": str(PORT),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _owned(job, f"{job['metadata']['name']}-{rank}", labels=_labels(job, rank)),
        "spec": {
            "restartPolicy": "Never",
            "securityContext": driver.SAFE_POD,
            "volumes": driver.VOLUMES,
            "containers": [
                {
                    "name": "node",
                    "image": trainer["image"],
                    "command": trainer["command"],
                    "env": [
                        *driver.VARIABLES,
                        *trainer["env"],
                        *({"name": key, "value": value} for key, value in told.items()),
                    ],
                    "resources": {"requests": {"cpu": "50m", "memory": "100Mi"}},
                    "securityContext": driver.SAFE,
                    "volumeMounts": driver.MOUNTS,
                }
            ],
        },
    }


@pytest.fixture
def trainer(fairway: Cluster, server: api.Api) -> Iterator[Trainer]:  # noqa: F811
    found = api.Api(kubernetes.config.new_client_from_config(str(fairway.kubeconfig)))
    with Trainer(fairway, found) as made:
        yield made


def test_two_pods_train_together_in_the_pipelines_own_step(
    fairway: Cluster,
    bucket: str,  # noqa: F811
    runner: None,  # noqa: F811
    trainer: Trainer,
    tmp_path: Path,
) -> None:
    config = settings(
        bucket,
        "training.family=tabular",
        "training.epochs=3",
        "training.hidden=[8]",
        "training.threads=1",
        "pipeline.nodes=2",
        f"pipeline.image=fairway/operator:{images.tag()}",
        "pipeline.workspace=s3://packages/work",
        "evaluation.gate.threshold=0.99",
    )
    ended, made = run(fairway, config, tmp_path / "distributed", deploy_package=False)
    assert ended, (made.ran[-1].log, trainer.logs)
    assert compiled.DISTRIBUTED in compiled.containers(made.documents[0])
    (job,) = trainer.jobs
    assert [log.count("progress: epoch") for log in trainer.logs] == [3, 0]  # the first node tells
    owner = job["metadata"]["ownerReferences"][0]
    assert owner["kind"] == "Pod"  # of a run without a Workflow: the step's own
    assert owner["name"].startswith("train-")
    metadata = made.output("train")["artifacts"]["model"]["metadata"]
    assert (metadata["family"], metadata["device"]) == ("tabular", "cpu")
