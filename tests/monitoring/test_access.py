"""Who may write and read evidence: a real collector with a token file, and the rules for what the
API server says of a token."""

import asyncio
import gzip
import json
import stat
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from fairway import errors
from fairway.config import sections
from fairway.monitoring.eventstore import access, places, remote
from fairway.monitoring.eventstore.collector import callers, collecting, listening, taking
from fairway.platforms.kubernetes import api, tokens
from fairway.serving import eventlog
from tests.monitoring import made, processes

JSON = {"content-type": "application/json"}
BATCH = json.dumps([made.prediction("r1"), made.label("r1", "dog")])


@pytest.fixture
def token(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "token"


@pytest.fixture
def running(tmp_path: Path, token: Path) -> Iterator[processes.Running]:
    with processes.collector(tmp_path / "events.db", "--token-file", str(token)) as process:
        yield process


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


@pytest.mark.parametrize(
    ("headers", "status", "sentence"),
    [
        ({}, 401, "the token is missing: wanted the token in"),
        (bearer("x" * 43), 401, "the token is unknown: wanted the token in"),
        (bearer("ü"), 401, "the token is unknown"),
        ({"authorization": "Basic abc"}, 401, "the token is missing"),
        (
            {"origin": "http://evil.example"},
            403,
            'the request is a web page\'s (Origin "http://evil.example")',
        ),
        (
            {"host": "evil.example:8080"},
            403,
            'the request is for host "evil.example:8080": wanted 127.0.0.1 or localhost or ::1',
        ),
    ],
)
def test_without_the_owners_token_nothing_is_written_and_nothing_read(
    running, tmp_path, headers, status, sentence
):
    given = {**JSON, **{name: value.encode() for name, value in headers.items()}}
    for answer in (
        *(
            httpx.post(f"{running.url}/v1/{what}", content=BATCH, headers=given)
            for what in ("events", "labels", "outcomes")
        ),
        *(
            httpx.get(
                f"{running.url}/v1/{what}?namespace=default&deployment=income&after=0",
                headers=given,
            )
            for what in ("exposure", "labelled", "outcomes", "pairs", "cursor")
        ),
    ):
        assert (answer.status_code, sentence in answer.json()["error"]) == (status, True), (
            answer.text
        )
    opened = places.opened(tmp_path / "events.db")
    assert opened.cursor() == 0
    opened.close()


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None],
)
def test_a_body_that_a_form_can_send_is_refused(running, token, content_type):
    headers = {
        **bearer(token.read_text().strip()),
        **({"content-type": content_type} if content_type else {}),
    }
    answer = httpx.post(running.url + "/v1/labels", content=BATCH, headers=headers)
    assert answer.status_code == 415
    assert "wanted application/json or application/cloudevents-batch+json" in answer.json()["error"]


def test_the_token_file_is_the_owners_alone_and_a_new_token_counts_at_once(running, token):
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    first = token.read_text().strip()
    assert access.make_token_file(token).read_text().strip() == first  # kept
    token.write_text("another\n")
    statuses = [
        httpx.post(
            running.url + "/v1/events", content=BATCH, headers={**JSON, **bearer(text)}
        ).status_code
        for text in (first, "another")
    ]
    assert statuses == [401, 202]
    evidence = remote.RemoteEvidence(running.url, "default", token=token)
    assert evidence.cursor() == 2
    with pytest.raises(
        errors.Unavailable, match="answered 401 to /v1/cursor: the token is missing"
    ):
        remote.RemoteEvidence(running.url, "default").cursor()


def test_health_and_metrics_need_no_token_and_tell_no_event(running):
    for path in ("healthz", "metrics"):
        assert httpx.get(f"{running.url}/{path}").status_code == 200


def test_the_store_is_readable_by_its_owner_alone(running, tmp_path, token):
    httpx.post(
        running.url + "/v1/events",
        content=BATCH,
        headers={**JSON, **bearer(token.read_text().strip())},
    ).raise_for_status()
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("events.db*")}
    assert modes == dict.fromkeys(modes, 0o600)
    assert {"events.db", "events.db-wal"} <= modes.keys()


def test_a_second_connection_of_a_process_keeps_the_locks_of_the_first(tmp_path):
    first, second = (places.opened(tmp_path / "events.db") for _ in range(2))
    first.add([made.prediction("r1")])
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT count(*) FROM events').fetchone(); "
        "c.close()"
    )
    subprocess.run(
        [sys.executable, "-c", program, tmp_path / "events.db"], check=True
    )  # it would take the log away, were it the last
    assert (tmp_path / "events.db-wal").exists()
    first.close()
    second.close()


