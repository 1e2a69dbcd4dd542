"""Runtime seldon on the cluster: the real definition takes what we write, and a rollout goes its
way on Seldon's wrapper behind the gateway."""

import json
from collections.abc import Iterator

import pytest

from fairway.config import resource, sections
from fairway.platforms.kubernetes import seldon as seldons
from fairway.platforms.kubernetes.objects import controllerrevision, names
from fairway.rollout import traffic as routes
from tests.cluster import seldon, world

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
RUNTIME = {
    "runtime": "seldon",
    "podTemplate": {
        "spec": {
            "containers": [
                {"name": "server", "resources": {"requests": {"cpu": "50m", "memory": "200Mi"}}}
            ]
        }
    },
}


@pytest.fixture(scope="module")
def with_seldon(fairway) -> Iterator[None]:
    with seldon.installed(fairway):
        yield


def revision(name: str, number: int) -> controllerrevision.Revision:
    return controllerrevision.Revision(
        name=name * 12,
        model=resource.Model(uri="s3://models/income", digest=f"sha256:{'ab' * 32}"),
        image="fairway/seldon:1",
        runtime="seldon",
        serving=sections.Serving(),
        pod_template={"spec": {"tolerations": [{"key": "gpu", "operator": "Exists"}]}},
        defaulted_image=True,
        number=number,
    )


@pytest.mark.parametrize(
    "scaling",
    [{"min_replicas": 2, "max_replicas": 2}, {"max_replicas": 5}, {"concurrency": 8}],
    ids=["fixed", "cpu", "concurrency"],
)
@pytest.mark.parametrize(
    "how",
    [{"weight": 25, "mirror": 0}, {"weight": 0, "mirror": 50}, None],
    ids=["a canary", "a shadow", "by the gateway"],
)
def test_the_real_definition_takes_every_field(fairway, with_seldon, scaling, how):
    a, b = revision("a", 1), revision("b", 2)
    route = (
        routes.route(deployment="income", stable=a.name, candidate=b.name, **how) if how else None
    )
    document = seldons.deployment(
        names.Owner(name="strict", namespace="models"),
        [a, b],
        scaling=resource.Scaling(**scaling),
        stable=a.name,
        route=route,
        settings=names.ClusterSettings(
            collector="http://collector:8080", keda=True, prometheus="http://prometheus:9090"
        ),
    )
    done = fairway.kubectl(
        "apply",
        "--server-side",
        "--validate=strict",
        "--dry-run=server",
        "--filename=-",
        "--output=json",
        input=json.dumps(document),
    )
    assert json.loads(done.stdout)["spec"] == document["spec"]  # nothing was dropped


def test_a_rollout_on_seldons_wrapper_promotes_without_a_failed_request_and_takes_a_bad_revision_back(
    fairway, with_seldon, tmp_path
):
    store, name = world.store(fairway), "seldon"
    made = {
        "A": world.package(tmp_path / "A"),
        "B": world.package(tmp_path / "B", licence="Apache-2.0"),
        "C": world.package(tmp_path / "C", seed=5),
    }
    models = {letter: store.put(package) for letter, package in made.items()}
    try:
        world.apply(fairway, world.resource(name, models["A"], **RUNTIME))
        world.until(fairway, name, world.digest_in_service(models["A"]))
        with world.traffic(fairway, name) as traffic:
            world.apply(fairway, world.resource(name, models["B"], **RUNTIME))
            promoted = world.until(fairway, name, world.digest_in_service(models["B"]), seconds=240)
            world.apply(fairway, world.resource(name, models["C"], **RUNTIME))
            back = world.until(fairway, name, world.rolled_back, seconds=300)
        assert traffic.failed == 0, (traffic.counts, traffic.broken[:3])
        assert [row["phase"] for row in promoted["history"]] == [
            "Canary",
            "Canary",
            "Canary",
            "Promoting",
            "Stable",
        ]
        assert "shadow answers differ" in back["reason"]
        served = {revision for status, revision in traffic.counts if status == 200}
        assert served == {promoted["previous"]["revision"], back["stable"]["revision"]}
    finally:
        fairway.kubectl("--namespace=models", "delete", "md", name, "--ignore-not-found")
