"""A TrainJob by Trainer's real definitions, on a real API server: their CEL rules take it, it is adopted,
waited for and cancelled.

Trainer's controller and JobSet are not installed, so nothing trains here: the test writes the conditions
through the status subresource, as the controller would.
"""

import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator

import kubernetes.config
import pytest

from fairway import errors
from fairway.config import sections
from fairway.platforms.kubernetes import api, trainjobs
from fairway.platforms.kubernetes.objects import trainjob
from tests import definitions
from tests.cluster import stack
from tests.cluster.cluster import Cluster
from tests.cluster.test_kinds import kept

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
NAMESPACE = "trainjobs"
FILES = ("trainjobs.yaml", "trainingruntimes.yaml", "clustertrainingruntimes.yaml")


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Iterator[api.Api]:
    added = []
    for file in FILES:
        path = str(definitions.DEFINITIONS / file)
        if cluster.kubectl("get", "--filename", path, check=False).returncode:
            added.append(path)
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "--filename", path)
        stack.established(cluster, "--filename", path)
    cluster.kubectl("create", "namespace", NAMESPACE, check=False)
    found = api.Api(kubernetes.config.new_client_from_config(str(cluster.kubeconfig)))
    until(lambda: found.serves("TrainJob"))
    yield found
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    for path in added:
        cluster.kubectl("delete", "--filename", path, "--wait=false")


@pytest.fixture
def step(server: api.Api, cluster: Cluster) -> Iterator[api.Object]:
    """Return the job that a step of a run of its own wants, owned by an object that is there."""
    name = f"run-{secrets.token_hex(4)}"
    cluster.kubectl("--namespace", NAMESPACE, "create", "configmap", name)
    uid = cluster.kubectl(
        "--namespace", NAMESPACE, "get", "configmap", name, "--output=jsonpath={.metadata.uid}"
    ).stdout
    yield trainjob.trainjob(
        trainjob.DistributedStep(
            run=name,
            step="train",
            namespace=NAMESPACE,
            owner=trainjob.OwnerObject(api_version="v1", kind="ConfigMap", name=name, uid=uid),
            image="fairway/pipeline:1",
            command=("python", "-m", "fairway.training.node"),
            nodes=2,
            processes=1,
            resources=sections.Resources(gpu=1),
            claims=("rows",),
        )
    )
    cluster.kubectl("--namespace", NAMESPACE, "delete", "configmap", name)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it did not come about within a minute"
        time.sleep(0.2)


def read(server: api.Api, wanted: api.Object) -> api.Object | None:
    return server.get("TrainJob", NAMESPACE, wanted["metadata"]["name"])


def say(server: api.Api, wanted: api.Object, type: str, message: str) -> None:
    """Write the condition once the job is there, as the controller does."""
    until(lambda: read(server, wanted) is not None)
    job = read(server, wanted)
    assert job is not None
    condition = {
        "type": type,
        "status": "True",
        "reason": "Said",
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    server.replace_status({**job, "status": {"conditions": [condition]}})


def during(act: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_the_job_is_stored_whole_and_the_next_try_adopts_it(server, step):
    told = during(lambda: say(server, step, "Complete", "all is well"))
    first = trainjobs.run(server, step, timeout_seconds=60)
    told.join()
    assert list(definitions.wrong(first, definitions.schema(FILES[0], version="v1alpha1"))) == []
    assert kept(step["spec"], first["spec"])  # nothing was dropped
    again = trainjobs.run(server, step, timeout_seconds=60)
    assert again["metadata"]["uid"] == first["metadata"]["uid"]


def test_a_failed_job_is_told_and_the_next_try_makes_another(server, step):
    told = during(lambda: say(server, step, "Failed", "a pod was evicted"))
    with pytest.raises(errors.TrainingError, match="a pod was evicted"):
        trainjobs.run(server, step, timeout_seconds=60)
    told.join()
    failed = read(server, step)
    with pytest.raises(errors.Unavailable, match="its conditions are none"):
        trainjobs.run(server, step, timeout_seconds=5)
    assert read(server, step)["metadata"]["uid"] != failed["metadata"]["uid"]


def test_a_step_that_is_ended_deletes_its_job(server, step):
    def end() -> None:
        until(lambda: read(server, step) is not None)
        signal.raise_signal(signal.SIGTERM)  # the main thread runs the handler

    told = during(end)
    with pytest.raises(KeyboardInterrupt):
        trainjobs.run(server, step, timeout_seconds=60)
    told.join()
    until(lambda: read(server, step) is None)


def test_the_job_goes_with_its_run(server, cluster, step):
    with pytest.raises(errors.Unavailable):
        trainjobs.run(server, step, timeout_seconds=0)
    owner = step["metadata"]["ownerReferences"][0]["name"]
    cluster.kubectl("--namespace", NAMESPACE, "delete", "configmap", owner)
    until(lambda: read(server, step) is None)
    cluster.kubectl("--namespace", NAMESPACE, "create", "configmap", owner)
