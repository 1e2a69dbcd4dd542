"""A collector, asked over HTTP: one request at a time, each on a connection of its own."""

import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from fairway import budget, errors, tls
from fairway.monitoring.eventstore import access, batches

LARGEST_ANSWER = 64 * 2**20  # some five times what a full answer takes


@dataclass(frozen=True, kw_only=True)
class Wire:
    """The way to a collector. Keeps no connection: any number of threads may ask, and a collector
    that was moved is found again.

    Raises Unavailable where it does not answer, StoreBusy where its store does not, StoreReplaced
    where it is another, Overtaken where another monitor has concluded since.
    """

    url: str
    timeout_seconds: float = 5.0
    token: Path | None = None  # file with the token that the collector knows the caller by
    certificates: tls.Certificates | None = None  # by which it knows the caller instead; for https

    def document(
        self, method: str, question: str, query: dict[str, object], *, body: bytes | None = None
    ) -> dict[str, Any]:
        """Return the JSON object that it answers."""
        status, content = self.send(method, question, query, body=body)
        answer = _object(content)
        if status // 100 != 2:
            raise self.refusal(
                status, question, answer or {"error": content[:300].decode(errors="replace")}
            )
        if answer is None:
            raise self.strange(question)
        return answer

    def content(self, question: str, query: dict[str, object]) -> bytes | None:
        """Return the bytes that it answers, None where there are none."""
        status, content = self.send("GET", question, query)
        if status == 404:
            return None
        if status != 200:
            raise self.refusal(status, question, _object(content) or {})
        return content

    def send(
        self, method: str, question: str, query: dict[str, object], *, body: bytes | None = None
    ) -> tuple[int, bytes]:
        """Return the status and the body of the answer, whatever it is."""
        place = urlsplit(self.url)
        asked = {name: value for name, value in query.items() if value is not None}
        connection = tls.connection(
            self.url,
            certificates=self.certificates,
            timeout_seconds=budget.timeout(self.timeout_seconds),
        )
        headers = {
            "accept": "application/json",
            "content-type": "application/json",
            **access.authorization(self.token),
        }
        try:
            connection.request(
                method,
                f"{place.path.rstrip('/')}/v1/{question}?{urlencode(asked)}",
                body=body,
                headers=headers,
            )
            response = connection.getresponse()
            content = budget.read(response, most=LARGEST_ANSWER + 1, longest=self.timeout_seconds)
        except (OSError, http.client.HTTPException) as error:
            reason = (
                self.certificates.reason(error)
                if self.certificates
                else error or type(error).__name__
            )
            raise errors.Unavailable(
                f"the collector {self.url} does not answer: {reason}"
            ) from error
        finally:
            connection.close()
        if len(content) > LARGEST_ANSWER:
            raise errors.Unavailable(
                f"the collector {self.url} answered with more than {LARGEST_ANSWER} bytes: is it a collector?"
            )
        return response.status, content

    def refusal(self, status: int, question: str, answer: dict[str, Any]) -> errors.FairwayError:
        """Return what an answer other than 2xx means."""
        said = str(answer.get("error"))[:300]
        match status:
            case 503:
                return errors.StoreBusy(
                    f"the collector {self.url} cannot use its store now: {said}"
                )
            case 410:
                return errors.StoreReplaced(said)
            case 409:
                return batches.Overtaken(said)
        return errors.Unavailable(
            f"the collector {self.url} answered {status} to /v1/{question}: {said}"
        )

    def strange(self, what: str) -> errors.Unavailable:
        """Return what another version answers while both are upgraded, or something that is no
        collector at all."""
        return errors.Unavailable(
            f"{self.url} answered {what} in a form that this version does not know: wanted a collector of the same "
            "version"
        )


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(content)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
