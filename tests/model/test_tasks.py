import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from fairway import errors
from fairway.evaluation import gate
from fairway.model import tasks
from fairway.model.metrics import figure
from fairway.model.schema import Schema
from fairway.training import losses

ROWS = 240


@dataclass(frozen=True)
class Example:
    """What the contract of a task is held against."""

    column: np.ndarray  # a target column as a source holds it
    spelled: Sequence[Any]  # a few of its labels as a client may write them
    labels: Sequence[Any]  # and as the task reads them
    refused: np.ndarray  # a column that cannot be learnt
    raw: np.ndarray  # answers of a graph, some right and some wrong
    best: np.ndarray  # answers of a graph that is always right
    unlearnable: np.ndarray  # rows of which nothing can be learnt
    declared: tasks.Declared = dataclasses.field(default_factory=lambda: tasks.Declared(target="t"))


RNG = np.random.default_rng(0)
WORDS = RNG.choice(["b", "a", "c"], ROWS, p=[0.6, 0.3, 0.1])
PLACES = np.searchsorted(["a", "b", "c"], WORDS)
PRICES = RNG.uniform(0, 100, ROWS)
GRADES = RNG.choice([0.0, 1.0, 2.0], ROWS)
HELD = RNG.random((ROWS, 3)) < [0.7, 0.4, 0.2]


def listed(rows: Sequence[Any]) -> np.ndarray:
    """Return a column of rows that are sequences themselves."""
    column = np.empty(len(rows), dtype=object)
    column[:] = rows
    return column


EXAMPLES = {
    "regression": Example(
        column=PRICES,
        spelled=[3, "4.5", " 2 "],
        labels=[3.0, 4.5, 2.0],
        refused=np.full(ROWS, 7.0),
        raw=(PRICES + RNG.normal(0, 40, ROWS))[:, None].astype(np.float32)
        + np.array([0, -35, 35], dtype=np.float32),
        best=PRICES[:, None].astype(np.float32) + np.array([0, -1, 1], dtype=np.float32),
        unlearnable=np.full(20, 7.0),
        declared=tasks.Declared(target="t", coverage=0.9),
    ),
    "ranking": Example(
        column=tasks.named("ranking").grouped(GRADES, np.arange(ROWS) // 6),
        spelled=[{"group": "a", "relevance": "2"}, {"group": 1, "relevance": 1}],
        labels=[{"group": "a", "relevance": 2.0}, {"group": "1", "relevance": 1.0}],
        refused=np.full(ROWS, 7.0),
        raw=RNG.random((ROWS, 1)).astype(np.float32) - 0.5 * GRADES[:, None].astype(np.float32),
        best=GRADES[:, None].astype(np.float32),
        unlearnable=np.full(20, 2.0),
        declared=tasks.Declared(target="t", group="query"),
    ),
    "multilabel": Example(
        column=listed([tuple(np.array(["a", "b", "c"])[row]) for row in HELD]),
        spelled=[["b ", "a"], "c", ()],
        labels=[["a", "b"], ["c"], []],
        refused=listed([()] * ROWS),
        raw=RNG.random((ROWS, 3)).astype(np.float32),
        best=HELD.astype(np.float32),
        unlearnable=listed([("a", "b")] * 20),
    ),
    "hierarchical": Example(
        column=WORDS.astype(object),
        spelled=["a", " b", "c "],
        labels=["a", "b", "c"],
        refused=np.array(["a"] * ROWS, dtype=object),
        raw=RNG.dirichlet([1, 1, 1], ROWS).astype(np.float32),
        best=np.eye(3, dtype=np.float32)[PLACES],
        unlearnable=np.array(["a"] * 20, dtype=object),
        declared=tasks.Declared(
            target="t", parents={"a": "vowel", "b": "consonant", "c": "consonant"}
        ),
    ),
    "classification": Example(
        column=WORDS.astype(object),
        spelled=["a", " b", "c "],
        labels=["a", "b", "c"],
        refused=np.array(["a"] * ROWS, dtype=object),
        raw=RNG.dirichlet([1, 1, 1], ROWS).astype(np.float32),
        best=np.eye(3, dtype=np.float32)[PLACES],
        unlearnable=np.array(["a"] * 20, dtype=object),
    ),
}


@pytest.fixture(params=tasks.OURS)
def example(request) -> Example:
    assert request.param in EXAMPLES, "a new task needs an example here"
    return EXAMPLES[request.param]


@pytest.fixture
def task(example) -> tasks.Task:
    return tasks.named(next(name for name, one in EXAMPLES.items() if one is example))


@pytest.fixture
def schema(task, example) -> Schema:
    facts = task.learn(example.column, example.declared)
    return Schema.from_json(
        {"target": "t", "task": task.name, "features": [], "classes": [], **facts}
    )


@pytest.fixture
def target(task, example, schema) -> np.ndarray:
    return task.encode(task.read(example.column), schema)


def test_the_schema_goes_through_json_with_its_task(schema, task):
    again = Schema.from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False)))
    assert again == schema
    assert tasks.of(again) is task


