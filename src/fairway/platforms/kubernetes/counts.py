"""An administrator's queries instead of Envoy Gateway's statistics: other gateways, and Seldon's
ingress.

Every query is asked as of one instant, but its series come from scrapes of many pods at different
times: the comparison of the arms is approximate. Those who write ModelDeployments name queries, and
never write any: Prometheus answers the operator about every namespace.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Protocol

from pydantic import Field, TypeAdapter, ValidationError

from fairway import errors
from fairway.config import loader, sections
from fairway.platforms.kubernetes import scrapes
from fairway.rollout import traffic

EPOCH = "queries"
RATE = re.compile(r"\b(i?rate|increase|i?delta)\s*\(")
Read = Callable[[bytes], float | None]
Query = Annotated[str, Field(min_length=1, max_length=2048)]
SPACE = "namespace"  # the placeholder that every series must be selected by
TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`|\d[\w.]*|[a-zA-Z_:][\w:.]*|=~|!~|!=|[^\s]'
)
NAME = re.compile(r"[a-zA-Z_:][\w:.]*")
GROUPING = ("by", "without", "on", "ignoring", "group_left", "group_right")
WORDS = (*GROUPING, "and", "or", "unless", "offset", "bool", "atan2", "inf", "nan", "start", "end")


class Queries(sections.Section):
    """Queries of one revision's requests.

    Each gives one number, a counter's sum since ever (no `rate`, no `increase`). `{namespace}`,
    `{deployment}`, `{revision}` and `{service}` stand for what their names say, the last for the
    revision's Service; every series must be selected by a label that equals `{namespace}`.
    """

    requests: Query
    """Completed requests."""
    errors: Query
    """Those of them that failed: answered 5xx, or not at all. No series means none."""
    within: Query | None = None
    """Requests answered within a guard's threshold, for which `{seconds}` or `{milliseconds}`
    stands.

    Guards of type latency need it.
    """


Templates = Mapping[str, Queries]


class Asks(Protocol):
    """A Prometheus."""

    def ask(
        self, query: str, *, read: Read, at: float | None = None
    ) -> tuple[float | None, float]: ...


def sample(
    source: Asks,
    queries: Queries,
    *,
    namespace: str,
    deployment: str,
    route: traffic.Route,
    thresholds: Sequence[str],
) -> traffic.Sample:
    """Return both arms' counts as of one instant, by Prometheus's own clock.

    An arm that has counted nothing yet is None.

    Raises Unavailable where Prometheus gives no number.
    """
    _, now = source.ask("time()", read=lambda _: None)
    arms = [
        _arm(
            source,
            queries,
            names={
                "namespace": namespace,
                "deployment": deployment,
                "revision": revision,
                "service": f"{deployment}-{revision}",
            },
            thresholds=thresholds,
            now=now,
        )
        if revision is not None
        else None
        for revision in (route.stable, route.candidate)
    ]
    return traffic.Sample(at=now, epoch=EPOCH, route_version="", stable=arms[0], candidate=arms[1])


def templates(text: str) -> Templates:
    """Return the queries by their names, from JSON; raises UsageError with what is wrong with them."""
    try:
        found = TypeAdapter(dict[str, Queries]).validate_json(text)
    except ValidationError as error:
        raise errors.UsageError(loader.explain(error, where="--counts")) from error
    for name, queries in found.items():
        for key, query in queries.model_dump(exclude_none=True).items():
            for wrong in _wrong(query):
                raise errors.UsageError(f"--counts: {name}.{key} {wrong}")
    return found


def chosen(name: str, known: Templates, *, thresholds: Sequence[str]) -> Queries:
    """Return the queries of the name; raises ConfigError where there are none, or none for the
    thresholds."""
    if name not in known:
        there = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise errors.ConfigError(
            f"counts.template {name!r} is no name that this operator knows: {there} (operator.counts of the chart)"
        )
    if thresholds and known[name].within is None:
        raise errors.ConfigError(
            f"counts.template {name!r} does not count the answers within a threshold: a guard of type latency needs "
            "that "
            "(`within` in operator.counts of the chart)"
        )
    return known[name]


def _wrong(query: str) -> Iterator[str]:
    """Yield what keeps a query from being asked for any namespace."""
    if RATE.search(query):
        yield "takes a rate: wanted a counter's sum since ever; fairway takes the differences itself"
    for selector in _selectors(query):
        if not re.search(rf"""[\w.]+ = (["'`]){{{SPACE}}}\1( ,|$)""", selector):
            what = selector[:80] or "a metric"
            yield f'asks for {what!r} of every namespace: wanted a label that equals "{{{SPACE}}}" in each selector'


def _selectors(query: str) -> Iterator[str]:
    """Yield what is between the braces of each selector, its tokens with a space between them.

    The name of a metric that has none.
    """
    tokens = TOKEN.findall(query)
    at = 0
    while at < len(tokens):
        mark, after = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
        end = at
        if mark == "{":
            end = _end(tokens, at, "}")
            yield " ".join(tokens[at + 1 : end])
        elif mark == "[" or (mark.lower() in GROUPING and after == "("):
            end = _end(tokens, at, "]" if mark == "[" else ")")
        elif (
            NAME.fullmatch(mark)
            and mark.lower() not in WORDS
            and after.lower() not in ("(", "{", "by", "without")
        ):
            yield mark
        at = end + 1


def _end(tokens: Sequence[str], at: int, closing: str) -> int:
    return next(
        (place for place in range(at, len(tokens)) if tokens[place] == closing), len(tokens)
    )


def _arm(
    source: Asks,
    queries: Queries,
    *,
    names: Mapping[str, str],
    thresholds: Sequence[str],
    now: float,
) -> traffic.ArmSample | None:
    def read(name: str, query: str) -> int | None:
        value, _ = source.ask(query, read=lambda content: _number(content, name), at=now)
        return None if value is None else int(value)

    requests = read("requests", _filled(queries.requests, names))
    if requests is None:
        return None
    failed = read("errors", _filled(queries.errors, names)) or 0
    slow = {
        threshold: max(requests - (read("within", _within(queries, threshold, names)) or 0), 0)
        for threshold in thresholds
    }
    return traffic.ArmSample(
        requests=requests,
        errors=min(failed, requests),
        timed=requests if thresholds else 0,
        slow=slow,
    )


def _within(queries: Queries, threshold: str, names: Mapping[str, str]) -> str:
    seconds = sections.parse_duration(threshold).total_seconds()
    return _filled(
        queries.within or "",
        {**names, "seconds": f"{seconds:g}", "milliseconds": f"{seconds * 1000:g}"},
    )


def _filled(query: str, names: Mapping[str, str]) -> str:
    """Return the query with its names filled in.

    PromQL's own braces stay, since only a name in braces stands for something.
    """
    for key, value in names.items():
        query = query.replace(f"{{{key}}}", value)
    return query


def _number(content: bytes, name: str) -> float | None:
    """Return the one number of an answer, None where there is no series; raises ValueError for
    anything else."""
    try:
        found = scrapes.results(content)
        if not found:
            return None
        if len(found) > 1:
            raise ValueError(
                f"counts.{name} gives {len(found)} series: wanted one number, such as a sum"
            )
        value = float(found[0]["value"][1])
    except (
        json.JSONDecodeError,
        UnicodeDecodeError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
    ) as error:
        raise ValueError(
            f"counts.{name} gives {content[:100]!r}: wanted an instant vector"
        ) from error
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"counts.{name} gives {value}: wanted a count")
    return value
