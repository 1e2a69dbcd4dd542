"""An A/B test on one machine: half of the users each, outcomes that come late, and a verdict that
names the effect."""

import contextlib
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairway.rollout.states import Phase
from tests.local import world as worlds
from tests.local.world import World

pytestmark = [pytest.mark.local, pytest.mark.timeout(600)]
TEST = {
    "warmup": "500ms",
    "shadow": {"enabled": False},
    "canary": {"steps": [{"weight": 50}], "budget": worlds.BUDGET},
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
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with worlds.world(tmp_path_factory.mktemp("ab")) as made:
        yield made


@contextlib.contextmanager
def shop(platform: World, *, mean: dict[str, float], others: float) -> Iterator[None]:
    """Send what each request came to, as the shop's books say it: 10 or nothing, on average `mean`
    where the revision has one.
    """
    rng = np.random.default_rng(4)
    served = (
        "SELECT seq, request_id, revision FROM events WHERE seq > ? AND type='prediction' AND role <> 'shadow' "
        "ORDER BY seq"
    )

    def sold(row: tuple[Any, ...]) -> dict[str, Any]:
        _, request, revision = row
        value = 10.0 * float(rng.random() < mean.get(revision, others) / 10)
        return {"requestId": request, "outcome": "purchase", "value": value}

    with worlds.reporting(platform, "outcomes", served=served, tell=sold):
        yield


def arms_by_unit(platform: World, *, candidate: str) -> dict[str, set[str]]:
    """Return which revisions each unit met from the candidate's first answer to stable's last."""
    with contextlib.closing(sqlite3.connect(platform.home.events)) as connection:
        rows: list[Any] = connection.execute(
            "SELECT unit, revision, role FROM events WHERE type='prediction' ORDER BY seq"
        ).fetchall()
    first = next(number for number, (_, _, role) in enumerate(rows) if role == "canary")
    last = max(
        number
        for number, (_, revision, role) in enumerate(rows)
        if revision != candidate and role != "shadow"
    )
    arms = defaultdict[str, set[str]](set)
    for unit, revision, role in rows[first:last]:
        arms[unit].add("canary" if revision == candidate else role)
    return arms


def test_what_sells_more_is_promoted_with_the_effect_and_what_sells_less_is_taken_back(
    platform: World, tmp_path: Path
) -> None:
    better = platform.deploy(concurrency=201, strategy=TEST)
    with shop(platform, mean={better: 8.0}, others=2.0):
        ended = platform.ended(better)
    assert ended.state.stable == better
    assert "purchase is" in ended.state.reason
    assert "better than stable's" in ended.state.reason
    low, high = next(row for row in reversed(ended.state.history) if row["phase"] == "Promoting")[
        "evidence"
    ]["sales"]["intervals"]["effect"]
    assert low < 6.0 < high
    units = arms_by_unit(platform, candidate=better)
    # the first look and the last may see both
    assert sum(len(arms) == 1 for arms in units.values()) / len(units) > 0.9
    worse = platform.deploy(concurrency=202, strategy=TEST)
    with shop(platform, mean={worse: 2.0}, others=8.0):
        ended = platform.ended(worse)
    assert (ended.state.phase, ended.state.stable) == (Phase.ROLLED_BACK, better)
    assert "not better than stable's" in ended.state.reason
    assert platform.users.failed() == []
