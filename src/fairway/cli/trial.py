"""The verb that tries the whole way on a cluster: one revision serves, the next takes its place
while requests flow, and all of it goes again.

`helm test` runs it. Both revisions are the same package: what is tried is the installation, so a
healthy one must promote.
"""

import contextlib
import http.client
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from fairway import errors

if TYPE_CHECKING:
    from fairway.platforms.kubernetes import api

CLIENTS = 4
UNITS = 200  # users that requests come from
# between two requests of one client: about 150 a second in all, which certify 5 % errors within a
# minute
PAUSE_SECONDS = 0.02
ANSWER_SECONDS = 10.0
POLL_SECONDS = 0.5
MARK = "fairway.dev/trial"  # label of the ModelDeployment
# annotation of its pods, which makes the second revision another
TURN = "trial.fairway.dev/revision"
STRATEGY: Mapping[
    str, Any
] = {  # everything real but in a hurry; no latency guard, for nobody has said what is slow here
    "warmup": "1s",
    "shadow": {"minPairs": 200},
    "canary": {"steps": [{"weight": 25}, {"weight": 50}], "harm": 0.5},
    "bake": {"weight": 5, "duration": "5s"},
    "guards": [
        {"name": "disagreement", "type": "disagreement"},
        {"name": "errors", "type": "errors", "maxRate": 0.05},
    ],
}
Object = dict[str, Any]


@click.command()
@click.option(
    "--uri",
    required=True,
    help="Where the package lies: s3://, gs://, minio://, https://, oci:// or pvc://claim/folder.",
)
@click.option(
    "--digest", required=True, help="Its digest, sha256:..., as `fairway package` prints it."
)
@click.option(
    "--gateway",
    required=True,
    metavar="[NAMESPACE/]NAME",
    help="The Gateway that requests come in by.",
)
@click.option(
    "--url",
    required=True,
    help="Where that Gateway is reached from here, such as http://envoy.envoy-gateway-system.svc.",
)
@click.option(
    "--namespace",
    "-n",
    required=True,
    help="Where the ModelDeployment is made; the Gateway must take routes from it.",
)
@click.option(
    "--name", default="fairway-trial", show_default=True, help="The ModelDeployment's name."
)
@click.option(
    "--hostname",
    default="fairway-trial.test",
    show_default=True,
    help="The name that requests are sent to; a listener must take it.",
)
@click.option(
    "--pod-template",
    default="{}",
    metavar="JSON",
    help="What the servers need besides, as in spec.podTemplate: a service account, resources.",
)
@click.option("--timeout", default="4m", show_default=True, help="Until everything must be done.")
@click.option(
    "--context", default=None, help="The kubeconfig's context, instead of its current one."
)
def trial(
    uri: str,
    digest: str,
    gateway: str,
    url: str,
    namespace: str,
    name: str,
    hostname: str,
    pod_template: str,
    timeout: str,
    context: str | None,
) -> None:
    """Serve a package on a cluster, canary it under traffic, and clean up.

    Ends 0 where the second revision was promoted and no request failed.
    """
    from fairway.cli import options
    from fairway.platforms.kubernetes import api

    seconds = options.seconds(timeout)
    deadline = time.monotonic() + (seconds or 0.0)
    asked = manifest(
        uri=uri,
        digest=digest,
        gateway=gateway,
        namespace=namespace,
        name=name,
        hostname=hostname,
        template=_template(pod_template),
    )
    _connection(url)  # a mistake in it is said before anything is made
    server = api.connect(context)
    with _cleaned(server, namespace, name):
        first = _serve(server, asked, deadline=deadline)
        body = request(_metadata(url, hostname, name, deadline=deadline))
        with flowing(url, hostname, name, body) as traffic:
            _canary(server, second(asked), before=first, deadline=deadline)
    if traffic.failed:
        raise errors.PlatformError(
            f"{traffic.failed} of {traffic.total} requests failed while the revision was promoted: {traffic.failures()}"
        )
    _tell(f"passed: {traffic.total} requests, none failed")


# -- what is asked for -----------------------------------------------------------------------------


