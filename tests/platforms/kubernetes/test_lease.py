"""Who leads: decided by our own clock only, never by the record's times."""

import threading

import pytest

from fairway.platforms.kubernetes import lease
from tests.operator import world


def record(holder: str | None, version: str = "7") -> lease.Record:
    return {
        "metadata": {"resourceVersion": version},
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": 15,
            "renewTime": "2001-01-01T00:00:00Z",
        },
    }


@pytest.mark.parametrize(
    ("found", "observed", "now", "expected"),
    [
        (None, None, 0.0, "create"),
        (record("me"), None, 0.0, "renew"),
        (record(""), None, 0.0, "take"),
        (record("other"), None, 1000.0, "wait"),
        (record("other"), lease.LeaseSeen("7", 0.0), 14.9, "wait"),
        (record("other"), lease.LeaseSeen("7", 0.0), 15.0, "take"),
        (record("other"), lease.LeaseSeen("6", 0.0), 1000.0, "wait"),
    ],
    ids=[
        "nobody made it",
        "ours",
        "given back",
        "seen for the first time, however old it says it is",
        "not yet",
        "its holder is gone",
        "it was renewed",
    ],
)
def test_what_is_done_with_the_lease(found, observed, now, expected):
    assert lease.decide(found, me="me", observed=observed, now=now) == expected


def test_whoever_gives_it_back_leads_no_more_before_another_may_take_it():
    stop = threading.Event()
    led: list[tuple[str, bool]] = []  # the holder that is written, and whether we lead then

    class Server(world.Cluster):
        def replace(self, obj):
            led.append((obj["spec"]["holderIdentity"], held.leads()))
            return self.apply(obj)

    def acquired() -> None:
        led.append(("me", held.leads()))
        stop.set()

    held = lease.Lease(Server(), namespace="default", name="operator", me="me", clock=lambda: 0.0)
    held.hold(stop=stop, acquired=acquired)
    assert led == [("me", True), ("", False)]
