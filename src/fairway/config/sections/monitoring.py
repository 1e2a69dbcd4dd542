"""The `monitoring` section: which windows are tested for drift, and how."""

from datetime import timedelta
from typing import Annotated

from pydantic import (
    AfterValidator,
    Field,
    field_validator,
)

from fairway import plugins
from fairway.config.sections.base import Duration, Section

SCALES = (50, 200, 800)


def _known(engine: str) -> str:
    engines = plugins.found("detectors")
    if engine not in engines:
        raise ValueError(f"wanted {' or '.join(engines)}")
    return engine


def _comparing(names: tuple[str, ...]) -> tuple[str, ...]:
    known = sorted({*plugins.found("detectors"), *plugins.found("comparisons")})
    wrong = [name for name in names if name not in known]
    if wrong:
        raise ValueError(f"wanted some of {', '.join(known)}")
    return tuple(dict.fromkeys(names))


class Budget(Section):
    """How many false tickets may be opened."""

    tickets_per_month: Annotated[float, Field(gt=0, le=100)] = 1.0
    """False drift tickets in 30 days, of all features, windows and deployments together: fewer
    find a shift a little later (a tenth takes about a third longer)."""


class LeastShift(Section):
    """Shifts that matter: a smaller one opens no ticket, however sure it is."""

    sd: Annotated[float, Field(ge=0)] = 0.1
    """Of a number, in standard deviations: a tenth changes few answers."""
    share: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Of the rows that have a word, lack a value or are out of range."""
    correlation: Annotated[float, Field(ge=0, le=2)] = 0.1
    """Of two columns."""
    distance: Annotated[float, Field(ge=0)] = 0.005
    """Of all columns together: the squared maximum mean discrepancy, 0 to 2."""


class Learning(Section):
    """What is learnt of a deployment's traffic before windows are held against it."""

    rows: Annotated[int, Field(ge=200, le=100_000)] = 4000
    """Predictions; 4,000 are twenty windows of 200, which find a shift of half a standard deviation
    within some hundred predictions."""
    duration: Duration = timedelta(days=1)
    """They are spread over this time: traffic is not the same by day and by night. No drift
    ticket opens before; then one does where all of it is far from the training data."""


class Monitoring(Section):
    """What is watched in service."""

    @field_validator("scales")
    @classmethod
    def _multiples(cls, scales: tuple[int, ...]) -> tuple[int, ...]:
        wrong = [size for size in scales if size % min(scales)]
        if wrong:
            raise ValueError(f"{wrong[0]} is no multiple of {min(scales)}: wanted multiples of it")
        return tuple(sorted(set(scales)))

    engine: Annotated[str, AfterValidator(_known)] = "alibi"
    """Alibi Detect. Its licence (BSL 1.1) asks for one in production; `fairway check` says so.
    `native` makes the same tests by scipy and asks for none; a package may add others. Its tests
    say what moved in a window; whether a person is told is the budget's."""
    beside: Annotated[tuple[str, ...], Field(max_length=10), AfterValidator(_comparing)] = ()
    """Detectors that are asked of each window that is shown, such as `mmd` or `alibi-knn`
    (docs/drift.md has them all): each takes up to seconds, and opens no ticket, so none is asked by
    itself. They say nothing while it learns, by default the first day. Local; on a cluster the
    monitor's `--engine` alone is asked, and `fairway deploy` and `fairway render` say so."""
    budget: Budget = Budget()
    """What it may cost to be told: every shift is told under it."""
    scales: Annotated[
        tuple[Annotated[int, Field(ge=10, le=100_000)], ...], Field(min_length=1, max_length=5)
    ] = SCALES
    """Rows of a window. Small ones find large shifts soon, large ones small shifts; each a multiple
    of the smallest. One is used where 20 windows of it are learnt: 800 from `learn.rows` 16000 on."""
    least_shift: LeastShift = LeastShift()
    """What is too small to tell."""
    learn: Learning = Learning()
    """What is usual in service is learnt before anything is told."""
    interval: Duration = timedelta(seconds=5)
    """How often the monitor looks for full windows."""
    retention: Duration = timedelta(days=30)
    """How long events are kept: the longest that labels are waited for."""
