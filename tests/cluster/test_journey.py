"""The whole way on a real cluster: a first revision, a better one through shadow and canary with traffic flowing, a bad one rolled back."""

import pytest

from tests.cluster import world

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
NAME = "income"


@pytest.fixture(scope="module")
def models(fairway, tmp_path_factory):
    """Gives A, B that answers the same, C that answers otherwise, and D that fails on some inputs, ready to be named in a spec."""
    folder, store = tmp_path_factory.mktemp("packages"), world.store(fairway)
    made = {"A": world.package(folder / "A"), "B": world.package(folder / "B", licence="Apache-2.0"), "C": world.package(folder / "C", seed=5),
            "D": world.package(folder / "D", fragile=True)}
    return {name: store.put(package) for name, package in made.items()}


def test_a_revision_is_promoted_through_shadow_and_canary_without_a_failed_request_and_a_bad_one_rolled_back(fairway, models):
    world.apply(fairway, world.resource(NAME, models["A"]))
    world.until(fairway, NAME, world.digest_in_service(models["A"]))
    fairway.kubectl("--namespace=models", "wait", f"md/{NAME}", "--for=condition=Ready", "--timeout=30s")

    story: list[str] = []
    with world.traffic(fairway, NAME) as traffic:
        world.apply(fairway, world.resource(NAME, models["B"]))
        stable = world.until(fairway, NAME, world.digest_in_service(models["B"]), seconds=300, story=story)
        world.apply(fairway, world.resource(NAME, models["C"]))
        back = world.until(fairway, NAME, world.rolled_back, seconds=300)
    print(story, traffic.counts)
    weights = [line for line in story if line.split()[0] in ("Shadow", "Canary", "Baking", "Stable")]
    assert [line for line in weights if line.startswith(("Shadow", "Canary"))] == ["Shadow 0", "Canary 5", "Canary 25", "Canary 50"]
    assert "Baking 95" in weights
    assert traffic.failed == 0, (traffic.counts, traffic.broken[:3])
    assert {revision for (status, revision), _ in traffic.counts.items() if status == 200} >= {stable["stable"]["revision"]}
    assert back["weight"] == 0
    assert back["stable"]["digest"] == models["B"]["digest"]
    assert "disagree" in back["reason"]
    table = fairway.kubectl("--namespace=models", "get", "md", NAME).stdout
    assert "RolledBack" in table
    assert "disagree" in table
    told = fairway.kubectl("--namespace=models", "describe", "md", NAME).stdout
    assert "Promoted" in told
    assert "RolledBack" in told
