"""Gradient-boosted trees, fitted: LightGBM's rounds until the validation loss stops falling. The
same seed gives the same trees."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fairway import errors
from fairway.data import splits
from fairway.model import graph, tasks
from fairway.training import export, losses
from fairway.training.converters import lightgbm_trees
from fairway.training.families import base
from fairway.training.families.boosting import BoostingTraining

Row = dict[str, Any]
Watch = Callable[[Any], None]
TOLD_EVERY = 10  # rounds: a round takes milliseconds
TRAIN, HELD_OUT = "train", "validation"
NEWEST, ALL, HALF = "the newest rows", "all rows", "the newest half of them"


def fit(section: BoostingTraining, *, run: base.Run) -> export.Made:
    """Return the trees up to the best round.

    Raises ConfigError for a task that boosting does not learn, TrainingError for a loss that is no
    number any more.
    """
    data, task = run.data, tasks.of(run.data.schema)
    told = losses.of(data.schema).boosted(data.train.target, data.validation.target)
    if not told:
        raise errors.ConfigError(
            f"training.family boosting does not learn {task.name}: use tabular"
        )
    histories: list[list[Row]] = [[] for _ in told]
    watched = run.progress if len(told) == 1 else None
    boosters = [
        _boosted(
            section, boosted, data=data, train=data.train, watch=_watched(history, boosted, watched)
        )
        for boosted, history in zip(told, histories, strict=True)
    ]
    history = _joined(histories)
    for row in () if watched is not None else history:
        _tell(row, run.progress)
    steps, others = data.preprocessor, _others(section, data)
    return export.Made(
        export.Estimator(
            lightgbm_trees.together([boosters, *others.values()], output=task.output),
            data.validation.inputs("columns")[graph.FLAT],
            data.schema,
            steps.columns("columns"),
            named=(steps.number_columns, len(steps.categories)),
        ),
        {
            "layout": "named",
            "epochs": len(history),
            "best_epoch": max(booster.best_iteration for booster in boosters),
            "device": "cpu",
            "precision": "float32",
            "history": tuple(history),
            "averaged": (NEWEST, *others) if others else (),
        },
    )


def parameters(section: BoostingTraining, boosted: losses.Boosted) -> dict[str, Any]:
    """Return LightGBM's own names for what the section and the task say.

    Rows are always summed in one order, whatever the threads: `deterministic` with a layout of
    histograms that is not chosen by a race of the two.
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


def _others(section: BoostingTraining, data: splits.Splits) -> dict[str, list[Any]]:
    """Return the boosters of all rows and of the newest half, where that shows every class, by what
    they learnt from; none where no older rows were put aside."""
    if data.older is None or not section.older_rows:
        return {}
    half = data.train.at(np.arange(len(data.train) // 2, len(data.train)))
    absent = tasks.of(data.schema).lacking(half.target, data.schema)
    rows = {ALL: data.train.after(data.older), **({} if absent else {HALF: half})}
    return {
        name: [
            _boosted(section, boosted, data=data, train=train, watch=_watched([], boosted, None))
            for boosted in losses.of(data.schema).boosted(train.target, data.validation.target)
        ]
        for name, train in rows.items()
    }


def _boosted(
    section: BoostingTraining,
    boosted: losses.Boosted,
    *,
    data: splits.Splits,
    train: splits.Split,
    watch: Watch,
) -> Any:
    lightgbm = lightgbm_trees.library()
    learnt = lightgbm.Dataset(
        train.inputs("columns")[graph.FLAT],
        label=boosted.label,
        weight=boosted.weights if section.class_weights == "balanced" else None,
        categorical_feature=_categories(data),
        params={"verbosity": -1},
    )
    held_out = learnt.create_valid(
        data.validation.inputs("columns")[graph.FLAT], label=boosted.held_out
    )
    early = lightgbm.early_stopping(section.patience, first_metric_only=True, verbose=False)
    try:
        return lightgbm.train(
            parameters(section, boosted),
            learnt,
            num_boost_round=section.rounds,
            valid_sets=[learnt, held_out],
            valid_names=[TRAIN, HELD_OUT],
            callbacks=[watch, early],
        )
    except lightgbm.basic.LightGBMError as error:
        raise errors.TrainingError(
            f"LightGBM cannot learn from this data: {graph.line(error)}"
        ) from error


def _categories(data: splits.Splits) -> list[int]:
    """Return the columns that hold a category's index."""
    first = data.preprocessor.number_columns
    return list(range(first, first + len(data.preprocessor.categories)))


def _watched(history: list[Row], boosted: losses.Boosted, progress: base.Progress | None) -> Watch:
    """Return what LightGBM calls after each round: the history grows by its row, and every few
    rounds it is told."""

    def watch(done: Any) -> None:
        measured = {
            (which, name): float(value) for which, name, value, _ in done.evaluation_result_list
        }
        row = _row(measured, boosted, number=done.iteration + 1)
        _finite(row)
        history.append(row)
        _tell(row, progress)

    watch.before_iteration = False  # type: ignore[attr-defined]
    watch.order = 5  # type: ignore[attr-defined] # before the early stopping, which ends by raising
    return watch


def _row(measured: Mapping[tuple[str, str], float], boosted: losses.Boosted, *, number: int) -> Row:
    row: Row = {"epoch": number}
    for which in (TRAIN, HELD_OUT):
        row[f"{which}_loss"] = measured[which, boosted.loss] / boosted.scale
    if boosted.besides is not None:
        name, shown = boosted.besides
        row[f"{HELD_OUT}_{name}"] = shown(
            {metric: value for (which, metric), value in measured.items() if which == HELD_OUT}
        )
    return row


def _finite(row: Row) -> None:
    for name in (f"{TRAIN}_loss", f"{HELD_OUT}_loss"):
        if not np.isfinite(row[name]):
            raise errors.TrainingError(
                f"the {name.replace('_', ' ')} became {row[name]} in round {row['epoch']}: wanted a finite number; "
                "lower training.learningRate, or look for huge values in the data"
            )


def _tell(row: Row, progress: base.Progress | None) -> None:
    if progress is None:
        return
    if row["epoch"] == 1 or row["epoch"] % TOLD_EVERY == 0:
        progress(row)


def _joined(histories: Sequence[list[Row]]) -> list[Row]:
    """Return the mean row of each round; a booster that has ended stays at its last."""
    if len(histories) == 1:
        return histories[0]
    joined = []
    for place in range(max(map(len, histories))):
        rows = [history[min(place, len(history) - 1)] for history in histories]
        joined.append(
            {
                **{name: float(np.mean([row[name] for row in rows])) for name in rows[0]},
                "epoch": place + 1,
            }
        )
    return joined
