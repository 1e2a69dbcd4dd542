"""The `strategy` section: how a new revision may replace the old one, its guards and its hooks."""

import itertools
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    model_validator,
)

from fairway.config import patterns
from fairway.config.sections.base import Duration, Fraction, Section, format_duration
from fairway.config.sections.guards import Guard, GuardOfType


class Shadow(Section):
    """The stage in which copies of requests are answered and dropped."""

    enabled: bool = True
    """On by default: it finds a training-serving mismatch before any user is served."""
    percent: Annotated[int, Field(ge=1, le=100)] = 100
    """Share of requests that are copied."""
    min_pairs: Annotated[int, Field(ge=1)] = 500
    """Pairs before shadow may end; 500 certify a disagreement of a few percent."""
    disagreement_margin: Fraction = 0.03
    """How much more than measured offline the two models may disagree."""
    budget: Duration = timedelta(hours=1)
    """Longest the stage may take before the verdict is inconclusive."""


class Step(Section):
    """One step of the canary."""

    weight: Annotated[int, Field(ge=1, le=100)]
    """Percent of units that the candidate serves."""
    min_duration: Duration = timedelta(0)
    """Shortest stay; none by default, the evidence decides."""
    pause: bool = False
    """Wait for `fairway rollout resume` after this step."""


class Canary(Section):
    """The steps in which the candidate serves."""

    steps: Annotated[tuple[Step, ...], Field(max_length=16)] = (
        Step(weight=5),
        Step(weight=25),
        Step(weight=50),
    )
    """Few users first, half of them last, where evidence comes fastest."""
    budget: Duration = timedelta(hours=6)
    """Longest the canary may take before the verdict is inconclusive."""
    harm: Annotated[float, Field(gt=0, le=1)] = 0.1
    """A step ends once so much more failing would have been found, four times in five. A tenth is
    gross, and shows in some 60 requests; 1 is in a hurry."""

    @model_validator(mode="after")
    def _rising(self) -> "Canary":
        weights = [step.weight for step in self.steps]
        if not weights:
            raise ValueError("canary.steps is empty: wanted at least one step")
        if any(b <= a for a, b in itertools.pairwise(weights)):
            raise ValueError(f"canary.steps weights are {weights}: wanted rising weights")
        return self


class Bake(Section):
    """The time after promotion in which a small share stays on the old revision."""

    weight: Annotated[int, Field(ge=0, le=50)] = 5
    """Percent that stays on the old revision, to compare with."""
    duration: Duration = timedelta(minutes=30)
    """A failure that starts late (a leak, a cache that fills) shows within half an hour."""


USUAL_GUARDS: tuple[dict[str, Any], ...] = (
    {"name": "disagreement", "type": "disagreement"},
    {"name": "errors", "type": "errors", "maxRate": 0.02},
    {"name": "slow", "type": "latency", "maxRate": 0.05, "threshold": "100ms"},
    {"name": "rejections", "type": "rejections"},
    {"name": "quality", "type": "quality"},
)


def usual_guards() -> tuple[Guard, ...]:
    """Return the guards of a strategy that names none."""
    return tuple(Guard.of(**values) for values in USUAL_GUARDS)


HookPoint = Literal[
    "preRollout", "preStep", "prePromotion", "postPromotion", "postRollback", "postPause"
]


class Hook(Section):
    """A service of yours that is asked before a rollout moves on, or told how it went: a POST of
    one CloudEvent."""

    name: Annotated[str, Field(pattern=patterns.NAME, max_length=53)]
    """How reasons and events call it."""
    url: Annotated[
        str,
        Field(pattern=patterns.HOOK, max_length=1024),
    ]
    """Where it listens. No password in it: it is read by whoever reads the deployment."""
    at: Annotated[tuple[HookPoint, ...], Field(min_length=1, max_length=6)]
    """pre...: before the first request or copy, each step of the canary, the promotion; it waits
    for a 2xx. post...: told after it, and not waited for."""
    timeout: Duration = timedelta(seconds=10)
    """Longest one call may take, a minute at most; what takes longer should answer 503 at once and
    be asked again, each 10 s."""
    on_refusal: Literal["hold", "rollback"] = "hold"
    """What a 409 or 422 to pre... does. It holds by default: most who say no mean not now.
    rollback: for tests whose no is a verdict."""

    @model_validator(mode="after")
    def _sensible(self) -> "Hook":
        if len(set(self.at)) != len(self.at):
            raise ValueError(f"hook {self.name} has at {list(self.at)}: wanted each once")
        if not timedelta(0) < self.timeout <= timedelta(minutes=1):
            raise ValueError(
                f"hook {self.name} has timeout {format_duration(self.timeout)}: wanted above 0, and 1m at most"
            )
        if self.on_refusal == "rollback" and not any(at.startswith("pre") for at in self.at):
            raise ValueError(
                f"hook {self.name} has onRefusal rollback and is only told: wanted it at preRollout, preStep or "
                f"prePromotion"
            )
        return self


class Strategy(Section):
    """How a new revision may replace the one in service."""

    # the guards are asked for their sections once a file is read
    model_config = ConfigDict(defer_build=True)

    warmup: Duration = timedelta(seconds=30)
    """After the candidate is ready and before evidence counts: a cold start is no regression."""
    progress_deadline: Duration = timedelta(minutes=10)
    """A candidate that is not ready by then is rolled back; as in a Kubernetes Deployment."""
    shadow: Shadow = Shadow()
    canary: Canary = Canary()
    bake: Bake = Bake()
    false_rollback: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    """P(a healthy revision is rolled back), over the whole rollout."""
    false_promotion: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """P(a revision beyond a guard's limit gets that guard's certificate)."""
    bad_requests: Annotated[int, Field(ge=1)] | None = None
    """Failed requests of the candidate that a rollout may cost: it is rolled back when they are
    spent. Unbounded by default: the evidence decides."""
    mode: Literal["concurrentOnly", "fused"] = "concurrentOnly"
    """concurrentOnly: only the comparison with stable rolls back, so falseRollback is a theorem."""
    on_inconclusive: Literal["pause", "rollback"] = "pause"
    """What happens when the budget is spent: a person decides by default."""
    guards: Annotated[tuple[GuardOfType, ...], Field(max_length=16)] = Field(
        default_factory=usual_guards, json_schema_extra={"default": [*USUAL_GUARDS]}
    )
    """Errors, latency and shadow disagreement gate; rejections watch, and quality until labels are
    in."""
    hooks: Annotated[tuple[Hook, ...], Field(max_length=8)] = ()
    """Services of yours that have a say. None by default: the evidence decides."""

    def budget(self, stage: str) -> timedelta:
        """Return the longest that a stage may take."""
        return self.shadow.budget if stage == "shadow" else self.canary.budget

    @model_validator(mode="after")
    def _names_differ(self) -> "Strategy":
        slices = {guard.sliced_by for guard in self.guards} - {None}
        if len(slices) > 1:
            raise ValueError(
                f"guards slice by {', '.join(sorted(map(str, slices)))}: wanted one feature"
            )
        for what, names in (
            ("guards", [guard.name for guard in self.guards]),
            ("hooks", [hook.name for hook in self.hooks]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"{what} are named {names}: wanted different names")
        return self