def test_an_unknown_task_is_refused_with_the_names_that_there_are():
    with pytest.raises(errors.DataError, match="the task is 'divination': wanted classification"):
        tasks.named("divination")


def test_labels_are_read_as_the_target_is_read(task, example):
    assert task.read(np.array(example.spelled, dtype=object)) == list(example.labels)


def test_a_column_that_cannot_be_learnt_is_refused_with_its_name(task, example):
    with pytest.raises(errors.DataError, match="the target income has"):
        task.learn(example.refused, dataclasses.replace(example.declared, target="income"))


def test_every_row_has_a_known_target_and_a_stratum(task, target):
    assert task.known(target).all()
    assert len(task.strata(target)) == ROWS
    assert 1 < len(set(task.strata(target).tolist())) < ROWS / 2


def test_a_missing_label_is_not_known(task, schema):
    unknown = task.encode(task.read(np.array([None, float("nan")], dtype=object)), schema)
    assert not task.known(unknown).any()


def test_nothing_is_lacking_in_all_rows(task, target, schema):
    assert task.lacking(target, schema) == []
    assert task.unlearnable(target, schema) is None


def test_rows_without_a_difference_teach_nothing(task, example, schema):
    assert task.unlearnable(task.encode(task.read(example.unlearnable), schema), schema)


def test_a_feature_that_gives_the_target_away_is_told_and_one_of_noise_is_not(task, target):
    tells = np.unique(task.strata(target), return_inverse=True)[1]
    assert task.told_by(tells, target)
    assert task.told_by(np.arange(ROWS) % 2, target) is None


def test_a_profile_is_plain_json(task, target, schema):
    assert json.loads(json.dumps(task.profile(target, schema), allow_nan=False))


def test_the_best_answers_are_the_labels_and_lose_nothing(task, example, schema):
    labels = task.read(example.column)
    answers = task.answers(example.best, schema)
    assert task.improper(example.best) is None
    assert task.loss(answers, labels, schema) == pytest.approx(np.zeros(ROWS), abs=1e-6)


def test_losses_and_differences_lie_between_0_and_1(task, example, schema):
    labels, answers = task.read(example.column), task.answers(example.raw, schema)
    lost = task.loss(answers, labels, schema)
    assert lost.shape == (ROWS,)
    assert ((lost >= 0) & (lost <= 1)).all()
    assert 0 < lost.mean() < 1


def test_what_travels_with_an_answer_is_all_that_its_loss_needs(task, example, schema):
    labels, answers = task.read(example.column), task.answers(example.raw, schema)
    gauge = json.loads(json.dumps(task.gauge(schema), allow_nan=False))
    alone = Schema(target="", features=(), task=task.name, facts=gauge)
    assert np.array_equal(task.loss(answers, labels, alone), task.loss(answers, labels, schema))
    read = [task.label(json.loads(json.dumps(label)), alone) for label in labels]
    assert np.array_equal(task.loss(answers, read, alone), task.loss(answers, labels, schema))
    assert task.wanted(alone)


def test_a_label_means_itself_after_json_and_nonsense_means_none(task, example, schema):
    for label in task.read(example.column)[:20]:
        assert task.label(json.loads(json.dumps(label)), schema) == label
    assert task.label("no such label", schema) is None
    assert task.wanted(schema)


