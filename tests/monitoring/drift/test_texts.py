"""Texts under watch: other words and words in another order are found, and nothing else."""

import json
from typing import Any

import numpy as np
import pytest

from fairway.config import sections
from fairway.model.schema import Feature, Schema
from fairway.monitoring import detectors
from fairway.monitoring.drift import hindsight, yardstick
from fairway.monitoring.drift.measures import Measures
from fairway.monitoring.drift.watch import Watch

SCHEMA = Schema(target="", features=(Feature(name="review", kind="text"),))
SECONDS = 20.0  # between two rows
DAY = 4320  # rows
WORDS = [f"word{place}" for place in range(200)]
COMMON = 1 / np.arange(1, len(WORDS) + 1)
Texts = dict[str, np.ndarray[Any, Any]]


def phrases() -> list[str]:
    """Return what people say: words that go together, the commonest more often."""
    rng = np.random.default_rng(99)
    chances = COMMON / COMMON.sum()
    return [" ".join(rng.choice(WORDS, rng.integers(2, 5), p=chances)) for _ in range(80)]


PHRASES = phrases()


def said(
    rows: int, rng: np.random.Generator, *, often: str = "not good", share: float = 0.2
) -> Texts:
    """Return texts of two to six phrases, a share of which has the one that is often said too."""
    column = np.empty(rows, dtype=object)
    for row in range(rows):
        parts = rng.choice(PHRASES, rng.integers(2, 7)).tolist()
        if rng.random() < share:
            parts.insert(int(rng.integers(0, len(parts) + 1)), often)
        column[row] = " ".join(parts)
    return {"review": column}


def mixed(rows: int, rng: np.random.Generator) -> Texts:
    """Return the same texts, the words of each in any order."""
    column = said(rows, rng)["review"]
    column[:] = [" ".join(rng.permutation(text.split())) for text in column]
    return {"review": column}


def by_day(rows: int, rng: np.random.Generator, *, start: int) -> Texts:
    """Return texts of which one topic is the day's and another the night's."""
    hours = (np.arange(rows) + start) * SECONDS % yardstick.DAY / yardstick.DAY
    column = said(rows, rng)["review"]
    day = rng.random(rows) < 0.5 + 0.4 * np.sin(2 * np.pi * hours)
    column[:] = [
        f"{text} {'order a lunch' if noon else 'see a film'}"
        for text, noon in zip(column, day, strict=True)
    ]
    return {"review": column}


def watched(reference: Texts, *, at: Any = None) -> Watch:
    return Watch(reference, schema=SCHEMA, tickets_per_month=1, at=at)


def feed(one: Watch, columns: Texts, *, start: float = 0.0) -> list[tuple[int, str, list[str]]]:
    """Return the row of each action, which it was, and the parts that were told."""
    blocks = one.measures.blocks(columns, size=one.base)
    looks = []
    for size in one.sizes:
        means = blocks.means(size=size)
        ends = np.arange(1, len(means) + 1) * size
        scores = one.scores(means, size=size, at=start + (ends - size / 2) * SECONDS)
        looks += list(zip(ends.tolist(), [size] * len(means), scores.tolist(), means, strict=True))
    found = []
    for end, size, scores, mean in sorted(looks, key=lambda look: look[:2]):
        began, ended = start + (end - size) * SECONDS, start + end * SECONDS
        look = one.look_on(scores, mean, size=size, began=began, ended=ended)
        if look.action is not None:
            shifts = look.ticket.shifts if look.ticket else ()
            found.append((end, look.action, [shift.part for shift in shifts]))
    return found


PAIRS, SINGLE = "pairs of words hashed to [", "words hashed to ["


@pytest.mark.parametrize(
    ("after", "part", "within"),
    [
        pytest.param(lambda rng: said(4000, rng, often="good not"), PAIRS, 1000, id="a pair turned"),
        pytest.param(lambda rng: mixed(4000, rng), "distribution", 1000, id="any order"),
        pytest.param(lambda rng: said(4000, rng, share=0.6), SINGLE, 2000, id="said more often"),
        pytest.param(lambda rng: said(4000, rng, often="bad"), SINGLE, 2000, id="another word"),
    ],
)  # fmt: skip
def test_what_is_said_otherwise_opens_a_ticket_that_tells_how(
    after: Any, part: str, within: int
) -> None:
    rng = np.random.default_rng(7)
    one = watched(said(4000, rng))
    assert feed(one, said(2000, rng)) == []
    (end, action, parts), *_ = feed(one, after(rng), start=2000 * SECONDS)
    assert (end <= within, action) == (True, "open")
    assert any(name.startswith(part) for name in parts)


