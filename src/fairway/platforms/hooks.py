"""Calls users' own services beside the looks: a look starts what is due, takes what has come back, and waits for nobody."""

import http.client
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

import fairway
from fairway.config import schema
from fairway.rollout import hooks

log = logging.getLogger("fairway.hooks")

AT_ONCE = 4            # calls of one deployment: a hook that hangs keeps nobody else's waiting
LARGEST = 4096         # bytes of an answer that are read
SAID = 200             # characters of an answer's message that a reason repeats
LATER = (408, 425, 429)   # 4xx that say no more than "ask again"


@dataclass(frozen=True)
class Deployment:
    """Whose rollout it is."""

    namespace: str
    name: str


@dataclass
class Caller:
    """The calls that are under way. `refuses` says of a deployment and a URL why it must not be called, if it must not."""

    refuses: Callable[[Deployment, str], str | None] = lambda deployment, url: None
    _running: dict[tuple[Deployment, str], str] = field(default_factory=dict)              # (whose, the call's id) -> hook
    _answers: dict[tuple[Deployment, str], hooks.Answer] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answers(self, deployment: Deployment, calls: Iterable[hooks.Call], *, known: Iterable[schema.Hook], now: float) -> dict[str, hooks.Answer]:
        """Gives the answers that have come since, by the call's id, and starts what is due and not under way.

        An answer is given once: where the look that took it is never stored, the hook is called again.
        """
        calls, named = tuple(calls), {hook.name: hook for hook in known}
        ids, found = {call.id for call in calls}, dict[str, hooks.Answer]()
        with self._lock:
            self._answers = {key: answer for key, answer in self._answers.items() if key[0] != deployment or key[1] in ids}
            for call in hooks.due(calls, now=now):
                key, hook = (deployment, call.id), named.get(call.hook)
                if key in self._answers:
                    found[call.id] = self._answers.pop(key)
                elif hook is None:
                    found[call.id] = hooks.Answer("refused", "the strategy has no such hook any more")
                elif key not in self._running and sum(of == deployment for of, _ in self._running) < AT_ONCE:
                    self._running[key] = call.hook
                    threading.Thread(target=self._run, args=(deployment, hook, call), name=f"hook-{call.hook}", daemon=True).start()
        return found

    def _run(self, deployment: Deployment, hook: schema.Hook, call: hooks.Call) -> None:
        forbidden = self.refuses(deployment, hook.url)
        answer = hooks.Answer("away", forbidden) if forbidden is not None else post(hook, event(deployment, call, now=time.time()))
        log.info("%s/%s: hook %s (%s): %s", deployment.namespace, deployment.name, call.hook, call.at, answer.said)
        with self._lock:
            self._running.pop((deployment, call.id), None)
            self._answers[deployment, call.id] = answer


def event(deployment: Deployment, call: hooks.Call, *, now: float) -> dict[str, object]:
    """Gives the CloudEvent that a hook is sent: the same id at every try of one call."""
    return {
        "specversion": "1.0", "type": "dev.fairway.hook.v1", "id": call.id, "source": f"/fairway/{deployment.namespace}/{deployment.name}/rollout",
        "subject": call.at, "time": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {"hook": call.hook, "at": call.at, "namespace": deployment.namespace, "deployment": deployment.name, **call.data}}


def post(hook: schema.Hook, body: object) -> hooks.Answer:
    """Sends the event, and gives what the answer means: 2xx agrees, 4xx says no, and all else is no answer. Redirects are not followed."""
    place, seconds = urlsplit(hook.url), hook.timeout.total_seconds()
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    deadline = time.monotonic() + seconds
    connection = None
    try:
        connection = kind(place.hostname or "", place.port, timeout=seconds)
        path = (place.path or "/") + (f"?{place.query}" if place.query else "")
        connection.request("POST", path, body=json.dumps(body), headers={
            "content-type": "application/cloudevents+json", "accept": "application/json", "user-agent": f"fairway/{fairway.__version__}"})
        response = connection.getresponse()
        content = _read(response, deadline=deadline)
    except (OSError, http.client.HTTPException, ValueError) as error:   # ValueError: a port that is no number, a name that is none
        return hooks.Answer("away", f"it does not answer: {str(error) or type(error).__name__}")
    finally:
        if connection is not None:
            connection.close()
    said = f"it answered {response.status}{_message(content)}"
    if 200 <= response.status < 300:
        return hooks.Answer("passed", said)
    return hooks.Answer("refused" if 400 <= response.status < 500 and response.status not in LATER else "away", said)


def _read(response: http.client.HTTPResponse, *, deadline: float) -> bytes:
    """Reads the beginning of the answer, until the deadline: one that comes byte by byte must not keep us."""
    content = b""
    while len(content) < LARGEST and time.monotonic() < deadline and (chunk := response.read1(LARGEST - len(content))):
        content += chunk
    return content


def _message(content: bytes) -> str:
    """Gives what an answer says for people, in `message` of a JSON object, on one line."""
    try:
        said = json.loads(content)["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    text = " ".join(said.split()) if isinstance(said, str) else ""
    text = "".join(character for character in text if character.isprintable())
    return f": {text[:SAID]}" if text else ""
