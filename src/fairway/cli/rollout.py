"""`fairway rollout`: follow, explain and steer."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fairway import errors
from fairway.cli import forecasts, options, verdicts

if TYPE_CHECKING:
    from fairway.config import sections
    from fairway.control.ports import PlatformPort


_strategy = click.option(
    "--strategy",
    "strategy_file",
    type=click.Path(path_type=Path),
    default=None,
    help="YAML with the strategy, or a configuration or ModelDeployment that has one; the configuration's by default.",
)


@click.group()
def rollout() -> None:
    """Follow, explain, pause, resume, promote or abort a rollout."""


@rollout.command()
@options.cluster
@options.config
@options.home
@options.output
def status(
    where: options.Where, path: Path, overrides: tuple[str, ...], root: Path, form: str
) -> None:
    """Show phase, weight, verdict and reason."""
    config = options.load(path, overrides)
    deployed = where.platform(config, root=root).read(config.name)
    options.show(deployed.record, form=form)
    if deployed.unreadable is not None:
        raise errors.PlatformError(deployed.unreadable)


@rollout.command("list")
@click.option(
    "--false-discovery-rate",
    "rate",
    type=click.FloatRange(min=0, min_open=True, max=1, max_open=True),
    default=0.1,
    show_default=True,
    help=(
        "Share of the revisions called harmful that may be expected to be no worse than stable. A rollback has its "
        "own rate, falseRollback."
    ),
)
@click.option(
    "--all-namespaces", "-A", "everywhere", is_flag=True, help="On a cluster: of every namespace."
)
@options.cluster
@options.config
@options.home
@options.output
def list_(
    rate: float,
    everywhere: bool,
    where: options.Where,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Show every deployment's rollout, and which revisions do harm."""
    config = options.load(path, overrides)
    found = where.platform(config, root=root).every(everywhere=everywhere)
    record, text = verdicts.listed(found, rate=rate)
    options.show(record, form=form, text=text)


@rollout.command()
@click.option(
    "--timeout", default=None, metavar="DURATION", help="Give up after this long, such as 10m."
)
@options.cluster
@options.config
@options.home
@options.output
def watch(
    timeout: str | None,
    where: options.Where,
    path: Path,
    overrides: tuple[str, ...],
    root: Path,
    form: str,
) -> None:
    """Follow the rollout until it has ended; exit 3 where it is rolled back."""
    config, seconds = options.load(path, overrides), options.seconds(timeout)
    follow(where.platform(config, root=root), config.name, seconds=seconds, form=form)


@rollout.command()
@options.cluster
@options.config
@options.home
@options.output
def explain(
    where: options.Where, path: Path, overrides: tuple[str, ...], root: Path, form: str
) -> None:
    """Show the evidence behind the last verdict, guard by guard, and what it guarantees."""
    config = options.load(path, overrides)
    record, text = verdicts.explained(where.platform(config, root=root).read(config.name))
    options.show(record, form=form, text=text)


@rollout.command()
@click.argument("counts", type=click.Path(path_type=Path))
@_strategy
@options.config
@options.output
def replay(
    counts: Path, strategy_file: Path | None, path: Path, overrides: tuple[str, ...], form: str
) -> None:
    """Say what a strategy would have decided on recorded counts, and when.

    COUNTS is a CSV table with one row a guard and interval:
    start_seconds,end_seconds,guard,baseline_requests,canary_requests,baseline_events,canary_events.
    Guards of type disagreement read pairs from the canary's columns; without them there is no
    shadow. Steps that ask for a person are passed. Units, slices, answers and outcomes are not in
    such a table: a guard of those learns nothing, and holds where it gates.
    """
    from fairway.rollout import replay as replays

    policy = _policy(strategy_file, path, overrides)
    try:
        # spreadsheets begin with a byte order mark
        lines = counts.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.UsageError(
            f"{counts} cannot be read as text ({error}): wanted a CSV table of counts"
        ) from error
    record = replays.run(replays.read(lines, guards=policy.guards, name=str(counts)), policy)
    options.show(record, form=form, text=forecasts.replayed(record))


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
    help=(
        "What a healthy revision shows, such as errors=0.005 (0 by default); of disagreement what evaluation "
        "measured; may be repeated."
    ),
)
@click.option(
    "--effect",
    "effects",
    multiple=True,
    metavar="GUARD=SHARE",
    help=(
        "How much better the outcomes of a business guard are hoped to be, as a share of their range; --usual-rate "
        "is stable's mean then."
    ),
)
@_strategy
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
    """Say how long certificates take at this traffic, and how soon a bad revision is found; refuse
    a limit that cannot be certified.
    """
    if not math.isfinite(rps):
        raise errors.UsageError(f"--requests-per-second is {rps}: wanted a finite number above 0")
    policy = _policy(strategy_file, path, overrides)
    record, text = forecasts.planned(
        policy,
        requests_per_second=rps,
        usual=_rates("--usual-rate", usual, policy),
        effects=_rates("--effect", effects, policy),
    )
    options.show(record, form=form, text=text)


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
    """Return the strategy of --strategy (alone, in a configuration or a ModelDeployment), else the
    configuration's."""
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
        raise errors.ConfigError(
            loader.explain(error, where=f"{file}: strategy", root=sections.Strategy)
        ) from error


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
        from fairway.rollout.seen import Command

        config = options.load(path, overrides)
        platform = where.platform(config, root=root)
        answered = platform.command(config.name, Command(verb, options.user(), reason, forced))
        sentence, obeyed = answered.reply.sentence, answered.reply.obeyed
        record = {
            "deployment": config.name,
            "verb": verb,
            "phase": answered.phase,
            "obeyed": obeyed,
            "answer": sentence,
        }
        options.show(record, form=form, text=sentence)
        if not obeyed:
            raise errors.UsageError(f"{verb} had no effect: {sentence}")

    return (
        click.option(
            "--force",
            "forced",
            is_flag=True,
            help="Promote without the judge's certificate; needs --reason.",
        )(command)
        if force
        else command
    )


rollout.add_command(_steer("pause", "Hold everything as it is; a harm still rolls back."))
rollout.add_command(_steer("resume", "Go on after a pause."))
rollout.add_command(
    _steer("promote", "Promote now, without waiting for the certificate (--force).", force=True)
)
rollout.add_command(_steer("abort", "Take the candidate out and reject its revision."))
rollout.add_command(_steer("retry", "Let the rejected revision be tried again."))


def follow(
    platform: "PlatformPort",
    name: str,
    *,
    revision: str | None = None,
    seconds: float | None,
    form: str,
) -> None:
    """Follow the rollout to its end; raise for one that was rolled back or cannot be followed."""
    from fairway.control.ports import End

    tell = click.echo if form == "text" else None
    ended = platform.follow(name, revision=revision, timeout_seconds=seconds, tell=tell)
    if form == "json":
        options.show(ended.record, form=form)
    match ended.end:
        case End.PAUSED:
            click.echo(f"paused: {ended.sentence}", err=True)
        case End.ROLLED_BACK:
            raise errors.Refused(ended.sentence)
        case End.IMPOSSIBLE:
            raise errors.PlatformError(ended.sentence)
