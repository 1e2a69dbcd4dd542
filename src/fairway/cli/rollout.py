"""`fairway rollout`: follow, explain and steer."""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairway import errors
from fairway.cli import cluster, evidence, options

if TYPE_CHECKING:
    from fairway.config import sections
    from fairway.rollout import plan as plans

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


@rollout.command("list")
@click.option(
    "--false-discovery-rate",
    "rate",
    type=click.FloatRange(min=0, min_open=True, max=1, max_open=True),
    default=0.1,
    show_default=True,
    help="Share of the revisions called harmful that may be expected to be no worse than stable. A rollback has its own rate, falseRollback.",
)
@click.option("--all-namespaces", "-A", "everywhere", is_flag=True, help="On a cluster: of every namespace.")
@options.cluster
@options.config
@options.home
@options.output
def list_(
    rate: float, everywhere: bool, where: options.Where, path: Path, overrides: tuple[str, ...], root: Path, form: str
) -> None:
    """Show every deployment's rollout, and which revisions do harm."""
    config = options.load(path, overrides)
    if where.kubernetes(config):
        cluster.list_(where, config, everywhere=everywhere, rate=rate, form=form)
        return
    if everywhere:
        raise errors.UsageError(
            "--all-namespaces is about a cluster: add --on kubernetes, or set platform.kind to kubernetes"
        )
    rows = [{**_record(deployment), "harm": evidence.harm(deployment.state)} for deployment in _deployments(root)]
    record, text = evidence.listed(rows, rate=rate)
    options.show(record, form=form, text=text)


@rollout.command()
@click.option("--timeout", default=None, metavar="DURATION", help="Give up after this long, such as 10m.")
@options.cluster
@options.config
@options.home
@options.output
def watch(
    timeout: str | None, where: options.Where, path: Path, overrides: tuple[str, ...], root: Path, form: str
) -> None:
    """Follow the rollout until it has ended; exit 3 where it is rolled back."""
    config, seconds = options.load(path, overrides), options.seconds(timeout)
    if where.kubernetes(config):
        cluster.watch(where, config, seconds=seconds, form=form)
        return
    from fairway.cli import platform

    deployment = _deployment(root, config)
    platform._wait(options.open_home(root), deployment.name, deployment.desired, seconds=seconds, form=form)


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
    deployment = _deployment(root, config)
    current = deployment.state
    record, text = evidence.explained(current, deployment.policy)
    options.show(
        {**_record(deployment), **record, "history": [dict(row) for row in current.history]},
        form=form,
        text=f"{current.phase}: {current.reason}\n{text}",
    )


@rollout.command()
@click.argument("counts", type=click.Path(path_type=Path))
@click.option(
    "--strategy",
    "strategy_file",
    type=click.Path(path_type=Path),
    default=None,
    help="YAML with the strategy, or a configuration or ModelDeployment that has one; the configuration's by default.",
)
@options.config
@options.output
def replay(counts: Path, strategy_file: Path | None, path: Path, overrides: tuple[str, ...], form: str) -> None:
    """Say what a strategy would have decided on recorded counts, and when.

    COUNTS is a CSV table with one row a guard and interval: start_seconds,end_seconds,guard,baseline_requests,canary_requests,baseline_events,canary_events.
    Guards of type disagreement read pairs from the canary's columns; without them there is no shadow. Steps that ask for a person are passed.
    Units, slices, answers and outcomes are not in such a table: a guard of those learns nothing, and holds where it gates.
    """
    from fairway.rollout import replay as replays

    policy = _policy(strategy_file, path, overrides)
    try:
        lines = counts.read_text(encoding="utf-8-sig").splitlines()  # spreadsheets begin with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise errors.UsageError(f"{counts} cannot be read as text ({error}): wanted a CSV table of counts") from error
    record = replays.run(replays.read(lines, guards=policy.guards, name=str(counts)), policy)
    rows = [
        {
            "bet": name,
            "e": value,
            **{
                arm: evidence.span(record["intervals"].get(name, {}).get(arm))
                for arm in ("candidate", "stable", "ratio")
            },
        }
        for name, value in record["e_values"].items()
    ]
    text = "\n".join(
        [
            f"{record['verdict']} at {record['at_seconds']:g} s: {record['reason']}",
            options.table(list(record["phases"])),
            options.table(rows),
            f"intervals: 95 %, at every look at once. {record['guarantee']}",
        ]
    )
    options.show(record, form=form, text=text)


