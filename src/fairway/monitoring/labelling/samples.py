"""Samples of requests that are drawn to be labelled: chosen from what a revision answered, kept in the
event store with the probability of each, and measured by the labels that came."""

import contextlib
import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from fairway import artifacts, errors
from fairway.model import tasks
from fairway.model.schema import Schema
from fairway.monitoring import references, stretch, windows
from fairway.monitoring.eventstore import answers
from fairway.monitoring.labelling import inclusion, powered

By = Literal["uncertainty", "importance", "uniform"]
NAME = "samples"  # of the file that keeps them
KEPT = 20  # samples of a deployment, the newest


class AnsweredRequest(NamedTuple):
    """One request that a revision answered."""

    request_id: str
    answers: list[Any]  # of each row
    expected: float  # that its rows lose together, by the model's own account
    uncertainty: float  # of its rows together


class Drawn(NamedTuple):
    """One request that was drawn."""

    request_id: str
    answers: list[Any]
    expected: float
    probability: float  # of being drawn


@dataclass(frozen=True, kw_only=True)
class LabelSample:
    """One draw, of the requests of one revision that had no label then."""

    revision: str
    at: float  # when it was drawn, in seconds since the epoch
    by: By
    seed: int
    requests: int  # without a label, of which these were drawn
    rows: int  # of those
    expected: float  # that those rows lose together, by the model's own account
    labelled: int  # rows of the other requests, whose labels were there
    lost: float  # on those
    drawn: tuple[Drawn, ...]


@dataclass(frozen=True, kw_only=True)
class DrawnFrom:
    """What may be drawn from, and how."""

    meant: stretch.Meant
    namespace: str
    revision: str
    schema: Schema


class Past(Protocol):
    """What an event store tells of the past of deployments, here or at a collector."""

    def newest(
        self, deployment: str, *, namespace: str, revision: str
    ) -> Generator[answers.Prediction, None, None]: ...

    def lost(
        self,
        deployment: str,
        answered: Mapping[str, Sequence[Any]],
        *,
        namespace: str,
        revision: str,
    ) -> dict[str, float]: ...

    def labels(
        self, deployment: str, requests: Sequence[str], *, namespace: str
    ) -> dict[str, list[Any]]: ...


def draw(past: Past, asked: DrawnFrom, *, by: By, count: int, seed: int, now: float) -> LabelSample:
    """Return a sample of about `count` requests without a label; raises DataError where there are
    none."""
    known = [_answered(one, asked.schema) for one in answered(past, asked)]
    lost = past.lost(
        asked.meant.deployment,
        {one.request_id: one.answers for one in known},
        namespace=asked.namespace,
        revision=asked.revision,
    )
    left = [one for one in known if one.request_id not in lost]
    if not left:
        raise errors.DataError(
            f"{asked.meant.deployment}: all {len(known):,} answers have a label: `fairway monitor` "
            "shows what they lost"
        )
    probability = inclusion.probabilities(_scores(left, by=by), count=count)
    # with the seed alone a small draw would lie in a larger one
    apart = [seed, get_args(By).index(by), count, len(left)]
    places = inclusion.drawn(probability, seed=apart)
    return LabelSample(
        revision=asked.revision,
        at=now,
        by=by,
        seed=seed,
        requests=len(left),
        rows=sum(len(one.answers) for one in left),
        expected=float(sum(one.expected for one in left)),
        labelled=sum(len(one.answers) for one in known if one.request_id in lost),
        lost=sum(lost.values()),
        drawn=tuple(_drawn(left[place], float(probability[place])) for place in places),
    )


def _drawn(one: AnsweredRequest, probability: float) -> Drawn:
    return Drawn(one.request_id, one.answers, one.expected, probability)


def _scores(left: Sequence[AnsweredRequest], *, by: By) -> NDArray[np.float64]:
    rows = np.array([len(one.answers) for one in left], dtype=np.float64)
    if by == "uniform":
        return np.zeros(len(left))
    if by == "uncertainty":
        return np.array([one.uncertainty for one in left])
    return rows * inclusion.importance(np.array([one.expected for one in left]) / rows)


def newest(past: Past, asked: DrawnFrom) -> Iterator[answers.Prediction]:
    """Give the newest predictions that are meant, each request once."""
    left = asked.meant.rows or (stretch.MOST_ROWS if asked.meant.timed else stretch.NEWEST_ROWS)
    seen: set[str] = set()
    found = past.newest(asked.meant.deployment, namespace=asked.namespace, revision=asked.revision)
    with contextlib.closing(found):
        for prediction in stretch.within(found, asked.meant):
            if left <= 0:
                return
            left -= prediction.rows
            if prediction.request_id not in seen:
                seen.add(prediction.request_id)
                yield prediction


