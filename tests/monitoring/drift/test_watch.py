"""A deployment's watch: shifts of every kind of column found, and nothing else."""

import json
from typing import Any

import numpy as np
import pytest

from fairway import errors
from fairway.config import sections
from fairway.model.schema import Feature, Schema
from fairway.monitoring.drift import watch
from fairway.monitoring.drift.watch import Look, Watch

SECONDS = 20.0  # between two rows
Columns = dict[str, np.ndarray[Any, Any]]


def words(values: Any) -> np.ndarray[Any, Any]:
    column = np.empty(len(values), dtype=object)
    column[:] = [str(value) for value in values]
    return column


def income(rows: int, rng: np.random.Generator) -> Columns:
    return {
        "age": rng.normal(40, 12, rows),
        "gain": np.where(rng.random(rows) < 0.9, 0.0, rng.lognormal(8, 1, rows)),
        "job": words(rng.choice([f"job {i}" for i in range(300)], rows)),
        "id": words(rng.integers(0, 10**12, rows)),
        "member": (rng.random(rows) < 0.05).astype(np.float64),
        "hours": np.where(rng.random(rows) < 0.02, np.nan, rng.normal(40, 8, rows)),
    }


KINDS = {"job": "category", "id": "category", "member": "boolean"}
SCHEMA = Schema(
    target="",
    features=tuple(
        Feature(name=name, kind=KINDS.get(name, "number"))
        for name in ("age", "gain", "job", "id", "member", "hours")
    ),
)


def watched(*, rows: int = 4000, seed: int = 0, **options: Any) -> Watch:
    reference = income(rows, np.random.default_rng(seed))
    return Watch(reference, schema=SCHEMA, tickets_per_month=1, **options)


def feed(one: Watch, columns: Columns, *, start: float = 0.0) -> list[tuple[int, Look]]:
    """Return the looks that did something, and the row after the window's last."""
    rows = len(next(iter(columns.values())))
    ends = sorted((end, size) for size in one.sizes for end in range(size, rows + 1, size))
    found = []
    for end, size in ends:
        part = {name: values[end - size : end] for name, values in columns.items()}
        look = one.look(
            part,
            size=size,
            began=start + (end - size) * SECONDS,
            ended=start + end * SECONDS,
        )
        if look.action is not None:
            found.append((end, look))
    return found


def test_rows_like_the_reference_open_nothing() -> None:
    one = watched()
    assert one.sizes == [50, 200]
    assert feed(one, income(20_000, np.random.default_rng(1))) == []
    assert one.evidence < 0.1


def _older(columns: Columns, rng: np.random.Generator) -> None:
    columns["age"] += 6.0


def _other_jobs(columns: Columns, rng: np.random.Generator) -> None:
    columns["job"] = words(rng.choice([f"job {i}" for i in range(280, 310)], len(columns["job"])))


def _more_members(columns: Columns, rng: np.random.Generator) -> None:
    columns["member"] = (rng.random(len(columns["member"])) < 0.10).astype(np.float64)


def _no_hours(columns: Columns, rng: np.random.Generator) -> None:
    columns["hours"] = np.where(rng.random(len(columns["hours"])) < 0.1, np.nan, columns["hours"])


def _together(columns: Columns, rng: np.random.Generator) -> None:
    age = (columns["age"] - 40) / 12
    columns["hours"] = 40 + 8 * (0.9 * age + 0.4359 * rng.normal(size=len(age)))


def _wider(columns: Columns, rng: np.random.Generator) -> None:
    columns["age"] = rng.normal(40, 18, len(columns["age"]))


def _enormous(columns: Columns, rng: np.random.Generator) -> None:
    columns["age"] = np.where(rng.random(len(columns["age"])) < 0.1, 1.8e300, columns["age"])


@pytest.mark.parametrize(
    ("change", "kind", "feature", "part", "within"),
    [
        pytest.param(_older, "covariate", "age", "mean", 1000, id="mean"),
        pytest.param(_wider, "covariate", "age", "spread", 1500, id="spread"),
        pytest.param(_other_jobs, None, "job", None, 1500, id="hundreds of words"),
        pytest.param(_more_members, "covariate", "member", "true", 8000, id="five to ten percent"),
        pytest.param(_no_hours, "quality", "hours", "missing", 1500, id="missing"),
        pytest.param(_together, "covariate", None, "age with hours", 1500, id="correlation"),
        pytest.param(_enormous, None, "age", None, 1500, id="enormous"),
    ],
)
def test_a_shift_opens_one_ticket_that_names_it(
    change: Any, kind: str | None, feature: str | None, part: str | None, within: int
) -> None:
    rng = np.random.default_rng(7)
    one = watched()
    assert feed(one, income(2000, rng)) == []
    moved = income(10_000, rng)
    change(moved, rng)
    found = feed(one, moved, start=2000 * SECONDS)
    opened = [(end, look.ticket) for end, look in found if look.action == "open"]
    assert len(opened) == 1
    end, ticket = opened[0]
    assert end <= within
    assert ticket is not None
    first = ticket.shifts[0]
    assert kind in (None, ticket.kind)
    assert feature in (None, first.stream)
    assert part is None or part in [shift.part for shift in ticket.shifts]
    assert ticket.since <= 2000 * SECONDS + end * SECONDS
    assert ticket.evidence >= 1


