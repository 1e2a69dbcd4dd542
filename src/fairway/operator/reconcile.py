"""One look at one ModelDeployment: read, decide, store the decision, make it true.

Level-triggered: all it needs is in the cluster, in Prometheus and at the collector, so a look may
be cut off at any point and the next one, of this operator or of another, takes it again. The
decision is stored before anything is changed, and what is stored is made true at every look until
it is.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from fairway import clocks, errors
from fairway.config import resource
from fairway.control import calls, units
from fairway.operator import posting, rolloutseries, routes, status
from fairway.operator.checks import Checks
from fairway.operator.installed import Installed
from fairway.operator.reader import Reader
from fairway.operator.target import Memory, OperatorSettings, Target, refusal
from fairway.operator.writer import RETIRE_SECONDS, Writer
from fairway.platforms.kubernetes import api, prometheus
from fairway.rollout import guards, moves, states, strategy
from fairway.rollout.seen import Command
from fairway.rollout.states import Event

log = logging.getLogger("fairway.operator")

RESTING_SECONDS = 600.0  # between looks at what rests, for what no watch told
# between looks at what waits: labels that may condemn a promoted revision, a part of the cluster
# that is missing
LATE_SECONDS = 60.0
RETRY_SECONDS = 2.0  # after something was away
CONFLICTS = 9  # more writes of a status, where others write the same object


class Reconciler:
    """Looks at ModelDeployments; one object at a time, from any thread."""

    def __init__(
        self,
        server: api.Api,
        settings: OperatorSettings,
        *,
        evidence: Callable[[str], units.Evidence],
        prometheus: prometheus.Prometheus,
        source: clocks.Source = clocks.MACHINE,
    ) -> None:
        self._api, self._source = server, source
        self._memory: dict[tuple[str, str], Memory] = {}
        self.installed = Installed(server, settings)
        self._checks = Checks(server, self.installed)
        self._reader = Reader(
            server, self.installed, checks=self._checks, evidence=evidence, prometheus=prometheus
        )
        self._writer = Writer(server, self.installed, reader=self._reader)
        self.rollouts = rolloutseries.Rollouts()

    def forget(self, namespace: str, name: str) -> None:
        """Drop what was remembered: the next look applies everything anew."""
        self._memory.pop((namespace, name), None)
        self._reader.hooks.forget(calls.DeploymentName(namespace, name))

    def changed(
        self, namespace: str, name: str, *, kind: str, object_name: str, generation: int | None
    ) -> None:
        """Take notice of one of the resource's objects: where somebody else changed or deleted it
        (None), the next look applies it again.
        """
        memory = self._memory.get((namespace, name))
        if (
            memory is not None
            and memory.applied.get((kind, object_name), ("", generation))[1] != generation
        ):
            memory.applied.pop((kind, object_name), None)

    def reconcile(self, namespace: str, name: str, *, now: float) -> float | None:
        """Take one look; return the seconds until the next, or None where the resource is gone.

        Raises Temporary where something is away.

        `now` is what the clock on the wall says, for people; what ends after a while is decided by
        what elapsed.
        """
        found = self._api.get("ModelDeployment", namespace, name)
        if found is None or found["metadata"].get("deletionTimestamp"):
            self.forget(namespace, name)
            self.rollouts.forget((namespace, name))
            return None
        self.installed.discover(self._source.monotonic())
        before = found.get("status", {})
        fresh = Memory(clocks.Elapsed(self._source), refusal=status.refusal(before))
        memory = self._memory.setdefault((namespace, name), fresh)
        try:
            spec = resource.Spec.model_validate(found["spec"])
        except ValidationError as error:  # only where the definition is of another version
            sentence = _sentence(error)
            generation = int(found["metadata"]["generation"])
            self._store(
                found, status.refused(sentence, generation=generation, before=before, now=now)
            )
            self._post(found, "Invalid", sentence, at=now)
            return RESTING_SECONDS
        try:
            delay, failed = self._look(found, spec, memory, wall=now)
        except errors.Temporary:
            raise
        except Exception as error:  # whatever it is, it is this resource's
            memory.refusal = refusal(error)
            self._stall(namespace, name, memory.refusal, now=now)
            raise
        if failed is not None:
            raise failed
        return delay

    def _look(
        self, found: api.Object, spec: resource.Spec, memory: Memory, *, wall: float
    ) -> tuple[float, errors.FairwayError | None]:
        """Read, decide, store, make true.

        Return the seconds until the next look, and what is to be told as a look that failed.
        """
        target = self._reader.target(found, spec, memory, wall=wall)
        context = self._context(target)
        if target.stopped and target.state.stable is None and target.state.candidate is None:
            self._store(found, status.build(target.state, policy=target.policy, told=context))
            return LATE_SECONDS, None  # what is missing may be installed
        command, nonce = self._command(target)
        seen = self._reader.seen(target, command)
        decided, unkept = self._keep(
            target, strategy.advance(target.state, seen, strategy=target.policy)
        )
        after = target.after(decided.state)
        context = replace(
            context,
            first=after.first,
            last_command=nonce or context.last_command,
            reply=status.reply(decided.reply) if decided.reply is not None else context.reply,
            edited=after.edited,
            standing=self._reader.standing(after),
        )
        self._store(found, status.build(after.state, policy=after.policy, told=context))
        self.rollouts.told(
            target.key,
            context,
            before=target.state,
            after=after.state,
            seen=seen,
            policy=after.policy,
        )
        failed = self._writer.make_true(after) or unkept
        self._tell(found, decided.events)
        self._take_notice(after, context, failed)
        return self._next(after, context, failed)

    # -- before the decision ----------------------------------------------------------------------------------------

    def _context(self, target: Target) -> status.Context:
        """Return what the status says besides the rollout's state.

        What a person should know at once is told by events.
        """
        if target.problem is not None:
            self._post(target.found, "Invalid", target.problem, at=target.wall)
        clash = self._checks.clash(target.owner) if target.spec.routing == "gateway" else None
        if clash is not None:
            self._post(target.found, "Stalled", clash, at=target.wall)
        return status.Context(
            generation=target.generation,
            desired=target.desired.name,
            revisions=target.known,
            healths=target.healths,
            before=target.before,
            now=target.wall,
            last_command=target.before.get("lastCommand"),
            reply=target.before.get("reply"),
            first=target.first,
            paused=target.spec.paused,
            problem=target.problem,
            refusal=target.memory.refusal,
            clash=(routes.OVERLAPS, clash) if clash is not None else None,
        )

    def _command(self, target: Target) -> tuple[Command | None, str | None]:
        """Return the command that is asked for, once; whoever wrote a wrong one is told, and the
        rollout goes on."""
        try:
            return command(target.found, target.before)
        except errors.ConfigError as error:
            self._post(target.found, "Invalid", str(error), at=target.wall)
            return None, None

    def _keep(
        self, target: Target, decided: moves.Advance
    ) -> tuple[moves.Advance, errors.FairwayError | None]:
        """Keep a revision that begins before the status names it.

        Return the decision, and why the revision could not be kept.
        """
        desired, wanted = target.desired, states.wanted(decided.state)
        if desired.name not in wanted or desired.name in target.kept:
            return decided, None
        try:
            self._writer.keep(target, desired)
        except errors.PlatformError as error:  # nothing begins that cannot be kept
            return (
                decided if desired.name in target.wanted else moves.Advance(target.state)
            ), error
        return decided, None

    # -- after the decision -----------------------------------------------------------------------------------------

    def _take_notice(
        self, target: Target, context: status.Context, failed: errors.FairwayError | None
    ) -> None:
        """Have the status say what kept the decision from being made true, where that is news."""
        refused = target.memory.refuse(failed)
        if refused == context.refusal:
            return
        told = replace(context, refusal=refused)
        self._store(target.found, status.build(target.state, policy=target.policy, told=told))
        if refused is not None:
            self._post(target.found, "Stalled", refused[1], at=target.wall)

    def _next(
        self, target: Target, context: status.Context, failed: errors.FairwayError | None
    ) -> tuple[float, errors.FairwayError | None]:
        """Return the seconds until the next look, and what is to be told as a look that failed."""
        delay = self._delay(target)
        if not context.standing.holds and target.rests:  # or the watch tells first
            soon = target.now - target.state.since < LATE_SECONDS
            delay = min(delay, RETRY_SECONDS if soon else LATE_SECONDS)
        if failed is None or target.rests or isinstance(failed, errors.Temporary):
            return delay, failed
        log.error("%s/%s: %s", *target.key, failed)
        return delay, None  # looked at as often as ever: a refusal keeps no harm from being seen

    def _delay(self, target: Target) -> float:
        """Return the seconds until there is something to see: the next scrape, the end of what
        leaves, late labels, or nothing.
        """
        if not target.rests or target.state.calls:
            return self.installed.settings.interval_seconds
        if target.now - target.state.since <= RETIRE_SECONDS:
            return RETIRE_SECONDS / 4
        if target.state.previous is not None and any(
            case.by_answer for case in guards.cases(target.policy)
        ):
            return LATE_SECONDS
        target.memory.distrust()
        return RESTING_SECONDS

    # -- status and events ------------------------------------------------------------------------------------------

    def _stall(self, namespace: str, name: str, refused: tuple[str, str], *, now: float) -> None:
        """Tell by a condition and an event why a look could not be finished."""
        found = self._api.get("ModelDeployment", namespace, name)
        if found is None:
            return
        self._post(found, "Stalled", refused[1], at=now)
        generation, before = int(found["metadata"]["generation"]), found.get("status", {})
        self._store(found, status.stalled(refused, generation=generation, before=before, now=now))

    def _store(self, found: api.Object, new: status.Json) -> None:
        """Write the status over the one that was read.

        Raises Conflict where the spec or the status was written in between.

        Whatever else was written (annotations, labels, managed fields) is no reason to decide anew:
        whoever writes those often would stop a rollout.
        """
        if new == found.get("status"):
            return
        metadata = found["metadata"]
        for left in range(CONFLICTS, -1, -1):
            try:
                stored = self._api.replace_status({**found, "status": new})
            except api.Conflict:
                newest = self._api.get("ModelDeployment", metadata["namespace"], metadata["name"])
                if not left or newest is None or _decided_on(newest) != _decided_on(found):
                    raise
                metadata["resourceVersion"] = newest["metadata"]["resourceVersion"]
                new = status.carried(new, newest)
                continue
            metadata["resourceVersion"] = stored["metadata"]["resourceVersion"]
            found["status"] = stored.get("status", new)
            return

    def _tell(self, found: api.Object, happened: tuple[Event, ...]) -> None:
        """Log and post what happened."""
        metadata = found["metadata"]
        for event in happened:
            log.info(
                "%s/%s %s: %s", metadata["namespace"], metadata["name"], event.type, event.message
            )
            self._post(
                found,
                event.type,
                event.message,
                at=event.at,
                warning=event.type in posting.WARNINGS,
            )

    def _post(
        self, found: api.Object, type: str, message: str, *, at: float, warning: bool = True
    ) -> None:
        posting.post(self._api, found, at=at, type=type, message=message, warning=warning)


def command(found: api.Object, before: Mapping[str, Any]) -> tuple[Command | None, str | None]:
    """Return the command that the annotation asks for and its nonce, once.

    Raises ConfigError for an annotation that is none.
    """
    text = found["metadata"].get("annotations", {}).get(resource.COMMAND)
    if not text:
        return None, None
    try:
        asked = json.loads(text)
        if not isinstance(asked["id"], str) or not isinstance(asked["verb"], str):
            raise TypeError("wanted text")
        nonce = asked["id"][:64]
        if nonce == before.get("lastCommand"):
            return None, None
        who, why = str(asked.get("by", "somebody"))[:253], str(asked.get("why", ""))[:512]
        return Command(verb=asked["verb"], who=who, why=why, force=bool(asked.get("force"))), nonce
    # RecursionError: a thousand brackets
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise errors.ConfigError(
            f"annotation {resource.COMMAND} is {text[:200]!r}: wanted what `fairway rollout` writes, JSON with verb "
            "and id"
        ) from error


def _decided_on(found: api.Object) -> tuple[Any, ...]:
    """Return what a decision was made on: what the monitor writes is none of it."""
    return found["metadata"]["uid"], found["metadata"]["generation"], status.own(found)


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"spec.{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}"