def answered(past: Past, asked: DrawnFrom) -> list[answers.Prediction]:
    """Return the newest predictions that have an answer, the newest first; raises DataError where
    there are none."""
    found = [one for one in newest(past, asked) if one.labels]
    if not found:
        raise errors.DataError(
            f"{asked.meant.deployment}: no answer of revision {asked.revision} with logged inputs is "
            "there: send requests, or name other times"
        )
    return found


def _answered(prediction: answers.Prediction, schema: Schema) -> AnsweredRequest:
    raw, task = _raw(prediction, schema), tasks.of(schema)
    return AnsweredRequest(
        prediction.request_id,
        prediction.labels or [],
        0.0 if raw is None else float(task.expected_loss(raw, schema).sum()),
        0.0 if raw is None else float(task.uncertainty(raw, schema).sum()),
    )


def _raw(prediction: answers.Prediction, schema: Schema) -> NDArray[np.float64] | None:
    """Return the raw answers; None where the event's are not such: a server may send anything."""
    given, wanted = prediction.probabilities, (prediction.rows, tasks.of(schema).width(schema))
    if given is None or not artifacts.is_plain(given, kinds=windows.NUMBERS, levels=2):
        return None
    try:
        raw = np.array(given, dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        return None
    return raw if raw.shape == wanted and bool(np.isfinite(raw).all()) else None


# -- what is kept ----------------------------------------------------------------------------------


def keep(shelf: references.Shelf, sample: LabelSample) -> None:
    """Keep the sample beside the last ones: its probabilities are needed when labels come back."""
    known = [sample, *kept(shelf)]
    content = json.dumps([asdict(one) for one in known[:KEPT]], allow_nan=False)
    shelf.write(NAME, content.encode())


def kept(shelf: references.Shelf) -> list[LabelSample]:
    """Return the samples that were drawn, the newest first."""
    content = shelf.read(NAME)
    found = json.loads(content) if content else []
    return [
        LabelSample(**{**one, "drawn": tuple(Drawn(*drawn) for drawn in one["drawn"])})
        for one in found
    ]


def rows(past: Past, sample: LabelSample, *, asked: DrawnFrom) -> Iterable[Mapping[str, Any]]:
    """Give what a person needs to label each request, in the order of the draw; None is the value of a
    redacted input."""
    wanted = {one.request_id for one in sample.drawn}
    inputs = {one.request_id: one.inputs for one in newest(past, asked) if one.request_id in wanted}
    for one in sample.drawn:
        yield {
            "requestId": one.request_id,
            "inputs": inputs.get(one.request_id, {}),
            "answer": one.answers,
            "probability": one.probability,
        }


# -- what labels say -------------------------------------------------------------------------------


def quality(
    past: Past,
    sample: LabelSample,
    *,
    beside: Sequence[LabelSample],
    deployment: str,
    namespace: str,
) -> artifacts.Json:
    """Return the mean loss of the requests that a sample was drawn from, those that had a label among
    them, as far as labels came back; `loss` is None of fewer than `powered.LEAST`.

    `beside` are all samples of the deployment: a label that another draw asked for too counts as
    far as this one's own labels reach.
    """
    lost = past.lost(
        deployment,
        {one.request_id: one.answers for one in sample.drawn},
        namespace=namespace,
        revision=sample.revision,
    )
    reached = _reached(sample, labelled=lost.keys(), beside=beside)
    known = [one for one in sample.drawn[:reached] if one.request_id in lost]
    found = powered.estimate(
        powered.LabelledRequests(
            lost=np.array([lost[one.request_id] for one in known]),
            rows=np.array([len(one.answers) for one in known], dtype=np.float64),
            expected=np.array([one.expected for one in known]),
            probability=np.array([one.probability for one in known]),
        ),
        drawn=len(sample.drawn),
        requests=sample.requests,
        rows=sample.rows,
        expected=sample.expected,
    )
    whole = {"lost": sample.lost, "rows": sample.labelled, "of": sample.rows}
    return {
        "at": sample.at,
        "revision": sample.revision,
        "by": sample.by,
        "seed": sample.seed,
        "requests": sample.requests,
        "drawn": len(sample.drawn),
        "labelled": len(known),
        "labelledBefore": sample.labelled,
        "loss": None
        if found is None
        else {
            "labelsAlone": asdict(found.labels.beside(**whole)),
            "powered": asdict(found.powered.beside(**whole)),
            "tuning": found.tuning,
            "few": found.few,
        },
    }


def _reached(
    sample: LabelSample, *, labelled: AbstractSet[str], beside: Sequence[LabelSample]
) -> int:
    """Return how many of the draw, in its order, somebody has labelled or passed over for it.

    A label behind that came by another draw, whose choice would be taken for this one's; so the last
    label that no other draw asked for is the end.
    """
    asked = [one.request_id for one in sample.drawn]
    if labelled >= set(asked):
        return len(asked)
    others = {
        one.request_id for other in beside if other.drawn != sample.drawn for one in other.drawn
    }
    own = [
        place for place, one in enumerate(asked, start=1) if one in labelled and one not in others
    ]
    return max(own, default=0)
