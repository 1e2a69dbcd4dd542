"""`fairway drift` as users call it: two files of their own, a package against what was served."""

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fairway import artifacts
from fairway.config import loader
from fairway.monitoring.eventstore import places
from fairway.packaging import package
from fairway.platforms.local import home as homes
from fairway.platforms.local import state
from tests.cli.running import assert_one_sentence, fairway, one_object
from tests.monitoring import made
from tests.serving import support

REVISION, DAY = "0123456789ab", datetime(2026, 11, 1, tzinfo=UTC).timestamp()
CONFUSION = ((450, 50), (100, 400))  # of the test rows, [true, answered]


def shop(rows: int, rng: np.random.Generator, **columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "basket": rng.normal(40, 12, rows).round(2),
            "country": rng.choice(["de", "fr", "pl"], rows, p=[0.5, 0.3, 0.2]),
            "visits": rng.poisson(3, rows),
            "churn": rng.choice(["no", "yes"], rows, p=[0.8, 0.2]),
        }
    )
    wrong = rng.random(rows) < 0.1
    frame["answer"] = np.where(wrong, np.where(frame["churn"] == "no", "yes", "no"), frame["churn"])
    return frame.assign(**columns)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    shop(1500, rng, id=np.arange(1500)).to_csv(tmp_path / "before.csv", index=False)
    moved = shop(1200, rng, id=np.arange(1500, 2700))
    moved["basket"] += 5
    moved["country"] = moved["country"].where(rng.random(1200) > 0.06, "es")
    moved["visits"] = moved["visits"].where(rng.random(1200) > 0.1)
    moved.to_csv(tmp_path / "after.csv", index=False)
    shop(1200, rng, id=np.arange(1500, 2700)).to_parquet(tmp_path / "like.parquet")
    return tmp_path


def told(where: Path, *arguments: str) -> dict[str, Any]:
    done = fairway("drift", *arguments, "-o", "json", where=where)
    assert done.returncode == 0, done.stderr
    return one_object(done)


def test_two_files_of_ones_own_are_told_apart_in_one_command(folder: Path) -> None:
    done = fairway("drift", "before.csv", "after.csv", where=folder)
    assert done.returncode == 0, done.stderr
    assert "drift     yes: 3 of 5 columns moved (p at most 0.01" in done.stdout
    assert re.search(r"basket +covariate +level \(median\) +[34]\d.*\+0\.\d\d sd \(", done.stdout)
    assert re.search(r"country +quality +unseen words +0\.0 % +\d", done.stdout)
    assert re.search(r"visits +quality +missing +0\.0 % +\d", done.stdout)
    assert "as before" in done.stdout
    assert "id rises from row to row, as their number or time does: it is left out" in done.stdout
    assert done.stderr == ""


def test_the_record_is_one_object_with_effects_and_intervals(folder: Path) -> None:
    record = told(folder, "before.csv", "after.csv")
    assert record["drift"]
    assert record["before"] == {"name": "before.csv", "of": "file", "rows": 1500}
    assert set(record["moved"]) == {"basket", "country", "visits"}
    basket = next(column for column in record["columns"] if column["name"] == "basket")
    part = basket["parts"][0]
    assert (part["part"], part["unit"], basket["kind"]) == ("mean", "sd", "covariate")
    assert part["low"] < 5 / 12 < part["high"]
    assert part["pValue"] <= 0.002
    assert record["labels"] is None


def test_files_that_are_alike_show_no_drift_whatever_their_format(folder: Path) -> None:
    record = told(folder, "before.csv", "like.parquet")
    assert not record["drift"]
    assert record["moved"] == []
    frame = pd.read_parquet(folder / "like.parquet")
    frame.to_json(folder / "like.jsonl", orient="records", lines=True)
    lines = told(folder, "before.csv", "like.jsonl")
    assert lines["columns"] == record["columns"]


def test_a_file_against_itself_shows_nothing(folder: Path) -> None:
    record = told(folder, "before.csv", "before.csv")
    assert (record["drift"], record["pValue"]) == (False, 1.0)