def test_two_answers_differ_alike_in_either_order_and_never_from_themselves(task, example, schema):
    one, other = task.answers(example.raw, schema), task.answers(example.best, schema)
    assert np.array_equal(task.differ(one, other, schema), task.differ(other, one, schema))
    assert not task.differ(one, one, schema).any()
    assert ((task.differ(one, other, schema) >= 0) & (task.differ(one, other, schema) <= 1)).all()


def test_every_metric_is_measured_and_the_best_answers_rank_above_others(
    task, example, target, schema
):
    best, other = (
        task.measure(example.best, target, schema),
        task.measure(example.raw, target, schema),
    )
    assert list(best) == [metric.name for metric in task.metrics]
    assert all(np.isfinite(value) for value in (*best.values(), *other.values()))
    assert task.rank(best, by=task.metric(None)) > task.rank(other, by=task.metric(None))


def test_baselines_are_compared_by_the_same_metrics_and_named_in_words(
    task, example, target, schema
):
    rules = task.baselines(target, target, schema)
    assert rules.keys() == task.rules.keys()
    assert "zero_rule" in rules, "the gate wants it beaten"
    compared = task.compare(example.best, target, schema)
    for scores in rules.values():
        assert scores.keys() == compared.keys()
        assert task.rank(scores, by=task.metric(None)) < task.rank(compared, by=task.metric(None))


def test_details_are_plain_json(task, example, target, schema):
    assert json.loads(json.dumps(task.details(example.raw, target, schema), allow_nan=False))


def test_the_outputs_have_the_shapes_and_datatypes_that_the_metadata_names(task, example, schema):
    labels = task.answers(example.raw, schema)
    for output in task.outputs(schema):
        values = task.value(output.name, raw=example.raw, labels=labels)
        assert isinstance(values, list) == (output.datatype == "BYTES")
        assert np.shape(values) == (ROWS, *output.shape)
    assert example.raw.shape[1] == task.width(schema)


def test_an_answer_takes_no_more_bytes_than_the_task_says(task, example, schema):
    labels = task.answers(example.raw, schema)
    row = [
        task.value(output.name, raw=example.raw, labels=labels)[0]
        for output in task.outputs(schema)
    ]
    plain = json.dumps(
        [value.tolist() if hasattr(value, "tolist") else value for value in row]
    ).encode()
    assert task.row_bytes(schema, number=24) >= len(plain) - 2 * len(row)


def test_a_model_of_the_same_schema_is_translated_to_itself(task, example, schema):
    assert np.allclose(task.translated(example.raw, given=schema, wanted=schema), example.raw)


def test_windows_of_the_same_answers_are_compared_and_none_is_missing(task, example, schema):
    compared = list(task.compared(example.raw, example.raw, schema))
    assert compared
    assert all(np.array_equal(one.reference, one.window) for one in compared)


def test_what_a_manifest_says_of_a_schema_may_be_claimed(task, schema):
    assert task.refuse(schema.to_json()) is None


def test_training_has_its_side_of_the_task(task, example, schema, target):
    import torch

    from fairway.config import sections

    side = losses.of(schema)
    outputs = torch.zeros((ROWS, side.width), requires_grad=True)
    side.loss(sections.Training(), target=torch.from_numpy(target))(
        outputs, torch.from_numpy(target)
    ).backward()
    assert outputs.grad.abs().sum() > 0
    assert side.improper(side.answer(outputs).detach().numpy()) is None
    assert "validation_loss" in side.measure(outputs.detach(), torch.from_numpy(target))


def test_the_gate_decides_by_the_task_s_primary_metric(task, example, target, schema):
    from fairway import artifacts
    from fairway.config import sections

    def decided(raw: np.ndarray) -> bool:
        record = artifacts.Evaluation(
            rows=ROWS,
            slices=(),
            baselines=task.baselines(target, target, schema),
            task=task.name,
            primary=task.metric(None).name,
            metrics=task.measure(raw, target, schema),
        )
        return gate.decide(sections.Gate(max_calibration_error=None), evaluation=record).promote

    assert decided(example.best)
    assert not decided(example.raw)


def test_classes_of_another_model_are_translated_by_name():
    ours = Schema(target="t", classes=("a", "b"), features=())
    theirs = Schema(target="t", classes=("z", "b", "a"), features=())
    task = tasks.of(ours)
    raw = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]], dtype=np.float32)
    seen = task.translated(raw, given=theirs, wanted=ours)
    assert seen[:, :2] == pytest.approx(np.array([[0.1, 0.2], [0.3, 0.6]]))
    assert task.measure(seen, np.array([0, 1]), ours)["accuracy"] == 0.5


