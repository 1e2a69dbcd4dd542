"""An administrator's queries: what is asked, what the answers amount to, and what is said of
answers that are none."""

import json
from typing import Any

import pytest

from fairway import errors
from fairway.platforms.kubernetes import counts, prometheus
from fairway.rollout import traffic

QUERIES = counts.Queries(
    requests='sum(requests{to="{service}"})',
    errors='sum(requests{to="{service}",code=~"5.."})',
    within='sum(took_bucket{to="{service}",le="{milliseconds}"})',
)
ROUTE = traffic.route(deployment="income", stable="a", candidate="b", weight=25, mirror=0)
NOW = 7.0  # by Prometheus's own clock


class Recorded:
    """A Prometheus that knows some answers."""

    def __init__(self, **answers: Any) -> None:
        self.asked: list[str] = []
        self._answers = {
            'requests{to="income-a"}': 100,
            'requests{to="income-b"}': 30,
            'income-b",code': 4,
            'income-a",code': None,
            'bucket{to="income-a"': 90,
            'bucket{to="income-b"': 30,
        } | answers

    def ask(
        self, query: str, *, read: counts.Read, at: float | None = None
    ) -> tuple[float | None, float]:
        if query == "time()":
            return None, NOW
        self.asked.append(query)
        value = next(value for part, value in self._answers.items() if part in query)
        found = (
            value
            if isinstance(value, list)
            else []
            if value is None
            else [{"metric": {}, "value": [at, str(value)]}]
        )
        try:
            return read(
                json.dumps(
                    {"status": "success", "data": {"resultType": "vector", "result": found}}
                ).encode()
            ), NOW
        except ValueError as error:
            raise errors.Unavailable(str(error)) from error


def sample(source: counts.Asks, *thresholds: str) -> traffic.Sample:
    return counts.sample(
        source, QUERIES, namespace="models", deployment="income", route=ROUTE, thresholds=thresholds
    )


def test_both_arms_are_counted_as_of_one_instant() -> None:
    found = sample(Recorded(), "100ms")
    assert found.at == NOW
    assert found.stable == traffic.ArmSample(requests=100, errors=0, timed=100, slow={"100ms": 10})
    assert found.candidate == traffic.ArmSample(requests=30, errors=4, timed=30, slow={"100ms": 0})


def test_names_are_filled_in_and_promqls_braces_stay() -> None:
    source = Recorded()
    sample(source, "100ms")
    assert 'sum(requests{to="income-b"})' in source.asked
    assert 'sum(took_bucket{to="income-a",le="100"})' in source.asked


def test_an_arm_that_has_counted_nothing_is_missing() -> None:
    assert sample(Recorded(**{'requests{to="income-b"}': None})).candidate is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("NaN", "wanted a count"),
        (-1, "wanted a count"),
        ([{"metric": {}, "values": []}], "instant vector"),
        ([{}, {}], "2 series: wanted one number"),
    ],
    ids=["nan", "negative", "a range", "two"],
)
def test_an_answer_that_is_no_number_is_said(value: Any, words: str) -> None:
    with pytest.raises(errors.Unavailable, match=words):
        sample(Recorded(**{'requests{to="income-a"}': value}))


BOUND = {
    "a sum": 'sum(requests{namespace="{namespace}",service="{service}"})',
    "by labels": "sum by (code) (requests{service=~\"x\", ns='{namespace}'})",
    "a sum of two": (
        'sum(a{ns="{namespace}"}) + on (job) group_left (x) max(b{ns="{namespace}",le="{seconds}"}) or vector(0)'
    ),
    "no metric's name": '{__name__=~"a|b",ns="{namespace}"}',
    "offset and range": 'sum(last_over_time(a:b.c{ns="{namespace}"}[5m:1m] offset 1m)) unless 3.5e2',
}
LOOSE = {
    "no selector": "sum(up)",
    "no namespace": 'sum(up{service="{service}"})',
    "a pattern": 'sum(up{ns=~"{namespace}|.*"})',
    "all but": 'up{ns!="{namespace}"}',
    "more than it": 'up{ns="{namespace}x"}',
    "in another's": 'sum(up{ns="{namespace}"}) + secret',
    "one of two": 'a{ns="{namespace}"} + b{x="1"}',
    "in a text": 'up{x="ns=\\"{namespace}\\""}',
    "of every name": '{job="x"}',
    "by": "sum by (ns) (up)",
    "a name like a word": "offset_bytes",
}


def given(query: str) -> str:
    return json.dumps({"istio": {"requests": query, "errors": BOUND["a sum"]}})


@pytest.mark.parametrize("query", BOUND.values(), ids=BOUND)
def test_queries_that_are_bound_to_the_namespace_are_taken(query: str) -> None:
    assert counts.templates(given(query))["istio"].requests == query


@pytest.mark.parametrize("query", LOOSE.values(), ids=LOOSE)
def test_a_query_that_could_give_another_team_s_series_is_refused_at_the_start(query: str) -> None:
    with pytest.raises(
        errors.UsageError, match=r"--counts: istio\.requests asks for .* of every namespace"
    ):
        counts.templates(given(query))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "--counts"),
        ('{"istio": {"requests": "a"}}', "errors"),
        (given('sum(rate(a{ns="{namespace}"}[1m]))'), "istio.requests takes a rate"),
    ],
    ids=["no JSON", "no errors", "a rate"],
)
def test_what_is_no_set_of_queries_is_refused_at_the_start(text: str, says: str) -> None:
    with pytest.raises(errors.UsageError, match=says):
        counts.templates(text)


def test_a_name_that_is_none_and_a_threshold_that_nobody_counts_are_said() -> None:
    known = counts.templates(given(BOUND["a sum"]))
    assert counts.chosen("istio", known, thresholds=()).requests == BOUND["a sum"]
    with pytest.raises(
        errors.ConfigError, match="'nginx' is no name that this operator knows: it has istio"
    ):
        counts.chosen("nginx", known, thresholds=())
    with pytest.raises(errors.ConfigError, match="it has none"):
        counts.chosen("nginx", {}, thresholds=())
    with pytest.raises(errors.ConfigError, match="does not count the answers within a threshold"):
        counts.chosen("istio", known, thresholds=["100ms"])


def test_a_prometheus_is_what_is_asked() -> None:
    source: counts.Asks = prometheus.Prometheus("http://prometheus:9090", gateway={"job": "envoy"})
    assert source is not None
