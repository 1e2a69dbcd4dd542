"""What `fairway drift` says of two files of one's own, as they come: renamed columns, other types,
odd cells, texts, dates, times, constants, labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fairway import errors
from fairway.config import sections
from fairway.data import histories
from fairway.monitoring import aligned
from fairway.monitoring.drift import account, comparison, drawing

ROWS = 400
OPINIONS = [
    "the",
    "food",
    "was",
    "good",
    "and",
    "bad",
    "service",
    "slow",
    "quick",
    "nice",
    "terrible",
    "friends",
    "dinner",
    "came",
    "late",
]
PARCELS = ["courier", "parcel", "lost", "refund", "app"]


def shop(rng: np.random.Generator, **columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "basket": rng.normal(40, 12, ROWS).round(2),
            "country": rng.choice(["de", "fr", "pl"], ROWS),
            "visits": rng.poisson(30, ROWS),
        }
    )
    return frame.assign(**columns)


class Told:
    """The account of two frames that were written as files."""

    def __init__(
        self,
        folder: Path,
        before: pd.DataFrame,
        after: pd.DataFrame,
        *,
        ordered: bool = True,
        parquet: bool = False,
        **said: str,
    ) -> None:
        paths = [folder / "before.csv", folder / "after.csv"]  # a file is known by its first bytes
        for path, frame in zip(paths, (before, after), strict=True):
            frame.to_parquet(path) if parquet else frame.to_csv(path, index=False)
        self.sides = aligned.files(
            paths[0],
            paths[1],
            columns=histories.Columns(**said),
            section=sections.Data(),
            ordered=ordered,
        )
        compared = comparison.compare(
            self.sides.before.columns,
            self.sides.after.columns,
            schema=self.sides.schema,
            roles=self.sides.roles,
            permutations=399,
        )
        self.record = account.record(self.sides, compared)

    def column(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(one for one in self.record["columns"] if one["name"] == name)
        return found


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_renamed_column_is_a_change_of_the_schema(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    told = Told(tmp_path, shop(rng), shop(rng).rename(columns={"basket": "cart"}))
    assert told.record["drift"]
    (change,) = told.record["schema"]
    assert (change["column"], change["change"]) == ("basket", "gone")
    assert change["sentence"].endswith("after.csv, which has cart instead: renamed?")
    assert account.verdict(told.record).startswith("yes: the schema changed (1 column); none of 2")
    assert account.because(told.record) == change["sentence"]


@pytest.mark.parametrize(
    ("column", "values", "sentence"),
    [
        ("visits", ["many"] * ROWS, "visits is a number, but 400 of 400 values of "),
        ("visits", ["2026-01-02"] * ROWS, "after.csv are none, such as '2026-01-02' in row 0"),
        ("country", range(ROWS), "country is words, but each value of "),
    ],
    ids=["words", "dates", "numbers"],
)
def test_a_column_of_another_type_is_a_change_of_the_schema(
    tmp_path: Path, rng: np.random.Generator, column: str, values: Any, sentence: str
) -> None:
    told = Told(tmp_path, shop(rng), shop(rng, **{column: list(values)}))
    (change,) = told.record["schema"]
    assert (told.record["drift"], change["column"], change["change"]) == (True, column, "kind")
    assert sentence in change["sentence"]
    assert column not in {one["name"] for one in told.record["columns"]}


def test_a_new_column_and_codes_without_their_letters_change_no_schema(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    codes = rng.choice(["501", "502", "A1"], ROWS, p=[0.5, 0.49, 0.01])
    after = shop(rng, code=[code if code != "A1" else "501" for code in codes], new=1)
    told = Told(tmp_path, shop(rng, code=codes), after)
    assert (told.record["drift"], told.record["schema"]) == (False, [])
    assert "new is not in the reference: it is left out" in told.record["remarks"]


def test_odd_cells_are_counted_on_both_sides_and_the_rest_is_compared(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    before, after = (shop(rng).astype({"basket": object}) for _ in range(2))
    before.loc[3, "basket"] = "inf"
    after.loc[[5, 6], "basket"] = ["EUR 1", "-inf"]
    told = Told(tmp_path, before, after)
    assert not told.record["drift"]
    assert told.record["unreadable"] == [
        {"side": "before", "column": "basket", "share": 1 / ROWS, "example": "'inf' in row 3"},
        {"side": "after", "column": "basket", "share": 2 / ROWS, "example": "'EUR 1' in row 5"},
    ]
    assert any("0.50% of basket in " in note for note in account.notes(told.record))


def test_a_column_that_was_never_read_is_left_out_with_a_remark(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    before = shop(rng, rate=[1.5, np.inf] * (ROWS // 2))
    told = Told(tmp_path, before, shop(rng, rate=rng.random(ROWS)), parquet=True)
    assert (told.record["drift"], told.record["schema"]) == (False, [])
    assert any("rate is " in remark for remark in told.record["remarks"])


def test_many_odd_cells_are_missing_values_which_is_quality(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    after = shop(rng).astype({"basket": object})
    after.loc[rng.random(ROWS) < 0.2, "basket"] = "EUR 1"
    (part, *_) = Told(tmp_path, shop(rng), after).column("basket")["parts"]
    assert (part["part"], part["kind"], part["moved"]) == ("missing", "quality", True)


def texts(rng: np.random.Generator, words: list[str]) -> list[str]:
    return [" ".join(rng.choice(words, rng.integers(4, 12))) for _ in range(ROWS)]


def test_texts_are_compared_by_their_words(tmp_path: Path, rng: np.random.Generator) -> None:
    before = shop(rng, review=texts(rng, OPINIONS))
    same = Told(tmp_path, before, shop(rng, review=texts(rng, OPINIONS)))
    assert not same.record["drift"]  # though each text is new
    assert {one.name: one.kind for one in same.sides.schema.features}["review"] == "text"
    other = Told(tmp_path, before, shop(rng, review=texts(rng, OPINIONS + PARCELS)))
    assert other.record["moved"] == ["review"]
    assert other.column("review")["parts"][0]["part"].startswith("words hashed to [")
    assert "parcel" in drawing.render(other.record, other.sides)


def test_texts_of_the_same_words_in_another_order_are_told_apart(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    def review(said: str) -> list[str]:
        return [f"{text} {said}" for text in texts(rng, OPINIONS)]

    before = shop(rng, review=review("not good"))
    assert not Told(tmp_path, before, shop(rng, review=review("not good"))).record["drift"]
    other = Told(tmp_path, before, shop(rng, review=review("good not")))
    assert other.record["moved"] == ["review"]
    assert other.column("review")["parts"][0]["part"].startswith("pairs of words hashed to [")


def dates(rng: np.random.Generator, year: int) -> Any:
    return pd.Timestamp(year, 1, 1) + pd.to_timedelta(rng.integers(0, 300, ROWS), unit="D")


def test_dates_of_other_years_are_seen_and_told_as_dates(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    told = Told(tmp_path, shop(rng, since=dates(rng, 2020)), shop(rng, since=dates(rng, 2023)))
    assert told.record["moved"] == ["since"]
    level = next(part for part in told.column("since")["parts"] if part["part"] == "mean")
    assert (level["before"][:4], level["after"][:4]) == ("2020", "2023")
    assert any("say --time since" in note for note in account.notes(told.record))
    assert "2023" in drawing.render(told.record, told.sides)
    like = Told(tmp_path, shop(rng, since=dates(rng, 2020)), shop(rng, since=dates(rng, 2020)))
    assert not like.record["drift"]


def test_the_time_of_the_rows_is_no_drift_whether_or_not_it_is_named(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    before, after = (
        shop(
            rng,
            at=pd.Timestamp(2026, month, 1) + pd.to_timedelta(np.arange(ROWS) // 2, unit="h"),
            number=month * 10_000 + np.cumsum(rng.integers(1, 5, ROWS)),
        )
        for month in (1, 2)
    )
    guessed = Told(tmp_path, before, after)
    assert not guessed.record["drift"]
    assert [
        name for name in ("at", "number") if f"{name} rises from" in str(guessed.sides.remarks)
    ] == [
        "at",
        "number",
    ]
    assert not Told(tmp_path, before, after, time="at").record["drift"]
    compared = Told(tmp_path, before, after, ordered=False)
    assert set(compared.record["moved"]) == {"at", "number"}


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_what_was_constant_is_told_as_such(
    tmp_path: Path, rng: np.random.Generator, share: float
) -> None:
    after = np.where(rng.random(ROWS) < share, 9, 7)
    told = Told(tmp_path, shop(rng, rate=7), shop(rng, rate=after))
    (part,) = account.shown(told.column("rate"))
    assert (part["unit"], part["effect"]) == ("share", pytest.approx((after == 9).mean(), abs=0.02))
    now = "9 (median)" if share == 1 else "others too"
    assert account.what(part) == f"was constant at 7; now {now}"
    assert part["low"] <= part["effect"] <= part["high"]
    assert (part["high"] > part["low"]) == (share < 1)


def test_known_labels_tell_the_classes_and_the_answers_only_without(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    before = shop(rng, label=rng.choice(["no", "yes"], ROWS, p=[0.8, 0.2]))
    after = shop(rng, label=rng.choice(["no", "yes"], ROWS, p=[0.5, 0.5]))
    before["answer"] = np.where(rng.random(ROWS) < 0.9, before["label"], "no")
    after["answer"] = "no"  # by which there would be no yes at all
    told = Told(tmp_path, before, after, label="label", prediction="answer")
    yes = next(one for one in told.record["labels"]["classes"] if one["name"] == "yes")
    assert told.record["labels"]["labelled"] == ROWS
    assert yes["after"] == pytest.approx((after["label"] == "yes").mean())
    assert yes["low"] < yes["after"] < yes["high"]
    assert yes["moved"]
    assert "by the labels of 400 rows" in drawing.render(told.record, told.sides)
    unknown = Told(
        tmp_path, before, after.drop(columns="label"), label="label", prediction="answer"
    )
    assert (unknown.record["labels"]["labelled"], unknown.record["schema"]) == (0, [])


def test_files_with_nothing_left_to_compare_are_refused_with_the_reason(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    before = pd.DataFrame({"basket": rng.normal(size=ROWS)})
    with pytest.raises(
        errors.DataError, match="no column in common that can be compared: basket is"
    ):
        Told(tmp_path, before, before.assign(basket="dear"))
