"""Calls users' own services beside the looks: a look starts what is due, takes what has come back,
and waits for nobody.
"""

import contextlib
import http.client
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

import fairway
from fairway import errors
from fairway.config import sections
from fairway.rollout import hooks

log = logging.getLogger("fairway.hooks")

AT_ONCE = 4  # calls of one deployment: a hook that hangs keeps no other deployment's waiting
LARGEST_ANSWER = 4096  # bytes of an answer that are read
SAID_CHARACTERS = 200  # characters of what it says that a reason repeats
REFUSING_STATUSES = (409, 422)  # what a service answers on purpose, and no proxy in its stead


@dataclass(frozen=True)
class DeploymentName:
    """A deployment by its name: whose rollout it is."""

    namespace: str
    name: str


@dataclass(frozen=True)
class Place:
    """Where a hook is called: what was checked is what is connected to, whatever its name stands
    for a moment later."""

    address: str  # an IP address, or a name where any will do
    port: int
    repeats: bool = True  # whether those who read the rollout may read what the answer says


def anywhere(deployment: DeploymentName, url: str) -> Place:
    """Return the place that the URL names, wherever it is: for a platform whose owner writes the
    hooks.

    Raises ValueError for a port that is none.
    """
    place = urlsplit(url)
    return Place(place.hostname or "", place.port or (443 if place.scheme == "https" else 80))


@dataclass
class Calls:
    """The calls that are under way.

    `finds` gives the place of a deployment's URL, or raises with why it must not be called.
    """

    finds: Callable[[DeploymentName, str], Place] = anywhere
    _running: set[tuple[DeploymentName, str]] = field(default_factory=set)  # whose, the call's id
    _answers: dict[tuple[DeploymentName, str], hooks.Answer] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answers(
        self,
        deployment: DeploymentName,
        calls: Iterable[hooks.Call],
        *,
        known: Iterable[sections.Hook],
        now: float,
    ) -> dict[str, hooks.Answer]:
        """Return the answers that have come since, by the call's id, and start what is due and not
        under way.

        An answer is given once: where the look that took it is never stored, the hook is called
        again.
        """
        calls, named = tuple(calls), {hook.name: hook for hook in known}
        ids, found = {call.id for call in calls}, dict[str, hooks.Answer]()
        with self._lock:
            self._answers = {
                key: answer
                for key, answer in self._answers.items()
                if key[0] != deployment or key[1] in ids
            }
            for call in hooks.due(calls, now=now):
                key, hook = (deployment, call.id), named.get(call.hook)
                if key in self._answers:
                    found[call.id] = self._answers.pop(key)
                elif hook is None:
                    found[call.id] = hooks.Answer(
                        "refused", "the strategy has no such hook any more"
                    )
                elif (
                    key not in self._running
                    and sum(of == deployment for of, _ in self._running) < AT_ONCE
                ):
                    threading.Thread(
                        target=self._run,
                        args=(deployment, hook, call),
                        name=f"hook-{call.hook}",
                        daemon=True,
                    ).start()
                    self._running.add(key)
        return found

    def forget(self, deployment: DeploymentName) -> None:
        """Drop what is known of a deployment that is gone; answers that are still to come are
        thrown away."""
        with self._lock:
            self._running = {key for key in self._running if key[0] != deployment}
            self._answers = {
                key: answer for key, answer in self._answers.items() if key[0] != deployment
            }

    def _run(self, deployment: DeploymentName, hook: sections.Hook, call: hooks.Call) -> None:
        answer = hooks.Answer("away", "it could not be called: the log says why")
        try:
            answer = post(
                hook,
                event(deployment, call, now=time.time()),
                place=self.finds(deployment, hook.url),
            )
        except errors.FairwayError as error:
            answer = hooks.Answer("away", _line(str(error)))
        except ValueError as error:  # a port that is none
            answer = hooks.Answer("away", f"it does not answer: {_line(str(error))}")
        finally:
            log.info(
                "%s/%s: hook %s (%s): %s",
                deployment.namespace,
                deployment.name,
                call.hook,
                call.at,
                answer.said,
            )
            with self._lock:
                if (deployment, call.id) in self._running:
                    self._running.remove((deployment, call.id))
                    self._answers[deployment, call.id] = answer


