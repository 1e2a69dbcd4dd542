import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from fairway import errors
from fairway.monitoring.eventstore import answers, remote, wire


@contextlib.contextmanager
def answering(status: int, body: object) -> Iterator[remote.RemoteEvidence]:
    """Something that answers every question with the same."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield remote.RemoteEvidence(f"http://127.0.0.1:{server.server_port}", "default")
        server.shutdown()
        thread.join()


PAIRS = asdict(answers.Pairs())


@pytest.mark.parametrize(
    ("status", "body", "kind", "sentence"),
    [
        pytest.param(
            503,
            {"error": "locked; try again"},
            errors.StoreBusy,
            "cannot use its store now: locked; try again",
            id="busy",
        ),
        pytest.param(
            404,
            b"not found",
            errors.Unavailable,
            "answered 404 to /v1/exposure: not found",
            id="something else",
        ),
        pytest.param(
            200,
            b"<html>",
            errors.Unavailable,
            "wanted a collector of the same version",
            id="no JSON",
        ),
        pytest.param(
            200, [], errors.Unavailable, "wanted a collector of the same version", id="a list"
        ),
        pytest.param(
            200,
            {"cursor": "1", "fields": list(answers.Exposure._fields), "rows": []},
            errors.Unavailable,
            "answered cursor",
            id="cursor",
        ),
        pytest.param(
            200,
            {"cursor": 1, "fields": ["unit"], "rows": []},
            errors.Unavailable,
            "answered exposure",
            id="other fields",
        ),
        pytest.param(
            200,
            {"cursor": 1, "fields": list(answers.Exposure._fields), "rows": [[1]]},
            errors.Unavailable,
            "answered exposure",
            id="short row",
        ),
    ],
)
def test_an_answer_that_is_no_evidence_is_named(
    status: int, body: object, kind: type[Exception], sentence: str
) -> None:
    with answering(status, body) as evidence, pytest.raises(kind, match=sentence):
        evidence.exposure("income", after=0)


@pytest.mark.parametrize(
    "pairs",
    [None, {}, {**PAIRS, "compared": "1"}, {**PAIRS, "more": 1}],
    ids=["missing", "empty", "text", "unknown"],
)
def test_pairs_in_another_form_are_no_evidence(pairs: object) -> None:
    with (
        answering(200, {"cursor": 1, "pairs": pairs}) as evidence,
        pytest.raises(errors.Unavailable, match="answered pairs in a form"),
    ):
        evidence.pairs("income", stable="a", candidate="b", after=0)


def test_an_answer_is_read_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "LARGEST_ANSWER", 100)
    with (
        answering(200, b" " * 101) as evidence,
        pytest.raises(errors.Unavailable, match="more than 100 bytes"),
    ):
        evidence.cursor()


def test_a_collector_that_does_not_answer_is_unavailable() -> None:
    with answering(200, {}) as evidence:
        pass
    with pytest.raises(
        errors.Unavailable, match=rf"the collector {evidence.url} does not answer: .*refused"
    ):
        evidence.cursor()
