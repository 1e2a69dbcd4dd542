import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import numpy_helper

from fairway import artifacts, errors, files
from fairway.config import sections
from fairway.data import prepare, splits
from fairway.evaluation import gate, measure
from fairway.training import fit
from tests.training import made


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    """Return a dataset and a checkpoint of it."""
    folder = tmp_path_factory.mktemp("trained")
    dataset = made.tabular(folder, rows=600)
    fit.fit(made.training(epochs=8), dataset=dataset, out=folder / "checkpoint")
    return dataset, folder / "checkpoint"


@pytest.fixture
def evaluate(trained, tmp_path):
    def run(
        *,
        champion: Path | None = None,
        dataset: Path = trained[0],
        checkpoint: Path = trained[1],
        **section,
    ) -> artifacts.Evaluation:
        return measure.evaluate(
            sections.Evaluation.model_validate(section),
            dataset=dataset,
            checkpoint=checkpoint,
            champion=champion,
            out=tmp_path / "out",
        )

    return run


def test_the_record_is_written_and_adds_up(evaluate, trained, tmp_path):
    record = evaluate()
    confusion = np.array(record.confusion)
    assert (
        artifacts.from_json(
            artifacts.Evaluation, artifacts.read_json(tmp_path / "out" / "evaluation.json")
        )
        == record
    )
    assert record.rows == len(splits.load(trained[0]).test) == confusion.sum()
    assert record.accuracy == pytest.approx(confusion.trace() / confusion.sum())
    assert record.loss == pytest.approx(1 - record.accuracy)
    assert record.accuracy > max(
        record.baselines[name]["accuracy"] for name in ("zero_rule", "random")
    )
    assert sum(row["rows"] for row in record.per_class) == record.rows
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "evaluation.json",
        "report.html",
    ]


def test_evaluating_again_gives_the_same_bytes(evaluate, tmp_path):
    evaluate()
    first = [(tmp_path / "out" / name).read_bytes() for name in ("evaluation.json", "report.html")]
    evaluate()
    assert [
        (tmp_path / "out" / name).read_bytes() for name in ("evaluation.json", "report.html")
    ] == first


def test_categories_with_few_values_are_sliced_by_default(evaluate):
    record = evaluate()
    assert {row["slice"] for row in record.slices} == {"town = Bath", "town = York", "town = Rye"}
    assert sum(row["rows"] for row in record.slices) == record.rows
    assert all(row["judged"] == (row["rows"] >= 30) for row in record.slices)


def test_a_column_is_sliced_where_it_is_named(evaluate):
    assert all(row["slice"].startswith("age ") for row in evaluate(slices=["age"]).slices)


def test_the_champion_s_classes_are_mapped_by_name(evaluate, trained, tmp_path):
    dataset, checkpoint = trained
    champion = made.package(
        tmp_path / "champion", dataset=dataset, checkpoint=checkpoint, classes=["yes", "no"]
    )
    turned(champion / "model.onnx")
    same = evaluate(champion=champion)
    assert same.champion_disagreement == 0
    champions = same.baselines["champion"]
    assert champions == pytest.approx({name: same.metrics[name] for name in champions}, abs=1e-5)


@pytest.mark.parametrize(
    ("lineage", "said"),
    [
        ({"configuration": {"data": {"seed": 0}}}, None),
        ({"configuration": {"data": {"source": "csv"}}}, "was packaged by an earlier version"),
        (
            {"configuration": {"data": {"seed": 7}}},
            "rows that data.seed 7 divided, and these are divided by 0",
        ),
        ({"codeVersion": "0.1.0"}, None),
        (None, None),
    ],
    ids=[
        "divided alike",
        "an earlier version's",
        "another seed",
        "trained elsewhere",
        "no lineage",
    ],
)
def test_a_champion_that_may_have_learnt_from_the_test_rows_is_said_to(
    evaluate, trained, tmp_path, lineage, said
):
    champion = made.package(tmp_path / "champion", dataset=trained[0], checkpoint=trained[1])
    manifest = artifacts.read_json(champion / "manifest.json")
    artifacts.write_json(
        champion / "manifest.json", {**manifest, **({"lineage": lineage} if lineage else {})}
    )
    record = evaluate(champion=champion)
    assert [said in note for note in record.notes] == ([True] if said else [])
    assert artifacts.read_json(tmp_path / "out" / "evaluation.json")["notes"] == list(record.notes)
    decision = gate.decide(sections.Gate(), evaluation=record)
    assert decision.notes == record.notes
    page = (tmp_path / "out" / "report.html").read_text()
    assert ("Mind: the model in service was" in page) is bool(said)