def test_a_server_whose_token_is_refused_keeps_its_events_and_delivers_them_with_the_next(
    running, token, tmp_path
):
    stale = tmp_path / "stale"
    stale.write_text("old\n")
    log = eventlog.EventLog(
        sections.Events(),
        origin=eventlog.Origin(namespace="default", deployment="income", revision="aaa"),
        collector=running.url,
        token=stale,
        folder=tmp_path / "spool",
    )
    log.start()
    log.append(
        eventlog.Record(
            request_id="r1",
            unit=None,
            role="stable",
            status=200,
            at=made.START,
            seconds=0.01,
            digest=None,
            rows=1,
            labels=["cat"],
        )
    )
    processes.eventually(lambda: list((tmp_path / "spool").glob("*.jsonl")))
    stale.write_text(token.read_text())
    processes.eventually(
        lambda: remote.RemoteEvidence(running.url, "default", token=token).cursor() == 1
    )
    log.close()


@pytest.mark.parametrize("arguments", [[], ["--auth", "token-file"]])
def test_a_collector_without_a_token_is_not_started(tmp_path, capsys, arguments):
    assert listening.main(["--store", str(tmp_path / "events.db"), "--port", "0", *arguments]) == 2
    assert "--auth token-file needs --token-file FILE" in capsys.readouterr().err


# -- what the API server says ----------------------------------------------------------------------

SERVER = access.Principal(
    name="system:serviceaccount:shop:default",
    serves=access.Act("prediction", "shop", "income", "aaa"),
)
LABELLER = access.Principal(name="system:serviceaccount:shop:labeller")


@dataclass
class Roles:
    """An authority with two tokens and one role, which counts what it is asked."""

    asked: list[object] = field(default_factory=list)
    away: bool = False

    def identify(self, token: str) -> access.Principal | None:
        self.asked.append(token)
        if self.away:
            raise errors.Unavailable("the API server does not answer")
        return {"server": SERVER, "labeller": LABELLER}.get(token)

    def allows(self, caller: access.Principal, act: access.Act) -> bool:
        self.asked.append(act)
        return (caller, act.kind, act.namespace) == (LABELLER, "label", "shop")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def reviewed() -> tuple[access.Reviewed, Roles, Clock]:
    roles, clock = Roles(), Clock()
    return access.Reviewed(roles, clock=clock), roles, clock


@pytest.mark.parametrize(
    ("caller", "act", "refusal"),
    [
        (SERVER, access.Act("prediction", "shop", "income", "aaa"), None),
        (
            SERVER,
            access.Act("prediction", "shop", "income", "bbb"),
            "serves revision aaa of shop/income, and may not write predictions of revision bbb of shop/income",
        ),
        (SERVER, access.Act("prediction", "shop", "fraud", "aaa"), "of revision aaa of shop/fraud"),
        (
            SERVER,
            access.Act("prediction", "bank", "income", "aaa"),
            "of revision aaa of bank/income",
        ),
        (
            SERVER,
            access.Act("label", "shop", "income"),
            "may not create modeldeployments/labels of shop/income: wanted a Role in namespace shop",
        ),
        (
            SERVER,
            access.Act("evidence", "shop", ""),
            "may not get modeldeployments/evidence of shop/*",
        ),
        (LABELLER, access.Act("label", "shop", "income"), None),
        (
            LABELLER,
            access.Act("label", "bank", "income"),
            "wanted a Role in namespace bank that allows create on modeldeployments/labels.fairway.dev",
        ),
        (
            LABELLER,
            access.Act("outcome", "shop", "income"),
            "may not create modeldeployments/outcomes",
        ),
        (
            LABELLER,
            access.Act("prediction", "shop", "income", "aaa"),
            "is no model server of fairway's",
        ),
    ],
    ids=lambda value: value.kind if isinstance(value, access.Act) else None,
)
def test_a_server_writes_its_own_predictions_and_a_role_says_the_rest(caller, act, refusal):
    gate, _, _ = reviewed()
    if refusal is None:
        gate.permit(caller, [act])
    else:
        with pytest.raises(access.Denied) as denied:
            gate.permit(caller, [act])
        assert refusal in str(denied.value)


def test_the_api_server_is_asked_once_and_again_after_a_while():
    gate, roles, clock = reviewed()
    assert (
        gate.remembered("server"),
        gate.caller("server"),
        gate.caller("server"),
        gate.remembered("server"),
    ) == (
        None,
        SERVER,
        SERVER,
        SERVER,
    )
    assert roles.asked == ["server"]
    clock.now += access.KEEP_SECONDS
    assert (gate.remembered("server"), gate.met("server"), gate.met("another")) == (
        None,
        True,
        False,
    )
    roles.away = True
    with pytest.raises(errors.Unavailable):
        gate.caller("server")
    assert roles.asked == ["server", "server"]


