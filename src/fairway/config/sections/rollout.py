"""The `strategy` section: how a new revision may replace the old one, its guards and its hooks."""

import itertools
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from fairway.config.sections.base import NAME, Duration, Fraction, Section, format_duration


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

    steps: Annotated[tuple[Step, ...], Field(max_length=16)] = (Step(weight=5), Step(weight=25), Step(weight=50))
    """Few users first, half of them last, where evidence comes fastest."""
    budget: Duration = timedelta(hours=6)
    """Longest the canary may take before the verdict is inconclusive."""
    harm: Annotated[float, Field(gt=0, le=1)] = 0.1
    """A step ends once so much more failing would have been found, four times in five. A tenth is gross, and shows in some 60 requests; 1 is in a hurry."""

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


class Guard(Section):
    """A limit that must hold."""

    name: Annotated[str, Field(pattern=NAME, max_length=53)]
    """How verdicts and metrics call it."""
    type: Literal["errors", "latency", "rejections", "disagreement", "quality", "drift", "business"]
    """errors: 5xx. latency: slower than threshold. rejections: 4xx, but 408 and 429. disagreement: shadow's answers. quality: labels. drift: shares
    of answers. business: outcomes. All but disagreement compare with stable."""
    gates: Literal["shadow", "canary", "bake", "watch"] | None = None
    """Where it must hold. By default disagreement gates shadow, errors and latency gate canary, the others only watch; who watches can roll back."""
    max_rate: Annotated[float, Field(gt=0, le=0.99)] | None = None
    """The absolute limit that promotion needs certified: share of failed, slow or wrong answers."""
    max_ratio: Annotated[float, Field(gt=1, le=64)] | None = None
    """Errors, latency: instead of maxRate, how many times as often as stable's the candidate's requests may be bad. Needs far more traffic than a limit."""
    tolerance: Annotated[float, Field(ge=1, le=64)] | None = None
    """Errors, latency: rolled back is what is worse than so many times stable's rate. maxRatio where that is said, else 1: any harm beyond chance is one."""
    objective: Annotated[float, Field(gt=0, le=0.99)] | None = None
    """Mode fused: a candidate beyond it is rolled back, unless stable is too. A little above stable's usual rate; maxRate where nothing is said."""
    count: Literal["requests", "units"] | None = None
    """Errors, latency, rejections: by default units (users, sessions), whose first failure counts once, by when requests came, from the event log.
    requests (of the first two) are the gateway's, as they are answered: the default where a cluster's spec.counts gives them."""
    requests_per_unit: Annotated[int, Field(ge=1, le=1000)] = 1
    """With count requests: the most that share one fate (a client and its retries). Evidence is divided by it; by default each stands for itself."""
    threshold: Duration | None = None
    """Latency: an answer slower than this counts."""
    max_loss_increase: Annotated[float, Field(ge=0, le=0.99)] = 0.02
    """Quality, business: how much worse than stable's the share of wrong answers, or the mean outcome (of its range), may be. 0 asks for a better one."""
    slice_by: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Quality: a feature whose every value (the first eight) must hold by itself. Of requests with logged inputs; the budget of errors is one."""
    outcome: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Business: the name of the outcomes that are sent for served requests; a unit counts once, by its first."""
    lower: float = 0.0
    """Business: what the worst or least outcome is worth; smaller ones count as this."""
    upper: float | None = None
    """Business: the most that an outcome is worth; larger ones count as this. Bounds make the guarantee exact: no single customer decides."""
    higher_is_better: bool = True
    """Business: false for what should be small, such as minutes of waiting."""
    max_shift: Fraction = 0.05
    """Drift: how much the share of units that get an answer may differ between the arms; 0 for not at all. Both see the same users at the same time."""

    @model_validator(mode="after")
    def _complete(self) -> "Guard":
        if self.type == "latency" and self.threshold is None:
            raise ValueError(f"guard {self.name} of type latency needs a threshold")
        if self.count == "requests" and self.type not in ("errors", "latency"):
            raise ValueError(f"guard {self.name} of type {self.type} counts requests: only errors and latency can")
        if (
            self.type in ("errors", "latency")
            and self.stage in ("canary", "bake")
            and self.max_rate is None
            and self.max_ratio is None
        ):
            raise ValueError(
                f"guard {self.name} gates {self.stage}: it needs maxRate, the limit to certify (or maxRatio)"
            )
        if self.max_ratio is not None and (self.max_rate is not None or self.type not in ("errors", "latency")):
            raise ValueError(f"guard {self.name} has maxRatio: wanted it instead of maxRate, for errors or latency")
        if self.tolerance is not None and self.type not in ("errors", "latency"):
            raise ValueError(
                f"guard {self.name} has tolerance: wanted it for errors or latency (quality and business have maxLossIncrease, drift maxShift)"
            )
        if self.requests_per_unit > 1 and self.count != "requests":
            raise ValueError(
                f"guard {self.name} has requestsPerUnit: wanted it with count requests, for units count once anyway"
            )
        if self.type == "disagreement" and self.stage != "shadow":
            raise ValueError(f"guard {self.name} of type disagreement can only gate shadow")
        if self.slice_by is not None and (self.type != "quality" or self.stage != "watch"):
            raise ValueError(
                f"guard {self.name} has sliceBy: only quality that watches can be judged by slices, for a slice may never have labels enough"
            )
        if self.type == "rejections" and (self.stage != "watch" or self.max_rate is not None):
            raise ValueError(
                f"guard {self.name} of type rejections can only watch, without maxRate: how often clients are refused is their doing too"
            )
        if self.type == "business" and (self.outcome is None or self.upper is None or self.upper <= self.lower):
            raise ValueError(f"guard {self.name} of type business needs outcome, and upper above lower")
        if self.type == "drift" and self.stage != "watch":
            raise ValueError(
                f"guard {self.name} of type drift can only watch: it has no certificate, and can roll back all the same"
            )
        if self.type != "disagreement" and self.stage == "shadow":
            raise ValueError(f"guard {self.name} of type {self.type} cannot gate shadow")
        return self

    @property
    def tolerated(self) -> float:
        """How many times stable's rate is no harm yet."""
        return self.tolerance or self.max_ratio or 1.0

    @property
    def objective_rate(self) -> float | None:
        """What the candidate is held to in mode fused."""
        return self.objective if self.objective is not None else self.max_rate

    @property
    def by_arrival(self) -> bool:
        """Whether requests count by when they came, and units once."""
        return self.count != "requests" and self.type in ("errors", "latency", "rejections")

    @property
    def stage(self) -> str:
        """Where the guard must hold, its type's own place where nothing is said."""
        own = {
            "disagreement": "shadow",
            "rejections": "watch",
            "quality": "watch",
            "drift": "watch",
            "business": "watch",
        }
        return self.gates or own.get(self.type, "canary")


