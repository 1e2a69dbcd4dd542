"""Small frames and sections that the tests of the data stage share."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fairway.config import sections

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def section(**values: Any) -> sections.Data:
    return sections.Data.of(**values)


def frame(rows: int = 300, *, seed: int = 0) -> pd.DataFrame:
    """Return rows of two numbers (one with missing values), two categories (one with missing
    values) and a target."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, rows)
    income = rng.lognormal(8, 1, rows)
    town = rng.choice(["Bath", "York", "Rye"], rows, p=[0.6, 0.3, 0.1])
    plan = rng.choice(["a", "b", None], rows, p=[0.5, 0.3, 0.2])
    label = np.where(age + 20 * (town == "York") + rng.normal(0, 10, rows) > 55, "yes", "no")
    income[rng.random(rows) < 0.1] = np.nan
    return pd.DataFrame({"age": age, "income": income, "town": town, "plan": plan, "label": label})


def csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
