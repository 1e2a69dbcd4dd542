"""Certificates instead of tokens: a real collector over TLS, callers with certificates of a CA of
the test's own, and an API server that knows some pods and two roles."""

import contextlib
import datetime
import http.server
import json
import select
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from fairway import cli, errors, tls
from fairway.config import sections
from fairway.monitoring.eventstore import access, remote, spiffe
from fairway.platforms.kubernetes.objects import names, pods
from fairway.serving import command, delivery, eventlog
from tests.cluster import certificates
from tests.monitoring import made, mounted, processes
from tests.platforms.kubernetes import made as rendered
from tests.serving import support

SERVER = "spiffe://cluster.local/ns/shop/sa/default"
OPERATOR = "spiffe://cluster.local/ns/fairway-system/sa/fairway-operator"
BOOKS = "spiffe://cluster.local/ns/shop/sa/books"
LOOPBACK = ("127.0.0.1",)


def pod(
    revision: str, *, address: str = "127.0.0.1", phase: str = "Running", **spec: Any
) -> dict[str, Any]:
    labels = {"fairway.dev/deployment": "income", "fairway.dev/revision": revision}
    return {
        "metadata": {"uid": "1", "labels": labels},
        "spec": {"serviceAccountName": "default", **spec},
        "status": {"phase": phase, "podIPs": [{"ip": address}]},
    }


PODS = {
    "shop/income-aaa": pod("aaa"),
    "shop/income-bbb": pod("bbb", address="127.0.0.2"),
    "shop/other-account": pod("aaa", serviceAccountName="other"),
    "shop/on-its-node": pod("aaa", hostNetwork=True),
    "shop/ended": pod("aaa", phase="Succeeded"),
    "bank/income-ccc": pod("ccc"),
}
ROLES = {
    ("system:serviceaccount:shop:books", "create", "labels", "shop"),
    ("system:serviceaccount:fairway-system:fairway-operator", "get", "evidence", "shop"),
}


class ApiServer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        _, _, _, _, namespace, _, name = self.path.split("/")
        found = PODS.get(f"{namespace}/{name}")
        self._answer(found or {"message": "not found"}, status=200 if found else 404)

    def do_POST(self) -> None:
        spec = json.loads(self.rfile.read(int(self.headers["content-length"])))["spec"]
        if "token" in spec:
            user = {
                "username": "system:serviceaccount:shop:books",
                "groups": ["system:serviceaccounts:shop"],
            }
            known = {"authenticated": True, "audiences": [access.AUDIENCE], "user": user}
            return self._answer(
                {"status": known if spec["token"] == "of-books" else {}}, status=201
            )
        asked = spec["resourceAttributes"]
        role = (spec["user"], asked["verb"], asked["subresource"], asked["namespace"])
        allowed = (
            role in ROLES and f"system:serviceaccounts:{role[0].split(':')[2]}" in spec["groups"]
        )
        return self._answer({"status": {"allowed": allowed}}, status=201)

    def _answer(self, content: dict[str, Any], *, status: int) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), ApiServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield kube(tmp_path_factory.mktemp("kube") / "config", port=server.server_port)
        server.shutdown()
        thread.join()


