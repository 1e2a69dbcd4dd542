"""What waits for several answers waits no longer than it may for all of them."""

import socket
import time

import pytest

from fairway import budget, errors
from fairway.platforms.kubernetes import prometheus


def test_many_answers_that_do_not_come_take_no_longer_than_one_look_may():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = prometheus.Prometheus(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=5.0)
        began, failed = time.monotonic(), 0
        with budget.within(60), budget.within(0.3):
            for _ in range(36):
                with pytest.raises(errors.Unavailable):
                    source.ask("up", read=len)
                failed += 1
            with pytest.raises(errors.Unavailable, match="took all the time that one look may take"):
                budget.timeout(5.0)
        assert (failed, time.monotonic() - began < 3) == (36, True)
    assert budget.timeout(5.0) == 5.0