def test_a_champion_with_the_opposite_opinion_differs_on_every_row(evaluate, trained, tmp_path):
    champion = made.package(
        tmp_path / "champion", dataset=trained[0], checkpoint=trained[1], classes=["yes", "no"]
    )
    record = evaluate(champion=champion)
    assert record.champion_disagreement == record.champion_disagreement_bound == 1
    assert record.baselines["champion"]["accuracy"] == pytest.approx(1 - record.accuracy)
    assert record.champion_digest == files.digest_bytes(
        files.canonical(artifacts.read_json(champion / "manifest.json"))
    )


def test_a_champion_s_class_that_the_data_has_not_is_a_wrong_answer(evaluate, trained, tmp_path):
    champion = made.package(
        tmp_path / "champion", dataset=trained[0], checkpoint=trained[1], classes=["no", "perhaps"]
    )
    record = evaluate(champion=champion)
    said_yes = sum(row[1] for row in record.confusion)
    assert record.champion_disagreement == pytest.approx(said_yes / record.rows)
    assert record.baselines["champion"]["accuracy"] == pytest.approx(
        record.confusion[0][0] / record.rows
    )


def turned(model: Path) -> None:
    """Swap the columns of a graph's probabilities."""
    proto = onnx.load(model)
    for node in proto.graph.node:
        node.output[:] = ["straight" if name == "probabilities" else name for name in node.output]
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1, 0]), "order"))
    proto.graph.node.append(
        onnx.helper.make_node("Gather", ["straight", "order"], ["probabilities"], axis=1)
    )
    onnx.save(proto, model)


def test_disagreement_is_measured_on_the_newly_labelled_rows_where_there_are_any(trained, tmp_path):
    made.table(600).to_csv(tmp_path / "rows.csv", index=False)
    made.table(100, seed=9).to_parquet(tmp_path / "new.parquet")
    section = sections.Data.of(
        source="csv", path=tmp_path / "rows.csv", extra=(tmp_path / "new.parquet",)
    )
    dataset = tmp_path / "data"
    prepare.prepare(section, out=dataset)
    fit.fit(made.training(), dataset=dataset, out=tmp_path / "checkpoint")
    champion = made.package(tmp_path / "champion", dataset=trained[0], checkpoint=trained[1])
    record = measure.evaluate(
        sections.Evaluation(),
        dataset=dataset,
        checkpoint=tmp_path / "checkpoint",
        champion=champion,
        out=tmp_path / "out",
    )
    rows = len(splits.load(dataset).recent)
    assert record.recent["rows"] == rows
    assert (record.champion_disagreement * rows) == pytest.approx(
        round(record.champion_disagreement * rows)
    )
    assert record.champion_disagreement_bound > record.champion_disagreement


def nothing(folder: Path) -> Path:
    folder.mkdir()
    return folder


def without(package: Path, *, name: str) -> Path:
    (package / name).unlink()
    return package


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        pytest.param(
            lambda d, c, f: {"champion": nothing(f / "none")},
            errors.PackageError,
            "manifest.json cannot be read",
            id="no package",
        ),
        pytest.param(
            lambda d, c, f: {
                "champion": without(
                    made.package(f / "p", dataset=d, checkpoint=c), name="model.onnx"
                )
            },
            errors.ModelError,
            "the model in service .* is no ONNX graph",
            id="a package without its graph",
        ),
        pytest.param(
            lambda d, c, f: {
                "champion": made.package(f / "p", dataset=d, checkpoint=c, classes=["a", "b", "c"])
            },
            errors.ModelError,
            r"answers with shape \[\d+, 2\]: wanted \[\d+, 3\]",
            id="another number of classes",
        ),
        pytest.param(
            lambda d, c, f: {"checkpoint": nothing(f / "none")},
            errors.UsageError,
            "run `fairway train` first",
            id="no checkpoint",
        ),
        pytest.param(
            lambda d, c, f: {"dataset": nothing(f / "none")},
            errors.DataError,
            "is no prepared dataset",
            id="no dataset",
        ),
        pytest.param(
            lambda d, c, f: {"dataset": made.tabular(f, rows=200)},
            errors.UsageError,
            "was trained on dataset .* train again",
            id="another dataset",
        ),
        pytest.param(
            lambda d, c, f: {"slices": ["nope"]},
            errors.DataError,
            "names 'nope': wanted some of age, pay, town",
            id="no such slice",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_refused_with_a_sentence(
    spoil, error, said, evaluate, trained, tmp_path
):
    with pytest.raises(error, match=said):
        evaluate(**spoil(*trained, tmp_path))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            lambda table: table.drop(columns="pay"),
            "needs the feature 'pay', which this dataset has not",
            id="absent",
        ),
        pytest.param(
            lambda table: table.assign(pay=np.where(table["pay"] > 0, "high", "low")),
            "'pay' is a number to the model in service",
            id="another kind",
        ),
    ],
)
def test_a_champion_of_other_features_cannot_be_compared(change, said, trained, tmp_path):
    champion = made.package(tmp_path / "champion", dataset=trained[0], checkpoint=trained[1])
    change(made.table()).to_csv(tmp_path / "rows.csv", index=False)
    prepare.prepare(
        sections.Data.of(source="csv", path=tmp_path / "rows.csv"), out=tmp_path / "data"
    )
    fit.fit(made.training(epochs=1), dataset=tmp_path / "data", out=tmp_path / "checkpoint")
    with pytest.raises(errors.DataError, match=said):
        measure.evaluate(
            sections.Evaluation(),
            dataset=tmp_path / "data",
            checkpoint=tmp_path / "checkpoint",
            champion=champion,
            out=tmp_path / "out",
        )


