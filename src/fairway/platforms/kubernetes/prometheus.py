"""One Prometheus over HTTP: what it is asked at a look, within the time that the look has.

`scrapes` makes of the answer what it says.
"""

import http.client
import json
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

from fairway import budget, errors
from fairway.platforms.kubernetes import scrapes
from fairway.rollout import traffic

LARGEST_ANSWER = 8 * 2**20
Answer = TypeVar("Answer")


class Prometheus:
    """One Prometheus; it keeps no connection, so any number of threads may ask.

    `gateway` are labels that only the scrape configuration of the gateway sets: a pod that is
    scraped too may export a counter of any name, for any route.
    """

    def __init__(
        self, url: str, *, gateway: Mapping[str, str], timeout_seconds: float = 5.0
    ) -> None:
        place = urlsplit(url)
        if place.scheme not in ("http", "https") or not place.hostname:
            raise errors.UsageError(
                f"--prometheus {url!r}: wanted the address of a Prometheus, such as http://prometheus.monitoring:9090"
            )
        if not gateway:
            raise errors.UsageError(
                "no --gateway-label is named: wanted a label that only the scrape of the gateway has, such as "
                "namespace=envoy-gateway-system; any pod that is scraped could speak as the gateway otherwise"
            )
        self._url, self._timeout, self._gateway = url, timeout_seconds, dict(gateway)

    def sample(
        self,
        *,
        namespace: str,
        deployment: str,
        route: traffic.Route,
        thresholds: Sequence[str],
        before: traffic.Sample | None,
        route_version: str,
        first: str | None = None,
    ) -> traffic.Sample | None:
        """Return the newest counts of both arms, summed over the proxies, or None where no proxy
        that was scraped lately has all of them.

        `first` is the revision at index 0 of the HTTPRoute, by default stable.

        An arm without weight is not needed, and is None once the gateway has dropped it: until then
        its counts tell whether it is still sent requests. Raises Unavailable where Prometheus does
        not answer as it should, ConfigError for a threshold that Envoy has no bucket for.
        """
        bounds = {threshold: scrapes.bucket(threshold) for threshold in thresholds}
        series, now = self.ask(
            scrapes.query(
                namespace=namespace,
                deployment=deployment,
                bounds=bounds.values(),
                gateway=self._gateway,
            ),
            read=scrapes.parse,
        )
        return scrapes.combine(
            series,
            now=now,
            route=route,
            bounds=bounds,
            before=before,
            route_version=route_version,
            first=first,
        )

    def answers(self, *, namespace: str, deployment: str, index: int) -> bool | None:
        """Say whether the proxies have pods behind the HTTPRoute's backend of that index.

        None where Prometheus keeps no series that would tell.

        A backend that has answered already has them, too. Raises Unavailable where Prometheus does
        not answer as it should.
        """
        cluster = scrapes.literal(f"httproute/{namespace}/{deployment}/rule/0/backend/{index}")
        if self._largest(
            f'max({{__name__=~"{scrapes.MEMBERS}|{scrapes.COMPLETED}",envoy_cluster_name=~"{cluster}"}})'
        ):
            return True
        return False if self._largest(f"max({scrapes.MEMBERS})") is not None else None

    def _largest(self, query: str) -> float | None:
        found, _ = self.ask(query, read=_number)
        return found

    def ask(
        self, query: str, *, read: Callable[[bytes], Answer], at: float | None = None
    ) -> tuple[Answer, float]:
        """Return what `read` makes of the answer to a query as of `at` (by default now), and what
        time it is there: no two clocks are compared.

        `read` raises ValueError with what is wrong with an answer, which becomes Unavailable.
        """
        place = urlsplit(self._url)
        kind = (
            http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
        )
        connection = kind(place.hostname or "", place.port, timeout=budget.timeout(self._timeout))
        try:
            connection.request(
                "POST",
                place.path.rstrip("/") + "/api/v1/query",
                body=urlencode({"query": query} | ({"time": at} if at is not None else {})),
                headers={"Content-Type": "application/x-www-form-urlencoded"},
            )
            response = connection.getresponse()
            content = budget.read(response, most=LARGEST_ANSWER + 1, longest=self._timeout)
        except (OSError, http.client.HTTPException) as error:
            raise errors.Unavailable(
                f"Prometheus {self._url} does not answer: {error or type(error).__name__}"
            ) from error
        finally:
            connection.close()
        if len(content) > LARGEST_ANSWER:
            raise errors.Unavailable(
                f"Prometheus {self._url} answered with more than {LARGEST_ANSWER >> 20} MiB: wanted the counters of "
                "one deployment"
            )
        try:
            return read(content), _time(response.getheader("Date"))
        except ValueError as error:
            raise errors.Unavailable(
                f"Prometheus {self._url} answered {response.status}: {error}"
            ) from error


def _number(content: bytes) -> float | None:
    """Return the one number of an answer, None where there is none; raises ValueError with what is
    wrong with it."""
    try:
        found = scrapes.results(content)
        return float(found[0]["value"][1]) if found else None
    except (
        json.JSONDecodeError,
        UnicodeDecodeError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
    ) as error:
        raise ValueError(f"{content[:100]!r}, wanted one number") from error


def _time(header: str | None) -> float:
    try:
        return parsedate_to_datetime(header or "").timestamp()
    except ValueError:
        return time.time()
