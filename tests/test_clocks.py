"""What a set clock can move, and what it cannot."""

from dataclasses import dataclass

import pytest

from fairway import clocks

HOUR = 3600.0


@dataclass
class Machine:
    """A machine whose clock on the wall a test sets."""

    wall: float = 1_700_000_000.0
    passed: float = 50.0

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.passed += seconds

    @property
    def source(self) -> clocks.Source:
        return clocks.Source(wall=lambda: self.wall, monotonic=lambda: self.passed)


@pytest.mark.parametrize(
    "jump", [0.0, HOUR, -HOUR], ids=["right", "an hour ahead", "an hour behind"]
)
def test_between_two_looks_of_a_process_passes_what_elapsed_wherever_the_clock_jumps(
    jump: float,
) -> None:
    machine = Machine()
    elapsed = clocks.Elapsed(machine.source)
    begun, looked = elapsed.now(clock=0.0, looked=0.0), machine.wall
    machine.wait(2.0)
    machine.wall += jump
    assert elapsed.now(clock=begun, looked=looked) == begun + 2.0


@pytest.mark.parametrize(
    ("waits", "passes"),
    [(5.0, 5.0), (-HOUR, 0.0), (HOUR, clocks.LONGEST_SECONDS)],
    ids=["a moment", "the clock was set back", "a long time, or set ahead"],
)
def test_from_one_process_to_the_next_passes_what_the_clock_says_forward_and_for_a_minute_at_most(
    waits: float, passes: float
) -> None:
    machine = Machine()
    begun, looked = clocks.Elapsed(machine.source).now(clock=0.0, looked=0.0), machine.wall
    machine.wait(waits)
    assert clocks.Elapsed(machine.source).now(clock=begun, looked=looked) == begun + passes


@pytest.mark.parametrize(
    ("interval", "counts"),
    [(1.0, clocks.LONGEST_SECONDS), (300.0, 600.0)],
    ids=["a look a second", "a look every five minutes"],
)
def test_of_an_hour_in_which_a_process_stood_still_counts_a_minute_or_two_looks(
    interval: float, counts: float
) -> None:
    machine = Machine()
    elapsed = clocks.Elapsed(machine.source)
    begun = elapsed.now(clock=0.0, looked=0.0, interval=interval)
    machine.wait(HOUR)
    assert elapsed.now(clock=begun, looked=machine.wall - HOUR, interval=interval) == begun + counts


def test_a_look_that_was_not_stored_has_taken_its_time_all_the_same() -> None:
    machine = Machine()
    elapsed = clocks.Elapsed(machine.source)
    begun, looked = elapsed.now(clock=0.0, looked=0.0), machine.wall
    for _ in range(3):
        machine.wait(2.0)
        last = elapsed.now(clock=begun, looked=looked)
    assert last == begun + 6.0


def test_who_comes_back_after_another_has_looked_goes_on_from_there() -> None:
    machine = Machine()
    one, other = clocks.Elapsed(machine.source), clocks.Elapsed(machine.source)
    begun = one.now(clock=0.0, looked=0.0)
    machine.wait(10.0)
    between = other.now(clock=begun, looked=machine.wall - 10.0)
    machine.wait(3.0)
    assert one.now(clock=between, looked=machine.wall - 3.0) == begun + 13.0


def test_what_an_earlier_version_stored_goes_on_from_its_last_look() -> None:
    machine = Machine()
    assert clocks.Elapsed(machine.source).now(clock=0.0, looked=machine.wall - 7.0) == machine.wall


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_a_steady_clock_follows_a_jump_by_a_tenth_of_the_time_that_passes(jump: float) -> None:
    machine = Machine()
    steady = clocks.Steady(machine.source)
    begun, machine.wall = steady.now(), machine.wall + jump
    machine.wait(600.0)
    assert steady.now() - begun == pytest.approx(660.0 if jump > 0 else 540.0)
    machine.wait(12 * HOUR)
    assert steady.now() == pytest.approx(machine.wall)