def test_answers_that_lose_more_and_classes_that_became_common_are_told(folder: Path) -> None:
    rng = np.random.default_rng(1)
    later = shop(1500, rng)
    later["churn"] = rng.choice(["no", "yes"], 1500, p=[0.5, 0.5])
    wrong = rng.random(1500) < 0.25
    later["answer"] = np.where(wrong, np.where(later["churn"] == "no", "yes", "no"), later["churn"])
    later.to_csv(folder / "later.csv", index=False)
    record = told(folder, "before.csv", "later.csv", "--label", "churn", "--prediction", "answer")
    kinds = {column["name"]: column["kind"] for column in record["columns"] if column["moved"]}
    assert kinds == {"churn": "label", "answer": "prediction", "loss of the answers": "concept"}
    loss = next(c for c in record["columns"] if c["name"] == "loss of the answers")["parts"][0]
    assert (loss["before"], loss["after"]) == (
        pytest.approx(0.1, abs=0.03),
        pytest.approx(0.25, abs=0.04),
    )


def test_classes_of_rows_without_labels_are_estimated(folder: Path) -> None:
    rng = np.random.default_rng(2)
    later = shop(3000, rng)
    later["churn"] = rng.choice(["no", "yes"], 3000, p=[0.4, 0.6])
    wrong = rng.random(3000) < 0.1
    later["answer"] = np.where(wrong, np.where(later["churn"] == "no", "yes", "no"), later["churn"])
    for name, frame in (
        ("none.csv", later.assign(churn="")),
        ("no.csv", later.drop(columns="churn")),
    ):
        frame.to_csv(folder / name, index=False)
        arguments = ("before.csv", name, "--label", "churn", "--prediction", "answer")
        record = told(folder, *arguments)
        assert record["moved"] == ["answer"]
        (yes,) = [one for one in record["labels"]["classes"] if one["name"] == "yes"]
        assert yes["low"] < 0.6 < yes["high"]
        assert yes["before"] == pytest.approx(0.2, abs=0.03)
        assert set(record["labels"]["moved"]) == {"no", "yes"}
    text = fairway("drift", *arguments, where=folder).stdout
    assert "classes   estimated by the answers, where each class looks as before" in text


def test_a_shift_that_fails_a_script_is_exit_status_3(folder: Path) -> None:
    done = fairway("drift", "before.csv", "after.csv", "--fail-on-drift", where=folder)
    assert_one_sentence(done, status=3, words="after.csv is not like before.csv: ")
    assert "drift     yes" in done.stdout
    calm = fairway("drift", "before.csv", "like.parquet", "--fail-on-drift", where=folder)
    assert calm.returncode == 0


def test_a_schema_that_changed_is_told_first_and_fails_a_script(folder: Path) -> None:
    frame = pd.read_csv(folder / "before.csv").rename(columns={"basket": "cart"})
    frame.assign(visits="many").to_csv(folder / "changed.csv", index=False)
    arguments = ("before.csv", "changed.csv", "--fail-on-drift", "--html", "made/page.html")
    done = fairway("drift", *arguments, where=folder)
    assert done.returncode == 3
    first, sure = "basket is not in changed.csv", "visits is a number, but 1,500 of 1,500 values"
    assert re.search(
        rf"rows\nschema +{first}.*\nschema +{sure}.*\ndrift +yes: the schema", done.stdout
    )
    assert f"fairway: changed.csv is not like before.csv: {first}" in done.stderr
    assert "fairway: the page is made/page.html (in the new folder made)" in done.stderr
    page = (folder / "made" / "page.html").read_text(encoding="utf-8")
    assert page.index(f"<b>Schema:</b> {first}") < page.index("Columns, the surest first")


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [
            value
            for name, value in attrs
            if name in ("src", "href", "xlink:href") and value and not value.startswith("#")
        ]