@pytest.mark.parametrize(
    ("values", "said"),
    [
        pytest.param(
            np.arange(300), "different numbers, which looks like a quantity", id="numbers"
        ),
        pytest.param(
            np.linspace(0, 1, 300),
            "different fractions, which looks like a quantity",
            id="fractions",
        ),
        pytest.param(
            np.array([f"c{i}" for i in range(30)], dtype=object), "three rows a class", id="names"
        ),
        pytest.param(np.array([], dtype=object), "has no value at all", id="nothing"),
    ],
)
def test_what_is_no_class_is_refused(values, said):
    with pytest.raises(errors.DataError, match=said):
        tasks.named("classification").learn(values, tasks.Declared(target="t"))


@pytest.mark.parametrize(
    "values",
    [
        np.array([1, 2, 10]),
        np.array([1.0, 2.0, 10.0]),
        np.array([1.0, 10.0, 2.0, np.nan]),
        np.array(["1", "2", "10"]),
    ],
    ids=["whole", "fractions that are whole", "with a missing one", "texts"],
)
def test_classes_that_are_numbers_are_ordered_and_named_as_a_person_would(values):
    task = tasks.named("classification")
    known = [value for value in task.read(values.astype(object)) if value]
    assert task.learn(np.array(known * 10, dtype=object), tasks.Declared(target="t")) == {
        "classes": ["1", "2", "10"]
    }


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (Schema(target="t", features=(), classes=("a", "b")), None),
        (
            Schema(target="t", features=(), task="regression", facts={"spread": 2.0, "mean": 1.0}),
            {"name": "regression", "spread": 2.0},
        ),
        (
            Schema(
                target="t",
                features=(),
                task="hierarchical",
                facts={"parents": {"a" * 300: "b" * 70_000}},
            ),
            {"name": "hierarchical"},
        ),
    ],
    ids=["classes", "numbers", "too many facts"],
)
def test_classes_travel_alone_and_other_answers_with_the_few_facts_that_they_need(schema, said):
    assert tasks.gauge(schema) == said


def test_a_label_alone_does_not_show_how_it_is_written():
    task = tasks.named("regression")
    column = np.array(["1.250,50", "980,00", None], dtype=object)
    assert task.read(column) == [1250.5, 980.0, None]
    assert task.label("1.250,50", Schema(target="price", task="regression", features=())) is None


@pytest.mark.parametrize(
    ("value", "said"), [(127_936.3, "127,936"), (0.98765, "0.9877"), (2.5e15, "2.5e+15"), (0, "0")]
)
def test_numbers_of_any_size_are_said_as_a_person_reads_them(value, said):
    assert figure(value) == said


@pytest.mark.parametrize(
    ("share", "said"), [(1.0, "100.0 %"), (0.9999, "over 99.9 %"), (0.0001, "under 0.1 %")]
)
def test_a_share_is_not_said_to_be_all(share, said):
    assert tasks.base.percent(share) == said


def test_rows_of_one_score_share_their_places_whatever_order_they_came_in() -> None:
    """scikit-learn's ndcg_score says the same of ties."""
    task, schema = (
        tasks.named("ranking"),
        Schema(target="t", features=(), task="ranking", facts={"spread": 3.0}),
    )
    rng = np.random.default_rng(0)
    groups, relevance = np.repeat(np.arange(40), 15), rng.integers(0, 4, 600).astype(float)
    scores = np.round(rng.random(600), 1)
    expected = [
        metrics.ndcg_score([2 ** relevance[groups == i] - 1], [scores[groups == i]], k=10)
        for i in range(40)
    ]
    measured = task.measure(scores[:, None], np.column_stack([groups, relevance]), schema)
    assert measured["ndcg"] == pytest.approx(np.mean(expected))