def event(deployment: DeploymentName, call: hooks.Call, *, now: float) -> dict[str, object]:
    """Return the CloudEvent that a hook is sent: the same id at every try of one call."""
    return {
        "specversion": "1.0",
        "type": "dev.fairway.hook.v1",
        "id": call.id,
        "source": f"/fairway/{deployment.namespace}/{deployment.name}/rollout",
        "subject": call.at,
        "time": datetime.fromtimestamp(now, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {
            "hook": call.hook,
            "at": call.at,
            "namespace": deployment.namespace,
            "deployment": deployment.name,
            **call.data,
        },
    }


def post(hook: sections.Hook, body: object, *, place: Place) -> hooks.Answer:
    """Send the event, and return what the answer means: 2xx agrees, 409 and 422 say no, and all
    else is no answer.

    Redirects are not followed.
    """
    url, seconds = urlsplit(hook.url), hook.timeout.total_seconds()
    late = threading.Event()
    try:
        connection = (Encrypted if url.scheme == "https" else Plain)(
            url.hostname or "", url.port, timeout=seconds
        )
        connection.place = place
        with contextlib.closing(connection), _cut(connection, late, seconds=seconds):
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            connection.request(
                "POST",
                path,
                body=json.dumps(body),
                headers={
                    "content-type": "application/cloudevents+json",
                    "accept": "application/json",
                    "user-agent": f"fairway/{fairway.__version__}",
                },
            )
            response = connection.getresponse()
            content = response.read(LARGEST_ANSWER)
    except (
        OSError,
        http.client.HTTPException,
        ValueError,
    ) as error:  # ValueError: a port that is no number, a name that is none
        said = _line(str(error)) if place.repeats else ""
        return (
            _late(hook)
            if late.is_set()
            else hooks.Answer("away", f"it does not answer: {said or type(error).__name__}")
        )
    if late.is_set():
        return _late(hook)
    said = f"it answered {response.status}{_message(content) if place.repeats else ''}"
    if 200 <= response.status < 300:
        return hooks.Answer("passed", said)
    return hooks.Answer("refused" if response.status in REFUSING_STATUSES else "away", said)


class Plain(http.client.HTTPConnection):
    """A connection to a place under the name of the URL."""

    place: Place

    def connect(self) -> None:
        self.sock = socket.create_connection((self.place.address, self.place.port), self.timeout)


class Encrypted(http.client.HTTPSConnection):
    """The same over TLS: the certificate must be the name's."""

    place: Place

    def connect(self) -> None:
        plain = socket.create_connection((self.place.address, self.place.port), self.timeout)
        self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)


def _late(hook: sections.Hook) -> hooks.Answer:
    return hooks.Answer(
        "away", f"it did not answer within {sections.format_duration(hook.timeout)}"
    )


@contextlib.contextmanager
def _cut(
    connection: http.client.HTTPConnection, late: threading.Event, *, seconds: float
) -> Iterator[None]:
    """Connect, and end the connection when the time is up, whatever it is at: a socket's own
    timeout begins anew with every byte.
    """

    def cut() -> None:
        late.set()
        with contextlib.suppress(OSError):
            held.shutdown(socket.SHUT_RDWR)

    began = time.monotonic()
    connection.connect()
    held = connection.sock  # http.client lets go of it when the answer begins
    timer = threading.Timer(max(0.0, began + seconds - time.monotonic()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _message(content: bytes) -> str:
    """Return what an answer says for people, in `message` of a JSON object."""
    try:
        said = json.loads(content)["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    text = _line(said) if isinstance(said, str) else ""
    return f": {text}" if text else ""


def _line(text: str) -> str:
    """Return the beginning of a text on one line, without what a terminal would obey."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable())[
        :SAID_CHARACTERS
    ]
