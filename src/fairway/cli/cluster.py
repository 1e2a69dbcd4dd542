"""The verbs of deploying and rolling out, where a cluster is meant: what its ModelDeployment says, as the local verbs say it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairway import errors
from fairway.cli import evidence, options

if TYPE_CHECKING:
    from fairway.config import resource, sections
    from fairway.rollout.states import State

Object = dict[str, Any]
APPROXIMATE = (
    "approximately: the counts come from queries of your own (spec.counts), which do not read both arms at one instant"
)
REASON_SECONDS = 30.0  # between two lines of which only the reason differs


def deploy(
    where: options.Where,
    config: "sections.Config",
    *,
    package: Path,
    uri: str | None,
    wait: bool,
    seconds: float | None,
    note: str,
    form: str,
) -> None:
    """Apply the ModelDeployment that asks for the package, and follows it where that is wanted."""
    from fairway.packaging import manifest
    from fairway.platforms.kubernetes import api, client, deployment

    namespace = where.namespace or config.namespace
    digest = manifest.load(package).digest
    asked = deployment.manifest(
        config.name,
        namespace,
        deployment.spec(config, uri=deployment.place(config, digest=digest, uri=uri), digest=digest),
    )
    asked["metadata"] |= {"annotations": {client.NOTE: note}} if note else {}
    server = api.connect(where.context)
    found, changed = client.deploy(server, asked)
    if form == "text":
        click.echo(
            f"{digest} "
            + ("is asked for" if changed else "was asked for already")
            + f" by ModelDeployment {namespace}/{config.name}"
        )
    if wait:
        _follow(server, found, seconds=seconds, form=form)
    elif form == "json":
        options.show(
            {
                "deployment": config.name,
                "namespace": namespace,
                "digest": digest,
                "generation": found["metadata"]["generation"],
                "changed": changed,
            },
            form=form,
        )


def status(where: options.Where, config: "sections.Config", *, form: str) -> None:
    _, found = _read(where, config)
    options.show(record(found), form=form)


def watch(where: options.Where, config: "sections.Config", *, seconds: float | None, form: str) -> None:
    server, found = _read(where, config)
    _follow(server, found, seconds=seconds, form=form)


def list_(where: options.Where, config: "sections.Config", *, everywhere: bool, rate: float, form: str) -> None:
    from fairway.platforms.kubernetes import api, client

    found = client.every(api.connect(where.context), None if everywhere else where.namespace or config.namespace)
    found.sort(key=lambda one: (one["metadata"]["namespace"], one["metadata"]["name"]))
    own = any("counts" in one["spec"] for one in found)
    listed, text = evidence.listed([_harm(one) for one in found], rate=rate, approximate=APPROXIMATE if own else "")
    options.show(listed, form=form, text=text)


def explain(where: options.Where, config: "sections.Config", *, form: str) -> None:
    _, found = _read(where, config)
    told = found.get("status", {})
    spec, state, policy = _resumed(found)
    evidenced, text = evidence.explained(state, policy, approximate=APPROXIMATE if spec.counts is not None else "")
    shown = record(found)
    known = {name: told.get(name, []) for name in ("guards", "conditions", "history")}
    options.show(
        {**shown, **evidenced, **known},
        form=form,
        text="\n".join(
            filter(
                None,
                [
                    f"{shown['phase']}: {shown['reason']}",
                    text,
                    options.table(
                        [
                            {
                                "condition": row["type"],
                                "status": row["status"],
                                "since": row["lastTransitionTime"],
                                "why": row["reason"],
                            }
                            for row in known["conditions"]
                        ]
                    ),
                    options.table(
                        [
                            {
                                "at": row["at"],
                                **{key: row.get(key) for key in ("revision", "phase", "action", "reason")},
                            }
                            for row in known["history"]
                        ]
                    ),
                ],
            )
        ),
    )


def steer(where: options.Where, config: "sections.Config", *, verb: str, why: str, force: bool, form: str) -> None:
    """Ask the operator, and says what it did."""
    from fairway.platforms.kubernetes import api, client

    told = client.command(
        api.connect(where.context),
        where.namespace or config.namespace,
        config.name,
        verb,
        who=options.user(),
        why=why,
        force=force,
    )
    obeyed, sentence = told["reply"]["obeyed"], told["reply"]["sentence"]
    answer = {"deployment": config.name, "verb": verb, "phase": told.get("phase"), "obeyed": obeyed, "answer": sentence}
    options.show(answer, form=form, text=sentence)
    if not obeyed:
        raise errors.UsageError(f"{verb} had no effect: {sentence}")


def record(found: Object) -> Object:
    """Return what the status says, under the names that the local platform's verbs use."""
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