@pytest.mark.parametrize("seed", range(3))
def test_texts_like_the_reference_open_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert feed(watched(said(4000, rng)), said(20_000, rng)) == []


def test_topics_of_the_day_and_of_the_night_open_nothing() -> None:
    rng = np.random.default_rng(6)
    rows = 4 * DAY
    one = watched(by_day(rows, rng, start=0), at=np.arange(rows) * SECONDS)
    assert one.slots() == ["hour of the day"]
    assert feed(one, by_day(3 * DAY, rng, start=rows), start=rows * SECONDS) == []


def test_texts_of_one_word_have_no_pairs_and_open_nothing() -> None:
    rng = np.random.default_rng(8)

    def single(rows: int) -> Texts:
        return {"review": rng.choice(np.array(WORDS[:20], dtype=object), rows)}

    one = watched(single(4000))
    assert feed(one, single(4000)) == []
    assert feed(one, said(1000, rng), start=4000 * SECONDS)[0][1] == "open"


def test_a_history_in_which_the_order_of_words_changed_has_a_ticket_for_it() -> None:
    rng = np.random.default_rng(9)
    before, after = said(4000, rng), said(2000, rng)
    turned = said(2000, rng, often="good not")
    served = {"review": np.concatenate([after["review"], turned["review"]])}
    recorded = [
        hindsight.Recorded(columns=columns, at=hindsight.evenly(4000))
        for columns in (before, served)
    ]
    played = hindsight.play(
        recorded[0],
        recorded[1].passed(),
        schema=SCHEMA,
        section=sections.Monitoring(),
        retraining=sections.Retraining(),
        timed=False,
    )
    (ticket,) = played["tickets"]
    assert ticket["features"] == ["review"]
    assert 2000 < ticket["row"] <= 3000


def test_a_detector_of_windows_tells_that_the_order_of_words_changed() -> None:
    rng = np.random.default_rng(10)
    detector = detectors.load("native", p_value=0.01, schema=SCHEMA)
    before = said(4000, rng, share=0.6)
    assert not detector.check(before, said(800, rng, share=0.6)).drifted
    moved = detector.check(before, said(800, rng, often="good not", share=0.6)).moved
    assert moved
    assert all("of pairs of words" in feature.name for feature in moved)


def test_a_state_of_which_fewer_parts_were_measured_is_refused_and_its_ticket_stays_open() -> None:
    rng = np.random.default_rng(11)
    reference = said(4000, rng)
    one = watched(reference)
    feed(one, said(2000, rng, often="good not"))
    assert one.standing.open
    state = json.loads(json.dumps(one.dump()))
    for scale in state["scales"].values():
        del scale["sums"][-128:]  # without pairs of words, as of a version before
    again = watched(reference)
    with pytest.raises(ValueError, match="parts: wanted"):
        again.restore(state, usual=one.usual())
    assert again.evidence == 0.0
    assert [action for _, action, _ in feed(again, said(4000, rng))] == ["resolve"]


def test_many_texts_leave_a_number_its_place_in_what_columns_have_in_common() -> None:
    rng = np.random.default_rng(12)

    def rows(count: int) -> Texts:
        texts = {f"t{place}": said(count, rng)["review"] for place in range(4)}
        return {**texts, "x": rng.normal(size=count)}

    names = [Feature(name=f"t{place}", kind="text") for place in range(4)]
    schema = Schema(target="", features=(*names, Feature(name="x", kind="number")))
    one = Measures(rows(200), schema=schema)
    together = next(stream for stream in one.streams if stream.whole)
    columns = rows(100)
    before, after = (
        one.blocks({**columns, "x": columns["x"] + shift}, size=100).means(size=100)[0]
        for shift in (0.0, 3.0)
    )
    chosen = slice(together.first, together.last)
    assert not np.array_equal(before[chosen], after[chosen])


def test_a_column_of_texts_that_were_all_missing_is_watched_and_one_that_comes_is_told() -> None:
    rng = np.random.default_rng(5)
    none: Texts = {"review": np.full(1000, "", dtype=object)}
    watch = Watch(none, schema=SCHEMA, tickets_per_month=1)
    size = watch.sizes[0]

    def look(column: Texts, *, window: int) -> Any:
        began, ended = (place * size * SECONDS for place in (window, window + 1))
        rows = {"review": column["review"][:size]}
        return watch.look(rows, size=size, began=began, ended=ended).ticket

    assert [look(none, window=window) for window in range(4)] == [None] * 4
    told = (look(said(size, rng), window=window) for window in range(4, 40))
    ticket = next(filter(None, told))
    assert "missing" in {shift.part for shift in ticket.shifts}