def kube(path: Path, *, port: int) -> Path:
    """Write a kubeconfig of the API server at the port."""
    document = {
        "current-context": "one",
        "clusters": [{"name": "one", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "one", "user": {}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
    }
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> certificates.Authority:
    return certificates.Authority(tmp_path_factory.mktemp("authority"), name="authority")


@contextlib.contextmanager
def collecting(folder: Path, kubeconfig: Path, *more: str) -> Iterator[processes.Running]:
    """Start `fairway collector` with the certificate that is mounted in `folder/tls`."""
    volume = folder / "tls"
    arguments = [
        f"--store={folder / 'events.db'}",
        f"--tls-cert={volume}/tls.crt",
        f"--tls-key={volume}/tls.key",
    ]
    with processes.started(
        "fairway", "collector", *arguments, *more, KUBECONFIG=str(kubeconfig)
    ) as running:
        yield running


@pytest.fixture(scope="module")
def running(
    issuer: certificates.Authority, kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[processes.Running]:
    folder = tmp_path_factory.mktemp("collector")
    mounted.mount(folder / "tls", mounted.secret(issuer, hosts=LOOPBACK))
    with collecting(
        folder, kubeconfig, "--auth=kubernetes", f"--client-ca={folder}/tls/ca.crt"
    ) as found:
        yield found


def ask(
    running: processes.Running,
    folder: Path,
    path: str,
    *,
    events: list[dict[str, Any]] | None = None,
    pod: str = "",
    **headers: str,
) -> tuple[int, str]:
    """Return the status and the sentence of the answer to a caller with the certificate in the
    folder."""
    connection = tls.connection(
        running.url, certificates=tls.Certificates(folder), timeout_seconds=10
    )
    try:
        given = {
            "content-type": "application/json",
            **({"x-fairway-pod": pod} if pod else {}),
            **headers,
        }
        connection.request(
            "POST" if events else "GET", path, json.dumps(events) if events else None, given
        )
        response = connection.getresponse()
        return response.status, str(json.loads(response.read()).get("error"))
    finally:
        connection.close()


def log_of(
    running: processes.Running, folder: Path, *, spool: Path, pod: str = "income-aaa"
) -> eventlog.EventLog:
    return eventlog.EventLog(
        sections.Events(),
        origin=eventlog.Origin(namespace="shop", deployment="income", revision="aaa"),
        collector=running.url,
        certificates=folder,
        pod=pod,
        folder=spool,
    )


def record(request_id: str) -> eventlog.Record:
    return eventlog.Record(
        request_id, None, "stable", 200, made.START, 0.01, None, rows=1, labels=["cat"]
    )


def evidence(running: processes.Running, folder: Path) -> remote.RemoteEvidence:
    return remote.RemoteEvidence(running.url, "shop", certificates=tls.Certificates(folder))


PREDICTION = made.prediction("r1", namespace="shop")
EXPOSURE = "/v1/exposure?namespace=shop&deployment=income&after=0"


def test_a_server_writes_and_the_operator_reads_by_their_certificates(running, issuer, tmp_path):
    server = mounted.mount(tmp_path / "server", mounted.secret(issuer, uris=(SERVER,)))
    reader = evidence(
        running, mounted.mount(tmp_path / "operator", mounted.secret(issuer, uris=(OPERATOR,)))
    )
    before = reader.cursor()
    log = log_of(running, server, spool=tmp_path / "spool")
    log.start()
    log.append(record("by certificate"))
    processes.eventually(lambda: reader.cursor() == before + 1)
    log.close()
    assert not list((tmp_path / "spool").glob("*.jsonl"))


def test_a_server_process_as_its_pod_is_told_sends_by_its_certificate(running, issuer, tmp_path):
    reader = evidence(
        running, mounted.mount(tmp_path / "operator", mounted.secret(issuer, uris=(OPERATOR,)))
    )
    folder = mounted.mount(tmp_path / "server", mounted.secret(issuer, uris=(SERVER,)))
    settings = names.ClusterSettings(
        collector=running.url, certificates={"secret": {"secretName": "mine"}}
    )
    template = pods.template(rendered.OWNER, rendered.revision(), settings)
    told = {
        variable["name"]: variable.get("value", "income-aaa")
        for variable in template["spec"]["containers"][0]["env"]
    }
    pod = {
        name: told[name].replace(pods.IDENTITY, str(folder))
        for name in told
        if name in pods.IDENTITY_VARIABLES
    }
    server = support.serve(
        tmp_path / "process",
        model=support.packaged(tmp_path / "package").path,
        collector=told["FAIRWAY_COLLECTOR"],
        spool=tmp_path / "spool",
        extra={**pod, "FAIRWAY_NAMESPACE": "shop", "FAIRWAY_REVISION": "aaa"},
    )
    before = reader.cursor()
    try:
        httpx.post(
            f"{server.wait_ready().url}/v2/models/income/infer", json=support.ONE
        ).raise_for_status()
        processes.eventually(lambda: reader.cursor() == before + 1)
    finally:
        server.kill()


def test_a_certificate_is_shown_over_tls_alone():
    given = {
        "FAIRWAY_PACKAGE": "p",
        "FAIRWAY_COLLECTOR": "http://c",
        "FAIRWAY_COLLECTOR_CERTIFICATES": "/certificates",
    }
    with pytest.raises(
        errors.ServingError, match=r"FAIRWAY_COLLECTOR is 'http://c': wanted https://"
    ):
        command.read(given)
    assert command.read({**given, "FAIRWAY_COLLECTOR": "https://c"}).certificates == Path(
        "/certificates"
    )


REFUSED = {
    "another trust domain": (
        {"uris": ("spiffe://example.org/ns/shop/sa/default",)},
        {},
        401,
        'is for "spiffe://example.org/ns/shop/sa/default": w',
    ),
    "no SPIFFE id": (
        {"hosts": LOOPBACK},
        {},
        401,
        "the client certificate is for no URI: wanted one with the URI",
    ),
    "two ids": ({"uris": (SERVER, OPERATOR)}, {}, 401, "the client certificate is for"),
    "another form": (
        {"uris": ("spiffe://cluster.local/shop/default",)},
        {},
        401,
        "/ns/NAMESPACE/sa/SERVICEACCOUNT",
    ),
    "more behind it": ({"uris": (f"{SERVER}/x",)}, {}, 401, "the client certificate is for"),
    "a path for a pod": (
        {},
        {"pod": "../secrets/x"},
        401,
        'x-fairway-pod is "../secrets/x": wanted the name of a',
    ),
    "a pod that is nowhere": (
        {},
        {"pod": "made-up"},
        401,
        "x-fairway-pod is made-up: wanted a running pod of namespa",
    ),
    "another pod's name": (
        {},
        {"pod": "income-bbb"},
        401,
        "the address that you come from, 127.0.0.1",
    ),
    "an address by a header": (
        {},
        {"pod": "income-bbb", "x-forwarded-for": "127.0.0.2"},
        401,
        "come from, 127.0.0.1",
    ),
    "a pod of another account": (
        {},
        {"pod": "other-account"},
        401,
        "the certificate's service account default",
    ),
    "a pod on its node's network": ({}, {"pod": "on-its-node"}, 401, "for itself alone"),
    "a pod that ended": ({}, {"pod": "ended"}, 401, "wanted a running pod"),
    "a pod of another namespace": (
        {},
        {"pod": "income-ccc"},
        401,
        "wanted a running pod of namespace shop",
    ),
    "no pod": (
        {},
        {"pod": ""},
        403,
        "system:serviceaccount:shop:default is no model server of fairway's",
    ),
    "another namespace": ({}, {"of": {"namespace": "bank"}}, 403, "of revision aaa of bank/income"),
    "another deployment": (
        {},
        {"of": {"deployment": "fraud"}},
        403,
        "predictions of revision aaa of shop/fraud",
    ),
    "another revision": (
        {},
        {"of": {"revision": "bbb"}},
        403,
        "serves revision aaa of shop/income",
    ),
}


@pytest.mark.parametrize(
    ("certificate", "asked", "status", "sentence"), REFUSED.values(), ids=REFUSED
)
def test_what_a_certificate_does_not_prove_is_refused(
    running, issuer, tmp_path, certificate, asked, status, sentence
):
    folder = mounted.mount(
        tmp_path / "caller", mounted.secret(issuer, **(certificate or {"uris": (SERVER,)}))
    )
    given = {"pod": "income-aaa", **asked}
    event = made.prediction("refused", **{"namespace": "shop", **given.pop("of", {})})
    answer = ask(running, folder, "/v1/events", events=[event], **given)
    assert (answer[0], sentence in answer[1]) == (status, True), answer


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer of-books"},
        {
            "x-forwarded-client-cert": f"By=spiffe://cluster.local/ns/fairway-system/sa/fairway-collector;URI={SERVER}"
        },
    ],
    ids=["nothing", "a token", "a mesh's header"],
)
def test_without_a_certificate_nothing_else_is_believed(running, issuer, tmp_path, headers):
    context = ssl.create_default_context(cafile=issuer.certificate)
    with httpx.Client(verify=context, base_url=running.url, headers=headers) as client:
        for answer in (
            client.post("/v1/labels", json=[]),
            client.post("/v1/events", json=[]),
            client.get(EXPOSURE),
        ):
            assert answer.status_code == 401
            assert answer.json()["error"].startswith(
                "the client certificate is missing: wanted one with the URI spiffe"
            )
        assert [client.get(f"/{path}").status_code for path in ("livez", "healthz", "metrics")] == [
            200,
            200,
            200,
        ]
    with pytest.raises(httpx.TransportError):
        httpx.get(running.url.replace("https", "http") + "/livez")


def test_roles_are_the_service_accounts_own(running, issuer, tmp_path):
    books = mounted.mount(tmp_path / "books", mounted.secret(issuer, uris=(BOOKS,)))
    server = mounted.mount(tmp_path / "server", mounted.secret(issuer, uris=(SERVER,)))
    labels = {
        namespace: [
            {"requestId": "r", "label": "cat", "deployment": "income", "namespace": namespace}
        ]
        for namespace in ("shop", "bank")
    }
    assert ask(running, books, "/v1/labels", events=labels["shop"])[0] == 202
    assert ask(running, books, "/v1/labels", events=labels["bank"])[0] == 403
    assert ask(running, server, "/v1/labels", events=labels["shop"], pod="income-aaa")[0] == 403
    status, sentence = ask(running, server, EXPOSURE, pod="income-aaa")
    assert (status, "may not get modeldeployments/evidence of shop/*" in sentence) == (403, True)


def test_a_connection_that_the_collector_closed_for_idleness_is_no_failure(
    running, issuer, tmp_path
):
    folder = mounted.mount(tmp_path / "server", mounted.secret(issuer, uris=(SERVER,)))
    sender = delivery.Sender(running.url, certificates=folder, pod="income-aaa")
    for _ in range(2):
        sender.post([json.dumps(PREDICTION).encode()])
        assert sender._connection is not None
        assert sender._connection.sock is not None
        assert select.select([sender._connection.sock], [], [], 30)[0]  # its end
    sender.close()


NOT_KNOWN = "server/tls.crt.* in date.* by a CA that it knows"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("by another CA", NOT_KNOWN),
        ("out of date", NOT_KNOWN),
        ("not there yet", "server/tls.crt, .* cannot be used"),
    ],
)
def test_a_certificate_of_no_use_is_said_and_events_wait_for_its_successor(
    running, issuer, tmp_path, wrong, sentence
):
    folder = tmp_path / "server"
    by = certificates.Authority(tmp_path, name="other") if wrong == "by another CA" else issuer
    files = mounted.secret(
        by, uris=(SERVER,), ends_in=datetime.timedelta(hours=-1 if wrong == "out of date" else 1)
    )
    if wrong != "not there yet":
        mounted.mount(folder, {**files, "ca.crt": issuer.certificate.read_bytes()})
    with pytest.raises(errors.Unavailable, match=sentence):
        evidence(running, folder).cursor()
    reader = evidence(
        running, mounted.mount(tmp_path / "operator", mounted.secret(issuer, uris=(OPERATOR,)))
    )
    before = reader.cursor()
    log = log_of(running, folder, spool=tmp_path / "spool")
    log.start()
    log.append(record(wrong))
    processes.eventually(lambda: list((tmp_path / "spool").glob("*.jsonl")))
    mounted.mount(folder, mounted.secret(issuer, uris=(SERVER,)))
    processes.eventually(lambda: reader.cursor() == before + 1)
    log.close()