DEFAULT_GUARDS = (
    Guard(name="disagreement", type="disagreement"),
    Guard(name="errors", type="errors", max_rate=0.02),
    Guard(name="slow", type="latency", threshold=timedelta(milliseconds=100), max_rate=0.05),
    Guard(name="rejections", type="rejections"),
    Guard(name="quality", type="quality"),
)


HookPoint = Literal["preRollout", "preStep", "prePromotion", "postPromotion", "postRollback", "postPause"]


class Hook(Section):
    """A service of yours that is asked before a rollout moves on, or told how it went: a POST of one CloudEvent."""

    name: Annotated[str, Field(pattern=NAME, max_length=53)]
    """How reasons and events call it."""
    url: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?([/?][^\s#]*)?$", max_length=1024)]
    """Where it listens. No password in it: it is read by whoever reads the deployment."""
    at: Annotated[tuple[HookPoint, ...], Field(min_length=1, max_length=6)]
    """pre...: before the first request or copy, each step of the canary, the promotion; it waits for a 2xx. post...: told after it, and not waited for."""
    timeout: Duration = timedelta(seconds=10)
    """Longest one call may take, a minute at most; what takes longer should answer 503 at once and be asked again, each 10 s."""
    on_refusal: Literal["hold", "rollback"] = "hold"
    """What a 409 or 422 to pre... does. It holds by default: most who say no mean not now. rollback: for tests whose no is a verdict."""

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
                f"hook {self.name} has onRefusal rollback and is only told: wanted it at preRollout, preStep or prePromotion"
            )
        return self


class Strategy(Section):
    """How a new revision may replace the one in service."""

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
    """Failed requests of the candidate that a rollout may cost: it is rolled back when they are spent. Unbounded by default: the evidence decides."""
    mode: Literal["concurrentOnly", "fused"] = "concurrentOnly"
    """concurrentOnly: only the comparison with stable rolls back, so falseRollback is a theorem."""
    on_inconclusive: Literal["pause", "rollback"] = "pause"
    """What happens when the budget is spent: a person decides by default."""
    guards: Annotated[tuple[Guard, ...], Field(max_length=16)] = DEFAULT_GUARDS
    """Errors, latency and shadow disagreement gate; rejections watch, and quality until labels are in."""
    hooks: Annotated[tuple[Hook, ...], Field(max_length=8)] = ()
    """Services of yours that have a say. None by default: the evidence decides."""

    def budget(self, stage: str) -> timedelta:
        """Return the longest that a stage may take."""
        return self.shadow.budget if stage == "shadow" else self.canary.budget

    @model_validator(mode="after")
    def _names_differ(self) -> "Strategy":
        slices = {guard.slice_by for guard in self.guards} - {None}
        if len(slices) > 1:
            raise ValueError(f"guards slice by {', '.join(sorted(map(str, slices)))}: wanted one feature")
        for what, names in (
            ("guards", [guard.name for guard in self.guards]),
            ("hooks", [hook.name for hook in self.hooks]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"{what} are named {names}: wanted different names")
        return self
