"""`fairway trial` without a cluster: what it asks for, what it sends, what it counts, and that it
leaves nothing."""

import http.server
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway import errors
from fairway.cli import trial
from fairway.config import resource
from fairway.serving import predictor, protocol
from tests.cli.running import assert_one_sentence, fairway
from tests.operator import world
from tests.serving import support

ASKED = trial.manifest(
    uri="s3://models/a",
    digest=f"sha256:{'a' * 64}",
    gateway="infra/models",
    namespace="team",
    name="fairway-trial",
    hostname="fairway-trial.test",
    template={"spec": {"serviceAccountName": "reader"}},
)
GIVEN = (
    "trial",
    "--uri",
    "s3://models/a",
    "--digest",
    f"sha256:{'a' * 64}",
    "--gateway",
    "models",
    "--namespace",
    "team",
)


def test_both_revisions_are_right_and_differ_in_an_annotation_only():
    first, second = (
        resource.Spec.model_validate(document["spec"]) for document in (ASKED, trial.second(ASKED))
    )
    assert resource.revision(first, image="server:1") != resource.revision(second, image="server:1")
    assert {**first.model_dump(), "pod_template": None} == {
        **second.model_dump(),
        "pod_template": None,
    }
    assert (
        first.pod_template["spec"]
        == second.pod_template["spec"]
        == {"serviceAccountName": "reader"}
    )
    assert (first.gateway.parent_refs[0].name, first.gateway.parent_refs[0].namespace) == (
        "models",
        "infra",
    )


def test_the_request_is_one_that_the_model_answers(tmp_path):
    model = predictor.Predictor.load(Path(support.packaged(tmp_path).path))
    parsed = protocol.parse(
        trial.request(model.metadata(revision="0123456789ab")),
        features=model.features,
        outputs=model.outputs,
    )
    assert parsed.rows == 1
    assert set(parsed.columns) == set(model.features)


def test_an_image_gets_as_many_zeros_as_it_has_pixels():
    body = trial.request(
        {"inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 2, 3]}]}
    )
    assert b'"shape": [1, 1, 2, 3], "data": [0, 0, 0, 0, 0, 0]' in body


@pytest.fixture
def gateway() -> Iterator[str]:
    """Return the address of a gateway that answers every tenth request 503."""
    turns = itertools.count(1)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(503 if next(turns) % 10 == 0 else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_every_answer_but_200_is_a_failure(gateway):
    with trial.flowing(gateway, "fairway-trial.test", "fairway-trial", b"{}") as traffic:
        support.eventually(lambda: traffic.total >= 40)
    assert traffic.failed == traffic.total // 10
    assert traffic.failures() == f"{traffic.failed} x 503"


def test_a_gateway_that_is_not_there_is_a_failure_for_every_request():
    with trial.flowing(
        f"http://127.0.0.1:{support.free_port()}", "fairway-trial.test", "fairway-trial", b"{}"
    ) as traffic:
        support.eventually(lambda: traffic.total >= 8)
    assert traffic.failed == traffic.total
    assert "ConnectionRefusedError" in traffic.failures()


class Cluster(world.Cluster):
    """One with a trial's ModelDeployment in it, or somebody else's."""

    def __init__(self, labels: dict[str, str]) -> None:
        super().__init__()
        self._keep(
            ("ModelDeployment", "fairway-trial"),
            {"metadata": {"name": "fairway-trial", "labels": labels}},
        )


def test_what_an_earlier_trial_left_goes_and_what_this_one_made_too(capsys):
    cluster = Cluster({trial.MARK: "true"})

    def fail() -> None:
        with trial._cleaned(cluster, "team", "fairway-trial"):
            assert not cluster.objects
            cluster._keep(
                ("ModelDeployment", "fairway-trial"),
                {"metadata": {}, "status": {"phase": "Canary", "reason": "because"}},
            )
            raise errors.Refused("it was rolled back")

    with pytest.raises(errors.Refused):
        fail()
    assert not cluster.objects
    assert "it stood at Canary: because" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("refused", "raised"),
    [({"Deployment"}, errors.PlatformError), (set(), errors.Refused)],
    ids=["refused", "crashed"],
)
def test_a_trial_that_cannot_go_on_was_not_rolled_back(monkeypatch, refused, raised):
    play = world.World()
    play.ask("a")
    play.look(until="Stable 0")
    stable = play.status["stable"]["revision"]
    play.cluster.refused = refused

    def look(_: float) -> None:
        play.patient()
        candidate = play.status.get("candidate", {}).get("revision")
        if candidate not in (None, stable) and not refused and play.status["phase"] == "Canary":
            play.cluster.crash(f"{world.NAME}-{candidate}")

    monkeypatch.setattr(trial.time, "sleep", look)
    asked = play.cluster.get("ModelDeployment", world.NAMESPACE, world.NAME)
    asked["spec"]["model"]["digest"] = f"sha256:{'b' * 64}"
    with pytest.raises(errors.FairwayError) as caught:
        trial._settled(play.cluster, asked, deadline=time.monotonic() + 60.0)
    assert type(caught.value) is raised


def test_a_deployment_that_is_no_trials_is_left_alone():
    cluster = Cluster({})
    with (
        pytest.raises(errors.UsageError, match="is no trial's: name another"),
        trial._cleaned(cluster, "team", "fairway-trial"),
    ):
        pass
    assert cluster.objects


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--url", "models:80"), "--url 'models:80': wanted the Gateway's address"),
        (("--url", "http://models", "--pod-template", "{"), "--pod-template '{' is no JSON"),
        (
            ("--url", "http://models", "--pod-template", "[]"),
            "--pod-template '[]': wanted an object",
        ),
        (("--url", "http://models", "--timeout", "soon"), "soon"),
    ],
    ids=["an address", "no JSON", "no object", "a time"],
)
def test_what_is_wrong_is_one_sentence(tmp_path, options, says):
    assert_one_sentence(fairway(*GIVEN, *options, where=tmp_path), status=2, words=says)