@pytest.mark.parametrize(
    ("host", "by", "sentence"),
    [
        ("127.0.0.1", "another", "its certificate is not believed"),
        (
            "localhost",
            "authority",
            "its certificate is not believed .*localhost.*wanted one for its name",
        ),
    ],
    ids=["by another CA", "for another name"],
)
def test_a_collector_that_is_not_the_one_is_told_nothing(
    running, issuer, tmp_path, host, by, sentence
):
    ca = issuer if by == "authority" else certificates.Authority(tmp_path, name=by)
    files = {**mounted.secret(issuer, uris=(OPERATOR,)), "ca.crt": ca.certificate.read_bytes()}
    folder = mounted.mount(tmp_path / "operator", files)
    url = running.url.replace("127.0.0.1", host)
    with pytest.raises(errors.Unavailable, match=sentence):
        remote.RemoteEvidence(url, "shop", certificates=tls.Certificates(folder)).cursor()


def serial(url: str) -> bytes:
    place = urlsplit(url)
    return ssl.get_server_certificate((place.hostname or "", place.port or 0)).encode()


def test_replaced_certificates_count_from_the_next_connection_and_no_kept_one_is_lost(
    kubeconfig, tmp_path
):
    old, new = (certificates.Authority(tmp_path, name=name) for name in ("old", "new"))
    both = {"ca.crt": old.certificate.read_bytes() + new.certificate.read_bytes()}
    volume = mounted.mount(tmp_path / "tls", {**mounted.secret(old, hosts=LOOPBACK), **both})
    server = mounted.mount(tmp_path / "server", {**mounted.secret(old, uris=(SERVER,)), **both})
    with collecting(
        tmp_path, kubeconfig, "--auth=kubernetes", f"--client-ca={volume}/ca.crt"
    ) as running:
        sender = delivery.Sender(running.url, certificates=server, pod="income-aaa")
        sender.post([json.dumps(PREDICTION).encode()])
        kept, before = sender._connection, serial(running.url)
        files = mounted.secret(new, hosts=LOOPBACK)
        mounted.mount(volume, files)  # with the new CA alone
        assert (serial(running.url), before == files["tls.crt"]) == (files["tls.crt"], False)
        sender.post([json.dumps(made.prediction("r2", namespace="shop")).encode()])
        assert sender._connection is kept  # it was checked when it was made
        with pytest.raises(errors.Unavailable, match="by a CA that it knows"):
            evidence(
                running,
                mounted.mount(tmp_path / "o1", {**mounted.secret(old, uris=(OPERATOR,)), **both}),
            ).cursor()
        mounted.mount(server, mounted.secret(new, uris=(SERVER,)))
        sender.post([json.dumps(made.prediction("r3", namespace="shop")).encode()])
        assert sender._connection is not kept
        reader = evidence(
            running, mounted.mount(tmp_path / "o2", mounted.secret(new, uris=(OPERATOR,)))
        )
        assert reader.cursor() == 3
        sender.close()


