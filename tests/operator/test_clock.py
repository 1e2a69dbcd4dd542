"""The operator's clock is set in mid-rollout: nothing comes sooner or later, and nobody is rolled
back for it."""

import functools

import pytest

from fairway import clocks
from tests.operator import world

HOUR = 3600.0
TIMED = {
    **world.SHORT,
    "progressDeadline": "2m",
    "warmup": "20s",
    "bake": {"weight": 5, "duration": "90s"},
}


@functools.cache
def rollout(*, jump: float, restarts: bool) -> tuple[str, float]:
    """Return the package that serves at the end and the seconds that it took.

    The clock jumps while it starts, in the canary and in the bake.
    """
    play = world.World()
    play.ask("a")
    play.look(until="Stable 0")
    begun = play.elapsed
    play.ask("b", strategy=TIMED)
    play.look()
    # no pod is ready for a while
    play.cluster.pods[f"income-{play.status['candidate']['revision']}"] = 0
    for place in ("Starting 0", "Canary 25", "Baking 95"):
        play.look(until=place)
        play.now += jump
        if restarts:
            play.restart()
        play.look(5)
        play.cluster.pods.clear()
    play.look(until="Stable 0")
    return str(play.status["stable"]["digest"][-1]), play.elapsed - begun


@pytest.mark.parametrize(
    ("jump", "restarts"),
    [(HOUR, False), (-HOUR, False), (HOUR, True), (-HOUR, True)],
    ids=["ahead", "behind", "ahead, with a new operator", "behind, with a new operator"],
)
def test_a_clock_that_is_set_by_an_hour_moves_nothing(jump: float, restarts: bool) -> None:
    quiet, seconds = rollout(jump=0.0, restarts=restarts)
    end, took = rollout(jump=jump, restarts=restarts)
    assert end == quiet == "b"
    believed = (
        clocks.LONGEST_SECONDS + 20.0 if restarts and jump > 0 else 0.0
    )  # of the bake and the warm-up, by operators that cannot know what elapsed
    assert seconds - believed <= took <= seconds + 10.0


def test_people_read_the_time_of_the_clock_on_the_wall() -> None:
    play = world.World()
    play.ask("a")
    play.look(until="Stable 0")
    play.now -= HOUR
    play.ask("b")
    play.look(until="Canary 50")
    assert play.status["history"][-1]["at"].startswith(world.stamp(play.now - 2.0))
