"""Increments: what came since the last look, as platforms hand it to the ledger.

Each request, label and outcome is in one of them once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fairway.rollout.statistics.betting import ArmCounts


@dataclass(frozen=True, kw_only=True)
class GatewayCounts:
    """Requests of one stretch of time under one route, and the bad ones by guard.

    Increments of the gateway's counters, or events by arrival.
    """

    candidate: int
    stable: int
    bad: Mapping[str, tuple[int, int]]  # guard name -> (candidate, stable)
    observed: Mapping[str, tuple[int, int]] = field(
        default_factory=dict
    )  # requests that the guard could see, where they differ
    shares: Mapping[str, float] = field(
        default_factory=dict
        # where bad ones are units' first: the probability with which their arm was drawn the
        # candidate
    )
    held: Mapping[str, tuple[ArmCounts, ArmCounts]] = field(
        default_factory=dict
    )  # what a limit is held against, where it is not `observed` and `bad`


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Answers of stable and shadow to the same requests since the last look."""

    compared: int
    # of those; where answers are no classes, the sum of how far each pair is apart
    disagreements: float
    candidate_failures: int  # of the candidate alone
    stable_failures: int  # of stable alone
    both_failures: int = 0
    incomparable: int = 0  # stable refused, or no task says how far the two are apart
    # whether some are no classes, so that disagreements are no number of pairs
    losses: bool = False


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Units whose labels arrived since the last look, served at one weight of the canary.

    As a whole, or in one slice where guards ask for them.
    """

    weight: float  # probability of the canary when the predictions were made
    # units, the sum of their mean losses: of classes, of their shares of wrong rows
    candidate: ArmCounts
    stable: ArmCounts
    slice: str | None = None
    # whether some are no classes, so that their losses are no shares of wrong rows
    losses: bool = False
    answers: Mapping[str, tuple[int, int]] = field(
        default_factory=dict
    )  # label of the first row -> units (candidate, stable)


@dataclass(frozen=True, kw_only=True)
class Exposed:
    """Units first seen in this step since the last look, served at about one time.

    Their answers are those of their first request in the rollout.

    Each pair is (candidate, stable).
    """

    weight: float
    candidate: int
    stable: int
    new: tuple[int, int]  # first seen in the whole rollout
    answers: Mapping[str, tuple[int, int]] = field(
        default_factory=dict
    )  # label of the first row -> new units that got it


@dataclass(frozen=True, kw_only=True)
class Valued:
    """Outcomes that arrived since the last look, of units served at one weight of the canary."""

    name: str
    weight: float
    candidate: tuple[float, ...]
    stable: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """All that was learnt since the last look."""

    gateway: GatewayCounts | None = None
    counted: tuple[GatewayCounts, ...] = ()  # requests by the time at which they came
    paired: Paired | None = None
    labelled: tuple[Labelled, ...] = ()
    valued: tuple[Valued, ...] = ()
    exposed: tuple[Exposed, ...] = ()
