"""A search among declared settings (`training.tune`): each trial is fitted on the training rows and
judged on the validation rows. Test rows are not even laid before it.

`halving` is successive halving (Jamieson and Talwalkar 2016): many trials with few epochs, the best
third of them with three times as many, and so on.
"""

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairway import artifacts, errors
from fairway.config import sections

SEEN = ("train", "validation", "older")  # the splits that a trial may see
FACTOR = 3  # of the epochs from rung to rung; a third of the trials goes on
Tell = Callable[[str], None]
Json = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """Settings that are tried, with the budget of one rung (None: the whole)."""

    number: int
    settings: Json
    budget: int | None = None


def tune(
    section: sections.Training, *, dataset: Path, tell: Tell = lambda line: None
) -> artifacts.Tuning:
    """Return the trials and the settings with the least validation loss; the same section and dataset
    give the same. The settings as they stand are the first trial, so that nothing is lost.

    Raises TrainingError where no trial has a validation loss.
    """
    asked = section.tune
    if asked is None:
        return artifacts.Tuning(best={}, loss=None, trials=())
    tried: list[Json] = []
    with tempfile.TemporaryDirectory() as scratch:
        seen = _without_test(dataset, Path(scratch) / "dataset")
        trials = [Trial(number, one) for number, one in enumerate(drawn(section))]
        for budget in budgets(section, trials=len(trials)):
            rung = [Trial(one.number, one.settings, budget) for one in trials]
            ran = [
                _fitted(section, one, dataset=seen, out=Path(scratch) / "model", tell=tell)
                for one in rung
            ]
            losses = [one["loss"] for one in ran]
            tried += ran
            trials = _best(trials, losses)
    found = min(
        (one for one in ran if one["loss"] is not None), key=lambda one: one["loss"], default=None
    )
    if found is None:
        raise errors.TrainingError(
            f"no trial of family {section.family} can be chosen: {ran[0]['error']}; leave training.tune "
            "out, or mend what it says"
        )
    return artifacts.Tuning(best=found["settings"], loss=found["loss"], trials=tuple(tried))


def drawn(section: sections.Training) -> list[Json]:
    """Return the settings of each trial: those of the section, then others at random, none twice."""
    from sklearn import model_selection  # slow to import, and a run without a search needs none

    assert section.tune is not None
    choices = {name: list(values) for name, values in section.tune.choices.items()}
    size = math.prod(map(len, choices.values()))
    sampler = model_selection.ParameterSampler(
        choices, n_iter=min(section.tune.trials, size), random_state=section.seed
    )
    own = section.model_dump(mode="json", by_alias=True)
    first = {name: own[name] for name in choices}
    others = [dict(one) for one in sampler if dict(one) != first]
    return [first, *others][: section.tune.trials]


def budgets(section: sections.Training, *, trials: int) -> Iterator[int | None]:
    """Give the epochs (or rounds) of each rung, the whole of it at the end."""
    assert section.tune is not None
    if section.tune.method == "random":
        yield None
        return
    rungs = max(math.floor(math.log(max(trials, 1), FACTOR) + 1e-9), 0)
    for rung in range(rungs, 0, -1):
        yield max(section.most_epochs // FACTOR**rung, 1)
    yield None


def page(record: artifacts.Tuning) -> str:
    """Return the trials as Markdown, the last rung and its best first."""
    if not record.trials:
        return "Nothing to tune: `training.tune` is not set.\n"
    rows = sorted(record.trials, key=lambda one: (-(one["budget"] or math.inf), _order(one)))
    names = list(record.trials[0]["settings"])
    lines = [
        f"| validation loss | {' | '.join(names)} | epochs |",
        f"|---|{'---|' * len(names)}---|",
        *(
            f"| {'-' if one['loss'] is None else format(one['loss'], '.5f')} | "
            f"{' | '.join(str(one['settings'][name]) for name in names)} | {one['budget'] or 'all'} |"
            for one in rows
        ),
    ]
    return "\n".join([*lines, ""])


def figures(record: artifacts.Tuning) -> dict[str, float]:
    """Return what is worth comparing between runs."""
    found = {"trials": float(len({one["trial"] for one in record.trials}))}
    return found if record.loss is None else {**found, "validation_loss": record.loss}


def _best(trials: Sequence[Trial], losses: Sequence[float | None]) -> list[Trial]:
    """Return the third that goes on, in the order of the trials."""
    ranked = sorted(
        zip(trials, losses, strict=True),
        key=lambda pair: (math.inf if pair[1] is None else pair[1], pair[0].number),
    )
    kept = [trial for trial, _ in ranked[: max(len(trials) // FACTOR, 1)]]
    return sorted(kept, key=lambda one: one.number)


def _order(one: Json) -> float:
    return math.inf if one["loss"] is None else float(one["loss"])


def _fitted(
    section: sections.Training, trial: Trial, *, dataset: Path, out: Path, tell: Tell
) -> Json:
    """Return what became of a trial: its least validation loss, or why it has none."""
    from fairway.training import fit  # slow to import, as above

    settings = section.chosen(trial.settings)
    if trial.budget is not None:
        settings = settings.model_copy(update={settings.BUDGET: trial.budget})
    loss, error = None, "it reports no validation loss to be chosen by"
    try:
        record = fit.fit(settings, dataset=dataset, out=out, resume=False)
    except errors.TrainingError as raised:
        error = str(raised)
    else:
        known = [row["validation_loss"] for row in record.history if "validation_loss" in row]
        loss = min(filter(math.isfinite, known), default=None)
    how = error if loss is None else f"validation loss {loss:.5f}"
    tell(f"trial {trial.number} {trial.settings}: {how}")
    return {
        "trial": trial.number,
        "settings": trial.settings,
        "budget": trial.budget,
        "loss": loss,
        "error": error if loss is None else "",
    }


def _without_test(dataset: Path, folder: Path) -> Path:
    """Return a folder with all of a dataset but the rows that evaluation looks at once."""
    folder.mkdir()
    for file in dataset.iterdir():
        if file.suffix != ".parquet" or file.stem in SEEN:
            (folder / file.name).symlink_to(file.resolve())
    return folder