def test_the_page_is_one_file_with_a_drawing_of_each_column_that_moved(folder: Path) -> None:
    later = pd.read_csv(folder / "after.csv").rename(columns={"basket": "<b>basket</b>"})
    later.to_csv(folder / "after.csv", index=False)
    earlier = pd.read_csv(folder / "before.csv").rename(columns={"basket": "<b>basket</b>"})
    earlier.to_csv(folder / "before.csv", index=False)
    for name in ("page.html", "again.html"):
        done = fairway("drift", "before.csv", "after.csv", "--html", name, where=folder)
        assert done.returncode == 0, done.stderr
    text = (folder / "page.html").read_text(encoding="utf-8")
    assert text == (folder / "again.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.loads == []
    assert "script" not in page.tags
    assert page.tags.count("svg") == 3
    assert "b" in page.tags
    assert "<b>basket</b>" not in text
    assert not re.search(r"@import|url\(\s*['\"]?(?!#|data:)", text)
    for words in ("Yes: 3 of 5 columns moved", "words that were not there before", "missing 0.0%"):
        assert words in text


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["before.csv", "nope.csv"], 2, "nope.csv is not there: wanted a csv, parquet or JSON lines file"),
        (["before.csv", "income@500"], 2, "income@500 is neither a file nor the folder of a package"),
        (["before.csv", "empty.csv"], 1, "empty.csv has no rows"),
        (["before.csv", "few.csv"], 1, "the second sample has 3 rows: wanted at least 20"),
        (["before.csv", "other.csv"], 1, "the two files have no column in common"),
        (["before.csv", "after.csv", "--html", "before.csv/page.html"], 1, "before.csv"),
        (["before.csv", "after.csv", "--time", "basket"], 1, "is earlier than in the row before"),
        (["before.csv", "after.csv", "--label", "churned"], 2, "has no column 'churned'; did you mean 'churn'?"),
        (["before.csv", "."], 1, "has no manifest.json"),
        (["before.csv", "after.csv", "--p-value", "0"], 2, "0.005<=x<=0.5"),
        (["before.csv", "after.csv", "--label", "churn", "--prediction", "churn"], 2, "wanted a column each"),
    ],
)  # fmt: skip
def test_a_mistake_gets_a_sentence(
    folder: Path, arguments: list[str], status: int, words: str
) -> None:
    frame = pd.read_csv(folder / "before.csv")
    frame[:0].to_csv(folder / "empty.csv", index=False)
    frame[:3].to_csv(folder / "few.csv", index=False)
    frame[["basket"]].rename(columns={"basket": "cart"}).to_csv(folder / "other.csv", index=False)
    done = fairway("drift", *arguments, where=folder)
    assert_one_sentence(done, status=status, words=words)


# -- packages, and what was served -----------------------------------------------------------------


