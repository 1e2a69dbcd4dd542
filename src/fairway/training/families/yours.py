"""Family `function`: the model that your own code returns."""

from collections.abc import Collection
from typing import Any, Literal

from pydantic import model_validator

from fairway.config import sections
from fairway.training.families import base


class FunctionTraining(sections.Training):
    """Your own code, in PyTorch, scikit-learn, LightGBM, XGBoost, CatBoost or whatever writes ONNX."""

    family: Literal["function"] = "function"
    """Chosen, never guessed: it runs code of yours."""
    function: str | None = None
    """`package.module:fit`, called as fit(splits, seed=...); returns a torch module, a fitted
    estimator or booster, or an ONNX path."""

    @model_validator(mode="after")
    def _function_named(self) -> "FunctionTraining":
        if not self.function:
            raise ValueError("training.family function needs training.function")
        return self


SECTION = FunctionTraining


def unfit(inputs: Collection[str]) -> str | None:
    return None


def fit(section: FunctionTraining, *, run: base.Run) -> Any:
    from fairway.training import user

    return user.fit(section, data=run.data)
