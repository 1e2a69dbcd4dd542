"""Who may write and read evidence on a cluster: pods with tokens of every kind ask the collector,
and the API server says whose they are."""

import json
from pathlib import Path

import pytest

from tests.cluster import world
from tests.cluster.cluster import Cluster
from tests.monitoring import processes

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
NAME = "trusted"
COLLECTOR = "http://fairway-collector.fairway-system.svc:8080"
READ = "/v1/exposure?deployment={name}&namespace=models&after=0"
# Asks with each token in turn, as one pod: what is sent comes on the standard input.
ASK = """
import json, sys, urllib.error, urllib.request
answers = []
for one in json.load(sys.stdin):
    token = open(one["token"][1:]).read().strip() if one["token"].startswith("@") else one["token"]
    headers = {"content-type": "application/json", **({"authorization": "Bearer " + token} if token else {})}
    data = json.dumps(one["data"]).encode() if "data" in one else None
    try:
        request = urllib.request.Request(one["url"], data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            answers.append([answer.status, answer.read(3000).decode()])
    except urllib.error.HTTPError as error:
        answers.append([error.code, error.read(300).decode()])
print(json.dumps(answers))
"""
MINE = "@/var/run/secrets/fairway.dev/collector/token"


def token(
    cluster: Cluster,
    account: str,
    *,
    audience: str = "fairway-collector",
    namespace: str = "models",
) -> str:
    return cluster.kubectl(
        "--namespace",
        namespace,
        "create",
        "token",
        account,
        f"--audience={audience}",
        "--duration=10m",
    ).stdout.strip()


def prediction(
    revision: str, *, deployment: str = NAME, namespace: str = "models", request: str = "made-up"
) -> dict[str, object]:
    data = {
        "requestId": request,
        "deployment": deployment,
        "namespace": namespace,
        "revision": revision,
        "role": "stable",
        "status": 200,
        "rows": 1,
    }
    return {
        "specversion": "1.0",
        "type": "dev.fairway.prediction.v1",
        "id": request,
        "source": "/",
        "time": "2026-01-31T12:00:00Z",
        "data": data,
    }


@pytest.fixture(scope="module")
def served(fairway: Cluster, tmp_path_factory: pytest.TempPathFactory):
    """Return the revision in service of a ModelDeployment; of two service accounts, `books` may
    send labels of it, `guest` nothing."""
    folder: Path = tmp_path_factory.mktemp("packages")
    model = world.store(fairway).put(world.package(folder / "A"))
    world.apply(fairway, world.resource(NAME, model))
    for account in ("books", "guest"):
        fairway.kubectl("--namespace=models", "create", "serviceaccount", account, check=False)
    fairway.kubectl(
        "--namespace=models",
        "create",
        "rolebinding",
        "books",
        "--clusterrole=fairway-labeller",
        "--serviceaccount=models:books",
        check=False,
    )
    yield world.until(fairway, NAME, world.digest_in_service(model))["stable"]["revision"]
    fairway.kubectl("--namespace=models", "delete", "md", NAME, "--ignore-not-found")


def test_evidence_is_written_and_read_by_those_whose_it_is_alone(
    fairway: Cluster, served: str
) -> None:
    books, guest = token(fairway, "books"), token(fairway, "guest")
    label, elsewhere = (
        {"requestId": "r", "label": "yes", "deployment": NAME, "namespace": namespace}
        for namespace in ("models", "default")
    )
    operator = token(fairway, "fairway-operator", namespace="fairway-system")
    read = READ.format(name=NAME)
    table = [
        ("no token", "", "/v1/events", [prediction(served)], 401),
        ("nonsense", "a.b.c", "/v1/events", [prediction(served)], 401),
        (
            "a token for the API server",
            token(fairway, "books", audience="https://kubernetes.default.svc.cluster.local"),
            "/v1/labels",
            [label],
            401,
        ),
        ("a stranger writes predictions", guest, "/v1/events", [prediction(served)], 403),
        ("a stranger writes labels", guest, "/v1/labels", [label], 403),
        (
            "a stranger writes labels as events",
            guest,
            "/v1/events",
            [{**prediction(served), "type": "dev.fairway.label.v1", "data": label}],
            403,
        ),
        ("a stranger reads", guest, read, None, 403),
        ("no token reads", "", read, None, 401),
        ("a labeller writes labels", books, "/v1/labels", [label], 202),
        (
            "a labeller writes outcomes",
            books,
            "/v1/outcomes",
            [
                {
                    "requestId": "r",
                    "outcome": "o",
                    "value": 1,
                    "deployment": NAME,
                    "namespace": "models",
                }
            ],
            202,
        ),
        ("a labeller writes labels of another namespace", books, "/v1/labels", [elsewhere], 403),
        ("a labeller writes predictions", books, "/v1/events", [prediction(served)], 403),
        ("a labeller reads", books, read, None, 403),
        (
            "a server writes its own",
            MINE,
            "/v1/events",
            [prediction(served, request="its own")],
            202,
        ),
        (
            "a server writes another revision's",
            MINE,
            "/v1/events",
            [prediction("0123456789ab")],
            403,
        ),
        (
            "a server writes another deployment's",
            MINE,
            "/v1/events",
            [prediction(served, deployment="other")],
            403,
        ),
        (
            "a server writes another namespace's",
            MINE,
            "/v1/events",
            [prediction(served, namespace="default")],
            403,
        ),
        ("a server writes labels", MINE, "/v1/labels", [label], 403),
        ("a server reads", MINE, read, None, 403),
        ("the operator reads", operator, read, None, 200),
        ("the operator writes predictions", operator, "/v1/events", [prediction(served)], 403),
    ]
    asked = [
        {"token": secret, "url": COLLECTOR + path, **({"data": data} if data is not None else {})}
        for _, secret, path, data, _ in table
    ]
    done = fairway.kubectl(
        "--namespace=models",
        "exec",
        "--stdin",
        f"deployment/{NAME}-{served}",
        "--container=server",
        "--",
        "python",
        "-c",
        ASK,
        input=json.dumps(asked),
    )
    answers = json.loads(done.stdout)
    wrong = [
        (what, status, answer)
        for (what, *_, status), answer in zip(table, answers, strict=True)
        if answer[0] != status
    ]
    assert wrong == []


def test_a_servers_events_arrive_with_the_token_of_its_pod(fairway: Cluster, served: str) -> None:
    operator = token(fairway, "fairway-operator", namespace="fairway-system")

    def said(path: str) -> str:
        ask = [{"token": operator, "url": COLLECTOR + path}]
        done = fairway.kubectl(
            "--namespace=models",
            "exec",
            "--stdin",
            f"deployment/{NAME}-{served}",
            "--container=server",
            "--",
            "python",
            "-c",
            ASK,
            input=json.dumps(ask),
        )
        [[status, text]] = json.loads(done.stdout)
        assert status == 200, text
        return str(text)

    # one answer is of 25,000 events at most, whosever they are
    before = json.loads(said(f"/v1/cursor?deployment={NAME}&namespace=models"))["cursor"]
    since = READ.format(name=NAME).replace("after=0", f"after={before}")
    with world.traffic(fairway, NAME) as traffic:
        processes.eventually(lambda: traffic.counts[200, served] > 20)
        processes.eventually(lambda: '"user-' in said(since), seconds=60)
