"""What a strategy would have decided on counts that were recorded: the state machine itself, fed
from a table. Pure.

A table has one row a guard and interval. The counts are as they were served then: the replay
decides, but cannot change what share of the requests went to the canary.
"""

import csv
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fairway import errors
from fairway.config import sections
from fairway.rollout import guards, judge, states, strategy, traffic
from fairway.rollout.increments import GatewayCounts
from fairway.rollout.judge import Action
from fairway.rollout.seen import Seen
from fairway.rollout.states import Phase, State
from fairway.rollout.statistics.betting import ArmCounts

COLUMNS = (
    "start_seconds",
    "end_seconds",
    "guard",
    "baseline_requests",
    "canary_requests",
    "baseline_events",
    "canary_events",
)
# counts and seconds: what is more is a mistake, and no float holds every whole number beyond 9e15
LARGEST = 1e12
APPROXIMATE = "where the table's counts are of requests that fell to the arms at random, both arms' at one instant"
STABLE, CANDIDATE = "stable", "canary"


@dataclass(frozen=True)
class Row:
    """Both arms' increments of one guard in one interval."""

    start: float
    end: float
    guard: str
    canary: ArmCounts
    stable: ArmCounts


@dataclass(frozen=True)
class Counted:
    """All that was counted in one interval, by guard."""

    start: float
    end: float
    rows: Mapping[str, Row]


@dataclass(frozen=True)
class Replay:
    """How far a replay has come; JSON in between gives the same end to the last bit."""

    policy: sections.Strategy
    state: State
    phases: tuple[Mapping[str, Any], ...] = ()
    decided: Mapping[str, Any] | None = None  # the record of the decision that stands
    last: Counted | None = None


def read(
    lines: Iterable[str], *, guards: Sequence[sections.Guard], name: str = "the table"
) -> tuple[Counted, ...]:
    """Return the intervals of a CSV table in order of time; a row that stands there twice counts
    once.

    Raises DataError with the line of what is wrong.
    """
    known = {guard.name: guard for guard in guards}
    intervals: dict[tuple[float, float], dict[str, Row]] = {}
    latest: dict[str, Row] = {}
    for line, cells in _lines(lines, name=name):
        where = f"{name}, line {line}"
        row = _row(cells, where=where)
        if row.guard not in known:
            raise errors.DataError(
                f"{where}: guard {row.guard!r} is none of the strategy's: wanted {', '.join(sorted(known))}"
            )
        _replayable(known[row.guard], latest, known, where=where)
        rows = intervals.setdefault((row.start, row.end), {})
        if rows.setdefault(row.guard, row) != row:
            raise errors.DataError(
                f"{where}: guard {row.guard} from {row.start:g} to {row.end:g} s stands there already "
                "with other counts: wanted one row"
            )
        if rows[row.guard] is row and row.start < latest.get(row.guard, row).start:
            raise errors.DataError(
                f"{where}: guard {row.guard} goes back from {latest[row.guard].start:g} to {row.start:g} s: "
                "wanted a clock that goes forward"
            )
        latest[row.guard] = max(latest.get(row.guard, row), row, key=lambda one: one.start)
    ordered = sorted(intervals)
    for (_, end), (start, later) in itertools.pairwise(ordered):
        if start < end:
            raise errors.DataError(
                f"{name}: the interval from {start:g} to {later:g} s begins before the one before it ends, "
                f"at {end:g} s: "
                "wanted intervals that do not overlap"
            )
    return tuple(Counted(start, end, intervals[start, end]) for start, end in ordered)


