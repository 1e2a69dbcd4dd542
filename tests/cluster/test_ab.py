"""An A/B test on the cluster: the gateway divides the users, the collector takes what they bought,
and the operator promotes what sells more."""

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pytest

from tests.cluster import world
from tests.cluster.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
NAME = "ab"
TEST = {
    "warmup": "0s",
    "shadow": {"enabled": False},
    "canary": {"steps": [{"weight": 50}], "budget": "30m"},
    "bake": {"weight": 0, "duration": "0s"},
    "guards": [
        {
            "name": "sales",
            "type": "business",
            "gates": "canary",
            "outcome": "purchase",
            "upper": 10,
            "maxLossIncrease": 0,
        }
    ],
}


@pytest.fixture(scope="module")
def models(fairway, tmp_path_factory):
    folder, store = tmp_path_factory.mktemp("packages"), world.store(fairway)
    return {
        "A": store.put(world.package(folder / "A")),
        "B": store.put(world.package(folder / "B", licence="Apache-2.0")),
    }


@contextlib.contextmanager
def shop(cluster: Cluster, traffic: world.Traffic, *, usual: str) -> Iterator[None]:
    """Send what each request came to: 10 or nothing, on average 2 of the revision that was `usual`
    and 8 of any other."""
    rng, closing = np.random.default_rng(4), threading.Event()
    labeller = world.labeller(cluster, "shop")

    def keep_books() -> None:
        done = 0
        while not closing.wait(0.5):
            served = traffic.answered[done:]
            done += len(served)
            sold = [
                {
                    "requestId": request,
                    "deployment": NAME,
                    "namespace": world.NAMESPACE,
                    "outcome": "purchase",
                    "value": 10.0 * float(rng.random() < (0.2 if revision == usual else 0.8)),
                }
                for request, revision, _ in served
                if request
            ]
            labeller.send("/v1/outcomes", sold)

    books = threading.Thread(target=keep_books)
    books.start()
    try:
        yield
    finally:
        closing.set()
        books.join()


def arms_by_unit(answered: list[tuple[str, str, str]], *, candidate: str) -> dict[str, set[str]]:
    """Return which revisions each unit met from the candidate's first answer to stable's last."""
    first = next(
        number for number, (_, revision, _) in enumerate(answered) if revision == candidate
    )
    last = max(number for number, (_, revision, _) in enumerate(answered) if revision != candidate)
    arms = defaultdict[str, set[str]](set)
    for _, revision, unit in answered[first:last]:
        arms[unit].add(revision)
    return arms


def test_what_sells_more_is_promoted_and_what_sells_less_is_taken_back(fairway, models):
    world.apply(fairway, world.resource(NAME, models["A"], strategy=TEST))
    usual = world.until(fairway, NAME, world.digest_in_service(models["A"]))["stable"]["revision"]
    try:
        with world.traffic(fairway, NAME) as traffic, shop(fairway, traffic, usual=usual):
            world.apply(fairway, world.resource(NAME, models["B"], strategy=TEST))
            ended = world.until(fairway, NAME, world.digest_in_service(models["B"]), seconds=300)
        assert "purchase is" in ended["reason"]
        assert "better than stable's" in ended["reason"]
        units = arms_by_unit(traffic.answered, candidate=ended["stable"]["revision"])
        assert len(units) > 100
        assert (
            sum(len(met) == 1 for met in units.values()) / len(units) > 0.9
        )  # the first look and the last may see both
        with world.traffic(fairway, NAME) as later, shop(fairway, later, usual=usual):
            world.apply(fairway, world.resource(NAME, models["A"], strategy=TEST))
            back = world.until(fairway, NAME, world.rolled_back, seconds=300)
        assert back["stable"] == ended["stable"]
        assert "not better than stable's" in back["reason"]
        assert traffic.failed + later.failed == 0, (
            traffic.counts,
            traffic.broken[:3],
            later.counts,
            later.broken[:3],
        )
    finally:
        fairway.kubectl("--namespace", world.NAMESPACE, "delete", "md", NAME, "--ignore-not-found")