def verdict(found: Object) -> None:
    """End as a rollout that has settled asks for: quietly where it serves, else with a sentence."""
    from fairway.platforms.kubernetes import client

    shown = record(found)
    if client.holds(found, "Ready"):
        return
    if not client.holds(found, "Accepted"):
        raise errors.PlatformError(f"the ModelDeployment cannot be followed: {shown['reason']}")
    if shown["phase"] == "Paused" or found["spec"].get("paused"):
        click.echo(f"paused: {shown['reason'] if shown['phase'] == 'Paused' else 'spec.paused is set'}", err=True)
        return
    raise errors.Refused(f"what is asked for was rolled back: {shown['reason']}")


def teller(tell: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> Callable[[Object], None]:
    """Return what tells one line for each change of phase, candidate, weight, verdict or condition.

    A reason that alone has changed is told after a while: it may only count on.
    """
    last: tuple[Any, ...] = ()
    told, since = "", 0.0

    def look(found: Object) -> None:
        nonlocal last, told, since
        shown, now = record(found), clock()
        conditions = found.get("status", {}).get("conditions", ())
        news = (
            *(shown[key] for key in ("phase", "candidate", "weight", "verdict")),
            *((condition["type"], condition["status"], condition.get("reason")) for condition in conditions),
        )
        if news == last and (shown["reason"] == told or now - since < REASON_SECONDS):
            return
        last, told, since = news, shown["reason"], now
        tell(f"{shown['phase'] or '-':<11} {shown['weight']:>3} %  {shown['verdict'] or '-':<12} {shown['reason']}")

    return look


def _resumed(found: Object) -> tuple["resource.Spec", "State", "sections.Strategy"]:
    """Return what the ModelDeployment asks for, where its rollout stands, and the strategy in force."""
    from fairway.config import resource
    from fairway.operator import status

    try:
        spec = resource.Spec.model_validate(found["spec"])
        state, policy, _ = status.resume(found.get("status", {}), policy=resource.policy(spec))
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # also what pydantic and JSON say
        raise errors.PlatformError(
            "the ModelDeployment was written by another version of fairway, which knows what this one does not: use that one"
        ) from error
    return spec, state, policy


def _harm(found: Object) -> Object:
    """Return the record with `harm`; of one that cannot be read, the sentence that says so instead of its reason."""
    try:
        return {**record(found), "harm": evidence.harm(_resumed(found)[1])}
    except errors.PlatformError as error:
        return {**record(found), "harm": None, "reason": str(error)}


def _follow(server: Any, found: Object, *, seconds: float | None, form: str) -> None:
    from fairway.platforms.kubernetes import client

    name, namespace, tell = found["metadata"]["name"], found["metadata"]["namespace"], teller(_timed)
    for found in client.watch(server, namespace, name, until=client.settled, timeout_seconds=seconds):
        if form == "text":
            tell(found)
    if form == "json":
        options.show(record(found), form=form)
    verdict(found)


def _timed(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')}  {line}")


def _read(where: options.Where, config: "sections.Config") -> tuple[Any, Object]:
    from fairway.platforms.kubernetes import api, client

    server = api.connect(where.context)
    return server, client.read(server, where.namespace or config.namespace, config.name)
