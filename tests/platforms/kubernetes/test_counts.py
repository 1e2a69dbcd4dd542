"""A user's own queries: what is asked, what the answers amount to, and what is said of answers that are none."""

import json
from typing import Any

import pytest

from fairway import errors
from fairway.config import resource
from fairway.platforms.kubernetes import counts, prometheus
from fairway.rollout import traffic

QUERIES = resource.Counts(requests='sum(requests{to="{service}"})', errors='sum(requests{to="{service}",code=~"5.."})',
                          within='sum(took_bucket{to="{service}",le="{milliseconds}"})')
ROUTE = traffic.route(deployment="income", stable="a", candidate="b", weight=25, mirror=0)
NOW = 7.0   # by Prometheus's own clock


class Recorded:
    """A Prometheus that knows some answers."""

    def __init__(self, **answers: Any) -> None:
        self.asked: list[str] = []
        self._answers = {"requests{to=\"income-a\"}": 100, "requests{to=\"income-b\"}": 30, "income-b\",code": 4, "income-a\",code": None,
                         "bucket{to=\"income-a\"": 90, "bucket{to=\"income-b\"": 30} | answers

    def ask(self, query: str, *, read: counts.Read, at: float | None = None) -> tuple[float | None, float]:
        if query == "time()":
            return None, NOW
        self.asked.append(query)
        value = next(value for part, value in self._answers.items() if part in query)
        found = value if isinstance(value, list) else [] if value is None else [{"metric": {}, "value": [at, str(value)]}]
        try:
            return read(json.dumps({"status": "success", "data": {"resultType": "vector", "result": found}}).encode()), NOW
        except ValueError as error:
            raise errors.Unavailable(str(error)) from error


def sample(source: counts.Asks, *thresholds: str) -> traffic.Sample:
    return counts.sample(source, QUERIES, namespace="models", deployment="income", route=ROUTE, thresholds=thresholds)


def test_both_arms_are_counted_as_of_one_instant() -> None:
    found = sample(Recorded(), "100ms")
    assert found.at == NOW
    assert found.stable == traffic.ArmCounts(requests=100, errors=0, timed=100, slow={"100ms": 10})
    assert found.candidate == traffic.ArmCounts(requests=30, errors=4, timed=30, slow={"100ms": 0})


def test_names_are_filled_in_and_promqls_braces_stay() -> None:
    source = Recorded()
    sample(source, "100ms")
    assert 'sum(requests{to="income-b"})' in source.asked
    assert 'sum(took_bucket{to="income-a",le="100"})' in source.asked


def test_an_arm_that_has_counted_nothing_is_missing() -> None:
    assert sample(Recorded(**{"requests{to=\"income-b\"}": None})).candidate is None


@pytest.mark.parametrize(("value", "words"), [("NaN", "wanted a count"), (-1, "wanted a count"), ([{"metric": {}, "values": []}], "instant vector"),
                                              ([{}, {}], "2 series: wanted one number")], ids=["nan", "negative", "a range", "two"])
def test_an_answer_that_is_no_number_is_said(value: Any, words: str) -> None:
    with pytest.raises(errors.Unavailable, match=words):
        sample(Recorded(**{"requests{to=\"income-a\"}": value}))


def test_a_rate_is_refused_before_anything_depends_on_it() -> None:
    with pytest.raises(errors.ConfigError, match=r"counts\.requests takes a rate"):
        counts.check(QUERIES.model_copy(update={"requests": "sum(rate(requests[1m]))"}))
    counts.check(QUERIES.model_copy(update={"requests": "sum(generated_total)"}))


def test_a_prometheus_is_what_is_asked() -> None:
    source: counts.Asks = prometheus.Prometheus("http://prometheus:9090")
    assert source is not None
