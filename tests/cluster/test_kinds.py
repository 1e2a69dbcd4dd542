"""What we write for the controllers of others is what their own definitions take, field by field."""

import json
import time

import pytest

from fairway.config import resource
from fairway.platforms.kubernetes import objects
from fairway.platforms.kubernetes.objects import names
from tests.cluster import places
from tests.platforms.kubernetes import made

pytestmark = pytest.mark.cluster
DEFINITIONS = places.ROOT.parent / "shared" / "crds"
SETTINGS = names.ClusterSettings(
    collector="http://collector:8080",
    keda=True,
    service_monitors=True,
    prometheus="http://prometheus:9090",
)


def written() -> dict[str, dict]:
    spec = made.spec(scaling={"concurrency": 8})
    owner = names.Owner(name="income", namespace="default")
    every = [
        *objects.for_revision(
            owner, made.revision(), scaling=resource.Scaling(concurrency=8), settings=SETTINGS
        ),
        *objects.for_deployment(owner, spec, settings=SETTINGS),
    ]
    return {one["kind"]: one for one in every}


@pytest.mark.parametrize(
    ("kind", "file"),
    [("ScaledObject", "scaledobjects.yaml"), ("ServiceMonitor", "servicemonitors.yaml")],
)
def test_the_real_definition_takes_every_field(cluster, kind, file):
    definition = DEFINITIONS / file
    there = cluster.kubectl("get", "--filename", str(definition), check=False).returncode == 0
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(definition))
    try:
        document = written()[kind]
        asked = (
            "apply",
            "--server-side",
            "--validate=strict",
            "--dry-run=server",
            "--filename=-",
            "--output=json",
        )
        done = _retried(cluster, asked, json.dumps(document))
        assert kept(document["spec"], json.loads(done)["spec"])  # nothing was dropped
    finally:
        if not there:
            cluster.kubectl("delete", "--filename", str(definition), "--wait=false")


def kept(written, stored) -> bool:
    """Say whether all that was written is stored; defaults may have come to it."""
    if isinstance(written, dict):
        return all(key in stored and kept(value, stored[key]) for key, value in written.items())
    if isinstance(written, list):
        return len(written) == len(stored) and all(
            kept(one, other) for one, other in zip(written, stored, strict=True)
        )
    return written == stored


def _retried(cluster, asked: tuple[str, ...], document: str) -> str:
    """Return the answer once the API server serves the kind."""
    deadline = time.monotonic() + 30
    while (
        done := cluster.kubectl(*asked, input=document, check=False)
    ).returncode and "no matches for kind" in done.stderr:
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.2)
    assert done.returncode == 0, done.stderr
    return done.stdout
