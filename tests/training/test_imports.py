"""What a training imports is much of what a short one takes: no family imports another's library."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.training import made

FIT = """
import sys
from pathlib import Path
from fairway.config import sections
from fairway.training import fit

section = sections.Training.of(family={family!r}, **{values!r})
fit.fit(section, dataset=Path({dataset!r}), out=Path({out!r}))
print(*sys.modules)
"""


@pytest.fixture(scope="module")
def tabular(tmp_path_factory) -> Path:
    return made.tabular(tmp_path_factory.mktemp("tabular"), rows=300)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return made.digits(tmp_path_factory.mktemp("pictures"))


def imported(family: str, *, dataset: Path, out: Path, **values: object) -> set[str]:
    """Return the modules of a process after it has fitted a family."""
    code = FIT.format(family=family, values=values, dataset=str(dataset), out=str(out))
    asked = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=120)
    return set(done.stdout.split())


def test_trees_are_fitted_without_torch(tabular, tmp_path):
    loaded = imported("boosting", dataset=tabular, out=tmp_path / "out", rounds=3)
    assert "lightgbm" in loaded
    assert "torch" not in loaded


def test_networks_are_fitted_without_tables_and_trees(tabular, tmp_path):
    loaded = imported("tabular", dataset=tabular, out=tmp_path / "out", epochs=1)
    assert "torch" in loaded
    assert loaded.isdisjoint({"pandas", "pyarrow.dataset", "sklearn", "lightgbm", "matplotlib"})


def test_pictures_that_nothing_changes_need_no_torchvision(pictures, tmp_path):
    loaded = imported("convolutional", dataset=pictures, out=tmp_path / "out", epochs=1)
    assert "torch" in loaded
    assert "torchvision" not in loaded
