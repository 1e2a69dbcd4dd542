"""The search among settings: seeded, judged on the validation rows, blind to the test rows."""

import json
from pathlib import Path

import pytest
from kfp import dsl

from components.training.tune import tune as component
from fairway import artifacts, errors
from fairway.config import loader, sections
from fairway.data import prepare
from fairway.training import tune
from tests.data import made

BOOSTED = {"family": "boosting", "rounds": 30, "patience": 5}
CHOICES = {"learningRate": [0.001, 0.1], "leaves": [2, 7, 31]}


def section(**asked) -> sections.Training:
    return sections.Training.of(**BOOSTED, tune={"choices": CHOICES, **asked})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tune")
    made.frame(500).to_csv(folder / "rows.csv", index=False)
    prepare.prepare(made.section(path=folder / "rows.csv"), out=folder / "dataset")
    return folder / "dataset"


def test_the_best_settings_are_those_with_the_least_validation_loss(dataset):
    found = tune.tune(section(trials=6), dataset=dataset)
    losses = {json.dumps(one["settings"]): one["loss"] for one in found.trials}
    assert len(losses) == 6  # the whole grid, nothing twice
    assert found.loss == min(losses.values()) == losses[json.dumps(found.best)]
    assert found.best["learningRate"] == 0.1  # thirty steps of a thousandth learn nothing
    assert found.trials[0]["settings"] == {"learningRate": 0.05, "leaves": 31}  # as they stood


def test_the_same_seed_tries_the_same_and_another_tries_others(dataset):
    drawn = [tune.drawn(section(trials=3)) for _ in range(2)]
    assert drawn[0] == drawn[1]
    other = sections.Training.of(
        **BOOSTED, seed=5, tune={"choices": {"leaves": list(range(2, 90))}, "trials": 5}
    )
    same = other.model_copy(update={"seed": 6})
    assert tune.drawn(other)[1:] != tune.drawn(same)[1:]


def test_test_rows_are_never_seen(dataset, tmp_path):
    """Without them all is as it was: they are not even there for a trial."""
    blind = tmp_path / "dataset"
    blind.mkdir()
    for file in dataset.iterdir():
        if file.name != "test.parquet":
            (blind / file.name).write_bytes(file.read_bytes())
    seen, unseen = (tune.tune(section(trials=3), dataset=one) for one in (dataset, blind))
    assert seen == unseen


def test_a_function_of_ones_own_that_looks_for_test_rows_finds_none(dataset, tmp_path, monkeypatch):
    (tmp_path / "curious.py").write_text(
        "from sklearn.linear_model import LogisticRegression\n"
        "def fit(splits, *, seed):\n"
        "    splits.test\n"
        "    return LogisticRegression()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    theirs = sections.Training.of(
        family="function", function="curious:fit", tune={"choices": {"seed": [1, 2]}}
    )
    with pytest.raises(errors.FairwayError, match=r"test\.parquet cannot be read"):
        tune.tune(theirs, dataset=dataset)


def test_halving_gives_many_little_and_the_best_all(dataset):
    found = tune.tune(section(trials=6, method="halving"), dataset=dataset)
    budgets = [one["budget"] for one in found.trials]
    assert budgets == [10] * 6 + [None] * 2
    last = found.trials[-2:]
    assert found.loss == min(one["loss"] for one in last)
    first = sorted(found.trials[:6], key=lambda one: one["loss"])[:2]
    assert {one["trial"] for one in last} == {one["trial"] for one in first}


def test_a_trial_that_cannot_be_fitted_is_told_and_passed_over(dataset, monkeypatch):
    from fairway.training import fit

    real = fit.fit

    def breaks(settings, **named):
        if settings.leaves == 2:
            raise errors.TrainingError("the loss is no number any more")
        return real(settings, **named)

    monkeypatch.setattr(fit, "fit", breaks)
    told: list[str] = []
    found = tune.tune(section(trials=6), dataset=dataset, tell=told.append)
    assert found.best["leaves"] != 2
    assert any(": the loss is no number any more" in line for line in told)


def test_without_choices_nothing_is_tried(dataset):
    found = tune.tune(sections.Training.of(**BOOSTED), dataset=dataset)
    assert (found.best, found.trials) == ({}, ())


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"choices": {"depth": [1]}},
            "training.tune.choices has 'depth': wanted keys of family boosting",
        ),
        (
            {"choices": {"leaves": [1]}},
            "training.tune.choices.leaves has 1: input should be greater",
        ),
        ({"choices": {}}, "training.boosting.tune.choices|training.tune.choices"),
    ],
)
def test_choices_that_are_no_settings_are_a_sentence(asked, words):
    plain = {"data": {"path": "rows.csv"}, "training": {**BOOSTED, "tune": asked}}
    with pytest.raises(errors.ConfigError, match=words.replace(".", r"\.")):
        loader.check(plain, where="fairway.yaml")


def test_halving_needs_epochs_to_give_little_of():
    with pytest.raises(ValueError, match="halving: family function counts no epochs"):
        sections.Training.of(
            family="function",
            function="a:b",
            tune={"choices": {"seed": [1]}, "method": "halving"},
        )


def test_the_component_gives_settings_that_train_takes(dataset, tmp_path):
    config = sections.Config.model_validate(
        {
            "data": {"path": "rows.csv", "target": "label"},
            "training": {**BOOSTED, "tune": {"choices": CHOICES, "trials": 4}},
        }
    )
    metrics = dsl.Metrics(uri=str(tmp_path / "metrics"), metadata={})
    settings = component.python_func(
        config=config.model_dump_json(by_alias=True),
        dataset=dsl.Dataset(uri=str(dataset)),
        metrics=metrics,
        trials=dsl.Markdown(uri=str(tmp_path / "trials.md")),
    )
    chosen = config.training.chosen(json.loads(settings))
    assert chosen.tune is None
    assert chosen.model_dump(by_alias=True).items() >= json.loads(settings).items()
    assert metrics.metadata["trials"] == 4
    page = (tmp_path / "trials.md").read_text().splitlines()
    assert page[0] == "| validation loss | learningRate | leaves | epochs |"
    assert page[2].startswith(f"| {metrics.metadata['validation_loss']:.5f} |")
    assert artifacts.as_json(tune.tune(config.training, dataset=dataset))["best"] == json.loads(
        settings
    )
