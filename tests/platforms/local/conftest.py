"""Fixtures of the local platform."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platforms.local import support


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[support.Bench]:
    """A home whose gateway runs."""
    yield from support.bench(tmp_path)
