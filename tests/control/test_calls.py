"""Calls over real HTTP: what an answer means, and that a look never waits for one."""

import contextlib
import json
import socket
import threading
import time
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from fairway import errors
from fairway.config import sections
from fairway.control import calls
from fairway.rollout.hooks import Answer, Call
from tests import receiver
from tests.serving import support

WHO = calls.DeploymentName("models", "income")
CALL = Call(
    id="b.preStep.gate.1", hook="gate", at="preStep", data={"revision": "b", "weight": 5}, due=1.0
)


def hook(url: str, **more: object) -> sections.Hook:
    return sections.Hook.model_validate({"name": "gate", "url": url, "at": ["preStep"], **more})


def post(known: sections.Hook) -> Answer:
    return calls.post(known, {}, place=calls.anywhere(WHO, known.url))


def come(
    caller: calls.Calls, *calls: Call, known: sections.Hook, now: float = 2.0
) -> dict[str, Answer]:
    """Look until the answers of all calls have come."""
    found: dict[str, Answer] = {}

    def all_there() -> bool:
        found.update(
            caller.answers(
                WHO, [call for call in calls if call.id not in found], known=[known], now=now
            )
        )
        return len(found) == len(calls)

    support.eventually(all_there, seconds=10)
    return found


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (200, b"{}", Answer("passed", "it answered 200")),
        (204, b"", Answer("passed", "it answered 204")),
        (
            409,
            b'{"message": "a freeze\\n until\\u001b[31m Monday"}',
            Answer("refused", "it answered 409: a freeze until[31m Monday"),
        ),
        (422, b"<html>", Answer("refused", "it answered 422")),
        (404, b"<html>", Answer("away", "it answered 404")),  # a proxy's, perhaps
        (403, b"{}", Answer("away", "it answered 403")),
        (429, b"{}", Answer("away", "it answered 429")),
        (503, b'{"message": "still testing"}', Answer("away", "it answered 503: still testing")),
        (302, b"{}", Answer("away", "it answered 302")),
        (200, b'{"message": ["no text"]}', Answer("passed", "it answered 200")),
        (409, b"[" * 4000, Answer("refused", "it answered 409")),
        (
            409,
            json.dumps({"message": "x" * 3000}).encode(),
            Answer("refused", f"it answered 409: {'x' * calls.SAID_CHARACTERS}"),
        ),
        (
            409,
            json.dumps({"message": "y" * 100_000}).encode(),
            Answer("refused", "it answered 409"),
        ),  # more than is read
    ],
)
def test_what_an_answer_means(status: int, body: bytes, answer: Answer) -> None:
    with receiver.receiver(status=status, body=body, headers={"location": "/elsewhere"}) as service:
        assert come(calls.Calls(), CALL, known=hook(service.url)) == {CALL.id: answer}
        assert len(service.told) == 1


def test_what_a_hook_is_told_is_a_cloudevent_with_one_id_for_all_tries() -> None:
    with receiver.receiver(status=503) as service:
        caller = calls.Calls()
        come(caller, CALL, known=hook(service.url))
        come(caller, replace(CALL, tries=1, due=12.0), known=hook(service.url), now=13.0)
        first, second = service.told
    assert first["contentType"] == "application/cloudevents+json"
    assert (first["specversion"], first["type"], first["source"], first["subject"]) == (
        "1.0",
        "dev.fairway.hook.v1",
        "/fairway/models/income/rollout",
        "preStep",
    )
    assert first["id"] == second["id"] == CALL.id
    assert first["data"] == {
        "hook": "gate",
        "at": "preStep",
        "namespace": "models",
        "deployment": "income",
        "revision": "b",
        "weight": 5,
    }


def test_a_look_does_not_wait_and_calls_nobody_twice_at_once() -> None:
    with receiver.receiver(slow=threading.Event()) as service:
        caller, known = calls.Calls(), hook(service.url)
        began = time.monotonic()
        for _ in range(50):
            assert caller.answers(WHO, [CALL], known=[known], now=2.0) == {}
        assert time.monotonic() - began < 5
        support.eventually(lambda: len(service.told) == 1, seconds=10)
        service.slow.set()
        assert come(caller, CALL, known=known)[CALL.id].kind == "passed"
        assert len(service.told) == 1


def test_one_deployment_s_hanging_hooks_keep_no_other_s_waiting() -> None:
    with receiver.receiver(slow=threading.Event()) as hanging, receiver.receiver() as quick:
        caller = calls.Calls()
        many = [replace(CALL, id=f"call-{number}") for number in range(3 * calls.AT_ONCE)]
        caller.answers(
            calls.DeploymentName("models", "other"), many, known=[hook(hanging.url)], now=2.0
        )
        assert come(caller, CALL, known=hook(quick.url))[CALL.id].kind == "passed"
        support.eventually(lambda: len(hanging.told) == calls.AT_ONCE, seconds=10)