def test_nothing_is_lost_while_both_sides_are_given_new_certificates(issuer, kubeconfig, tmp_path):
    volume = mounted.mount(tmp_path / "tls", mounted.secret(issuer, hosts=LOOPBACK))
    server = mounted.mount(tmp_path / "server", mounted.secret(issuer, uris=(SERVER,)))
    with collecting(
        tmp_path, kubeconfig, "--auth=kubernetes", f"--client-ca={volume}/ca.crt"
    ) as running:
        log = log_of(running, server, spool=tmp_path / "spool")
        log.start()
        for number in range(20):
            log.append(record(f"r{number}"))
            mounted.mount(volume, mounted.secret(issuer, hosts=LOOPBACK))
            mounted.mount(server, mounted.secret(issuer, uris=(SERVER,)))
        reader = evidence(
            running, mounted.mount(tmp_path / "operator", mounted.secret(issuer, uris=(OPERATOR,)))
        )
        processes.eventually(lambda: reader.cursor() == 20)
        log.close()
    dropped = [
        sample
        for metric in eventlog.DROPPED.collect()
        for sample in metric.samples
        if "shop" in str(sample)
    ]
    assert dropped == []


def test_files_that_are_no_certificates_leave_the_last_ones(issuer, tmp_path, caplog):
    folder = mounted.mount(tmp_path / "caller", mounted.secret(issuer, uris=(SERVER,)))
    held = tls.Certificates(folder)
    first = held.context()
    assert held.context() is first
    mounted.mount(
        folder,
        {**mounted.secret(issuer, uris=(SERVER,)), "tls.key": mounted.secret(issuer)["tls.key"]},
    )
    assert [held.context() is first for _ in range(2)] == [True, True]
    assert [entry.getMessage().count("key values mismatch") for entry in caplog.records] == [1]
    mounted.mount(folder, mounted.secret(issuer, uris=(SERVER,)))
    assert held.context() is not first
    with pytest.raises(
        errors.Unavailable, match=r"nowhere/tls.crt, .*cannot be used \(.*No such file"
    ):
        tls.Certificates(tmp_path / "nowhere").context()


