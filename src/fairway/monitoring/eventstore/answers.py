"""What the event store answers: pairs, labelled answers, outcomes, exposures, and the inputs that
were logged."""

from dataclasses import dataclass
from typing import Any, NamedTuple

NAMESPACE = "default"  # as in the configuration and in Kubernetes


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Shadow answers against the stable answers to the same requests."""

    compared: int = 0  # stable answered 2xx and the candidate did not fail
    # of those: another class in any row (of other tasks, how far the rows are apart on average), or
    # the candidate refused (4xx)
    disagreements: float = 0
    measured: int = 0  # of those compared, how many are no classes
    candidate_failures: int = 0  # candidate 5xx, stable not
    stable_failures: int = 0  # stable 5xx, candidate not
    both_failed: int = 0
    mismatched_inputs: int = 0  # the two halves did not see the same inputs: counted here only
    # stable refused the request (4xx), labels were not logged, or no task here measures both:
    # counted here only
    incomparable: int = 0

    def __add__(self, other: "Pairs") -> "Pairs":
        return Pairs(
            **{
                name: getattr(self, name) + getattr(other, name)
                for name in self.__dataclass_fields__
            }
        )


class Position(NamedTuple):
    """Where a reader may begin: what is in the store already is passed over."""

    store: str  # identity of the store: random, made with it
    newest: int  # number of its newest event


class Unpaired(NamedTuple):
    """How many mirrored copies of one revision have no stable answer to pair with."""

    namespace: str
    deployment: str
    revision: str
    answers: int


class LabelledAnswer(NamedTuple):
    """A served answer whose label came."""

    request_id: str
    unit: str | None
    revision: str
    role: str  # stable | canary
    predicted_at: float  # when the request came, in seconds since the epoch
    rows: int  # rows whose label is known
    wrong: float  # the sum of their losses: of classes, how many are wrong
    # value of the feature that was asked for; None where its inputs were not logged
    slice: str | None = None
    answer: str | None = None  # label of the first row; None where it is no word
    measured: bool = False  # whether the losses are a task's, and no classes that are wrong


class Outcome(NamedTuple):
    """What became of a served answer."""

    name: str
    unit: str | None
    revision: str
    predicted_at: float  # when the request came, in seconds since the epoch
    value: float


class Exposure(NamedTuple):
    """Which arm a unit met, and what it got."""

    seq: int
    predicted_at: float  # when the request came, in seconds since the epoch
    role: str
    unit: str | None  # None: the client named no unit, and the request is one of its own
    client: str | None  # bucket of its address
    status: int  # HTTP
    seconds: float  # that the server took
    answer: str | None  # label of the first row; None where there is none, or it is no word


class Prediction(NamedTuple):
    """One logged request with its payload."""

    seq: int
    request_id: str
    time: float
    rows: int
    inputs: dict[str, list[Any] | None]  # None of a feature that its server redacted
    labels: list[Any] | None
    probabilities: list[list[float]] | None


class LabelledInputs(NamedTuple):
    """One logged request with its payload and its true labels, None where a row's is not known."""

    seq: int  # of the later half
    request_id: str
    inputs: dict[str, list[Any] | None]  # None of a feature that its server redacted
    labels: list[Any]  # words, or lists of words where answers are such


@dataclass(frozen=True, kw_only=True)
class RealisedLoss:
    """What the answers of one revision have lost, by the labels that came."""

    # its name; None where answers are classes, each of which is right or wrong
    task: str | None = None
    rows: int = 0
    lost: float = 0  # the sum of their losses, each from 0 to 1
    first_at: float | None = None  # when the earliest of the labelled answers was given
    last_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class ArmCount:
    """How many events one arm of one deployment has in the store; labels have neither revision nor
    role."""

    deployment: str
    revision: str
    role: str
    events: int
