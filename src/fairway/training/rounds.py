"""Gradient-boosted trees, fitted: LightGBM's rounds until the validation loss stops falling. The same seed gives the
same trees."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.data import splits
from fairway.model import graph, tasks
from fairway.training import converters, export, losses
from fairway.training.converters import lightgbm_trees
from fairway.training.families import base
from fairway.training.families.boosting import BoostingTraining

Array = NDArray[Any]
TOLD_EVERY = 10  # rounds: a round takes milliseconds
TRAIN, HELD_OUT = "train", "validation"


def fit(section: BoostingTraining, *, run: base.Run) -> export.Made:
    """Return the trees up to the best round.

    Raises TrainingError for a task that boosting does not learn, or a loss that is no number any more.
    """
    data, task = run.data, tasks.of(run.data.schema)
    boosted = losses.of(task).boosted(data.train.target, width=task.width(data.schema))
    if boosted is None:
        raise errors.TrainingError(f"training.family boosting does not learn {task.name}: use tabular")
    history: list[dict[str, Any]] = []
    booster = _boosted(section, boosted, data=data, callbacks=[_watched(history, boosted, run.progress)])
    best = booster.best_iteration or len(history)
    foreign = converters.of(booster, output=task.output)
    assert foreign is not None
    steps = data.preprocessor
    matrix = data.validation.inputs("columns")[graph.FLAT]
    named = len(steps.numbers), len(steps.categories)
    return export.Made(
        export.Estimator(foreign, matrix, data.schema, steps.columns("columns"), named=named),
        {
            "layout": "named",
            "epochs": len(history),
            "best_epoch": best,
            "device": "cpu",
            "precision": "float32",
            "history": tuple(history),
        },
    )


def parameters(section: BoostingTraining, boosted: losses.Boosted) -> dict[str, Any]:
    """Return LightGBM's own names for what the section and the task say.

    Rows are always summed in one order, whatever the threads: `deterministic` with a layout of histograms that is not
    chosen by a race of the two.
    """
    return {
        **boosted.parameters,
        "learning_rate": section.learning_rate,
        "num_leaves": section.leaves,
        "min_data_in_leaf": section.min_leaf_rows,
        "feature_fraction": section.features,
        "seed": section.seed,
        "num_threads": section.threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


def _boosted(section: BoostingTraining, boosted: losses.Boosted, *, data: splits.Splits, callbacks: list[Any]) -> Any:
    lightgbm = lightgbm_trees.library()
    categories = _categories(data)
    train = lightgbm.Dataset(
        data.train.inputs("columns")[graph.FLAT],
        label=data.train.target,
        weight=boosted.weights if section.class_weights == "balanced" else None,
        categorical_feature=categories,
        params={"verbosity": -1},
    )
    held_out = train.create_valid(data.validation.inputs("columns")[graph.FLAT], label=data.validation.target)
    early = lightgbm.early_stopping(section.patience, first_metric_only=True, verbose=False)
    try:
        return lightgbm.train(
            parameters(section, boosted),
            train,
            num_boost_round=section.rounds,
            valid_sets=[train, held_out],
            valid_names=[TRAIN, HELD_OUT],
            callbacks=[*callbacks, early],
        )
    except lightgbm.basic.LightGBMError as error:
        raise errors.TrainingError(f"LightGBM cannot learn from this data: {graph.line(error)}") from error


def _categories(data: splits.Splits) -> list[int]:
    """Return the columns that hold a category's index."""
    first = len(data.preprocessor.numbers)
    return list(range(first, first + len(data.preprocessor.categories)))


def _watched(
    history: list[dict[str, Any]], boosted: losses.Boosted, progress: base.Progress | None
) -> Callable[[Any], None]:
    """Return what LightGBM calls after each round: the history grows by its row, and every few rounds it is told."""

    def watch(round_: Any) -> None:
        measured = {f"{which}_{name}": float(value) for which, name, value, _ in round_.evaluation_result_list}
        told = {"epoch": round_.iteration + 1, **_row(measured, boosted)}
        for name in ("train_loss", "validation_loss"):
            if not np.isfinite(told[name]):
                raise errors.TrainingError(
                    f"the {name.replace('_', ' ')} became {told[name]} in round {told['epoch']}: wanted a finite "
                    "number; lower training.learningRate, or look for huge values in the data"
                )
        history.append(told)
        if progress is not None and (told["epoch"] == 1 or told["epoch"] % TOLD_EVERY == 0):
            progress(told)

    watch.before_iteration = False  # type: ignore[attr-defined]
    watch.order = 5  # type: ignore[attr-defined] # before the early stopping, which ends by raising
    return watch


def _row(measured: Mapping[str, float], boosted: losses.Boosted) -> dict[str, float]:
    row = {f"{which}_loss": measured[f"{which}_{boosted.loss}"] for which in (TRAIN, HELD_OUT)}
    if boosted.error is None:
        return row
    return {**row, "validation_accuracy": 1 - measured[f"{HELD_OUT}_{boosted.error}"]}
