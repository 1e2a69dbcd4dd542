"""What a wide deployment costs in memory, in a process of its own."""

import pytest

from benchmarks.drift import memory

MOST = 450  # MiB with all imports; 350 were measured


@pytest.mark.timeout(300)
def test_a_replay_of_500_features_holds_few_rows_at_a_time() -> None:
    assert memory.peak("parquet", engine="native", windows=60) < MOST
