"""A route is in effect when the realised split says so."""

import numpy as np
import pytest

from fairway.operator import routes
from fairway.rollout import traffic


def route(
    weight: int, mirror: int = 0, *, stable: str = "aaa", candidate: str | None = "bbb"
) -> traffic.Route:
    return traffic.route(
        deployment="income", stable=stable, candidate=candidate, weight=weight, mirror=mirror
    )


def in_effect(*of: traffic.Route) -> routes.Routes:
    """Return what an operator knows that wrote the routes in turn, and saw only the first in
    effect."""
    known = routes.Routes()
    for number, one in enumerate(of):
        known.written(one, arriving=False, now=float(number))
        if not number:
            told = known.confirm(
                sample(routes.confirm.PATIENCE_SECONDS, stable=0, candidate=0),
                route=one,
                accepted=True,
                now=routes.confirm.PATIENCE_SECONDS,
            )
            assert told is not None
            assert told.route_version == one.version
    return known


def sample(at: float, *, stable: int | None, candidate: int | None) -> traffic.Sample:
    arms = [
        traffic.ArmSample(requests=count, errors=0) if count is not None else None
        for count in (stable, candidate)
    ]
    return traffic.Sample(at=at, epoch="one", route_version="", stable=arms[0], candidate=arms[1])


def play(
    known: routes.Routes,
    to: traffic.Route,
    *,
    weights: list[int],
    rng: np.random.Generator,
    requests: int = 100,
    start: float = 100.0,
) -> list[str]:
    """Return the version each scrape says, one a second, while the gateway really splits by
    `weights`."""
    known.written(to, arriving=False, now=start)
    stable = candidate = 1000
    said = []
    for second, weight in enumerate(weights):
        taken = int(rng.binomial(requests, weight / 100))
        candidate, stable = candidate + taken, stable + requests - taken
        told = known.confirm(
            sample(start + 1 + second, stable=stable, candidate=candidate),
            route=to,
            accepted=True,
            now=start + 1 + second,
        )
        said.append(told.route_version if told else "unread")
    return said


@pytest.mark.parametrize(("old", "new"), [(0, 5), (5, 25), (25, 50), (50, 95), (95, 0), (25, 0)])
def test_a_new_weight_is_confirmed_by_the_split_and_not_before(old, new):
    rng = np.random.default_rng(old * 100 + new)
    known = in_effect(route(old))
    said = play(known, route(new), weights=[old] * 5 + [new] * 12, rng=rng)
    assert set(said[:5]) == {""}
    assert said[-1] == route(new).version


def test_the_old_split_confirms_nothing_however_long_it_lasts():
    known = in_effect(route(5))
    assert set(play(known, route(0), weights=[5] * 100, rng=np.random.default_rng(1))) == {""}


@pytest.mark.parametrize(
    "before",
    [
        [route(50)],
        [route(50), route(100), route(0, stable="bbb", candidate=None)],
        [route(100), route(0, stable="bbb", candidate=None)],
    ],
    ids=["of another rollout", "promoted and not seen", "promoted and seen"],
)
@pytest.mark.parametrize("stable", ["aaa", "bbb"], ids=["after a rollback", "after a promotion"])
def test_an_earlier_rollout_of_the_same_weight_confirms_nothing_of_the_next(before, stable):
    rng = np.random.default_rng(3)
    said = play(
        in_effect(*before),
        route(50, stable=stable, candidate="ccc"),
        weights=[0] * 30 + [50] * 12,
        rng=rng,
    )
    assert set(said[:30]) == {""}
    assert said[-1] == route(50, stable=stable, candidate="ccc").version


def test_a_route_that_was_in_effect_before_another_was_written_is_confirmed_anew():
    known = in_effect(route(5), route(0, candidate=None))
    said = play(
        known, route(5), weights=[0] * 30 + [5] * 60, rng=np.random.default_rng(5), requests=400
    )
    assert set(said[:30]) == {""}
    assert said[-1] == route(5).version


def test_a_candidate_that_still_arrives_has_not_its_share_yet():
    known = in_effect(route(0, candidate=None))
    known.written(route(50), arriving=True, now=100)
    told = [
        known.confirm(
            sample(100 + second, stable=50 * second, candidate=50 * second),
            route=route(50),
            accepted=True,
            now=100 + second,
        )
        for second in range(1, 100)
    ]
    assert {one.route_version for one in told if one} == {""}


def test_a_promotion_is_in_effect_also_where_stable_s_last_request_came_late_and_its_counts_have_gone():
    known, to = in_effect(route(50)), route(100)
    known.written(to, arriving=False, now=100)
    said = [
        known.confirm(
            sample(101 + second, stable=stable, candidate=20 * second),
            route=to,
            accepted=True,
            now=101 + second,
        )
        for second, stable in enumerate([10, 12, None, None, None, None])
    ]
    assert said[1] is not None
    assert said[1].route_version == ""
    assert said[-1] is not None
    assert said[-1].route_version == to.version


@pytest.mark.parametrize("weight", [5, 25])
def test_an_operator_that_was_restarted_takes_the_weight_before_from_the_state(weight):
    known = routes.Routes()
    known.recall(http_route(aaa=750_000, bbb=250_000), weight=weight)
    said = play(known, route(50), weights=[weight] * 30 + [50] * 12, rng=np.random.default_rng(6))
    assert set(said[:30]) == {""}
    assert said[-1] == route(50).version