@rollout.command()
@click.option(
    "--requests-per-second",
    "rps",
    type=click.FloatRange(min=0, min_open=True),
    required=True,
    help="Of the whole deployment, both arms together.",
)
@click.option(
    "--usual-rate",
    "usual",
    multiple=True,
    metavar="GUARD=RATE",
    help="What a healthy revision shows, such as errors=0.005 (0 by default); of disagreement what evaluation measured; may be repeated.",
)
@click.option(
    "--effect",
    "effects",
    multiple=True,
    metavar="GUARD=SHARE",
    help="How much better the outcomes of a business guard are hoped to be, as a share of their range; --usual-rate is stable's mean then.",
)
@click.option(
    "--strategy",
    "strategy_file",
    type=click.Path(path_type=Path),
    default=None,
    help="YAML with the strategy, or a configuration or ModelDeployment that has one; the configuration's by default.",
)
@options.config
@options.output
def plan(
    rps: float,
    usual: tuple[str, ...],
    effects: tuple[str, ...],
    strategy_file: Path | None,
    path: Path,
    overrides: tuple[str, ...],
    form: str,
) -> None:
    """Say how long certificates take at this traffic, and how soon a bad revision is found; refuse a limit that cannot be certified."""
    from dataclasses import asdict

    from fairway.rollout import plan as plans

    if not math.isfinite(rps):
        raise errors.UsageError(f"--requests-per-second is {rps}: wanted a finite number above 0")
    policy = _policy(strategy_file, path, overrides)
    expected = [
        asdict(one)
        for one in plans.plan(
            policy,
            requests_per_second=rps,
            usual=_rates("--usual-rate", usual, policy),
            effects=_rates("--effect", effects, policy),
        )
    ]
    rows = [
        {
            "guard": one["guard"],
            "gates": one["gates"],
            "limit": _limit(one["limit"]),
            "usual": f"{one['usual']:.2%}",
            "certified after": "-" if one["certified_seconds"] is None else f"{one['certified_seconds']:.0f} s",
            "smallest limit": "-" if one["smallest_limit"] is None else _limit(one["smallest_limit"]),
            **{f"{bad} found after": "-" if at is None else f"{at:.0f} s" for bad, at in _found(one).items()},
        }
        for one in expected
    ]
    steps = plans.schedule(policy, requests_per_second=rps, usual=_rates("--usual-rate", usual, policy))
    untold = [
        guard.name
        for guard in policy.guards
        if guard.stage == "bake" or (guard.stage == "canary" and guard.type == "quality")
    ]
    foretold = [{**asdict(step), "seconds": step.seconds if math.isfinite(step.seconds) else None} for step in steps]
    record = {"requests_per_second": rps, "guards": expected, "steps": foretold, "not_foretold": untold}
    options.show(
        record,
        form=form,
        text="\n".join(
            filter(
                None,
                [
                    options.table(rows),
                    f"A step ends when {policy.canary.harm:.0%} more failing would have been found: {', '.join(map(_step, steps))}.",
                    "Expected values: about half of all rollouts take longer.",
                    f"Not foretold: {', '.join(untold)}. Who knows when labels come, or when the bake ends?"
                    if untold
                    else None,
                ],
            )
        ),
    )


def _step(step: "plans.Step") -> str:
    if not math.isfinite(step.seconds):
        return f"{step.weight} % never, for no number of requests shows it"
    return f"{step.weight} % after {step.seconds:.0f} s" + (
        f" ({step.requests:.0f} requests of the candidate)" if step.requests else ""
    )


def _found(one: dict[str, Any]) -> dict[str, float | None]:
    from fairway.rollout import plan as plans

    return {name: one["found_seconds"].get(name) for name in (f"{bad:.0%}" for bad in plans.HARMS)}


def _limit(value: float) -> str:
    """Return a share as percent, and a ratio as it is: no share is more than one, and no ratio less."""
    return f"{value:.2%}" if value <= 1 else f"{value:.3g} times"


