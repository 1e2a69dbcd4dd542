"""One deployment under watch: what its traffic usually looks like is learnt, then every window is
held against it, and a ticket opened where the budget allows no other reading.

A window's verdict, the ticket that follows from it and the place to go on from are one transaction
of the event store: a kill loses nothing and repeats nothing.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from fairway import errors
from fairway.monitoring import (
    acceptance,
    detectors,
    exporter,
    notices,
    references,
    stores,
    watched,
    windows,
)
from fairway.monitoring.detectors import base
from fairway.monitoring.drift import learning, watch
from fairway.monitoring.watched import Described, DriftStanding, Watched

log = logging.getLogger("fairway.monitoring.keeper")
P_VALUE = 0.01  # of the engine's tests of one window, which are shown and alert nobody
SAVED_JOINS = 20  # windows that join the usual ones between two times that those are saved
LARGEST_LEARNT = 256 << 20  # bytes of what is learnt


class Keeper:
    """Watches one revision of a deployment; all that must survive it is in the store and beside
    it.
    """

    def __init__(
        self,
        watched: Watched,
        *,
        package: Described,
        events: stores.MonitorStore,
        shelf: references.Shelf,
        series: exporter.Exporter,
        most_bytes: int = LARGEST_LEARNT,
    ) -> None:
        self._most_bytes = most_bytes
        self.watched, self._events = watched, events
        self._notices = notices.Notices(watched, events=events, series=series)
        self._shelf = shelf
        self._schema, self._trained = package.schema, package.trained
        self._detector = detectors.load(
            watched.section.engine, p_value=P_VALUE, schema=package.schema
        )
        self._beside = [
            (name, detectors.compared_by(name, p_value=P_VALUE, schema=package.schema))
            for name in watched.section.beside
        ]
        self._plan = learning.Plan.of(watched.section)
        self._mark: dict[str, Any] | None = None
        self._learnt: dict[str, Any] | None = None
        self._watch: watch.Watch | None = None
        self._saved = 0
        self._before: DriftStanding | None = None  # the standing when a look last failed
        self._redacted: frozenset[str] | None = None  # features; None while no event told them

    @property
    def standing(self) -> DriftStanding:
        """Return how the deployment stands since the last look."""
        if self._mark is None and self._before is not None:
            return self._before  # until the store is read again
        mark = self._mark or {}
        ticket = mark.get("ticket")
        watches = self._watch is not None
        return DriftStanding(
            drift=(
                "Unwatched"
                if not self._trained
                else "Shifted"
                if ticket is not None
                else "Usual"
                if watches
                else "Learning"
            ),
            evidence=0.0 if self._watch is None else min(self._watch.evidence, watch.FULL),
            learnt=self._plan.windows if watches else mark.get("learning", {}).get("windows", 0),
            wanted=self._plan.windows,
            last_at=mark.get("lastAt"),
            ticket=ticket,
            accepted=acceptance.taken(mark),
        )

    def look(self, *, tickets_per_month: float, now: float) -> int:
        """Take in every window that is full, and return their number."""
        if not self._trained:
            return 0
        try:
            self._leave_redacted()
            if self._mark is None:
                self._resume(now=now)
            self._accept(now=now)
            self._show()
            learnt = self._learn(now=now)
            return learnt + self._hold(tickets_per_month=tickets_per_month, now=now)
        except BaseException:
            self.forget()  # what is in the store counts
            raise

    def _leave_redacted(self) -> None:
        """Watch no feature that the revision's servers keep to themselves, once an event tells them:
        they are redacted, and not missing."""
        watched = self.watched
        if self._redacted is not None:
            return
        newest = self._events.history.newest(
            watched.deployment, namespace=watched.namespace, revision=watched.revision, wanted=1
        )
        with contextlib.closing(newest):
            self._redacted = windows.redacted(next(newest, None))
        if self._redacted and self._redacted & self._trained.keys():
            self._trained = {
                name: values for name, values in self._trained.items() if name not in self._redacted
            }
            self.forget()

    # Where it goes on

    def _resume(self, *, now: float) -> None:
        """Read where the last look ended. A new revision starts with what was learnt of the inputs,
        learns what it answers, and closes the ticket of the old one."""
        kept = self._events.conclusions.mark(self._key)
        fresh = watched.begun(self.watched.revision)
        if kept is None or "learning" not in kept:
            self._mark = fresh
        elif kept["revision"] == self.watched.revision:
            self._mark = kept
        else:
            newest = max([*kept["after"].values(), kept["learning"]["after"]], default=0)
            self._mark = {
                **fresh,
                "after": dict.fromkeys(kept["after"], newest),
                "learning": watched.learns_after(newest),
                "learnt": kept["learnt"],
                "still": kept.get("still", []),
                "accepted": kept.get("accepted"),
            }
            with self._events.writing():
                self._save()
                self._notices.calm(
                    f"revision {self.watched.revision} is in service now, and its answers are "
                    "learnt anew",
                    now=now,
                )
        # what was written after the mark was kept is learnt again, and nothing of another revision
        self._learnt = learning.first(
            references.read(self._shelf, references.LEARNING),
            windows=self._mark["learning"]["windows"],
        )
        self._begin(references.read(self._shelf, references.USUAL))

    def _begin(self, known: dict[str, Any] | None) -> None:
        """Watch by what was learnt; what another revision answered says nothing of this one."""
        mark, section = self._marked, self.watched.section
        if known is None or mark["learnt"] is None:
            return
        columns = learning.columns(known)
        if mark["learnt"] != self.watched.revision:
            columns.pop(base.ANSWERS, None)
            if not references.alike(columns, self._trained):
                return  # this revision takes other inputs: they are learnt first
        self._watch = watch.Watch(
            columns,
            schema=self._schema,
            tickets_per_month=section.budget.tickets_per_month,
            at=known[learning.AT],
            scales=learning.usable(section.scales, known),
            least=section.least_shift,
        )
        state = mark["state"]
        usual = self._events.conclusions.mark(f"{self._key}/usual")
        if state is not None and usual is not None:
            try:
                self._watch.restore(state, usual=usual)
            except (KeyError, TypeError, ValueError) as error:
                log.warning("%s: the watch begins anew: %s", self.watched.deployment, error)

    def _accept(self, *, now: float) -> None:
        """Forget what was usual where people have accepted another since the last look, close the
        ticket, and learn anew; once for each time, whatever happens between."""
        found, mark = acceptance.newest(self._shelf), self._marked
        if found is None or found == acceptance.taken(mark):
            return
        # the shelf may be of an older store; and no request is in two windows
        since = min(found.after, self._newest(0))
        since = max(since, mark["learning"]["after"], *mark["after"].values())
        mark.update(accepted=asdict(found), learnt=None, ticket=None, state=None, after={})
        mark["learning"] = watched.learns_after(since)
        self._learnt, self._watch, self._saved = None, None, 0
        with self._events.writing():
            self._save()
            self._events.conclusions.set_mark(f"{self._key}/usual", None)
            self._notices.calm(found.sentence, now=now)

    def forget(self) -> None:
        """Let go of all that the store has: the next look reads it anew."""
        if self._mark is not None:
            self._before = self.standing
        self._mark, self._learnt, self._watch = None, None, None

    # Learning

    def _learn(self, *, now: float) -> int:
        """Keep one more window of the traffic where it is due; the last one begins the watch."""
        mark = self._marked
        if mark["learnt"] == self.watched.revision:
            return 0
        self._drop_others()
        if not self._plan.due(last=mark["learning"]["last"], now=now):
            return 0
        with self._passing(mark["learning"], "after", now=now):
            window = self._window(rows=self._plan.rows, after=mark["learning"]["after"])
        if window is None:
            return 0
        at = np.linspace(window.first_at, window.last_at, window.rows)
        self._learnt = learning.joined(self._learnt, window.arrays, at=at)
        known = learning.windows_of(self._learnt)
        mark["learning"] = {"after": window.last_seq, "last": now, "windows": known}
        if learning.size(self._learnt) > self._most_bytes:
            raise errors.DataError(
                f"{known} windows of {self._plan.rows} rows take more than "
                f"{self._most_bytes >> 20} MiB: wanted smaller ones, set monitoring.scales"
            )
        references.write(self._shelf, references.LEARNING, self._learnt)
        done = known >= self._plan.windows
        if done:
            references.write(self._shelf, references.USUAL, self._learnt)
            mark["ticket"] = self._skew(self._learnt, now=now)
            mark.update(learnt=self.watched.revision, state=None, after={})
            mark["after"] = {str(size): window.last_seq for size in self.watched.section.scales}
        mark["lastAt"] = now
        with self._events.writing():
            self._still(window, {}, newest=True, now=now)
            self._save()
            self._events.conclusions.add_drift(self._record(window, now=now))
            if done:
                self._events.conclusions.set_mark(f"{self._key}/usual", None)
                self._notices.drifted(mark["ticket"], now=now)
        if done:
            learnt, self._learnt = self._learnt, None
            self._shelf.remove(references.LEARNING)
            self._begin(learnt)
        self._notices.window(window, now=now)
        self._show()
        return 1

    def _drop_others(self) -> None:
        """Begin to learn anew where windows of another size were learnt: `learn` or `scales` were
        changed since."""
        if self._learnt is None:
            return
        before = learning.rows_of(self._learnt)
        if before == self._plan.rows:
            return
        log.warning(
            "%s: windows of %d rows were learnt, and %d are wanted now: learning begins anew",
            self.watched.deployment,
            before,
            self._plan.rows,
        )
        self._learnt = None
        self._marked["learning"].update(last=None, windows=0)
        with self._events.writing():
            self._save()

    def _skew(self, learnt: dict[str, Any], *, now: float) -> dict[str, Any] | None:
        """Return the ticket of what is served and was never like what was trained on; none where
        people have accepted it of this revision."""
        accepted = acceptance.taken(self._marked)
        if accepted is not None and accepted.revision == self.watched.revision:
            return None
        result = self._detector.check(self._trained, learning.columns(learnt))
        return self._notices.skew(result, rows=len(learnt[learning.AT]), now=now)

    # Watching

    def _hold(self, *, tickets_per_month: float, now: float) -> int:
        """Hold one window of each scale against what is usual, where it is full."""
        if self._watch is None:
            return 0
        self._watch.tickets_per_month = tickets_per_month
        looked = 0
        for size in self._watch.sizes:
            places = self._marked["after"]
            after = places.setdefault(str(size), 0)
            with self._passing(places, str(size), now=now):
                window = self._window(rows=size, after=after)
                if window is not None:
                    self._conclude(window, size=size, now=now)
                    looked += 1
        return looked

    def _conclude(self, window: windows.Window, *, size: int, now: float) -> None:
        watching = self._watching
        look = watching.look(window.arrays, size=size, began=window.first_at, ended=window.last_at)
        self._marked["after"][str(size)] = window.last_seq
        self._marked["lastAt"] = now
        if look.ticket is not None:
            self._marked["ticket"] = self._notices.ticket(
                look.ticket, before=self._marked.get("ticket"), now=now
            )
        elif look.action == "resolve":
            self._marked["ticket"] = None
        recorded = size == _shown(watching.sizes)
        result = self._detector.check(watching.reference, window.arrays) if recorded else None
        asked = self._beside if recorded else []
        beside = detectors.asked(asked, watching.reference, window.arrays)
        with self._events.writing():
            self._still(window, watching.reference, newest=size == min(watching.sizes), now=now)
            self._save()
            if result is not None:
                record = self._record(window, now=now, result=result, look=look, beside=beside)
                self._events.conclusions.add_drift(record)
            self._notices.tested(now=now)
            if look.ticket is not None:
                self._notices.drifted(self._marked["ticket"], now=now)
            elif look.action == "resolve":
                self._notices.calm(windows.RESOLUTION, now=now)
        self._notices.window(window, result=result, now=now)
        self._show()

    def _still(
        self, window: windows.Window, usual: base.Arrays, *, newest: bool, now: float
    ) -> None:
        """Tell of the columns that stand still, and of those that did and change again."""
        self._marked["still"] = self._notices.silent(
            window, usual, before=self._marked.get("still", []), newest=newest, now=now
        )

    @contextlib.contextmanager
    def _passing(self, places: dict[str, int], key: str, *, now: float) -> Iterator[None]:
        """Go on after a window that ends in an error, which has no verdict, and tell a person: clients
        choose what is in it. Where the store is busy the same window is tested at the next look."""
        try:
            yield
        except errors.Temporary:
            raise
        except Exception as error:
            places[key] = self._newest(places[key])
            self._pass(error, now=now)
            raise

    def _newest(self, after: int) -> int:
        """Return the place of the revision's newest event."""
        watched = self.watched
        return self._events.history.last(
            watched.deployment, namespace=watched.namespace, revision=watched.revision, after=after
        )

    def _pass(self, error: Exception, *, now: float) -> None:
        with self._events.writing():
            self._save()
            self._notices.failed(error, now=now)
        self._notices.passed_over()

    # What is read and kept

    def _window(self, *, rows: int, after: int) -> windows.Window | None:
        watched = self.watched
        newest = self._events.history.newest(
            watched.deployment,
            namespace=watched.namespace,
            revision=watched.revision,
            after=after,
            wanted=rows,
        )
        with contextlib.closing(newest):
            window = windows.assemble(newest, reference=self._trained, rows=rows)
        if window is not None and window.rows < windows.LEAST_FITTING * rows:
            raise errors.DataError(
                f"the inputs of {window.unreadable} of {window.requests} requests do not fit the "
                f"reference of revision {watched.revision}: wanted the features of its schema; the "
                "window was skipped"
            )
        return window

    def _record(
        self,
        window: windows.Window,
        *,
        now: float,
        result: base.DriftResult | None = None,
        look: watch.Look | None = None,
        beside: Sequence[Mapping[str, Any]] = (),
    ) -> dict[str, Any]:
        found = result or self._detector.check(self._trained, window.arrays)
        return {
            "deployment": self.watched.deployment,
            "revision": self.watched.revision,
            "at": now,
            "lastSeq": window.last_seq,
            "learning": look is None,
            "evidence": 0.0 if look is None else min(look.evidence, watch.FULL),
            "open": self._marked.get("ticket") is not None,
            "redacted": sorted(self._redacted or ()),
            "accepted": accepted["at"] if (accepted := self._marked.get("accepted")) else None,
            "beside": list(beside),
            **windows.record(window, found),
        }

    def _save(self) -> None:
        """Keep where to go on from; the usual windows only as often as they change."""
        mark = self._marked
        if self._watch is not None:
            mark["state"] = self._watch.dump()
            if mark["state"]["joined"] >= self._saved + SAVED_JOINS or not self._saved:
                self._events.conclusions.set_mark(f"{self._key}/usual", self._watch.usual())
                self._saved = mark["state"]["joined"] or 1
        self._events.conclusions.set_mark(self._key, mark)

    def _show(self) -> None:
        self._notices.standing(self.standing, learning=self._watch is None)

    @property
    def _key(self) -> str:
        return watched.mark(self.watched.deployment)

    @property
    def _marked(self) -> dict[str, Any]:
        if self._mark is None:
            raise RuntimeError("a look begins with what the store has of the last one")
        return self._mark

    @property
    def _watching(self) -> watch.Watch:
        if self._watch is None:
            raise RuntimeError("nothing was learnt yet")
        return self._watch


def _shown(sizes: Sequence[int]) -> int:
    """Return the scale whose windows are shown one by one."""
    return max((size for size in sizes if size <= windows.SHOWN_ROWS), default=min(sizes))
