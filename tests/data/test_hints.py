"""What init says may be otherwise than it seems."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fairway import errors
from fairway.config import loader
from fairway.data import draft, inspect, prepare
from tests.data import made

RNG = np.random.default_rng(0)
ROWS = 300


def found(folder: Path, *, target: str = "label", **columns) -> inspect.Findings:
    keys = columns.pop("keys", {})
    frame = made.frame(ROWS).assign(**columns)
    frame.to_csv(folder / "rows.csv", index=False)
    return inspect.inspect(folder / "rows.csv", target=target, **keys)


@pytest.mark.parametrize("name", ["query", "query_id", "qid", "session", "searchId", "session_id"])
def test_grades_of_a_query_s_rows_may_be_a_ranking(tmp_path, name):
    columns = {"grade": RNG.integers(0, 4, ROWS), name: np.arange(ROWS) // 6}
    findings = found(tmp_path, target="grade", **columns)
    assert f"init with --group {name!r} (ranking)" in draft.summary(findings)
    assert "0 to 3 are grades" in findings.remark


@pytest.mark.parametrize(
    ("target", "column"),
    [
        pytest.param(RNG.integers(0, 2, ROWS), "query", id="yes or no"),
        pytest.param(RNG.integers(0, 60, ROWS), "query", id="counts"),
        pytest.param(RNG.integers(0, 4, ROWS), "town_id", id="no query"),
        pytest.param(RNG.choice(["a", "b", "c"], ROWS), "query", id="words"),
    ],
)
def test_other_targets_and_columns_are_no_ranking(tmp_path, target, column):
    columns = {"grade": target, column: np.arange(ROWS) // 6}
    assert "ranking" not in found(tmp_path, target="grade", **columns).remark


def test_a_group_that_was_said_is_not_hinted_at(tmp_path):
    columns = {"grade": RNG.integers(0, 4, ROWS), "query": np.arange(ROWS) // 6}
    findings = found(tmp_path, target="grade", keys={"group": "query"}, **columns)
    assert (findings.task, findings.remark) == ("ranking", "")


def test_namibia_is_said_and_kept_as_the_sentence_says(tmp_path):
    country = RNG.choice(["DE", "NA", "US", "IT"], ROWS)
    findings = found(tmp_path, country=country)
    (column,) = (one for one in findings.columns if one.name == "country")
    assert f"NA is read as missing, in {(country == 'NA').sum()} rows beside codes" in column.why
    text = draft.render(findings, relative_to=tmp_path)
    listed = column.why.partition("set missingValues to ")[2]
    text = text.replace("  categorical:", f"  missingValues: {listed}\n  categorical:")
    (tmp_path / "fairway.yaml").write_text(text)
    config = loader.load(tmp_path / "fairway.yaml")
    prepare.prepare(config.data, out=tmp_path / "dataset")
    assert '"NA"' in (tmp_path / "dataset" / "schema.json").read_text()


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(["DE", "", "US", "IT"], id="gaps that are no NA"),
        pytest.param(["yes", "NA", "no", "maybe"], id="words"),
        pytest.param(["DE", "FR", "US", "IT"], id="no gaps"),
    ],
)
def test_other_gaps_are_no_namibia(tmp_path, values):
    findings = found(tmp_path, country=RNG.choice(values, ROWS))
    assert not any("Namibia" in one.why for one in findings.columns)


def days(first: str, last: str) -> pd.Series:
    """Return days in no order."""
    all_of_them = pd.date_range(first, last)
    return pd.Series(RNG.choice(all_of_them, ROWS)).dt.strftime("%Y-%m-%d")


@pytest.mark.parametrize(
    ("name", "moments"),
    [
        ("at", days("2023-01-01", "2024-06-30")),
        ("at", days("1950-01-01", "2024-06-30").sort_values().reset_index(drop=True)),
        (
            "at",
            days("1950-01-01", "2024-06-30").sort_values(ascending=False).reset_index(drop=True),
        ),
    ],
    ids=["recent", "in order", "newest first"],
)
def test_times_of_events_divide_the_rows(tmp_path, name, moments):
    findings = found(tmp_path, **{name: moments})
    assert (findings.method, findings.split_column) == ("time", name)


@pytest.mark.parametrize(
    ("name", "moments", "why"),
    [
        ("since", days("1930-01-01", "2005-12-31"), "in no order of the file and over 76 years"),
        ("birth_date", days("2015-01-01", "2018-12-31"), "are births by its name"),
        ("dateOfBirth", days("2015-01-01", "2018-12-31"), "are births by its name"),
        ("dob", days("2015-01-01", "2018-12-31"), "are births by its name"),
    ],
)
def test_other_dates_divide_nothing_and_it_is_said_why(tmp_path, name, moments, why):
    findings = found(tmp_path, **{name: moments})
    assert findings.method == "stratified"
    assert f"the moments of {name} " in findings.split_why
    assert why in findings.split_why
    assert f"set method to time and column to {name}" in draft.summary(findings)
    assert name in {one.name for one in findings.features}


def test_the_first_column_of_events_divides_the_rows_whatever_stands_before_it(tmp_path):
    columns = {"born": days("1930-01-01", "2005-12-31"), "seen": days("2024-01-01", "2024-06-30")}
    assert found(tmp_path, **columns).split_column == "seen"


def test_empty_cells_beside_labels_are_rows_without_any_and_init_says_so(tmp_path):
    tags = RNG.choice(["bug|login", "ui", ""], ROWS, p=[0.5, 0.25, 0.25])
    findings = found(tmp_path, target="tags", tags=tags, keys={"separator": "|"})
    assert "% of the rows: taken as rows with none of the labels" in draft.summary(findings)
    whole = found(tmp_path, target="tags", tags="ui", keys={"separator": "|"})
    assert whole.remark == ""


@pytest.mark.parametrize("word", ["inf", "-inf", "unknown", "1e999"])
def test_a_stray_word_in_a_target_of_numbers_is_named_with_its_row(tmp_path, word):
    prices = pd.Series([f"{value:.2f}" for value in RNG.uniform(0, 99, ROWS)])
    prices[41] = word
    with pytest.raises(
        errors.DataError, match=f"the target price is '{word}' in row 41 and a number"
    ):
        found(tmp_path, target="price", price=prices)


def test_infinity_in_a_parquet_target_is_named_with_its_row(tmp_path):
    prices = RNG.uniform(0, 99, ROWS)
    prices[7] = np.inf
    made.frame(ROWS).assign(price=prices).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(errors.DataError, match="the target price is inf in row 7 and a number"):
        inspect.inspect(tmp_path / "rows.parquet", target="price")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([f"{code:05}" for code in (501, *range(70001, 70030))], id="postal codes"),
        pytest.param(["1", "2", "3", "other"], id="few codes and a word"),
    ],
)
def test_codes_with_words_among_them_stay_classes(tmp_path, values):
    findings = found(tmp_path, target="code", code=np.resize(np.array(values), ROWS))
    assert (findings.task, findings.classes) == ("classification", len(values))
