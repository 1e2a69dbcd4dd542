"""The local platform as the Platform port has it: rollouts by the state store of one home
directory."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from fairway import errors
from fairway.config import sections
from fairway.control.ports import Answered, Asked, Deployed, End, Ended, InService, Json, Tell
from fairway.packaging import lineage
from fairway.platforms.local import client, origins, state
from fairway.platforms.local.home import Home
from fairway.rollout import states
from fairway.rollout.seen import Command
from fairway.rollout.states import Phase

ANSWER_SECONDS, POLL_SECONDS = 15.0, 0.1


class LocalPlatform:
    """The deployments of one home directory."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def deploy(
        self,
        config: sections.Config,
        *,
        package: Path,
        uri: str | None = None,
        note: str = "",
        origin: lineage.Provenance = lineage.UNKNOWN,
    ) -> Asked:
        """Write down what is asked for; the platform need not run yet."""
        if uri is not None:
            raise errors.UsageError(
                "--uri says where a cluster finds the package: add --on kubernetes, or leave it out"
            )
        made, changed = client.deploy(
            self._home, package, config=config, note=note, origin=origin, now=time.time()
        )
        refusal = self._refusal(config.name, made.revision)
        lines = [
            f"revision {made.revision} of {config.name} {'is' if changed else 'was'} asked "
            f"for{'' if changed else ' already'}"
        ]
        if client.running(self._home) is None and refusal is None:
            lines.append("no platform runs: start it with `fairway up`, and the rollout begins")
        return Asked(
            identity=made.revision,
            revision=made.revision,
            record={"revision": made.revision, "changed": changed, "rejected": refusal is not None},
            lines=tuple(lines),
            refusal=refusal,
        )

    def read(self, name: str) -> Deployed:
        return _listed(self._found(name))

    def every(self, *, everywhere: bool = False) -> list[Deployed]:
        if everywhere:
            raise errors.UsageError(
                "--all-namespaces is about a cluster: add --on kubernetes, or set platform.kind to kubernetes"
            )
        with self._store() as store:
            return [_listed(deployment) for deployment in store.deployments()]

    def in_service(self, name: str, *, store: str | None) -> InService | None:
        if not self._home.state.exists():
            return None
        with self._store() as kept:
            serves = kept.serving(name)
        if serves is None:
            return None
        return InService(address=f"file://{Path(serves.package).absolute()}", digest=serves.digest)

    def lineage(self, name: str, *, revision: str | None = None) -> tuple[Json, ...]:
        found = self._found(name)
        with self._store() as store:
            revisions = store.revisions(name)
        wanted = revision or found.state.stable or found.desired
        asked = [one for one in revisions if one.revision == wanted]
        if not asked:
            there = ", ".join(one.revision for one in revisions)
            raise errors.UsageError(f"{name} has no revision {wanted}: wanted one of {there}")
        known = origins.remembered(revisions)
        return origins.ancestry(self._home, asked[0].digest, known=known)

    def follow(
        self,
        name: str,
        *,
        revision: str | None = None,
        timeout_seconds: float | None = None,
        tell: Tell | None = None,
    ) -> Ended:
        asked = revision or self._found(name).desired
        client.need(self._home)
        ended = client.follow(
            self._home,
            name,
            revision=asked,
            timeout_seconds=timeout_seconds,
            tell=_lines(tell) if tell else None,
        )
        current = ended.state
        record = {**_record(ended), "revision": asked}
        if asked in current.rejected:
            return Ended(
                end=End.ROLLED_BACK,
                sentence=f"revision {asked} was rolled back: {current.reason}",
                record=record,
            )
        end = End.PAUSED if current.phase is Phase.PAUSED else End.SERVES
        return Ended(end=end, sentence=current.reason, record=record)

    def command(self, name: str, command: Command) -> Answered:
        fault = self._found(name).fault
        if fault is not None:
            raise errors.PlatformError(fault)
        client.need(self._home)
        with self._store() as store:
            number = store.ask(name, command, now=time.time())
            deadline = time.monotonic() + ANSWER_SECONDS
            while (reply := store.reply(number)) is None:
                if time.monotonic() > deadline:
                    raise errors.Unavailable(
                        f"the supervisor did not take the command within {ANSWER_SECONDS:.0f} s: "
                        f"see {self._home.logs / 'supervisor.log'}"
                    )
                time.sleep(POLL_SECONDS)
            after = store.deployment(name)
        return Answered(reply=reply, phase=after.state.phase if after is not None else None)

    def _store(self) -> contextlib.closing[state.Store]:
        return contextlib.closing(state.Store(self._home.state))

    def _found(self, name: str) -> state.Deployment:
        return client.deployment(self._home, name)

    def _refusal(self, name: str, revision: str) -> str | None:
        """Return why asking for the revision begins no rollout: it was rolled back before."""
        if revision not in self._found(name).state.rejected:
            return None
        return (
            f"revision {revision} was rolled back before, and no rollout begins: "
            "`fairway rollout explain` says why, `fairway rollout retry` lets it be tried again"
        )


def _deployed(deployment: state.Deployment) -> Deployed:
    return Deployed(
        record=_record(deployment),
        state=deployment.state,
        policy=deployment.policy,
        details={"history": [dict(row) for row in deployment.state.history]},
    )


def _listed(deployment: state.Deployment) -> Deployed:
    """Return the deployment, or of one that cannot be read its record and why."""
    if deployment.fault is None:
        return _deployed(deployment)
    record = _record(deployment)
    return Deployed(
        record=record, state=None, policy=sections.Strategy(), unreadable=deployment.fault
    )


def _record(deployment: state.Deployment) -> Json:
    current = deployment.state
    weight, mirror = deployment.weights
    return {
        "deployment": deployment.name,
        "phase": str(current.phase),
        "stable": current.stable,
        "candidate": current.candidate,
        "weight": weight,
        "mirror": mirror,
        "verdict": str(current.verdict.action) if current.verdict else None,
        "reason": current.reason,
        "rejected": list(current.rejected),
    }


def _lines(tell: Tell) -> Callable[[states.Event], None]:
    """Return what tells each event as a line."""

    def told(event: states.Event) -> None:
        tell(
            f"{time.strftime('%H:%M:%S', time.localtime(event.at))}  {event.type:<13} {event.message}"
        )

    return told
