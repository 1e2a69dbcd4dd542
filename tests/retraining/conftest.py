"""One run of the training pipeline that the gate lets through, shared: it takes as long as all the other tests together."""

from pathlib import Path

import pytest

from tests.retraining import runs


@pytest.fixture(scope="session")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> runs.Promoted:
    return runs.promote(Path(tmp_path_factory.mktemp("promoted")) / "python3-home")
