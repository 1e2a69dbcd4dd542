"""Pictures under watch: real digits that are turned, mirrored, blurred or noisy are found, others not."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from sklearn.datasets import load_digits

from fairway.model.kinds import untrained
from fairway.model.schema import Feature, Schema
from fairway.monitoring.drift.watch import Look, Watch

SCHEMA = Schema(target="", features=(Feature(name="photo", kind="image"),))
SECONDS = 20.0  # between two rows
SIDE = 24
ROWS = 4000
Pictures = np.ndarray[Any, Any]
Change = Callable[[Pictures, np.random.Generator], Pictures]


def digits(rows: int, rng: np.random.Generator, *, without: int | None = None) -> Pictures:
    known = load_digits()
    images = known.images[known.target != without]
    chosen = images[rng.integers(0, len(images), rows)]
    return (chosen[:, None] / 16).astype(np.float32)


def placed(small: Pictures, rng: np.random.Generator) -> Pictures:
    """Return digits anywhere in a larger picture, so that each block has the same mean."""
    found = np.zeros((len(small), 1, SIDE, SIDE), dtype=np.float32)
    for picture, one, (y, x) in zip(
        found, small, rng.integers(0, SIDE - 7, (len(small), 2)), strict=True
    ):
        picture[:, y : y + 8, x : x + 8] = one
    return found


def watched(pictures: Pictures) -> Watch:
    return Watch({"photo": pictures}, schema=SCHEMA, tickets_per_month=1)


def drawn(where: str, rows: int, rng: np.random.Generator, **options: Any) -> Pictures:
    small = digits(rows, rng, **options)
    return placed(small, rng) if where == "anywhere" else small


def feed(one: Watch, pictures: Pictures, *, first: int = 0) -> list[tuple[int, Look]]:
    """Return the looks that did something, and the row after the window's last."""
    rows = len(pictures)
    found = []
    for end, size in sorted((e, s) for s in one.sizes for e in range(s, rows + 1, s)):
        began, ended = ((first + row) * SECONDS for row in (end - size, end))
        look = one.look({"photo": pictures[end - size : end]}, size=size, began=began, ended=ended)
        if look.action is not None:
            found.append((end, look))
    return found


def _turned(pictures: Pictures, rng: np.random.Generator) -> Pictures:
    return np.rot90(pictures, axes=(2, 3)).copy()


def _mirrored(pictures: Pictures, rng: np.random.Generator) -> Pictures:
    return pictures[..., ::-1].copy()


def _blurred(pictures: Pictures, rng: np.random.Generator) -> Pictures:
    return np.asarray(ndimage.gaussian_filter(pictures, (0, 0, 0.5, 0.5)))


def _noisy(pictures: Pictures, rng: np.random.Generator) -> Pictures:
    noise = rng.normal(0, 0.03, pictures.shape)
    return np.clip(pictures + noise, 0, 1).astype(np.float32)


def _inverted(pictures: Pictures, rng: np.random.Generator) -> Pictures:
    return 1 - pictures


@pytest.mark.parametrize("where", ["fixed", "anywhere"])
@pytest.mark.parametrize("change", [_turned, _mirrored, _blurred, _noisy, _inverted])
def test_changed_pictures_open_a_ticket_within_600(where: str, change: Change) -> None:
    rng = np.random.default_rng(2)
    one = watched(drawn(where, ROWS, rng))
    found = feed(one, change(drawn(where, 600, rng), rng))
    assert [look.action for _, look in found][:1] == ["open"]


@pytest.mark.parametrize("where", ["fixed", "anywhere"])
def test_pictures_like_the_reference_open_nothing(where: str) -> None:
    rng = np.random.default_rng(3)
    one = watched(drawn(where, ROWS, rng))
    assert feed(one, drawn(where, 20_000, rng)) == []
    assert one.evidence < 0.1


def test_a_class_that_is_gone_is_found_in_the_pictures_of_the_other_nine_at_length() -> None:
    rng = np.random.default_rng(4)
    one = watched(drawn("fixed", ROWS, rng))
    assert feed(one, drawn("fixed", 8_000, rng, without=4))[0][1].action == "open"


def test_the_state_of_a_version_that_measured_less_is_left_and_its_ticket_is_resolved() -> None:
    rng = np.random.default_rng(5)
    reference = drawn("fixed", ROWS, rng)
    before = watched(reference)
    assert feed(before, _turned(drawn("fixed", 600, rng), rng))[0][1].action == "open"
    state = json.loads(json.dumps(before.dump()))
    for scale in state["scales"].values():
        scale["sums"] = scale["sums"][: -2 * untrained.FILTERS]
    after = watched(reference)
    with pytest.raises(ValueError, match="measured parts: wanted"):
        after.restore(state, usual=before.usual())
    assert after.standing.open
    assert after.evidence == 0
    assert [look.action for _, look in feed(after, drawn("fixed", 3_000, rng))] == ["resolve"]