def test_a_refusal_is_kept_for_less_long():
    gate, roles, clock = reviewed()
    for _ in range(3):
        with pytest.raises(
            access.Unauthenticated,
            match=r"the token is unknown: wanted `Authorization: Bearer TOKEN` with a service account's token",
        ):
            gate.caller("nobody")
        with pytest.raises(access.Denied):
            gate.permit(LABELLER, [access.Act("outcome", "shop", "income")])
    assert len(roles.asked) == 2
    clock.now += access.REFUSED_SECONDS
    with pytest.raises(access.Unauthenticated):
        gate.caller("nobody")
    assert len(roles.asked) == 3


def test_what_is_kept_and_what_is_asked_is_bounded(monkeypatch):
    monkeypatch.setattr(access, "KEPT", 10)
    gate, roles, _ = reviewed()
    for number in range(100):
        with pytest.raises(access.Unauthenticated):
            gate.caller(f"guess {number}")
    assert len(gate._callers._refused) == 10
    with pytest.raises(access.Unauthenticated):
        gate.caller("x" * (access.LONGEST_TOKEN + 1))
    assert len(roles.asked) == 100
    with pytest.raises(errors.DataError, match="about more than 20 deployments"):
        gate.permit(LABELLER, [access.Act("label", "shop", f"d{number}") for number in range(21)])
    assert len(roles.asked) == 100


def test_made_up_tokens_push_out_none_that_is_somebodys(monkeypatch):
    monkeypatch.setattr(access, "KEPT", 10)
    gate, _, _ = reviewed()
    gate.caller("server")
    gate.permit(LABELLER, [access.Act("label", "shop", "income")])
    for number in range(11):
        with pytest.raises(access.Unauthenticated):
            gate.caller(f"guess {number}")
        with pytest.raises(access.Denied):
            gate.permit(LABELLER, [access.Act("label", "bank", f"d{number}")])
    assert (
        gate.remembered("server"),
        gate.unknown(LABELLER, [access.Act("label", "shop", "income")]),
    ) == (SERVER, [])
    with pytest.raises(access.Unauthenticated):
        gate.remembered("guess 10")


# -- the API server refuses the collector ----------------------------------------------------------


@dataclass
class Refusing:
    """The API server of a collector with Roles in namespace shop alone; what is asked of `refused`
    is refused. A token is its namespace."""

    refused: str = ""

    def review(self, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        if kind == self.refused:
            raise api.Forbidden(f"the API server refused POST {kind}")
        extra = {tokens.POD_NAME: ["pod"], tokens.POD_UID: ["1"]}
        user = {"username": f"system:serviceaccount:{spec.get('token')}:default", "extra": extra}
        return {
            "allowed": True,
            "authenticated": True,
            "audiences": [access.AUDIENCE],
            "user": user,
        }

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        if kind == self.refused:
            raise errors.PlatformError("the API server refused GET pods: 400")
        if namespace != "shop":
            raise api.Forbidden(f"the API server refused GET pods {namespace}/{name}")
        return {
            "metadata": {
                "uid": "1",
                "labels": {"fairway.dev/deployment": "income", "fairway.dev/revision": "aaa"},
            }
        }


@pytest.mark.parametrize("refused", ["TokenReview", "SubjectAccessReview", "Pod"])
def test_an_api_server_that_refuses_the_collector_says_nothing_of_its_callers(refused):
    reviews = tokens.Reviews(Refusing(refused))
    with pytest.raises(
        errors.Unavailable, match="the collector may not ask who calls: the API server refused"
    ):
        reviews.allows(reviews.identify("shop"), access.Act("evidence", "shop", ""))


@pytest.mark.parametrize(
    ("pod_s", "callers"),
    [("10.0.0.7", "::ffff:10.0.0.7"), ("fd00::7", "fd00:0:0::7")],
    ids=["IPv4 by IPv6", "IPv6"],
)
def test_an_address_is_the_pods_however_it_is_written(pod_s, callers):
    class Server(Refusing):
        def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
            status = {"phase": "Running", "podIPs": [{"ip": pod_s}]}
            return {**super().get(kind, namespace, name), "spec": {}, "status": status}

    reviews = tokens.Reviews(Server())
    found = [
        reviews.identify(access.Workload("shop", "default", "pod", address))
        for address in (callers, "10.0.0.8")
    ]
    assert [caller and caller.serves for caller in found] == [SERVER.serves, None]


def test_made_up_pods_push_out_none_that_is_somebodys(monkeypatch):
    monkeypatch.setattr(access, "KEPT", 10)
    gate = access.Reviewed(tokens.Reviews(Refusing()), clock=Clock())
    monkeypatch.setattr(Refusing, "get", lambda self, kind, namespace, name: None)
    known = gate.caller(access.Workload("shop", "books"))
    for number in range(11):
        with pytest.raises(
            access.Unauthenticated, match=f"x-fairway-pod is pod-{number}: wanted a running pod"
        ):
            gate.caller(access.Workload("shop", "books", f"pod-{number}", "10.0.0.7"))
    assert gate.remembered(access.Workload("shop", "books")) == known


def test_a_pod_in_a_namespace_that_the_collector_may_not_read_is_no_server():
    assert [tokens.Reviews(Refusing()).identify(name).serves for name in ("shop", "system")] == [
        SERVER.serves,
        None,
    ]


Post = Callable[..., Awaitable[int]]


def asked_in_process(
    path: Path, gate: access.Access, play: Callable[[httpx.AsyncClient, Post], Awaitable[None]]
) -> None:
    """Play with a collector in this process, and with a way to post to it that returns the status."""

    async def run() -> None:
        app = collecting.Collector(str(path), gate=gate, loopback=False).app
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=app), base_url="http://collector"
            ) as client,
        ):

            async def post(token: str, to: str = "events", **how: Any) -> int:
                return (
                    await client.post(
                        f"/v1/{to}",
                        headers={**JSON, **bearer(token), **how.pop("headers", {})},
                        **how,
                    )
                ).status_code

            await play(client, post)

    asyncio.run(run())


