"""What every metric keeps to, ours and a stranger's: the acceptance test of docs/adding.md."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as oracle

from fairway import errors, plugins
from fairway.model import metrics, tasks
from fairway.model.schema import Schema
from fairway.training import fit
from tests import strangers
from tests.model.test_tasks import EXAMPLES
from tests.training import made

STRANGER = '''
"""Metrics of a package that fairway has never heard of."""
import numpy as np

from fairway.model.metrics import Metric


class Brier(Metric):
    name, better, words = "brier", "low", "Brier score"
    tasks = ("classification",)

    def measure(self, rows):
        truth = np.eye(rows.raw.shape[1])[rows.target]
        return ((rows.raw - truth) ** 2).sum(axis=1).mean()


class Broken(Metric):
    name, better, words = "broken", "high", "what breaks"
    tasks = ("regression",)

    def measure(self, rows):
        return rows.raw[:, 99].mean()
'''
GROUP = {"metrics": {"brier": "wishes:Brier", "broken": "wishes:Broken"}}
OF_TASKS = [(task, metric.name) for task, found in tasks.OURS.items() for metric in found.metrics]


@pytest.mark.parametrize(("task", "metric"), OF_TASKS)
def test_the_best_answers_are_no_worse_than_others_on_the_better_side(task, metric):
    example, found = EXAMPLES[task], tasks.named(task)
    facts = {"features": [], "classes": [], **found.learn(example.column, example.declared)}
    schema = Schema.from_json({"target": "t", "task": task, **facts})
    target = found.encode(found.read(example.column), schema)
    best, other = (
        found.measure(raw, target, schema)[metric] for raw in (example.best, example.raw)
    )
    asked = metrics.found()[metric]
    assert not asked.share or (0 <= best <= 1 and 0 <= other <= 1)
    assert best >= other if asked.better == "high" else best <= other
    assert asked.shown(best)


def test_every_metric_of_ours_is_an_entry_point_and_measures_a_task():
    entries = plugins.found("metrics")
    assert metrics.OURS.keys() == {metric for _, metric in OF_TASKS}
    assert {type(entries[name].load()()) for name in metrics.OURS} == {
        type(metric) for metric in metrics.OURS.values()
    }


def test_an_interval_s_metrics_are_told_only_where_there_are_intervals():
    schema = Schema(target="t", task="regression", features=(), facts={"coverage": None})
    said = tasks.of(schema).measure(np.array([[1.0], [2.0]]), np.array([1.0, 3.0]), schema)
    assert list(said) == ["rmse", "mae", "r2"]


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """Return the folder of an installed package with metrics of its own."""
    (tmp_path / "there").mkdir()
    modules = {"wishes": STRANGER}
    return strangers.install(
        tmp_path / "there", "wishes", version="0.9", modules=modules, groups=GROUP
    )


def test_a_strangers_metric_is_configured_gates_and_is_shown_without_a_line_of_ours(
    stranger, tmp_path
):
    dataset = made.tabular(tmp_path, rows=600)
    fit.fit(made.training(epochs=8), dataset=dataset, out=tmp_path / "checkpoint")
    script = f"""
import json
from pathlib import Path
from fairway.config import loader
from fairway.evaluation import gate, measure
config = loader.load(None, overrides=["data.source=digits", "evaluation.metric=brier",
    "evaluation.gate.threshold=0.9", "evaluation.gate.maxCalibrationError=null"])
record = measure.evaluate(config.evaluation, dataset=Path({str(dataset)!r}),
    checkpoint=Path({str(tmp_path / "checkpoint")!r}), champion=None, out=Path({str(tmp_path / "out")!r}))
decision = gate.decide(config.evaluation.gate, evaluation=record)
print(json.dumps([record.primary, record.metrics["brier"], record.baselines["zero_rule"]["brier"],
    decision.promote, decision.reason]))
"""
    done = strangers.python(stranger, "-c", script)
    assert done.returncode == 0, done.stderr
    primary, ours, zero, passed, reason = json.loads(done.stdout.splitlines()[-1])
    assert (primary, passed) == ("brier", True)
    assert 0 < ours < zero < 1
    assert reason.startswith("all 2 checks passed: Brier score 0.")
    assert "Brier score" in (tmp_path / "out" / "report.html").read_text()


def test_check_lists_a_strangers_metrics_with_their_package(stranger):
    done = strangers.python(stranger, "-m", "fairway", "check", "--home", str(stranger / "home"))
    assert "metrics        brier, of wishes 0.9" in done.stdout, done.stderr


def test_a_strangers_metric_that_fails_is_named_with_its_package(stranger):
    script = """
import numpy as np
from fairway.model import tasks
from fairway.model.schema import Schema
schema = Schema(target="t", task="regression", features=(), facts={"coverage": None})
tasks.of(schema).measure(np.array([[1.0], [2.0]]), np.array([1.0, 3.0]), schema)
"""
    done = strangers.python(stranger, "-c", script)
    assert "metric broken, of wishes 0.9, fails on 2 rows (IndexError: " in done.stderr


def test_a_metric_that_calls_itself_otherwise_is_refused_with_both_names(stranger):
    strangers.declare(stranger, {"metrics": {"other": "wishes:Brier"}})
    done = strangers.python(stranger, "-c", "from fairway.model import metrics\nmetrics.found()")
    assert "metrics other of wishes 0.9 calls itself 'brier': wanted one name" in done.stderr


def test_a_metric_that_is_none_of_the_task_is_refused_with_those_that_are():
    with pytest.raises(errors.DataError, match=r"is 'ndcg': regression has rmse, mae, r2$"):
        tasks.named("regression").metric("ndcg")


def test_the_loss_of_labels_is_scikit_learn_s():
    rng = np.random.default_rng(0)
    target, raw = rng.integers(0, 2, (50, 3)), rng.random((50, 3))
    schema = Schema(target="t", task="multilabel", features=(), classes=("a", "b", "c"))
    expected = np.mean([oracle.log_loss(target[:, i], raw[:, i]) for i in range(3)])
    measured = tasks.of(schema).measure(raw, target, schema)
    assert measured["log_loss"] == pytest.approx(expected)
    assert measured["micro_f1"] == pytest.approx(
        oracle.f1_score(target, raw >= 0.5, average="micro")
    )
