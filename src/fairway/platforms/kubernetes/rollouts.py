"""A cluster as the Platform port has it: rollouts by what the status of each ModelDeployment says,
as the local platform's verbs say it.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairway import errors
from fairway.config import resource, sections
from fairway.control.ports import Answered, Asked, Deployed, End, Ended, InService, Json, Tell
from fairway.packaging import lineage, manifest, publish
from fairway.platforms.kubernetes import annotations, api, checkpoint, client, deployment
from fairway.rollout.seen import Command
from fairway.rollout.states import Phase, Reply, State

APPROXIMATE = (
    "approximately: the counts come from queries of your own (spec.counts), "
    "which do not read both arms at one instant"
)
REASON_SECONDS = 30.0  # between two lines of which only the reason differs
# reasons of Stalled; the latter two of earlier operators
REJECTED = (Phase.ROLLED_BACK, Phase.STABLE, Phase.PENDING)
ROWS = ("guards", "conditions", "history")  # of a status, that programs are shown as they are


class ClusterPlatform:
    """The ModelDeployments of one namespace."""

    def __init__(self, connect: Callable[[], api.Api], *, namespace: str) -> None:
        self._connect, self._namespace = connect, namespace

    @functools.cached_property
    def _server(self) -> api.Api:
        return self._connect()  # only once what is asked for makes sense

    def deploy(
        self,
        config: sections.Config,
        *,
        package: Path,
        uri: str | None = None,
        note: str = "",
        origin: lineage.Provenance = lineage.UNKNOWN,
    ) -> Asked:
        made = manifest.load(package)
        config.serving.events.need(feature.name for feature in made.features)
        digest = made.digest
        spec = deployment.spec(
            config, uri=deployment.place(config, digest=digest, uri=uri), digest=digest
        )
        asked = deployment.manifest(config.name, self._namespace, spec)
        own = lineage.of(made, came=origin)
        noted = {client.NOTE: note} if note else {}
        found, changed = client.deploy(
            self._server,
            asked,
            annotated=lambda before: annotations.of(own, before=before) | noted,
        )
        how = "is asked for" if changed else "was asked for already"
        return Asked(
            identity=digest,
            revision=None,
            record={
                "deployment": config.name,
                "namespace": self._namespace,
                "digest": digest,
                "generation": found["metadata"]["generation"],
                "changed": changed,
            },
            lines=(
                f"{digest} {how} by ModelDeployment {self._namespace}/{config.name}",
                *(f"mind: {sentence}" for sentence in deployment.unheeded(config)),
            ),
            refusal=None if changed else _refusal(found),
        )

    def read(self, name: str) -> Deployed:
        found = client.read(self._server, self._namespace, name)
        details = {key: found.get("status", {}).get(key, []) for key in ROWS}
        return dataclasses.replace(
            _listed(found),
            details=details,
            tables=(
                [_condition(row) for row in details["conditions"]],
                [_verdict(row) for row in details["history"]],
            ),
        )

    def every(self, *, everywhere: bool = False) -> list[Deployed]:
        found = client.every(self._server, None if everywhere else self._namespace)
        return [_listed(one) for one in sorted(found, key=_place)]

    def in_service(self, name: str, *, store: str | None) -> InService | None:
        try:
            found = self._server.get(resource.KIND, self._namespace, name)
        except api.NotFound:
            return None  # the cluster does not know the kind, or has no such namespace
        digest = (found or {}).get("status", {}).get("stable", {}).get("digest")
        if found is None or digest is None:
            return None
        model = found["spec"]["model"]
        if model["digest"] == digest:
            return InService(address=model["uri"], digest=digest)
        if store is None:
            raise errors.UsageError(
                f"{name} serves {digest}, which its spec does not name any more: wanted platform.store, where it lies "
                "under its digest"
            )
        return InService(address=publish.address(store, digest=digest), digest=digest)

    def lineage(self, name: str, *, revision: str | None = None) -> tuple[Json, ...]:
        found = client.read(self._server, self._namespace, name)
        return annotations.ancestry(found, revision=revision)

    def follow(
        self,
        name: str,
        *,
        revision: str | None = None,
        timeout_seconds: float | None = None,
        tell: Tell | None = None,
    ) -> Ended:
        line = teller(tell) if tell is not None else None
        for found in client.watch(
            self._server,
            self._namespace,
            name,
            until=client.settled,
            timeout_seconds=timeout_seconds,
        ):
            if line is not None:
                line(found)
        return ended(found)

    def command(self, name: str, command: Command) -> Answered:
        told = client.command(
            self._server,
            self._namespace,
            name,
            command.verb,
            who=command.who,
            why=command.why,
            force=command.force,
        )
        reply = told["reply"]
        return Answered(
            reply=Reply(obeyed=reply["obeyed"], sentence=reply["sentence"]), phase=told.get("phase")
        )


def record(found: api.Object) -> Json:
    """Return what the status says, under the names that the local platform uses."""
    told = found.get("status", {})
    arms = {name: told.get(name, {}).get("revision") for name in ("stable", "candidate")}
    return {
        "deployment": found["metadata"]["name"],
        "namespace": found["metadata"]["namespace"],
        "phase": told.get("phase"),
        **arms,
        "weight": told.get("weight", 0),
        "mirror": told.get("mirror", 0),
        "verdict": told.get("verdict"),
        "reason": told.get("reason", "no operator has looked at it yet"),
        "rejected": told.get("rejected", []),
    }


def ended(found: api.Object) -> Ended:
    """Return how a rollout that has settled came to its end."""
    shown = record(found)
    if client.holds(found, "Ready"):
        return Ended(end=End.SERVES, sentence=shown["reason"], record=shown)
    if not client.holds(found, "Accepted"):
        sentence = f"the ModelDeployment cannot be followed: {shown['reason']}"
        return Ended(end=End.IMPOSSIBLE, sentence=sentence, record=shown)
    if found["spec"].get("paused"):
        return Ended(end=End.PAUSED, sentence="spec.paused is set", record=shown)
    why = client.reason(found, "Stalled")
    if why == Phase.PAUSED:
        return Ended(end=End.PAUSED, sentence=shown["reason"], record=shown)
    if why in REJECTED:
        sentence = f"what is asked for was rolled back: {shown['reason']}"
        return Ended(end=End.ROLLED_BACK, sentence=sentence, record=shown)
    sentence = f"the rollout cannot go on ({why}): {shown['reason']}"
    return Ended(end=End.IMPOSSIBLE, sentence=sentence, record=shown)


def teller(
    tell: Tell, *, clock: Callable[[], float] = time.monotonic
) -> Callable[[api.Object], None]:
    """Return what tells one line for each change of phase, candidate, weight, verdict or condition.

    A reason that alone has changed is told after a while: it may only count on.
    """
    last: tuple[Any, ...] = ()
    told, since = "", 0.0

    def look(found: api.Object) -> None:
        nonlocal last, told, since
        shown, now = record(found), clock()
        conditions = found.get("status", {}).get("conditions", ())
        news = (
            *(shown[key] for key in ("phase", "candidate", "weight", "verdict")),
            *(
                (condition["type"], condition["status"], condition.get("reason"))
                for condition in conditions
            ),
        )
        if news == last and (shown["reason"] == told or now - since < REASON_SECONDS):
            return
        last, told, since = news, shown["reason"], now
        tell(_line(shown))

    return look


def _line(shown: Json) -> str:
    stands = f"{shown['phase'] or '-':<11} {shown['weight']:>3} %  {shown['verdict'] or '-':<12} {shown['reason']}"
    return f"{time.strftime('%H:%M:%S')}  {stands}"


def _refusal(found: api.Object) -> str | None:
    """Return why asking again for the same begins no rollout: it was rolled back, and nothing has
    changed since."""
    if not client.settled(found) or ended(found).end is not End.ROLLED_BACK:
        return None
    return f"{ended(found).sentence}; no rollout begins: `fairway rollout retry` lets it be tried again"


def _resumed(found: api.Object) -> tuple[State, sections.Strategy]:
    """Return where its rollout stands, and the strategy in force."""
    try:
        spec = resource.Spec.model_validate(found["spec"])
        state, policy, _ = checkpoint.read(found.get("status", {}), policy=resource.policy(spec))
    # also what pydantic and JSON say
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise errors.PlatformError(
            "the ModelDeployment was written by another version of fairway, which knows what this one does not: use "
            "that one"
        ) from error
    return state, policy


def _listed(found: api.Object) -> Deployed:
    """Return the deployment, or of one that cannot be read its record and why."""
    approximate = APPROXIMATE if "counts" in found["spec"] else ""
    try:
        state, policy = _resumed(found)
    except errors.PlatformError as error:
        return Deployed(
            record=record(found),
            state=None,
            policy=sections.Strategy(),
            approximate=approximate,
            unreadable=str(error),
        )
    return Deployed(record=record(found), state=state, policy=policy, approximate=approximate)


def _place(found: api.Object) -> tuple[str, str]:
    return found["metadata"]["namespace"], found["metadata"]["name"]


def _condition(row: Json) -> Json:
    return {
        "condition": row["type"],
        "status": row["status"],
        "since": row["lastTransitionTime"],
        "why": row["reason"],
    }


def _verdict(row: Json) -> Json:
    return {
        "at": row["at"],
        **{key: row.get(key) for key in ("revision", "phase", "action", "reason")},
    }