def manifest(
    *,
    uri: str,
    digest: str,
    gateway: str,
    namespace: str,
    name: str,
    hostname: str,
    template: Object,
) -> Object:
    """Return the ModelDeployment of the first revision."""
    where, _, gateway_name = gateway.rpartition("/")
    parent = {"name": gateway_name, **({"namespace": where} if where else {})}
    return {
        "apiVersion": "fairway.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {MARK: "true"}},
        "spec": {
            "model": {"uri": uri, "digest": digest},
            "gateway": {"parentRefs": [parent], "hostnames": [hostname]},
            "scaling": {"minReplicas": 1, "maxReplicas": 1},
            "strategy": STRATEGY,
            "podTemplate": _marked(template, revision="first"),
        },
    }


def second(asked: Object) -> Object:
    """Return the ModelDeployment of the second revision: the same package, told apart by an
    annotation of its pods."""
    return {
        **asked,
        "spec": {
            **asked["spec"],
            "podTemplate": _marked(asked["spec"]["podTemplate"], revision="second"),
        },
    }


def request(metadata: Object) -> bytes:
    """Return a request of one row that the model answers: zeros, and a category that it need not
    know."""
    inputs = []
    for tensor in metadata["inputs"]:
        shape = [1, *tensor["shape"][1:]]
        size = 1
        for length in shape:
            size *= length
        inputs.append(
            {
                "name": tensor["name"],
                "datatype": tensor["datatype"],
                "shape": shape,
                "data": ["-" if tensor["datatype"] == "BYTES" else 0] * size,
            }
        )
    return json.dumps({"inputs": inputs}).encode()


def _marked(template: Object, *, revision: str) -> Object:
    metadata = template.get("metadata", {})
    return {
        **template,
        "metadata": {
            **metadata,
            "annotations": {**metadata.get("annotations", {}), TURN: revision},
        },
    }


def _template(text: str) -> Object:
    try:
        template = json.loads(text)
    except ValueError as error:
        raise errors.UsageError(
            f'--pod-template {text[:200]!r} is no JSON ({error}): wanted an object such as {{"spec": {{...}}}}'
        ) from error
    if not isinstance(template, dict):
        raise errors.UsageError(
            f'--pod-template {text[:200]!r}: wanted an object such as {{"spec": {{...}}}}'
        )
    return template


# -- the way ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _cleaned(server: "api.Api", namespace: str, name: str) -> Iterator[None]:
    """Take away what an earlier trial left, and in the end what this one made, however it ends."""
    found = server.get("ModelDeployment", namespace, name)
    if found is not None and found["metadata"].get("labels", {}).get(MARK) != "true":
        raise errors.UsageError(
            f"ModelDeployment {namespace}/{name} is there and is no trial's: name another with --name"
        )
    _gone(server, namespace, name)
    # as a pod is ended at its deadline, or by a person
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except BaseException:
        found = server.get("ModelDeployment", namespace, name)
        if found is not None:
            _tell(f"it stood at {_line(found)}")
        raise
    finally:
        server.delete("ModelDeployment", namespace, name)
        signal.signal(signal.SIGTERM, before)
        _tell(f"ModelDeployment {namespace}/{name} is deleted")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _gone(server: "api.Api", namespace: str, name: str) -> None:
    server.delete("ModelDeployment", namespace, name)
    until = time.monotonic() + ANSWER_SECONDS
    while server.get("ModelDeployment", namespace, name) is not None:
        if time.monotonic() > until:
            raise errors.Unavailable(
                f"ModelDeployment {namespace}/{name} of an earlier trial does not go: see its finalizers"
            )
        time.sleep(POLL_SECONDS)


def _serve(server: "api.Api", asked: Object, *, deadline: float) -> str:
    """Return the first revision, once it serves."""
    _tell(f"serving {asked['spec']['model']['digest']}")
    return str(_settled(server, asked, deadline=deadline)["status"]["stable"]["revision"])


def _canary(server: "api.Api", asked: Object, *, before: str, deadline: float) -> None:
    """Return when the second revision was promoted; raises Refused where it was not."""
    _tell("asking for another revision of it, while requests flow")
    revision = _settled(server, asked, deadline=deadline)["status"]["stable"]["revision"]
    if revision == before:
        raise errors.Refused(
            f"revision {before} serves still: what was asked for made no new revision"
        )