def test_the_order_in_which_rows_of_one_score_come_moves_nothing() -> None:
    task, schema = (
        tasks.named("ranking"),
        Schema(target="t", features=(), task="ranking", facts={"spread": 3.0}),
    )
    rng = np.random.default_rng(0)
    one, other = np.round(rng.random(20), 1), np.round(rng.random(20), 1)
    apart = task.differ(one, other, schema)
    for _ in range(5):
        order = rng.permutation(20)
        assert np.array_equal(task.differ(one[order], other[order], schema), apart[order])
    assert not task.differ(one, one[:] * 2, schema).any()
    assert task.differ([1.0, 1.0, 1.0], [3.0, 2.0, 1.0], schema) == pytest.approx([0.5, 0, 0.5])


def test_no_order_at_all_ranks_no_better_than_any_order() -> None:
    task, schema = (
        tasks.named("ranking"),
        Schema(target="t", features=(), task="ranking", facts={"spread": 3.0}),
    )
    sorted_rows = np.column_stack([np.repeat(np.arange(5), 4), np.tile([3.0, 2.0, 1.0, 0.0], 5)])
    any_order = task.baselines(sorted_rows, sorted_rows, schema)["zero_rule"]
    assert task.measure(np.zeros((20, 1)), sorted_rows, schema) == pytest.approx(any_order)
    assert task.loss([0.0] * 4, [3.0, 2.0, 1.0, 0.0], schema) == pytest.approx(
        1 - any_order["ndcg"]
    )


def hierarchy(*classes: str, **parents: str) -> Schema:
    return Schema(
        target="t", classes=classes, features=(), task="hierarchical", facts={"parents": parents}
    )


def test_a_class_with_classes_below_is_as_likely_as_all_of_them_and_itself() -> None:
    schema = hierarchy(
        "animal", "cat", "dog", "fern", cat="animal", dog="animal", animal="being", fern="being"
    )
    raw = np.array([[0.25, 0.35, 0.1, 0.3], [0.45, 0.1, 0.05, 0.4], [0.3, 0.05, 0.05, 0.6]])
    assert tasks.of(schema).answers(raw, schema) == ["animal", "animal", "fern"]


def test_a_champion_that_answers_a_class_of_its_own_is_wrong_there() -> None:
    ours = hierarchy("cat", "dog", cat="animal", dog="animal")
    theirs = hierarchy("cat", "dog", "fox", cat="animal", dog="animal", fox="animal")
    task = tasks.of(ours)
    raw = task.translated(np.array([[0.9, 0.1, 0.0], [0.0, 0.1, 0.9]]), given=theirs, wanted=ours)
    assert task.measure(raw, np.array([0, 1]), ours)["hierarchical_f"] == 0.5


def test_a_branch_has_an_end() -> None:
    chain = {f"c{i}": f"c{i + 1}" for i in range(5000)}
    refused = tasks.named("hierarchical").refuse(
        {"classes": ["c0", "c1"], "facts": {"parents": chain}}
    )
    assert refused is not None
    assert refused[2] == "no class among its ancestors, fewer than 100 of them"
    learnt = tasks.Declared(target="t", parents=chain)
    with pytest.raises(
        errors.DataError, match="'c0' is among its own ancestors, or has 100 of them"
    ):
        tasks.named("hierarchical").learn(np.array(["c0", "c1"] * 20), learnt)


@pytest.mark.parametrize("column", [1e9 + PRICES / 100, PRICES * 1e300, PRICES * 1e-200])
def test_a_quantity_that_float32_cannot_answer_is_refused(column: np.ndarray) -> None:
    with pytest.raises(
        errors.DataError, match="which 32-bit answers do not tell apart: take a constant from it"
    ):
        tasks.named("regression").learn(column, tasks.Declared(target="t"))


@pytest.mark.parametrize(("ours", "theirs"), [(None, 0.9), (0.9, None), (0.8, 0.9)])
def test_a_champion_with_other_intervals_is_compared_by_its_values(
    ours: float | None, theirs: float | None
) -> None:
    task = tasks.named("regression")
    wanted, given = (
        Schema(
            target="t",
            features=(),
            task="regression",
            facts={"mean": 50.0, "std": 9.0, "coverage": coverage},
        )
        for coverage in (ours, theirs)
    )
    raw = EXAMPLES["regression"].raw[:, : task.width(given)]
    measured = task.compare(task.translated(raw, given=given, wanted=wanted), PRICES, wanted)
    assert measured == task.compare(raw[:, :1], PRICES, wanted)
