"""What a wide deployment costs in memory, in a process of its own."""

import pytest

from benchmarks.drift import memory

MOST = 250  # MiB with all imports; 165 were measured


@pytest.mark.timeout(300)
def test_500_features_with_the_ends_of_floats_and_words_of_2_mb_are_watched_in_little_memory() -> (
    None
):
    assert memory.peak("watch", engine="native", windows=20) < MOST