def _lines(lines: Iterable[str], *, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Return the cells of each row under the header, with the number of its line."""
    try:
        table = csv.DictReader(lines)
        if tuple(table.fieldnames or ()) != COLUMNS:
            raise errors.DataError(
                f"{name} has the columns {', '.join(table.fieldnames or ()) or 'none'}: wanted {','.join(COLUMNS)}"
            )
        for cells in table:
            yield table.line_num, cells
    except csv.Error as error:
        raise errors.DataError(
            f"{name} is no CSV table ({error}): wanted one row a guard and interval"
        ) from error


def _replayable(
    guard: sections.Guard, others: Iterable[str], known: Mapping[str, sections.Guard], *, where: str
) -> None:
    """Refuse what a table of counts cannot tell: who got which answer, what it came to, in which
    slice.

    And two guards with the same pairs or labels.
    """
    untold, rows_alone = guards.told_by_counts(guard)
    if untold is not None:
        raise errors.DataError(
            f"{where}: guard {guard.name} is about {untold}, which counts of requests do not tell: leave its rows out"
        )
    twin = next(
        (name for name in others if name != guard.name and known[name].type == guard.type), None
    )
    if rows_alone and twin is not None:
        raise errors.DataError(
            f"{where}: guards {twin} and {guard.name} both read {guard.type}: wanted the rows of one of them"
        )


def _row(cells: Mapping[str, Any], *, where: str) -> Row:
    if None in cells or None in cells.values():
        raise errors.DataError(
            f"{where} has {len([cell for cell in cells.values() if cell is not None])} cells: wanted {len(COLUMNS)}"
        )
    times = [
        _number(cells[column], where=f"{where}: {column}", whole=False) for column in COLUMNS[:2]
    ]
    if times[1] <= times[0]:
        raise errors.DataError(
            f"{where}: the interval ends at {times[1]:g} s, not after it begins at {times[0]:g} s: "
            "wanted a clock that goes forward"
        )
    stable_n, canary_n, stable_bad, canary_bad = (
        int(_number(cells[column], where=f"{where}: {column}", whole=True))
        for column in COLUMNS[3:]
    )
    for arm, n, bad in (("baseline", stable_n, stable_bad), ("canary", canary_n, canary_bad)):
        if bad > n:
            raise errors.DataError(
                f"{where}: {arm}_events is {bad}, more than {arm}_requests, {n}: wanted events among the requests"
            )
    return Row(
        times[0],
        times[1],
        str(cells["guard"]),
        ArmCounts(canary_n, canary_bad),
        ArmCounts(stable_n, stable_bad),
    )


def _number(text: str, *, where: str, whole: bool) -> float:
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST or (whole and value < 0):  # so that no number is none either
        wanted = "a whole number, 0 or more" if whole else "a number of seconds"
        raise errors.DataError(f"{where} is {text[:40]!r}: wanted {wanted}, {LARGEST:.0e} at most")
    return value


def begin(policy: sections.Strategy, *, at: float, pairs: bool) -> Replay:
    """Return a rollout that is about to take its first traffic at `at`.

    Without recorded `pairs` there is no shadow; nobody is asked, at pauses or by hooks.
    """
    steps = tuple(step.model_copy(update={"pause": False}) for step in policy.canary.steps)
    policy = policy.model_copy(
        update={
            "hooks": (),
            "canary": policy.canary.model_copy(update={"steps": steps}),
            "shadow": policy.shadow
            if pairs
            else policy.shadow.model_copy(update={"enabled": False}),
        }
    )
    replay = Replay(policy=policy, state=State(phase=Phase.STABLE, stable=STABLE))
    for _ in range(2):  # Starting, then the first stage
        replay = _look(replay, _seen(replay, at=at))
    return replay


def learn(replay: Replay, counted: Counted) -> Replay:
    """Return the replay after one more interval; the one that it has learnt last changes nothing.

    Raises DataError where the clock went back.
    """
    if counted == replay.last:
        return replay
    if counted.start < replay.state.looked:
        raise errors.DataError(
            f"the interval from {counted.start:g} to {counted.end:g} s begins before {replay.state.looked:g} s, "
            "where the last one ended: wanted a clock that goes forward"
        )
    if replay.decided is not None and replay.decided["verdict"] != Action.PROMOTE:
        return replay
    replay = _look(
        replay, _seen(replay, at=counted.start)
    )  # whatever the weight is now, the counts to come are its own
    return _look(replace(replay, last=counted), _seen(replay, at=counted.end, counted=counted))


def run(counted: Sequence[Counted], policy: sections.Strategy) -> dict[str, Any]:
    """Return the record of the whole: verdict, reason, at_seconds, phases, e_values, intervals,
    guarantee."""
    if not counted:
        raise errors.DataError(
            "there is no interval to replay: wanted at least one row under the header"
        )
    in_shadow = {guard.name for guard in policy.guards if guard.stage == "shadow"}
    pairs = any(name in in_shadow for one in counted for name in one.rows)
    replay = begin(policy, at=counted[0].start, pairs=pairs)
    for one in counted:
        replay = learn(replay, one)
    return (
        dict(replay.decided)
        if replay.decided is not None
        else {**_record(replay), "phases": list(replay.phases)}
    )


def _look(replay: Replay, seen: Seen) -> Replay:
    """Take a look, notes where it led to, and keeps the decision."""
    before = replay.state
    after = strategy.advance(before, seen, strategy=replay.policy).state
    weight, _ = states.split(after, strategy=replay.policy)
    phases, here = replay.phases, {"phase": str(after.phase), "weight": weight}
    if not phases or here.items() - {**phases[-1]}.items():
        phases = (*phases, {**here, "since_seconds": seen.now})
    replay = replace(replay, state=after, phases=phases)
    ended = after.phase is not before.phase and after.phase in (
        Phase.ROLLING_BACK,
        Phase.PROMOTING,
        Phase.PAUSED,
    )
    if not ended:
        return (
            replace(replay, decided={**replay.decided, "phases": list(phases)})
            if replay.decided is not None
            else replay
        )
    return replace(replay, decided={**_record(replay), "phases": list(phases)})


def _seen(replay: Replay, *, at: float, counted: Counted | None = None) -> Seen:
    """Return the look: both revisions are up, and the route is the one that was asked for."""
    state, policy = replay.state, replay.policy
    wanted = states.route(state, deployment="replay", strategy=policy)
    version = wanted.version if wanted is not None else None
    sample = traffic.Sample(
        at=at, epoch="replay", route_version=version or "", stable=None, candidate=None
    )  # in effect; the counts are the table's
    seen = Seen(
        now=at,
        desired=CANDIDATE,
        ready=frozenset({STABLE, CANDIDATE}),
        wanted_version=version,
        sample=sample,
    )
    if counted is None:
        return seen
    cases = {case.name: case for case in guards.cases(policy)}
    batches = [cases[name].replayed(row.canary, row.stable) for name, row in counted.rows.items()]
    return replace(
        seen,
        gateway=_together([batch.gateway for batch in batches if batch.gateway is not None]),
        paired=next((batch.paired for batch in batches if batch.paired is not None), None),
        labelled=tuple(labels for batch in batches for labels in batch.labelled),
    )


def _together(rows: Sequence[GatewayCounts]) -> GatewayCounts:
    """Return the counts of all guards of one interval; a guard without a row learns nothing."""
    return GatewayCounts(
        candidate=max((row.candidate for row in rows), default=0),
        stable=max((row.stable for row in rows), default=0),
        bad={name: bad for row in rows for name, bad in row.bad.items()},
        observed={name: observed for row in rows for name, observed in row.observed.items()},
    )


def _record(replay: Replay) -> dict[str, Any]:
    """Return what was decided; where nothing was, what the last look said."""
    state = replay.state
    verdict = state.verdict or judge.Verdict(action=Action.HOLD, reason=state.reason)
    action = {
        Phase.ROLLING_BACK: Action.ROLLBACK,
        Phase.PROMOTING: Action.PROMOTE,
        Phase.PAUSED: Action.INCONCLUSIVE,
    }.get(state.phase, verdict.action)
    facts = judge.describe(state.ledger, strategy=replay.policy) if state.ledger is not None else {}
    return {
        "verdict": str(action),
        "reason": verdict.reason,
        "at_seconds": state.looked,
        "e_values": {name: _plain(row["logE"]) for name, row in facts.items()},
        "intervals": {name: row["intervals"] for name, row in facts.items() if "intervals" in row},
        "guarantee": judge.qualified(
            judge.guarantee(replay.policy, compared=not state.ledger or not state.ledger.pairs),
            APPROXIMATE,
        ),
    }


def _plain(log_e: float) -> float:
    return float(f"{math.exp(min(log_e, 700.0)):.6g}")
