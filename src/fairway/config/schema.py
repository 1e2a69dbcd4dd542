"""What may be configured: the one source of the checked configuration, the CRD schema and the reference page.

Keys are camelCase in files (as in the custom resource) and snake_case in Python. Durations are written `250ms`, `30s`,
`10m`, `6h` or `2d` and are `timedelta` here. Every field has a line that says why its default is what it is.
"""

import itertools
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

DURATION = re.compile(r"^([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)$")
UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
CREDENTIALS = re.compile(r"^[a-z0-9]+://[^/?#]*@")
NAME = r"^[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?$"  # a DNS label with room for the revision's 12 characters


def parse_duration(value: Any) -> timedelta:
    """Return the duration that `250ms`, `30s`, `10m`, `6h` or `2d` means."""
    if isinstance(value, timedelta):
        return value
    match = DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("wanted a duration such as 250ms, 30s, 10m, 6h or 2d")
    try:
        return timedelta(seconds=float(match[1]) * UNIT_SECONDS[match[2]])
    except OverflowError as error:
        raise ValueError("wanted a duration that ends before the calendar does") from error


def format_duration(value: timedelta) -> str:
    """Return the shortest way to write the duration in whole units."""
    milliseconds = round(value.total_seconds() * 1000)
    for unit in ("d", "h", "m", "s"):
        size = round(UNIT_SECONDS[unit] * 1000)
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION.pattern, "maxLength": 16}),
]
Fraction = Annotated[float, Field(ge=0, le=1)]


def _without_credentials(uri: str) -> str:
    if CREDENTIALS.match(uri):
        raise ValueError("wanted no credentials in an address: a Secret holds them, and the environment gives them")
    return uri


NO_CREDENTIALS = AfterValidator(_without_credentials)


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )


# -- data ---------------------------------------------------------------------------------------------------------------


class Split(Section):
    """How rows are divided into training, validation and test."""

    method: Literal["stratified", "group", "time", "random"] = "stratified"
    """Stratified by default: each split keeps the classes' shares, which small data needs."""
    validation: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    """Share for early stopping and calibration; 15 % keeps its error under a point from 1,500 rows on."""
    test: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    """Share that is looked at once, by evaluation."""
    column: str | None = None
    """The column that names the group (method group) or orders the rows (method time)."""
    purge: Annotated[int, Field(ge=0)] = 0
    """Rows left out between splits in method time, for labels that look ahead; none by default."""

    @model_validator(mode="after")
    def _column_named(self) -> "Split":
        if self.method in ("group", "time") and not self.column:
            raise ValueError(f"split method {self.method} needs split.column")
        return self


class Data(Section):
    """Where the rows come from and what they mean."""

    source: Literal["digits", "csv", "parquet", "idx", "function"] = "csv"
    """`digits` ships with scikit-learn; `idx` is MNIST's format; `function` calls your own code."""
    path: Path | None = None
    """The file (csv, parquet) or the images file (idx)."""
    labels: Path | None = None
    """The labels file of idx."""
    function: str | None = None
    """`package.module:name`, called with this section; returns a pandas DataFrame with the target in it."""
    target: str = "label"
    """The column to predict."""
    features: tuple[str, ...] | None = None
    """The columns to predict from; all but the target and the ignored by default."""
    categorical: tuple[str, ...] = ()
    """Number columns that are codes rather than quantities; text columns are categories without being named."""
    ignore: tuple[str, ...] = ()
    """Columns to leave out: identifiers, what is only known afterwards."""
    extra: tuple[Path, ...] = ()
    """Files of newly labelled rows (parquet) that join the training split; retraining writes them."""
    limit: Annotated[int, Field(gt=0)] | None = None
    """Rows to keep, drawn at random with the seed; all by default."""
    missing_values: tuple[str, ...] = ("", "?", "NA", "NaN", "null", "None")
    """How files write a missing value; these are the usual ones."""
    max_categories: Annotated[int, Field(ge=2, le=10000)] = 100
    """A text column with more values than this is refused: it is likely an identifier."""
    split: Split = Split()

    @model_validator(mode="after")
    def _source_complete(self) -> "Data":
        needs = {"csv": "path", "parquet": "path", "idx": "path", "function": "function"}
        need = needs.get(self.source)
        if need and getattr(self, need) is None:
            raise ValueError(f"data.source {self.source} needs data.{need}")
        if self.source == "idx" and self.labels is None:
            raise ValueError("data.source idx needs data.labels")
        return self


# -- training -----------------------------------------------------------------------------------------------------------


