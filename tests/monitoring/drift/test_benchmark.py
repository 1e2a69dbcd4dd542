"""The drift benchmark's own sides: what is used otherwise does what it is said to do."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.drift import __main__ as bench
from benchmarks.drift import fleet, losses, ours, peers, streams, table

WINDOW = peers.WINDOW


def test_kolmogorov_smirnov_opens_where_scipy_rejects_two_windows_in_a_row() -> None:
    rng = np.random.default_rng(0)
    reference, served = rng.normal(size=3000), rng.normal(size=40 * WINDOW)
    served[8 * WINDOW : 20 * WINDOW] += 0.25
    rejected = [
        stats.ks_2samp(reference, window, method="asymp").pvalue < peers.LEVEL
        for window in served.reshape(-1, WINDOW)
    ]
    assert 4 < sum(rejected) < 20
    drifted = np.array(rejected)
    assert peers.kolmogorov_smirnov(reference, served) == list(peers._episodes(drifted, in_a_row=2))


@pytest.mark.parametrize(
    ("drifted", "in_a_row", "opened"),
    [
        ("0110000", 2, [2]),
        ("0101011", 2, [6]),
        ("1101100", 2, [1]),  # one clean window in between does not end a ticket
        ("1100110", 2, [1, 5]),
        ("0110010", 1, [1, 5]),
        ("0000000", 1, []),
    ],
)
def test_a_ticket_is_opened_once_while_windows_go_on_drifting(
    drifted: str, in_a_row: int, opened: list[int]
) -> None:
    flags = np.array([one == "1" for one in drifted])
    rows = list(peers._episodes(flags, in_a_row=in_a_row))
    assert rows == [(place + 1) * WINDOW - 1 for place in opened]


def test_population_stability_is_its_formula() -> None:
    rng = np.random.default_rng(1)
    reference = rng.normal(size=5000)
    assert peers.population_stability(reference, rng.normal(size=20 * WINDOW)) == []
    assert peers.population_stability(reference, rng.normal(0.8, 1, WINDOW)) == [WINDOW - 1]


def test_adwin_forgets_the_reference_and_finds_a_shift() -> None:
    pytest.importorskip("river")
    reference, served = streams.drawn("independent", rows=6000, seed=3, shift=1.0, first=3000)
    found = peers.adwin(reference, served)
    assert found
    assert 3000 < found[0] < 3400


@pytest.mark.parametrize("name", streams.STREAMS)
def test_streams_have_variance_one_and_the_shift_that_was_asked_for(name: str) -> None:
    reference, served = streams.drawn(name, rows=40_000, seed=2, shift=2.0, first=20_000)
    assert len(reference) == streams.REFERENCE
    assert reference.std() == pytest.approx(1, abs=0.08)
    assert served[20_000:].mean() - served[:20_000].mean() == pytest.approx(2, abs=0.2)
    assert np.array_equal(streams.drawn(name, rows=10, seed=2)[0], reference)


def test_a_cell_counts_false_tickets_and_the_rows_until_a_shift_is_found() -> None:
    cell = table.measure(("AR(1) .5", table.FAIRWAY, 4, 1, 3))
    assert cell.rows == 200_000
    assert cell.false <= 2
    assert np.median(cell.delays[0.5]) < 3000
    flood = table.measure(("AR(1) .5", "always", 4, 1, 1))
    assert flood.a_month == 2000
    assert flood.delays[0.25].tolist() == [table.WINDOW]


def test_a_model_of_a_fleet_finds_half_a_standard_deviation_within_a_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet, "DAYS", 2)
    watched = fleet.watch((0, 0))
    assert watched.false == 0
    assert watched.delay is not None
    assert 0 < watched.delay <= fleet.DAY


def test_a_history_of_several_columns_is_played_with_each_of_them() -> None:
    rng = np.random.default_rng(5)
    reference, served = rng.normal(size=(4000, 2)), rng.normal(size=(4000, 2))
    served[2000:, 1] += 1.0
    (row,) = ours.tickets(reference, served)
    assert 2000 < row < 2600


@pytest.mark.parametrize("kind", losses.KINDS)
def test_losses_of_each_kind_are_what_was_asked_for_on_the_mean(kind: str) -> None:
    lost = [loss for _, loss in losses.drawn(kind, 0.3, seed=[1], labels=200_000)]
    assert np.mean(lost) == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("each", losses.SHARED)
def test_requests_that_share_one_outcome_lose_alike(each: int) -> None:
    lost = np.array([loss for _, loss in losses.drawn(losses.SHARED[each], 0.3, seed=[1])])
    begun = np.flatnonzero(np.diff(lost)) + 1
    assert len(begun)
    assert not (begun % each).any()


def test_a_run_that_began_before_the_fall_has_no_delay() -> None:
    assert losses.felled((0.6, 1.0, 1, 1)).after.tolist() == [np.inf]
    (delay,) = losses.felled((0.0, 1.0, 1, 1)).after.tolist()
    assert 300 < delay <= bench.FALL_FOUND[1.0]


@pytest.mark.parametrize(("seen", "status"), [(0.5, 0), (1.5, 1)])
def test_a_target_that_is_missed_is_the_exit_status(
    seen: float, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def part(*, seed: int, quick: bool) -> tuple[bench.Rows, bench.Rows]:
        return [{"seed": seed}], [bench._target("tickets", f"{seen}", "1", seen <= 1)]

    monkeypatch.setattr(bench, "PARTS", {"fleet": part})
    before = bench.PAGE.read_bytes()
    assert bench.main(["fleet", "--quick", "--seed", "9"]) == status
    assert f"| tickets | {seen} | 1 | {'NO' if status else 'yes'} |" in capsys.readouterr().out
    assert bench.PAGE.read_bytes() == before


def test_the_tables_are_put_between_the_marks_of_their_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "drift.md"
    head = "<!-- fleet, written by python -m benchmarks.drift -->"
    page.write_text(f"Before.\n{head}\nold\n<!-- end of fleet -->\nAfter.\n")
    monkeypatch.setattr(bench, "PAGE", page)
    bench._write("fleet", "| new |")
    assert page.read_text() == f"Before.\n{head}\n\n| new |\n\n<!-- end of fleet -->\nAfter.\n"
    with pytest.raises(SystemExit, match=r"drift\.md has no place for streams"):
        bench._write("streams", "| new |")
