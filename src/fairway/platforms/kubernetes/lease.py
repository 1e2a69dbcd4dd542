"""Leadership by a Lease: one of several operators acts, and it stops acting before another may
begin.

The method is client-go's: the holder renews; another takes over only when the record has not
changed for the whole duration by its own clock (clocks of two machines are never compared); a
holder that could not renew for `RENEW_DEADLINE` has lost it.
"""

import datetime
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from fairway import errors
from fairway.platforms.kubernetes import api

log = logging.getLogger("fairway.lease")

DURATION = 15.0  # seconds without renewal after which another may take it
# seconds without renewal after which the holder gives up; below DURATION by what a request may take
RENEW_DEADLINE = 10.0
RETRY = 2.0  # seconds between two attempts

Record = dict[str, Any]


@dataclass(frozen=True)
class LeaseSeen:
    """The record as last seen, and when by our own monotonic clock it last changed."""

    version: str
    at: float


def decide(
    record: Record | None, *, me: str, observed: LeaseSeen | None, now: float
) -> Literal["create", "renew", "take", "wait"]:
    """Say what to do with the Lease as it was read; `now` and `observed.at` are of one monotonic
    clock."""
    if record is None:
        return "create"
    holder = record["spec"].get("holderIdentity")
    if holder == me:
        return "renew"
    if not holder:
        return "take"
    unchanged = observed is not None and observed.version == record["metadata"]["resourceVersion"]
    return (
        "take"
        if unchanged
        and observed is not None
        and now - observed.at >= record["spec"].get("leaseDurationSeconds", DURATION)
        else "wait"
    )


class Lease:
    """One candidate for one Lease."""

    def __init__(
        self, server: api.Api, *, namespace: str, name: str, me: str, clock: Callable[[], float]
    ) -> None:
        self._api, self._namespace, self._name, self.me, self._clock = (
            server,
            namespace,
            name,
            me,
            clock,
        )
        self._observed: LeaseSeen | None = None
        self._renewed_at: float | None = None

    def leads(self) -> bool:
        """Say whether it is held surely enough to act: nobody else can have taken it yet."""
        return self._renewed_at is not None and self._clock() - self._renewed_at < RENEW_DEADLINE

    def attempt(self) -> bool:
        """Take or renew the Lease if that is allowed, and say whether it is held.

        Raises Temporary where the API server does not answer.
        """
        record = self._api.get("Lease", self._namespace, self._name)
        now = self._clock()
        todo = decide(record, me=self.me, observed=self._observed, now=now)
        if record is not None and (
            self._observed is None
            or self._observed.version != record["metadata"]["resourceVersion"]
        ):
            self._observed = LeaseSeen(record["metadata"]["resourceVersion"], now)
        try:
            match todo:
                case "create":
                    self._api.create(self._record(None, transitions=0))
                case "renew" | "take" if record is not None:
                    transitions = int(record["spec"].get("leaseTransitions") or 0) + (
                        todo == "take"
                    )
                    self._api.replace(self._record(record, transitions=transitions))
                case _:
                    return False
        except api.Conflict:  # somebody was faster
            return False
        return True

    def hold(self, *, stop: threading.Event, acquired: Callable[[], None]) -> None:
        """Wait for the Lease, calls `acquired` once, renews until `stop`.

        Returns when it is lost or `stop` is set (then it is given back).
        """
        while not stop.is_set():
            asked = self._clock()  # before the request: how long it took is not ours
            try:
                won = self.attempt()
            # also a Lease that somebody wrote otherwise
            except (errors.FairwayError, KeyError, ValueError) as error:
                log.warning("the Lease %s/%s: %s", self._namespace, self._name, error)
                won = False
            if won:
                first, self._renewed_at = self._renewed_at is None, asked
                if first:
                    log.info("%s leads", self.me)
                    acquired()
            elif self._renewed_at is not None and not self.leads():
                log.error(
                    "the Lease %s/%s could not be renewed for %.0f s: this operator stops",
                    self._namespace,
                    self._name,
                    RENEW_DEADLINE,
                )
                return
            stop.wait(RETRY)
        if self._renewed_at is not None:
            self._release()

    def _release(self) -> None:
        """Lead no more, and give it back, so that the next need not wait."""
        self._renewed_at = None
        try:
            record = self._api.get("Lease", self._namespace, self._name)
            if record is not None and record["spec"].get("holderIdentity") == self.me:
                record["spec"]["holderIdentity"] = ""
                self._api.replace(record)
        except errors.FairwayError as error:
            log.warning("the Lease could not be given back: %s", error)

    def _record(self, before: Record | None, *, transitions: int) -> Record:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {
            "holderIdentity": self.me,
            "leaseDurationSeconds": int(DURATION),
            "renewTime": now,
            "leaseTransitions": transitions,
        }
        taken = before is None or before["spec"].get("holderIdentity") != self.me
        spec["acquireTime"] = (
            now if taken or before is None else before["spec"].get("acquireTime", now)
        )
        metadata = {"name": self._name, "namespace": self._namespace}
        if before is not None:
            metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": spec,
        }