class Augmentation(Section):
    """Label-preserving changes of training images (torchvision)."""

    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Degrees either way; none by default, because not every picture may be turned."""
    translation: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Share of the picture's size either way; none by default."""
    erasing: Fraction = 0.0
    """Probability of blanking a random rectangle; none by default."""


class Training(Section):
    """How a model is fitted."""

    family: Literal["convolutional", "tabular", "function"] = "tabular"
    """Our two torch families, or `function`: your own code."""
    function: str | None = None
    """`package.module:fit`, called as fit(splits, seed=...); returns a torch module, a scikit-learn estimator or an ONNX path."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Fixes weights, order of batches and augmentation: the same seed gives the same model on the same machine."""
    epochs: Annotated[int, Field(ge=1, le=10000)] = 30
    """Upper bound; early stopping usually ends before."""
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 64
    """64 fits small data; raise it with the rows."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 3e-3
    """Peak of the one-cycle schedule; 3e-3 is safe for AdamW on networks of this size."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    """AdamW's decay; its usual value for small networks."""
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (64,)
    """Widths of the fully connected layers."""
    channels: tuple[Annotated[int, Field(ge=1)], ...] = (16, 32)
    """Widths of the convolutions (family convolutional)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Before the last layer; 0.1 costs nothing and steadies small data."""
    patience: Annotated[int, Field(ge=1)] = 8
    """Epochs without a better validation loss before it stops."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weighs the loss by inverse class frequency; it costs calibration, so not by default."""
    augmentation: Augmentation = Augmentation()
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto` takes the accelerator that is there."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto` is bfloat16 on GPUs that have it, float32 elsewhere."""
    threads: Annotated[int, Field(ge=0)] = 1
    """CPU threads; 0 leaves torch's choice. One by default: two made small networks up to six times slower on a busy machine, never faster."""

    @model_validator(mode="after")
    def _function_named(self) -> "Training":
        if self.family == "function" and not self.function:
            raise ValueError("training.family function needs training.function")
        return self


# -- evaluation ---------------------------------------------------------------------------------------------------------


class Gate(Section):
    """What a challenger must show before it is packaged."""

    min_accuracy: Fraction | None = None
    """An absolute floor; none by default, since only you know it."""
    max_calibration_error: Fraction | None = 0.15
    """Above 15 % the confidence is of no use to the reader of a prediction."""
    beat_zero_rule: bool = True
    """A model no better than the most frequent class is broken."""
    max_accuracy_drop: Fraction = 0.01
    """How much worse than the model in service it may be; a point is within the noise of most test sets."""
    min_slice_accuracy: Fraction | None = None
    """A floor for every slice with enough rows; none by default."""


class Evaluation(Section):
    """What is measured on the test split."""

    slices: tuple[str, ...] = ()
    """Columns whose values are judged apart; categories with few values by default."""
    min_slice_rows: Annotated[int, Field(ge=1)] = 30
    """Smaller slices are shown but not judged: their accuracy is noise."""
    gate: Gate = Gate()


# -- serving ------------------------------------------------------------------------------------------------------------


class Events(Section):
    """What a server logs of its predictions."""

    sample: Fraction = 1.0
    """Share of predictions whose inputs are logged, chosen by hash of the request id; outputs are always logged."""
    batch_size: Annotated[int, Field(ge=1, le=10000)] = 200
    """Events in one delivery; 200 keep one under 1 MB for small inputs."""
    interval: Duration = timedelta(milliseconds=200)
    """Longest an event waits to be sent; the judge's freshness."""
    queue: Annotated[int, Field(ge=1)] = 20_000
    """Events held in memory before they go to the spool."""
    spool_mebibytes: Annotated[int, Field(ge=0)] = 256
    """Disk for events that could not be delivered; beyond it the newest are dropped and counted."""
    write_ahead: bool = False
    """Write each event to the spool before its answer is sent, so that a server that is killed (`kill -9`, out of memory) loses none. Off by default: each
    answer would wait about 40 µs, more with pictures, and what is lost otherwise is the events of the last `interval` before a kill, and no answer."""


class Serving(Section):
    """How a model answers."""

    runtime: Literal["bentoml", "seldon"] = "bentoml"
    """BentoML by default; Seldon is for clusters that already run it."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes of one server; one core each."""
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    """ONNX Runtime's threads a worker; one is fastest for small models."""
    timeout: Duration = timedelta(seconds=10)
    """A request that takes longer is answered 504; its body may take as long to come (408), and more rows than a quarter of it computes are refused (413)."""
    max_body_mebibytes: Annotated[int, Field(ge=1)] = 8
    """Larger requests are refused with 413."""
    max_concurrency: Annotated[int, Field(ge=1)] = 256
    """Requests in work at once; one more is answered 429. What would wait longer than half a second is refused before that."""
    reveal_revision: bool = False
    """Answers tell which revision gave them. Off: a client that knows its arm can choose what the candidate gets; the event log always knows."""
    events: Events = Events()