def _settled(server: "api.Api", asked: Object, *, deadline: float) -> Object:
    """Return the ModelDeployment when it is Ready.

    Raises Refused where it was rolled back, PlatformError where it cannot go on, Unavailable at the
    deadline.
    """
    from fairway.control.ports import End
    from fairway.platforms.kubernetes import client, rollouts

    client.deploy(server, asked)
    metadata, tell = asked["metadata"], rollouts.teller(click.echo)
    left = max(0.0, deadline - time.monotonic())
    for found in client.watch(
        server, metadata["namespace"], metadata["name"], until=client.settled, timeout_seconds=left
    ):
        tell(found)
    match rollouts.ended(found).end:
        case End.SERVES:
            return found
        case End.ROLLED_BACK:
            raise errors.Refused(f"the revision was not promoted: {_line(found)}")
        case End.PAUSED | End.IMPOSSIBLE:
            raise errors.PlatformError(f"the revision cannot be promoted: {_line(found)}")


def _line(found: Object) -> str:
    status = found.get("status", {})
    return f"{status.get('phase', 'Pending')}: {status.get('reason', 'no operator has looked at it yet')}"


def _tell(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')}  {line}")


# -- requests --------------------------------------------------------------------------------------


@dataclass
class Load:
    """Requests of many users, counted by how they were answered."""

    counts: Counter[str] = field(default_factory=Counter)
    stopping: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        return self.total - self.counts["200"]

    def failures(self) -> str:
        return ", ".join(
            f"{count} x {answer}" for answer, count in self.counts.most_common() if answer != "200"
        )

    def count(self, answer: str) -> None:
        with self.lock:
            self.counts[answer] += 1


@contextlib.contextmanager
def flowing(url: str, hostname: str, name: str, body: bytes) -> Iterator[Load]:
    """Return traffic that flows until the block ends."""
    traffic = Load()
    clients = [
        threading.Thread(
            target=_client, args=(traffic, number, url, hostname, name, body), daemon=True
        )
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    try:
        yield traffic
    finally:
        traffic.stopping.set()
        for client in clients:
            client.join(timeout=2 * ANSWER_SECONDS)


def _client(traffic: Load, number: int, url: str, hostname: str, name: str, body: bytes) -> None:
    connection, turn = _connection(url), number
    while not traffic.stopping.wait(PAUSE_SECONDS):
        turn += CLIENTS
        headers = {
            "Host": hostname,
            "Content-Type": "application/json",
            "x-fairway-unit": f"trial-{turn % UNITS}",
        }
        try:
            connection.request("POST", f"/v2/models/{name}/infer", body=body, headers=headers)
            response = connection.getresponse()
            response.read()
            traffic.count(str(response.status))
        except (OSError, http.client.HTTPException) as error:
            traffic.count(type(error).__name__)
            connection.close()  # the next request opens it anew
    connection.close()


def _metadata(url: str, hostname: str, name: str, *, deadline: float) -> Object:
    """Return the model's description, once the gateway leads there."""
    while True:
        try:
            connection = _connection(url)
            connection.request("GET", f"/v2/models/{name}", headers={"Host": hostname})
            response = connection.getresponse()
            content, said = response.read(), str(response.status)
            connection.close()
            if response.status == http.HTTPStatus.OK:
                found: Object = json.loads(content)
                return found
        except (OSError, http.client.HTTPException) as error:
            said = str(error) or type(error).__name__
        if time.monotonic() > deadline:
            raise errors.Unavailable(
                f"{url} does not lead to the model ({said}): wanted the Gateway's address, "
                f"and a listener that takes {hostname} and routes from the namespace"
            )
        time.sleep(POLL_SECONDS)


def _connection(url: str) -> http.client.HTTPConnection:
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise errors.UsageError(
            f"--url {url!r}: wanted the Gateway's address, such as http://envoy.envoy-gateway-system.svc"
        )
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    return kind(place.hostname, place.port, timeout=ANSWER_SECONDS)