def test_an_image_cannot_be_sliced(tmp_path):
    dataset = made.digits(tmp_path)
    fit.fit(
        made.training(family="convolutional", epochs=1),
        dataset=dataset,
        out=tmp_path / "checkpoint",
    )
    with pytest.raises(errors.DataError, match="names 'image', which is an image"):
        measure.evaluate(
            sections.Evaluation(slices=("image",)),
            dataset=dataset,
            checkpoint=tmp_path / "checkpoint",
            champion=None,
            out=tmp_path / "out",
        )


def test_a_test_split_without_rows_is_refused(trained, tmp_path):
    dataset = tmp_path / "data"
    dataset.mkdir()
    for file in trained[0].iterdir():
        (dataset / file.name).write_bytes(file.read_bytes())
    pd.read_parquet(dataset / "test.parquet").iloc[:0].to_parquet(dataset / "test.parquet")
    with pytest.raises(errors.DataError, match=r"the test split of .* has no rows"):
        measure.evaluate(
            sections.Evaluation(),
            dataset=dataset,
            checkpoint=trained[1],
            champion=None,
            out=tmp_path / "out",
        )


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.loads += [
            value
            for name, value in attrs
            if name in ("src", "href", "xlink:href", "action")
            and value
            and not value.startswith(("#", "data:"))
        ]


def test_the_report_is_one_page_that_loads_nothing(evaluate, tmp_path):
    evaluate()
    text = (tmp_path / "out" / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.loads == []
    assert "script" not in page.tags
    assert not re.search(r"@import|url\(\s*['\"]?(?!#|data:)", text)
    assert {"svg", "table", "h1"} <= page.tags
    assert "town = York" in text


def test_names_from_the_data_are_escaped_in_the_report(tmp_path):
    table = made.table()
    table["town"] = np.where(table["town"] == "Rye", "<script>alert(1)</script>", table["town"])
    table["label"] = np.where(table["label"] == "yes", r"<b>&$\frac$", "no")
    table.to_csv(tmp_path / "rows.csv", index=False)
    prepare.prepare(
        sections.Data.of(source="csv", path=tmp_path / "rows.csv"), out=tmp_path / "data"
    )
    fit.fit(made.training(epochs=1), dataset=tmp_path / "data", out=tmp_path / "checkpoint")
    measure.evaluate(
        sections.Evaluation(),
        dataset=tmp_path / "data",
        checkpoint=tmp_path / "checkpoint",
        champion=None,
        out=tmp_path / "out",
    )
    text = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in text
    assert "<b>&$" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_champion_without_intervals_is_compared_with_a_model_that_has_some(tmp_path):
    made.table(400).to_csv(tmp_path / "rows.csv", index=False)
    for name, coverage in (("with", 0.9), ("without", None)):
        data = sections.Data.of(
            source="csv",
            path=tmp_path / "rows.csv",
            target="pay",
            task="regression",
            coverage=coverage,
        )
        prepare.prepare(data, out=tmp_path / name)
        fit.fit(made.training(), dataset=tmp_path / name, out=tmp_path / f"{name}-checkpoint")
        made.package(
            tmp_path / f"{name}-champion",
            dataset=tmp_path / name,
            checkpoint=tmp_path / f"{name}-checkpoint",
        )
    for name, champion in (("with", "without"), ("without", "with")):
        record = measure.evaluate(
            sections.Evaluation(),
            dataset=tmp_path / name,
            checkpoint=tmp_path / f"{name}-checkpoint",
            champion=tmp_path / f"{champion}-champion",
            out=tmp_path / "out",
        )
        assert record.champion_disagreement == pytest.approx(0, abs=1e-6)
        assert record.baselines["champion"]["rmse"] == pytest.approx(record.metrics["rmse"])