# -- rollout ------------------------------------------------------------------------------------------------------------


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


# -- monitoring and retraining ------------------------------------------------------------------------------------------


class Monitoring(Section):
    """What is watched in service."""

    engine: Literal["alibi"] = "alibi"
    """Alibi Detect. Its licence (BSL 1.1) asks for one in production; `fairway check` says so."""
    window: Annotated[int, Field(ge=20)] = 200
    """Predictions in one window; 200 find a shift of half a standard deviation."""
    p_value: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Per window, over all features together (Bonferroni)."""
    consecutive: Annotated[int, Field(ge=1)] = 2
    """Drifted windows in a row that open a ticket: two keep chance alarms under 1 in 10,000 windows."""
    interval: Duration = timedelta(seconds=5)
    """How often the monitor looks for full windows."""
    retention: Duration = timedelta(days=30)
    """How long events are kept: the longest that labels are waited for."""


class Retraining(Section):
    """When a new model is trained, and on what."""

    enabled: bool = True
    """On: the decision is recorded either way."""
    min_labels: Annotated[int, Field(ge=1)] = 200
    """Labelled predictions before realised accuracy is judged."""
    max_accuracy_drop: Fraction = 0.05
    """Fall of realised accuracy below the test accuracy that starts a run."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.99
    """The fall must be beyond chance at this level (Clopper-Pearson bound on the realised accuracy)."""
    on_drift: bool = False
    """Drift alone does not start a run by default: inputs may shift without harm."""
    cool_down: Duration = timedelta(hours=6)
    """Shortest time between two runs."""
    max_new_rows: Annotated[int, Field(ge=1)] = 100_000
    """Newest labelled rows that join the training data."""
    deploy: bool = True
    """A challenger that passes the gate starts its rollout."""


# -- platform -----------------------------------------------------------------------------------------------------------


class Platform(Section):
    """Where it runs."""

    kind: Literal["local", "kubernetes"] = "local"
    """One machine by default."""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """The gateway's port; 0 takes a free one."""
    scrape_interval: Duration = timedelta(seconds=1)
    """How often the controller reads the gateway's counts and decides."""
    store: Annotated[str, Field(pattern=r"^(s3|https?|oci|pvc)://[^\s]+$", max_length=900), NO_CREDENTIALS] | None = (
        None
    )
    """Where packages are put for a cluster, such as `s3://bucket/prefix` or `pvc://claim/folder`, without the digest."""
    gateways: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=317)], ...], Field(min_length=1, max_length=8)
    ] = ("models",)
    """On a cluster: the Gateways that requests come in by, each `name` or `namespace/name`."""
    hostnames: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=253)], ...], Field(max_length=16)] = ()
    """On a cluster: host names to answer to; those of the Gateway's listeners by default."""


class Resources(Section):
    """What one pipeline step asks of its node."""

    cpu: str = "1"
    """As Kubernetes writes it."""
    memory: str = "2Gi"
    """As Kubernetes writes it."""
    gpu: Annotated[int, Field(ge=0, le=16)] = 0
    """`nvidia.com/gpu`; only training asks for one by default, in production."""


class Pipeline(Section):
    """How the training pipeline runs."""

    image: str = "ghcr.io/fairway/pipeline:0.1.0"
    """The steps' image; pin it by digest in production."""
    prepare: Resources = Resources()
    train: Resources = Resources(cpu="2", memory="8Gi")
    evaluate: Resources = Resources()


class Config(Section):
    """The whole of `fairway.yaml`."""

    name: Annotated[str, Field(pattern=NAME)] = "model"
    """Names the deployment, the package and the series in Prometheus."""
    namespace: Annotated[str, Field(pattern=NAME)] = "default"
    """The Kubernetes namespace; a label locally."""
    environment: Literal["local", "kind", "production"] = "local"
    """Which group of defaults the platform takes."""
    licence: str = "unspecified"
    """The licence of the model (SPDX), kept in its package."""
    data: Data
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    serving: Serving = Serving()
    strategy: Strategy = Strategy()
    monitoring: Monitoring = Monitoring()
    retraining: Retraining = Retraining()
    platform: Platform = Platform()
    pipeline: Pipeline = Pipeline()