def _rates(option: str, texts: tuple[str, ...], policy: "sections.Strategy") -> dict[str, float]:
    """Return the share that the option says of each guard."""
    rates = {}
    names = [guard.name for guard in policy.guards]
    for text in texts:
        name, _, value = text.partition("=")
        try:
            rates[name] = float(value)
        except ValueError:
            rates[name] = -1.0
        if name not in names or not 0 <= rates[name] < 1:
            raise errors.UsageError(
                f"{option} is {text!r}: wanted GUARD=RATE with a guard of "
                f"{', '.join(names)} and a share from 0 to 1, such as errors=0.005"
            )
    return rates


def _policy(file: Path | None, path: Path, overrides: tuple[str, ...]) -> "sections.Strategy":
    """Return the strategy of --strategy (alone, in a configuration or in a ModelDeployment), else the configuration's."""
    if file is None:
        return options.load(path, overrides).strategy
    import yaml
    from pydantic import ValidationError

    from fairway.config import documents, loader, sections

    try:
        found = documents.parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise errors.UsageError(
            f"{file} cannot be read as YAML ({' '.join(str(error).split())}): wanted a strategy"
        ) from error
    for key in ("spec", "strategy"):
        found = found.get(key, found) if isinstance(found, dict) else found
    try:
        return sections.Strategy.model_validate(found if found is not None else {})
    except ValidationError as error:
        raise errors.ConfigError(loader.explain(error, where=f"{file}: strategy", root=sections.Strategy)) from error


def _steer(verb: str, line: str, *, force: bool = False) -> click.Command:
    @click.command(verb, help=line)
    @click.option("--reason", default="", help="Why, for the history.")
    @options.cluster
    @options.config
    @options.home
    @options.output
    def command(
        reason: str,
        where: options.Where,
        path: Path,
        overrides: tuple[str, ...],
        root: Path,
        form: str,
        forced: bool = False,
    ) -> None:
        if forced and not reason:
            raise errors.UsageError("--force promotes without a certificate: say why with --reason")
        config = options.load(path, overrides)
        if where.kubernetes(config):
            cluster.steer(where, config, verb=verb, why=reason, force=forced, form=form)
        else:
            _ask(verb, reason=reason, force=forced, config=config, root=root, form=form)

    return (
        click.option(
            "--force", "forced", is_flag=True, help="Promote without the judge's certificate; needs --reason."
        )(command)
        if force
        else command
    )


rollout.add_command(_steer("pause", "Hold everything as it is; a harm still rolls back."))
rollout.add_command(_steer("resume", "Go on after a pause."))
rollout.add_command(_steer("promote", "Promote now, without waiting for the certificate (--force).", force=True))
rollout.add_command(_steer("abort", "Take the candidate out and reject its revision."))
rollout.add_command(_steer("retry", "Let the rejected revision be tried again."))


def _ask(verb: str, *, reason: str, force: bool, config: "sections.Config", root: Path, form: str) -> None:
    """Write the command down, and waits until the supervisor has obeyed or refused it."""
    from fairway.platforms.local import client, state
    from fairway.rollout.seen import Command

    deployment = _deployment(root, config)
    home = options.open_home(root)
    client.need(home)
    store = state.Store(home.state)
    number = store.ask(deployment.name, Command(verb, options.user(), reason, force), now=time.time())
    deadline = time.monotonic() + ANSWER_SECONDS
    while (reply := store.reply(number)) is None:
        if time.monotonic() > deadline:
            raise errors.Unavailable(
                f"the supervisor did not take the command within {ANSWER_SECONDS:.0f} s: see {home.logs / 'supervisor.log'}"
            )
        time.sleep(0.1)
    store.close()
    record = {"deployment": deployment.name, "verb": verb, "obeyed": reply.obeyed, "answer": reply.sentence}
    options.show(record, form=form, text=reply.sentence)
    if not reply.obeyed:
        raise errors.UsageError(f"{verb} had no effect: {reply.sentence}")


def _deployments(root: Path) -> list[Any]:
    from fairway.platforms.local import state

    store = state.Store(options.open_home(root).state)
    found = list(store.deployments())
    store.close()
    return found


def _deployment(root: Path, config: "sections.Config") -> Any:
    deployment = next((one for one in _deployments(root) if one.name == config.name), None)
    if deployment is None:
        raise errors.UsageError(
            f"there is no deployment {config.name!r} in {root.resolve()}: `fairway deploy PACKAGE` makes one"
        )
    return deployment


def _record(deployment: Any) -> dict[str, Any]:
    from fairway.rollout import states

    current = deployment.state
    weight, mirror = states.split(current, strategy=deployment.policy)
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
