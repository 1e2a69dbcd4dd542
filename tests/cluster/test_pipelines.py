"""The training pipeline on a cluster: rows from a bucket, steps that run as pods with the shipped
role, the package in the bucket, a rollout that is watched to its end."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairway.config import loader, sections
from fairway.pipelines import compiled, travel
from tests.cluster import driver, places, world
from tests.cluster.cluster import Cluster
from tests.packaging import buckets

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1200),
]
NAME, ACCOUNT, PORT = "piped", "pipeline-runner", 9200


def rows(*, seed: int, turned: bool = False) -> str:
    """Return rows whose income follows from age and hours; `turned`, from nothing of the kind."""
    rng = np.random.default_rng(seed)
    age, hours = rng.uniform(20, 80, 900), rng.uniform(10, 80, 900)
    high = (age + hours > 95) ^ (rng.uniform(size=900) < 0.05)
    if turned:
        high = rng.uniform(size=900) < 0.5
    lines = [
        f"{a:.1f},{h:.0f},{rng.choice(['private', 'state'])},{'>50K' if y else '<=50K'}"
        for a, h, y in zip(age, hours, high, strict=True)
    ]
    return "\n".join(["age,hours,sector,income", *lines]) + "\n"


@pytest.fixture(scope="module")
def bucket(fairway: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the endpoint of an S3 server with rows; a Secret of the namespace has its keys."""
    if fairway.folder is None:
        pytest.skip("the bucket and the steps' environment are of the harness's own node")
    within = ("nsenter", "--target", str(fairway.pid("kubelet")), "--net")
    log = tmp_path_factory.mktemp("s3") / "log"
    with buckets.serving(log, host=fairway.address, port=PORT, within=within) as endpoint:
        client = buckets.client(endpoint)
        for name in ("rows", "packages"):
            client.create_bucket(Bucket=name)
        client.put_object(Bucket="rows", Key="income.csv", Body=rows(seed=1).encode())
        client.put_object(Bucket="rows", Key="more.csv", Body=rows(seed=2).encode())
        client.put_object(Bucket="rows", Key="noise.csv", Body=rows(seed=3, turned=True).encode())
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "pipeline", "namespace": world.NAMESPACE},
            "stringData": buckets.KEYS,
        }
        world.apply(fairway, secret)
        yield endpoint
    fairway.kubectl("--namespace", world.NAMESPACE, "delete", "secret", "pipeline")


@pytest.fixture(scope="module")
def runner(fairway: Cluster) -> Iterator[None]:
    """Make the account of the steps, with the role that the chart makes for it."""
    place = ("--namespace", world.NAMESPACE)
    fairway.kubectl(*place, "create", "serviceaccount", ACCOUNT, check=False)
    made = fairway.helm(
        "template",
        "fairway",
        str(places.ROOT / "helm" / "fairway"),
        "--namespace=fairway-system",
        f"--set=pipelines.namespaces={{{world.NAMESPACE}}}",
        "--show-only=templates/rbac-pipelines.yaml",
        "--set=prometheus.url=http://prometheus.example:9090",
    )
    fairway.kubectl("apply", "--server-side", "--filename=-", input=made.stdout)
    yield
    fairway.kubectl("--namespace", world.NAMESPACE, "delete", "md", NAME, "--ignore-not-found")


def settings(endpoint: str, *overrides: str) -> sections.Config:
    return loader.load(
        None,
        overrides=[
            f"name={NAME}",
            f"namespace={world.NAMESPACE}",
            "data.source=csv",
            "data.path=s3://rows/income.csv",
            "data.target=income",
            "training.family=boosting",
            "evaluation.gate.maxCalibrationError=1",
            "platform.store=s3://packages/kept",
            f"platform.hostnames=[{NAME}.test]",
            f"pipeline.environment={{AWS_ENDPOINT_URL: '{endpoint}', AWS_DEFAULT_REGION: us-east-1}}",
            "pipeline.secrets={AWS_ACCESS_KEY_ID: {secret: pipeline, key: access}, "
            "AWS_SECRET_ACCESS_KEY: {secret: pipeline, key: secret}}",
            "strategy.warmup=1s",
            "strategy.shadow.enabled=false",
            "strategy.canary.harm=0.5",
            "strategy.bake={weight: 5, duration: 3s}",
            "strategy.guards=[{name: errors, type: errors, maxRate: 0.1}]",
            *overrides,
        ],
    )