def test_a_certificate_that_ends_under_way_ends_what_its_connection_may(issuer):
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    certificate = {"subjectAltName": (("URI", SERVER),), "notAfter": "Jan  1 00:00:00 2026 GMT"}
    given: dict[str, Any] = {"trust_domain": "cluster.local", "pod": "a", "address": "10.0.0.1"}
    assert spiffe.workload(certificate, now=now.timestamp(), **given) == (
        "shop",
        "default",
        "a",
        "10.0.0.1",
    )
    with pytest.raises(
        access.Unauthenticated,
        match="ended at Jan  1 00:00:00 2026 GMT: wanted a connection with its",
    ):
        spiffe.workload(certificate, now=now.timestamp() + 1, **given)


def test_tokens_stay_what_they_are_over_tls(issuer, kubeconfig, tmp_path):
    mounted.mount(tmp_path / "tls", mounted.secret(issuer, hosts=LOOPBACK))
    context = ssl.create_default_context(cafile=tmp_path / "tls" / "ca.crt")
    label = [{"requestId": "r", "label": "cat", "deployment": "income", "namespace": "shop"}]
    with (
        collecting(tmp_path, kubeconfig, "--auth=kubernetes") as running,
        httpx.Client(verify=context, base_url=running.url) as client,
    ):
        answers = [
            client.post(
                "/v1/labels", json=label, headers={"authorization": f"Bearer {token}"}
            ).status_code
            for token in ("of-books", "of-nobody")
        ]
        assert answers == [202, 401]


