"""What a wide deployment costs in memory: each side in a process of its own."""

import pytest

from benchmarks.drift import memory

MOST = 200  # MiB beside the imports; with all rows measured at once it was 400 and more


@pytest.mark.timeout(300)
def test_a_replay_of_500_features_holds_few_rows_at_a_time() -> None:
    imports = memory.peak("imports", engine="native")
    assert memory.peak("parquet", engine="native", windows=60) - imports < MOST
