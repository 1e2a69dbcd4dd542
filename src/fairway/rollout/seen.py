"""What a platform saw at one look: the input of `strategy.advance`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fairway.rollout import hooks, increments, traffic


@dataclass(frozen=True)
class Cursors:
    """How far the event store was read."""

    pairs: int = 0
    labels: int = 0
    outcomes: int = 0
    exposure: int = 0  # all up to it was dealt with
    ahead: int = 0  # of those up to it, what had come by `settled` was dealt with
    settled: float = 0.0
    # what came since then and until then was the gateway's alone to count, while events could not
    # be read
    alone_from: float = 0.0
    alone_until: float = 0.0
    # what came since then and until then counts for nothing: an arm had no capacity
    away_from: float = 0.0
    away_until: float = 0.0
    store: str = ""  # identity of the store that gave them; empty: not known


@dataclass(frozen=True)
class Segment:
    """A stretch of time in which one weight of the canary was in effect, by the clock on the wall.

    It is compared with servers' events.
    """

    start: float
    end: float | None
    weight: float  # probability of the canary
    version: str
    cursor: int = 0  # how far exposures were read when it began


@dataclass(frozen=True)
class Command:
    """What a person asked for, once."""

    verb: str  # pause, resume, promote, abort, retry
    who: str
    why: str = ""
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One look. Increments are those since the state's cursors and sample; the strategy stores the
    new ones."""

    now: float  # the rollout's own time: what elapsed between looks, whatever clocks are set to
    # what the clock on the wall says, for people and for servers' events; `now` if None
    wall: float | None = None
    desired: str | None  # revision that the deployment's spec names
    ready: frozenset[str] = frozenset()  # revisions that answer
    broken: Mapping[str, str] = field(default_factory=dict)  # revisions that cannot, and why
    # revisions that are not ready, and of which some pods answer
    partly: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()  # revisions without any pod that answers; why is not said
    # what revisions that are not ready wait for
    notes: Mapping[str, str] = field(default_factory=dict)
    wanted_version: str | None = None  # version of the route that the current state asks for
    sample: traffic.Sample | None = None  # None: the counts could not be read
    # increments that are known already (a replay's); else they come from the samples
    gateway: increments.GatewayCounts | None = None
    paired: increments.Paired | None = None
    labelled: tuple[increments.Labelled, ...] = ()
    valued: tuple[increments.Valued, ...] = ()
    exposed: tuple[increments.Exposed, ...] = ()
    counted: tuple[increments.GatewayCounts, ...] = ()  # requests by the time at which they came
    cursors: Cursors = Cursors()
    offline_disagreement: float | None = None
    command: Command | None = None
    answers: Mapping[str, hooks.Answer] = field(default_factory=dict)  # of hooks, by the call's id
    replaced: str | None = None  # why the evidence is read anew from where `cursors` say
    unread: str | None = None  # why pairs, labels and exposures could not be read

    @property
    def at(self) -> float:
        """When it was, as people and servers' events tell the time."""
        return self.now if self.wall is None else self.wall