def test_without_an_api_server_nobody_is_refused_for_good(issuer, tmp_path):
    nowhere = kube(tmp_path / "kubeconfig", port=support.free_port())
    volume = mounted.mount(tmp_path / "tls", mounted.secret(issuer, hosts=LOOPBACK))
    folder = mounted.mount(tmp_path / "server", mounted.secret(issuer, uris=(SERVER,)))
    label = [{"requestId": "r", "label": "cat", "deployment": "income", "namespace": "shop"}]
    with collecting(
        tmp_path, nowhere, "--auth=kubernetes", f"--client-ca={volume}/ca.crt"
    ) as running:
        for path, events, pod in (
            ("/v1/labels", label, ""),
            ("/v1/events", [PREDICTION], "income-aaa"),
        ):
            status, sentence = ask(running, folder, path, events=events, pod=pod)
            assert (status, "the API server does not answer" in sentence) == (503, True), sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--tls-cert=tls.crt"], "--tls-cert needs --tls-key FILE"),
        (["--tls-key=tls.key"], "--tls-key needs --tls-cert FILE"),
        (["--auth=kubernetes", "--client-ca=ca.crt"], "--client-ca needs --tls-cert and --tls-key"),
        (
            ["--auth=none", "--tls-cert=tls.crt", "--tls-key=tls.key", "--client-ca=ca.crt"],
            "--client-ca with --auth none: wanted --auth kubernetes",
        ),
        (
            ["--auth=kubernetes", "--tls-cert=no.crt", "--tls-key=no.key"],
            "the certificates in no.crt, no.key cannot",
        ),
    ],
)
def test_half_an_identity_is_refused(tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert refused_with(["collector", "--store=events.db", *arguments]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--collector=http://c", "--collector-certificates=/c"],
            "http://c with --collector-certificates: wanted https",
        ),
        (
            ["--collector=http://c", '--server-certificates={"csi": {}}'],
            "http://c with --server-certificates: wanted",
        ),
        (
            ["--collector=https://c", "--collector-token=t", "--collector-certificates=/c"],
            "wanted one of them",
        ),
        (
            ["--collector=https://c", "--server-certificates=mine"],
            "'mine': wanted one of secret, csi and projected",
        ),
        (
            ["--collector=https://c", '--server-certificates={"hostPath": {}}'],
            "wanted one of secret, csi and projected",
        ),
    ],
)
def test_an_operator_that_would_show_certificates_to_nobody_is_refused(capsys, arguments, sentence):
    needed = ["--server-image=i", "--prometheus=http://p", "--gateway-label=namespace=g"]
    assert refused_with(["operator", *needed, *arguments]) == 2
    assert sentence in capsys.readouterr().err


def refused_with(arguments: list[str]) -> int:
    """Return the exit status of `fairway`."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return int(ended.value.code or 0)
