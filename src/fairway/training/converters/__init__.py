"""Models of other libraries, brought to one ONNX graph of one matrix, beside their own answers.

LightGBM and XGBoost come by a conversion of ours (`forest`), which rounds splits so that no float32
row changes sides; CatBoost writes ONNX itself, and scikit-learn has skl2onnx. Files are read in
each library's own format. A pickle is never read: it runs whatever code is in it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import errors

Array = NDArray[Any]
Steps = tuple[Callable[[Array], Array], Callable[[Array], Array]]
PICKLES = (".joblib", ".pickle", ".pkl", ".pt", ".pth", ".skops")
HOW = {
    ".txt": "booster.save_model('model.txt') of LightGBM",
    ".json": "booster.save_model('model.json') of XGBoost",
    ".ubj": "booster.save_model('model.ubj') of XGBoost",
    ".cbm": "model.save_model('model.cbm') of CatBoost",
}


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A model of another library: its graph, and its own answers to rows of the matrix, [n, width]."""

    what: str  # in sentences
    proto: Any  # one input, and the answers among its outputs
    columns: int
    answer: Callable[[Array], Array]
    takes_missing: bool = False
    names: tuple[str, ...] = ()  # of the columns, where the model knows them
    # of each column of categories, where the model knows them
    words: tuple[tuple[str, ...], ...] = ()
    before: str | None = None  # what stands before the trees and changes numbers
    steps: Steps | None = None  # to what the trees see, and back


def of(model: Any, *, output: str) -> Converted | None:
    """Return a booster of another library, None where it is of none that is known.

    Raises TrainingError where it cannot become a graph.
    """
    library = type(model).__module__.partition(".")[0]
    home = _homes().get(library)
    return None if home is None else home.convert(model, output=output)


def is_file(path: Path) -> bool:
    """Say whether a path is named as another library's own file."""
    return path.suffix in HOW


def read(path: Path, *, output: str) -> Converted:
    """Return the model of another library's file; raises TrainingError where there is none in it."""
    refuse_pickle(path)
    homes = _homes()
    home = {".txt": homes["lightgbm"], ".cbm": homes["catboost"]}.get(path.suffix, homes["xgboost"])
    model = home.load(path)
    converted: Converted = home.convert(model, output=output)
    return converted


def refuse_pickle(path: Path) -> None:
    """Raise TrainingError for a file that would run code when it is read."""
    if path.suffix not in PICKLES:
        return
    ways = "; ".join(HOW.values())
    raise errors.TrainingError(
        f"{path} is a pickle, which runs whatever code is in it when it is read: wanted a format of data alone. "
        f"Return the estimator from training.function instead, or save it as {ways}; "
        "a scikit-learn estimator as ONNX, with skl2onnx.to_onnx"
    )


def fitting(foreign: Converted, *, width: int) -> None:
    """Raise TrainingError where the model answers with another number of values than the task
    wants."""
    seen = foreign.answer(np.zeros((1, foreign.columns), dtype=np.float32)).shape
    if len(seen) != 2 or seen[1] != width:
        shown = seen[1] if len(seen) == 2 else 1
        raise errors.TrainingError(
            f"{foreign.what} answers with {shown} values a row: wanted {width}"
        )


def table(answers: Any, *, pair: bool) -> Array:
    """Return a library's answers as [n, width]: of one probability, that of both classes."""
    values: Array = np.asarray(answers, dtype=np.float64)
    if values.ndim == 2:
        return values
    return np.column_stack([1 - values, values]) if pair else values[:, None]


def missing(library: str, error: BaseException) -> errors.TrainingError:
    """Return what is said where a library cannot be loaded."""
    if isinstance(error, OSError):
        return errors.TrainingError(
            f"{library} cannot be loaded ({error}): install the system's OpenMP (Debian: apt-get install libgomp1)"
        )
    return errors.TrainingError(f"{library} is not installed: `pip install fairway[converters]`")


def _homes() -> Mapping[str, ModuleType]:
    from fairway.training.converters import catboost_graph, lightgbm_trees, xgboost_trees

    return {"lightgbm": lightgbm_trees, "xgboost": xgboost_trees, "catboost": catboost_graph}