def test_who_takes_too_long_has_not_answered() -> None:
    with receiver.receiver(slow=threading.Event()) as service:
        answer = come(calls.Calls(), CALL, known=hook(service.url, timeout="100ms"))[CALL.id]
    assert answer.kind == "away"


@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nx-y: ", b"z"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"a: b\r\n"),
    ],
    ids=["body", "header", "continue", "trailers"],
)
def test_an_answer_that_never_ends_keeps_nobody_and_is_none(begin: bytes, drop: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        over = threading.Event()

        def drip() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(begin)
                while not over.wait(0.02):
                    connection.sendall(drop)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        began = time.monotonic()
        answer = post(hook(f"http://127.0.0.1:{listening.getsockname()[1]}/", timeout="500ms"))
        assert time.monotonic() - began < 5
        over.set()
        thread.join(10)
    assert answer == Answer("away", "it did not answer within 500ms")


def test_what_is_no_http_is_told_in_a_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def babble() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(4096)
                connection.sendall(b"\x1b[31m" + b"nonsense " * 6000 + b"\r\n\r\n")

        thread = threading.Thread(target=babble, daemon=True)
        thread.start()
        answer = post(hook(f"http://127.0.0.1:{listening.getsockname()[1]}/"))
        thread.join(10)
    assert answer.kind == "away"
    assert len(answer.said) < 2 * calls.SAID_CHARACTERS
    assert answer.said.isprintable()


def test_what_goes_wrong_in_a_call_is_an_answer_and_frees_its_place() -> None:
    def broken(deployment: calls.DeploymentName, url: str) -> calls.Place:
        raise errors.Unavailable("the API server does not answer")

    assert come(calls.Calls(finds=broken), CALL, known=hook("http://host/")) == {
        CALL.id: Answer("away", "the API server does not answer")
    }


def test_a_deployment_that_is_gone_leaves_nothing() -> None:
    with receiver.receiver(slow=threading.Event()) as service:
        caller = calls.Calls()
        caller.answers(WHO, [CALL], known=[hook(service.url)], now=2.0)
        support.eventually(lambda: service.told, seconds=10)
        caller.forget(WHO)
        service.slow.set()
        # called anew: the first answer belongs to nobody
        again = come(caller, CALL, known=hook(service.url))
    assert again[CALL.id].kind == "passed"
    assert len(service.told) == 2


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "http://host.invalid/",
        "http://127.0.0.1:99999/",
        "http://-/",
        "http://a..b/",
    ],
)
def test_nobody_there_is_no_answer(url: str) -> None:
    answer = come(calls.Calls(), CALL, known=hook(url, timeout="2s"))[CALL.id]
    assert answer.kind == "away"
    assert answer.said.startswith("it does not answer: ")


def test_a_hook_that_the_strategy_has_no_more_is_called_no_more() -> None:
    answer = calls.Calls().answers(WHO, [CALL], known=[], now=2.0)[CALL.id]
    assert answer == Answer("refused", "the strategy has no such hook any more")


def test_what_must_not_be_called_is_not() -> None:
    def nowhere(deployment: calls.DeploymentName, url: str) -> calls.Place:
        raise errors.Unavailable(f"not from {deployment.namespace}")

    with receiver.receiver() as service:
        assert come(calls.Calls(finds=nowhere), CALL, known=hook(service.url)) == {
            CALL.id: Answer("away", "not from models")
        }
        assert service.told == []


def test_the_address_that_was_checked_is_called_under_the_name_of_the_url() -> None:
    with receiver.receiver(status=409, body=b'{"message": "secret"}') as service:
        place = calls.Place("127.0.0.1", urlsplit(service.url).port or 0, repeats=False)
        known = hook("http://name.that.nobody.resolves.invalid/x")
        answer = come(calls.Calls(finds=lambda deployment, url: place), CALL, known=known)[CALL.id]
        assert service.told[0]["host"] == "name.that.nobody.resolves.invalid"
    assert answer == Answer("refused", "it answered 409")  # and nothing of what it said


def test_nothing_is_repeated_of_what_answers_in_another_language() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def babble() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-secret\r\n\r\n")

        thread = threading.Thread(target=babble, daemon=True)
        thread.start()
        place = calls.Place("127.0.0.1", listening.getsockname()[1], repeats=False)
        answer = calls.post(hook("http://gate.example.com/"), {}, place=place)
        thread.join(10)
    assert answer == Answer("away", "it does not answer: BadStatusLine")


def test_what_is_not_due_is_not_called() -> None:
    assert (
        calls.Calls().answers(
            WHO,
            [replace(CALL, due=3.0), replace(CALL, passed=True)],
            known=[hook("http://host/")],
            now=2.0,
        )
        == {}
    )