def people(count: int, rng: np.random.Generator, *, shift: float = 0.0) -> list[dict[str, Any]]:
    return [
        {"age": float(np.clip(age, 17, 90)), "hours": float(np.clip(hour, 1, 99)), "sector": str(s)}
        for age, hour, s in zip(
            rng.normal(40 + shift, 10, count),
            rng.normal(40, 10, count),
            rng.choice(["private", "state"], count),
            strict=True,
        )
    ]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a package, and a platform that served it for two days: on the second
    every other answer is yes, and people are older."""
    folder = tmp_path_factory.mktemp("served")
    rng = np.random.default_rng(3)
    (folder / "schema.json").write_text(
        json.dumps({**support.SCHEMA, "reference": "reference.json"})
    )
    (folder / "reference.json").write_text(json.dumps(people(600, rng)))
    artifacts.write_json(
        folder / "evaluation.json",
        artifacts.Evaluation(
            rows=1000, slices=(), baselines={}, accuracy=0.85, loss=0.15, confusion=CONFUSION
        ),
    )
    made_of = package.import_onnx(
        support.onnx_model(folder / "model.onnx"),
        schema=folder / "schema.json",
        name="income",
        out=folder / "store",
        evaluation=folder / "evaluation.json",
    )
    Path(made_of.path).rename(folder / "package")
    home = homes.Home(folder / ".fairway")
    home.make()
    _deploy(home, folder / "package", made_of.digest)
    _serve(home, rng)
    return folder


def _deploy(home: homes.Home, place: Path, digest: str) -> None:
    config = loader.load(None, overrides=["data.source=digits", "name=income"])
    store = state.Store(home.state)
    store.deploy(
        state.LocalRevision(
            revision=REVISION,
            deployment="income",
            package=str(place),
            digest=digest,
            facts={},
            config=config.model_dump(mode="json", by_alias=True),
            note="",
            created_at=DAY,
        ),
        now=DAY,
    )
    store.close()


def _serve(home: homes.Home, rng: np.random.Generator) -> None:
    batch = []
    for day, (shift, yes) in enumerate([(0.0, 0.45), (6.0, 0.62)]):
        for place, row in enumerate(people(400, rng, shift=shift)):
            chance = 0.9 if rng.random() < yes else 0.1
            batch.append(
                made.prediction(
                    f"{day}/{place}",
                    revision=REVISION,
                    at=DAY + day * 86_400 + place * 60,
                    inputs={name: [value] for name, value in row.items()},
                    probabilities=[[1 - chance, chance]],
                )
            )
    store = places.opened(home.events)
    store.add(batch)
    store.close()


def test_two_windows_of_a_deployment_are_told_apart(served: Path) -> None:
    record = told(served, "income@2026-11-01..2026-11-02", "income@2026-11-02..2026-11-03")
    assert record["after"]["of"].startswith(f"revision {REVISION} from 2026-11-02 00:00")
    assert record["after"]["rows"] == 400
    assert record["moved"][0] in ("age", "probability[yes]")
    assert set(record["moved"]) == {"age", "probability[yes]"}
    kinds = {column["name"]: column["kind"] for column in record["columns"]}
    assert (kinds["age"], kinds["probability[yes]"]) == ("covariate", "prediction")
    assert record["labels"] is None


def test_a_package_against_a_window_tells_how_common_its_classes_are(served: Path) -> None:
    record = told(served, "package", "income@2026-11-02..")
    assert "age" in record["moved"]
    assert record["before"]["of"].startswith("package income ")
    yes = next(one for one in record["labels"]["classes"] if one["name"] == "yes")
    # of .62 answers: p * .8 + (1 - p) * .1
    assert yes["low"] < (0.62 - 0.1) / 0.7 < yes["high"]
    assert yes["before"] == 0.5
    assert record["labels"]["moved"] == ["no", "yes"]


def test_a_revision_and_the_newest_rows_are_windows_too(served: Path) -> None:
    record = told(served, f"income@{REVISION[:6]}", "income@100")
    assert (record["before"]["rows"], record["after"]["rows"]) == (800, 100)


def test_a_file_is_read_as_the_package_says(served: Path) -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(people(500, rng)).assign(note="x")
    frame.to_csv(served / "rows.csv", index=False)
    record = told(served, "package", "rows.csv")
    assert not record["drift"]
    assert record["compared"]["columns"] == 3
    assert "note is no input of the model: it is left out" in record["remarks"]
    odd = frame.assign(age=["n/k", *frame["age"].astype(str)[1:]], sector=1.5).drop(columns="hours")
    odd.to_csv(served / "rows.csv", index=False)
    record = told(served, "package", "rows.csv")
    assert {one["column"]: one["change"] for one in record["schema"]} == {
        "sector": "kind",
        "hours": "gone",
    }
    assert [(one["side"], one["column"]) for one in record["unreadable"]] == [("after", "age")]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["package", "other@100"], 2, "there is no deployment other in .fairway: it has income"),
        (["package", "income@2027-01-01.."], 1, "is there at that time: send requests"),
        (["package", "income@ffffffffffff"], 1, "income has no such revision"),
        (["package", "income@3"], 1, "the second sample has 3 rows"),
        (["package", "rows.csv", "--label", "age"], 2, "--label and --prediction name columns of two files"),
        (["package", "odd.csv"], 1, "odd.csv has no column of the model's: wanted age, hours, sector"),
    ],
)  # fmt: skip
def test_what_was_not_served_gets_a_sentence(
    served: Path, arguments: list[str], status: int, words: str
) -> None:
    pd.DataFrame({"a": range(30)}).to_csv(served / "odd.csv", index=False)
    pd.DataFrame(people(30, np.random.default_rng(5))).to_csv(served / "rows.csv", index=False)
    assert_one_sentence(fairway("drift", *arguments, where=served), status=status, words=words)