def test_a_ticket_is_resolved_when_rows_are_as_before() -> None:
    rng = np.random.default_rng(2)
    one = watched()
    moved = income(3000, rng)
    _older(moved, rng)
    assert feed(one, moved)[0][1].action == "open"
    assert one.standing.open
    after = feed(one, income(6000, rng), start=3000 * SECONDS)
    assert after[-1][1].action == "resolve"
    assert not one.standing.open


def test_a_shift_smaller_than_matters_opens_nothing() -> None:
    rng = np.random.default_rng(4)
    moved = income(30_000, rng)
    moved["age"] += 3.0  # a quarter of a standard deviation
    assert feed(watched(rows=20_000), {name: values[:6000] for name, values in moved.items()})
    least = sections.LeastShift(sd=0.5, share=0.5, correlation=1.0, distance=1.0)
    assert feed(watched(rows=20_000, least=least), moved) == []


DAY = 4320  # rows
LOAD = Schema(target="", features=(Feature(name="load", kind="number"),))


def cycle(rows: int, rng: np.random.Generator, *, start: int = 0) -> Columns:
    hours = (np.arange(rows) + start) * SECONDS % watch.yardstick.DAY / watch.yardstick.DAY
    return {"load": rng.normal(size=rows) + np.sin(2 * np.pi * hours)}


def test_a_daily_cycle_is_learnt_from_three_days_and_more() -> None:
    rng = np.random.default_rng(6)
    rows = 4 * DAY
    at = np.arange(rows) * SECONDS
    one = Watch(cycle(rows, rng), schema=LOAD, tickets_per_month=1, at=at)
    assert one.slots() == ["hour of the day"]
    assert feed(one, cycle(3 * DAY, rng, start=rows), start=rows * SECONDS) == []
    night = cycle(DAY, rng, start=rows + 3 * DAY)
    night["load"] += 0.5  # within what the day has seen, not at these hours
    found = feed(one, night, start=(rows + 3 * DAY) * SECONDS)
    assert found[0][0] <= 1000


def test_a_shift_is_told_as_far_as_it_is_from_its_hour() -> None:
    rng = np.random.default_rng(7)
    rows = 4 * DAY
    at = np.arange(rows) * SECONDS
    one = Watch(cycle(rows, rng), schema=LOAD, tickets_per_month=1, at=at)
    start = rows + DAY // 4  # the hour at which the day is at its highest
    noon = cycle(2000, rng, start=start)
    noon["load"] -= 0.7  # which is about what the whole day has
    ticket = feed(one, noon, start=start * SECONDS)[0][1].ticket
    assert ticket is not None
    (mean,) = (shift for shift in ticket.shifts if shift.part == "mean")
    assert mean.effect == pytest.approx(-0.7 / np.sqrt(1.5), abs=0.2)
    assert mean.before == pytest.approx(0, abs=0.02)


def test_a_state_that_was_saved_goes_on_to_the_same_ticket() -> None:
    rng = np.random.default_rng(8)
    first, moved = income(1000, rng), income(3000, rng)
    _older(moved, rng)
    whole, broken = watched(), watched()
    feed(whole, first)
    feed(broken, first)
    again = watched()
    again.restore(json.loads(json.dumps(broken.dump())), usual=broken.usual())
    one, other = (feed(each, moved, start=1000 * SECONDS) for each in (whole, again))
    assert [(end, look.action) for end, look in one] == [(end, look.action) for end, look in other]
    with pytest.raises(ValueError, match="the state has the scales"):
        watched(scales=(50,)).restore(broken.dump(), usual=broken.usual())


def test_the_same_rows_give_the_same_verdict() -> None:
    rng = np.random.default_rng(9)
    moved = income(2000, rng)
    _together(moved, rng)
    one, other = (feed(watched(), moved) for _ in range(2))
    assert one == other


def test_a_short_reference_is_held_in_smaller_windows_and_a_shorter_one_is_said() -> None:
    rng = np.random.default_rng(12)
    one = watched(rows=510)
    assert one.sizes == [25]
    moved = income(3000, rng)
    _older(moved, rng)
    assert feed(one, moved)[0][1].action == "open"
    with pytest.raises(errors.DataError, match="the reference has 199 rows: wanted at least 200"):
        watched(rows=199)


def test_what_clients_send_moves_no_window_by_itself() -> None:
    rng = np.random.default_rng(10)
    one = watched()
    rows = income(20_000, rng)
    rows["age"][::50] = np.tile([1.8e308, -1.8e308, np.inf, 0.0], 100)
    rows["job"][::50] = "x" * 2_000_000
    looks = feed(one, rows)
    assert np.isfinite(one.evidence)
    told = {name for _, look in looks if look.ticket is not None for name in look.ticket.features}
    assert told <= {"age", "job"}  # two of a hundred are out of range, or a word never seen


def test_five_hundred_features_are_watched_in_bounded_memory() -> None:
    rng = np.random.default_rng(11)
    names = [f"f{i}" for i in range(500)]
    schema = Schema(target="", features=tuple(Feature(name=name, kind="number") for name in names))
    reference = {name: rng.normal(size=2000) for name in names}
    one = Watch(reference, schema=schema, tickets_per_month=1)
    rows = {name: rng.normal(size=2000) for name in names}
    rows["f77"] += 2.0
    assert feed(one, rows)[0][1].ticket.features == ["f77"]  # type: ignore[union-attr]
    assert len(json.dumps([one.dump(), one.usual()])) < 8_000_000