def test_what_is_counted_before_the_gateway_has_accepted_a_route_says_nothing_about_it():
    known, to = (
        in_effect(route(0, candidate=None)),
        route(50, candidate="ccc"),
    )  # proxies may be two routes behind, with another revision there
    known.written(to, arriving=False, now=100)
    for second in range(1, 40):
        known.confirm(
            sample(100 + second, stable=50 * second, candidate=50 * second),
            route=to,
            accepted=False,
            now=100 + second,
        )
    told = [
        known.confirm(
            sample(140 + second, stable=2000 + 100 * second, candidate=2000),
            route=to,
            accepted=True,
            now=140 + second,
        )
        for second in range(30)
    ]
    assert {one.route_version for one in told if one} == {""}


def test_nothing_is_confirmed_that_the_gateway_has_not_accepted():
    known = in_effect(route(0))
    known.written(route(5), arriving=False, now=0)
    known.confirm(sample(1, stable=10, candidate=10), route=route(5), accepted=False, now=1)
    told = known.confirm(sample(2, stable=20, candidate=20), route=route(5), accepted=False, now=2)
    assert told is not None
    assert told.route_version == ""


def test_a_mirror_changes_no_split_and_is_in_effect_when_it_is_accepted():
    known = in_effect(route(0))
    known.written(route(0, mirror=100), arriving=False, now=0)
    told = known.confirm(
        sample(1, stable=10, candidate=None), route=route(0, mirror=100), accepted=True, now=1
    )
    assert told is not None
    assert told.route_version == route(0, mirror=100).version


def test_a_revision_that_lost_its_share_leaves_for_some_seconds_and_then_is_gone():
    known = routes.Routes()
    known.written(route(25), arriving=False, now=0)
    assert known.leaving(route(0), now=50) == "bbb"
    known.written(route(0), arriving=False, now=50)
    assert known.leaving(route(0), now=50 + routes.LEAVING_SECONDS - 1) == "bbb"
    assert known.leaving(route(0), now=50 + routes.LEAVING_SECONDS) is None


def http_route(generation: int = 1, **weights: int) -> dict[str, object]:
    return {
        "metadata": {"name": "income", "generation": generation},
        "status": {"parents": [condition(1)]},
        "spec": {
            "rules": [
                {
                    "backendRefs": [
                        {"name": f"income-{revision}", "weight": weight}
                        for revision, weight in weights.items()
                    ]
                }
            ]
        },
    }


def test_a_candidate_begins_with_a_millionth_until_the_gateway_has_accepted_it():
    known = routes.Routes()
    known.recall(None, weight=0)
    assert known.arriving(route(25), found=None, now=0)
    known.written(route(25), arriving=True, now=0)
    assert known.arriving(route(25), found=http_route(generation=2), now=60)
    assert known.arriving(route(25), found=http_route(), now=1)
    assert not known.arriving(route(25), found=http_route(), now=routes.ARRIVING_SECONDS)
    known.written(route(25), arriving=False, now=3)
    assert not known.arriving(route(50), found=http_route(generation=2), now=10)


def test_a_new_operator_takes_no_share_away_from_who_serves():
    known = routes.Routes()
    known.recall(http_route(aaa=750_000, bbb=250_000), weight=0)
    assert not known.arriving(route(25), found=http_route(aaa=750_000, bbb=250_000), now=0)
    assert known.leaving(route(0), now=0) == "bbb"


def test_nobody_leaves_while_both_serve_or_after_a_shadow():
    known = routes.Routes()
    known.written(route(0, mirror=100), arriving=False, now=0)
    assert known.leaving(route(5), now=10) is None
    known.written(route(5), arriving=False, now=10)
    assert known.leaving(route(25), now=20) is None


def condition(generation: int, status: str = "True") -> dict[str, object]:
    return {
        "conditions": [{"type": "Accepted", "status": status, "observedGeneration": generation}]
    }


def resolved(generation: int, status: str = "True") -> dict[str, object]:
    return {
        "conditions": [
            *condition(generation)["conditions"],  # type: ignore[misc]
            {
                "type": "ResolvedRefs",
                "status": status,
                "observedGeneration": generation,
                "message": "Service models/income-aaa not found",
            },
        ]
    }


@pytest.mark.parametrize(
    ("parents", "expected"),
    [
        ([resolved(3)], True),
        ([resolved(3, "False")], False),
        ([condition(3), resolved(2, "False")], False),
        ([], False),
        ([condition(3)], True),
        ([condition(2)], False),
        ([condition(3, "False")], False),
        ([condition(3), condition(2)], False),
    ],
    ids=[
        "all is there",
        "no Service",
        "an earlier one had no Service",
        "nobody",
        "accepted",
        "an earlier one",
        "refused",
        "one of two",
    ],
)
def test_acceptance_is_of_every_gateway_and_of_this_generation(parents, expected):
    assert (
        routes.accepted({"metadata": {"generation": 3}, "status": {"parents": parents}}) is expected
    )


def test_a_route_that_is_not_there_is_not_accepted():
    assert routes.accepted(None) is False


@pytest.mark.parametrize(
    ("parents", "answers", "word"),
    [
        ([condition(3)], True, "Answering"),
        ([condition(3)], False, "NotAnswering"),
        ([condition(3)], None, "Accepted"),
        ([condition(2)], True, "NotAccepted"),
        ([resolved(3, "False")], True, "Refused"),
        (None, True, "NotWritten"),
    ],
)
def test_a_route_stands_as_the_gateway_and_its_proxies_say(parents, answers, word):
    found = (
        {"metadata": {"generation": 3}, "status": {"parents": parents}}
        if parents is not None
        else None
    )
    standing = routes.standing(found, answers=answers, unknown="nobody counts")
    assert (standing.word, standing.holds) == (word, word in ("Answering", "Accepted"))
    assert word != "Refused" or "Service models/income-aaa not found" in standing.sentence
