"""`fairway rollout`: follow, explain and steer."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairway import errors
from fairway.cli import cluster, options

if TYPE_CHECKING:
    from fairway.config import schema

ANSWER_SECONDS = 15.0


@click.group()
def rollout() -> None:
    """Follow, explain, pause, resume, promote or abort a rollout."""


@rollout.command()
@options.cluster
@options.config
@options.home
@options.output
def status(where: options.Where, path: Path, overrides: tuple[str, ...], root: Path, form: str) -> None:
    """Show phase, weight, verdict and reason."""
    config = options.load(path, overrides)
    if where.kubernetes(config):
        cluster.status(where, config, form=form)
        return
    deployment = _deployment(root, config)
    options.show(_record(deployment), form=form)


@rollout.command()
@click.option("--timeout", default=None, metavar="DURATION", help="Give up after this long, such as 10m.")
@options.cluster
@options.config
@options.home
@options.output
def watch(timeout: str | None, where: options.Where, path: Path, overrides: tuple[str, ...], root: Path, form: str) -> None:
    """Follow the rollout until it has ended; exit 3 where it is rolled back."""
    config = options.load(path, overrides)
    if where.kubernetes(config):
        cluster.watch(where, config, timeout=timeout, form=form)
        return
    from fairway.cli import platform

    deployment = _deployment(root, config)
    platform._wait(options.open_home(root), deployment.name, deployment.desired, timeout=timeout, form=form)


@rollout.command()
@options.cluster
@options.config
@options.home
@options.output
def explain(where: options.Where, path: Path, overrides: tuple[str, ...], root: Path, form: str) -> None:
    """Show the evidence behind the last verdict, guard by guard, and what it guarantees."""
    config = options.load(path, overrides)
    if where.kubernetes(config):
        cluster.explain(where, config, form=form)
        return
    from fairway.rollout import judge

    deployment = _deployment(root, config)
    current, policy = deployment.state, _strategy(deployment)
    verdict = current.verdict
    evidence = judge.describe(current.ledger, strategy=policy) if current.ledger else (verdict.evidence if verdict else {})
    record = {**_record(deployment), "evidence": evidence, "guarantee": judge.guarantee(policy), "history": [dict(row) for row in current.history]}
    rows = [{"guard": name, "candidate": f"{row['candidate']['bad']} of {row['candidate']['n']}", "stable": f"{row['stable']['bad']} of {row['stable']['n']}",
             "harm (ln e)": row["logE"], "certificate (ln e)": row["logCertificate"]} for name, row in evidence.items() if "candidate" in row]
    needed = evidence.get("combined", {})
    text = "\n".join(filter(None, [f"{current.phase}: {current.reason}", options.table(rows),
                                   f"all guards together: ln e = {needed.get('logE')} of {needed.get('needed')} needed to roll back" if needed else None,
                                   judge.guarantee(policy)]))
    options.show(record, form=form, text=text)


def _steer(verb: str, line: str, *, force: bool = False) -> click.Command:
    @click.command(verb, help=line)
    @click.option("--reason", default="", help="Why, for the history.")
    @options.cluster
    @options.config
    @options.home
    @options.output
    def command(reason: str, where: options.Where, path: Path, overrides: tuple[str, ...], root: Path, form: str, forced: bool = False) -> None:
        if forced and not reason:
            raise errors.UsageError("--force promotes without a certificate: say why with --reason")
        config = options.load(path, overrides)
        if where.kubernetes(config):
            cluster.steer(where, config, verb=verb, why=reason, force=forced, form=form)
        else:
            _ask(verb, reason=reason, force=forced, config=config, root=root, form=form)

    return click.option("--force", "forced", is_flag=True, help="Promote without the judge's certificate; needs --reason.")(command) if force else command


rollout.add_command(_steer("pause", "Hold everything as it is; a harm still rolls back."))
rollout.add_command(_steer("resume", "Go on after a pause."))
rollout.add_command(_steer("promote", "Promote now, without waiting for the certificate (--force).", force=True))
rollout.add_command(_steer("abort", "Take the candidate out and reject its revision."))
rollout.add_command(_steer("retry", "Let the rejected revision be tried again."))


def _ask(verb: str, *, reason: str, force: bool, config: "schema.Config", root: Path, form: str) -> None:
    """Writes the command down, and waits until the supervisor has obeyed or refused it."""
    from fairway.platforms.local import client, state
    from fairway.rollout.seen import Command

    deployment = _deployment(root, config)
    home = options.open_home(root)
    client.need(home)
    store = state.Store(home.state)
    number = store.ask(deployment.name, Command(verb, options.user(), reason, force), now=time.time())
    deadline = time.monotonic() + ANSWER_SECONDS
    while (answer := store.answer(number)) is None:
        if time.monotonic() > deadline:
            raise errors.Unavailable(f"the supervisor did not take the command within {ANSWER_SECONDS:.0f} s: see {home.logs / 'supervisor.log'}")
        time.sleep(0.1)
    store.close()
    options.show({"deployment": deployment.name, "verb": verb, "answer": answer}, form=form, text=answer)
    if "changes nothing" in answer:
        raise errors.UsageError(f"{verb} had no effect: {answer}")


def _deployment(root: Path, config: "schema.Config") -> Any:
    from fairway.platforms.local import state

    name = config.name
    home = options.open_home(root)
    store = state.Store(home.state)
    deployment = store.deployment(name)
    store.close()
    if deployment is None:
        raise errors.UsageError(f"there is no deployment {name!r} in {home.root}: `fairway deploy PACKAGE` makes one")
    return deployment


def _strategy(deployment: Any) -> Any:
    from fairway.config import schema

    return schema.Strategy.model_validate(deployment.config["strategy"])


def _record(deployment: Any) -> dict[str, Any]:
    from fairway.rollout import strategy

    current = deployment.state
    weight, mirror = strategy.split(current, strategy=_strategy(deployment))
    return {"deployment": deployment.name, "phase": str(current.phase), "stable": current.stable, "candidate": current.candidate, "weight": weight,
            "mirror": mirror, "verdict": str(current.verdict.action) if current.verdict else None, "reason": current.reason,
            "rejected": list(current.rejected)}
