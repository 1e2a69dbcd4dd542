"""What the drift monitor could not do is told where people look."""

from pathlib import Path

from fairway.monitoring import windows
from fairway.monitoring.eventstore import places
from tests.cli import standing
from tests.cli.running import fairway, one_object


def told(home: Path) -> str:
    """Open the ticket of a window that failed, as the monitor does, and return its first line."""
    events = places.opened(home / "events.db")
    summary = windows.failure(RecursionError("too deep"), "few")
    events.conclusions.open_alert(
        name=windows.FAILED,
        severity="ticket",
        deployment="few",
        at=0,
        summary=summary,
        description=windows.FAILED_DESCRIPTION,
    )
    events.close()
    return summary


def test_status_check_and_monitor_tell_of_a_window_that_could_not_be_tested(tmp_path: Path) -> None:
    summary = told(standing.deployed(tmp_path, "a" * 12))
    assert [
        alert["summary"]
        for alert in one_object(fairway("status", "--output", "json", where=tmp_path))["alerts"]
    ] == [summary]
    assert summary in fairway("status", where=tmp_path).stdout
    # what was done already and what to do next, as long as the ticket is open
    assert windows.FAILED_DESCRIPTION in fairway("monitor", where=tmp_path).stdout
    assert [
        alert["name"]
        for alert in one_object(fairway("monitor", "--output", "json", where=tmp_path))["alerts"]
    ] == [windows.FAILED]
    found = one_object(fairway("check", "--output", "json", where=tmp_path))["findings"]
    assert [finding["level"] for finding in found if summary in finding["sentence"]] == ["warning"]