def own(number: int = 0) -> list[dict[str, Any]]:
    return [made.prediction(f"r{number}", namespace="shop", revision="aaa")]


@pytest.mark.parametrize("refused", ["", "TokenReview", "Pod"])
def test_one_refused_question_ends_the_collector_for_nobody(tmp_path, refused):
    server = Refusing()

    async def play(client: httpx.AsyncClient, post: Post) -> None:
        assert await post("shop", json=own()) == 202
        server.refused = refused
        assert await post("system", json=own()) == (503 if refused else 403)
        assert [await post("shop", json=own(1)), (await client.get("/healthz")).status_code] == [
            202,
            200,
        ]

    asked_in_process(
        tmp_path / "events.db", access.Reviewed(tokens.Reviews(server), clock=Clock()), play
    )


# -- and much is asked of it -----------------------------------------------------------------------


class Slow(Roles):
    """An authority that answers nothing about tokens it does not know until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = threading.Event()

    def identify(self, token: str) -> access.Principal | None:
        if token.startswith("guess"):
            self.may.wait(30)
        return super().identify(token)


def test_servers_do_not_wait_behind_tokens_that_nobody_knows(tmp_path):
    slow, clock = Slow(), Clock()

    async def play(client: httpx.AsyncClient, post: Post) -> None:
        assert await post("server", json=own()) == 202
        guesses = [
            asyncio.create_task(post(f"guess {number}", json=own()))
            for number in range(2 * callers.MAX_WAITING)
        ]
        refused, _ = await asyncio.wait(guesses, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result() for task in refused} == {503}
        async with asyncio.timeout(10):
            assert await post("server", json=own(1)) == 202
            clock.now += access.KEEP_SECONDS
            # asked about again, apart from the guesses
            assert await post("server", json=own(2)) == 202
        slow.may.set()
        assert set(await asyncio.gather(*guesses)) == {401, 503}

    asked_in_process(tmp_path / "events.db", access.Reviewed(slow, clock=clock), play)


@pytest.mark.parametrize(
    ("token", "to", "status"),
    [
        ("nobody", "labels?namespace=shop", 401),
        ("labeller", "labels", 413),  # it has no role in `default`
        ("labeller", "labels?namespace=shop", 400),  # read, and found to be no labels
        ("server", "events", 400),
    ],
)
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_large_body_is_read_of_a_caller_that_may_write_alone(
    tmp_path, token, to, status, encoding
):
    body = b"[7" + b" " * taking.UNPROVEN_BODY_BYTES + b"]"
    content = gzip.compress(body) if encoding == "gzip" else body

    async def play(client: httpx.AsyncClient, post: Post) -> None:
        assert (
            await post(token, to, content=content, headers={"content-encoding": encoding}) == status
        )

    asked_in_process(tmp_path / "events.db", reviewed()[0], play)