def run(
    fairway: Cluster, config: sections.Config, folder: Path, **arguments: Any
) -> tuple[bool, driver.Driver]:
    """Run the pipeline as it would be submitted."""
    sent = travel.ready(config, deploys=True)
    made = driver.Driver(
        cluster=fairway,
        documents=compiled.for_training(sent),
        folder=folder,
        namespace=world.NAMESPACE,
        account=ACCOUNT,
    )
    text = json.dumps(sent.model_dump(mode="json", by_alias=True))
    asked = {"config": text, "deploy_package": True, "watch": True, **arguments}
    return made.run(asked), made


def keys(endpoint: str) -> dict[str, Any]:
    """Return what a server's first step needs to read the bucket."""
    secret = {"AWS_ACCESS_KEY_ID": "access", "AWS_SECRET_ACCESS_KEY": "secret"}
    variables = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": "pipeline", "key": key}}}
        for name, key in secret.items()
    ]
    region = {"name": "AWS_DEFAULT_REGION", "value": "us-east-1"}
    place = {"name": "AWS_ENDPOINT_URL", "value": endpoint}
    return {"initContainers": [{"name": "fetch", "env": [*variables, region, place]}]}


def test_rows_in_a_bucket_become_a_deployment_a_challenger_and_a_refusal(
    fairway: Cluster, bucket: str, runner: None, tmp_path: Path
) -> None:
    ended, first = run(fairway, settings(bucket), tmp_path / "first", watch=False)
    assert ended, first.ran[-1].log
    assert sorted(first.names()[:2]) == ["champion", "import-data"]
    then = ["prepare", "tune", "train", "evaluate", "gate", "package", "deploy", "notify"]
    assert first.names()[2:] == then
    package = first.output("package")["artifacts"]["package"]["metadata"]
    assert package["address"] == f"s3://packages/kept/{package['digest'].removeprefix('sha256:')}"
    # what a team says of its pods stays when a pipeline asks for a package
    asked = json.loads(
        fairway.kubectl("--namespace", world.NAMESPACE, "get", "md", NAME, "--output=json").stdout
    )
    assert asked["spec"]["model"] == {"uri": package["address"], "digest": package["digest"]}
    pods = {"spec": {**keys(bucket), "containers": [{"name": "server"}]}}
    template = {
        **{key: asked[key] for key in ("apiVersion", "kind")},
        "metadata": {"name": NAME, "namespace": world.NAMESPACE},
        "spec": {
            "model": asked["spec"]["model"],
            "podTemplate": pods,
            "scaling": {"minReplicas": 1, "maxReplicas": 1},
        },
    }
    world.apply(fairway, template)
    world.until(fairway, NAME, world.digest_in_service(asked["spec"]["model"]))

    with world.traffic(fairway, NAME, model=NAME) as flowing:
        better = settings(bucket, "data.path=s3://rows/more.csv", "evaluation.gate.threshold=0.7")
        ended, second = run(fairway, better, tmp_path / "second")
        assert ended, second.ran[-1].log
        assert second.names()[-4:] == ["package", "deploy", "watch-rollout", "notify"]
        compared = second.output("champion")["artifacts"]["package"]["metadata"]
        assert compared["digest"] == package["digest"]
        served = second.output("package")["artifacts"]["package"]["metadata"]["digest"]
        assert served != package["digest"]
        assert world.status(fairway, NAME)["stable"]["digest"] == served
        assert flowing.failed == 0


def test_a_refusing_gate_ends_the_run_red_where_that_is_asked_for(
    fairway: Cluster, bucket: str, runner: None, tmp_path: Path
) -> None:
    noise = settings(bucket, "data.path=s3://rows/noise.csv", "evaluation.gate.threshold=0.7")
    ended, refused = run(fairway, noise, tmp_path / "noise", fail_on_refusal=True)
    assert not ended
    assert refused.names()[-3:] == ["gate", "refuse", "notify"]
    assert "the gate refused: " in refused.ran[-2].log


def test_a_deployment_that_is_rolled_back_ends_the_run_red_with_the_judges_sentence(
    fairway: Cluster, bucket: str, runner: None, tmp_path: Path
) -> None:
    """After the first. A limit that no server holds is what no judge can certify."""
    strict = settings(
        bucket,
        "training.seed=5",
        "strategy.canary.budget=15s",
        "strategy.onInconclusive=rollback",
        "strategy.guards=[{name: slow, type: latency, threshold: 1ms, maxRate: 0.001}]",
    )
    with world.traffic(fairway, NAME, model=NAME):
        ended, run_ = run(fairway, strict, tmp_path / "slow")
    assert not ended
    assert run_.names()[-2:] == ["watch-rollout", "notify"]
    assert "rolled back" in run_.ran[-2].log
