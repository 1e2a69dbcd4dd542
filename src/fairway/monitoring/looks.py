"""One look after the other at each deployment under watch; whatever fails is that deployment's, and
the others are looked at."""

import logging
from collections.abc import Callable, Collection, Sequence

from fairway import errors
from fairway.monitoring import exporter
from fairway.monitoring.keeper import Keeper
from fairway.monitoring.watched import Watched

log = logging.getLogger("fairway.monitoring.looks")


class Rounds:
    """The keepers of what is watched; `make` gives that of one, where it can."""

    def __init__(self, *, make: Callable[[Watched], Keeper], series: exporter.Exporter) -> None:
        self._make, self._series = make, series
        self._keepers: dict[Watched, Keeper] = {}
        self.failures: dict[Watched, Exception] = {}  # of the last look

    def look(self, watched: Sequence[Watched], *, fleet: int, now: float) -> int:
        """Test every window that is full, and give their number. Each deployment has its part of
        the budget of a fleet of so many."""
        self.forget(watched)
        return sum(self.look_at(one, fleet=fleet, now=now) for one in watched)

    def keeper(self, watched: Watched) -> Keeper | None:
        """Return what watches a revision, None where that could not be made."""
        return self._keepers.get(watched)

    def look_at(self, watched: Watched, *, fleet: int, now: float) -> int:
        """Test every window of one deployment that is full, and give their number."""
        self.failures.pop(watched, None)
        budget = watched.section.budget.tickets_per_month / fleet
        try:
            return self._kept(watched).look(tickets_per_month=budget, now=now)
        except Exception as error:  # whatever it is
            self.failures[watched] = error
            self._series.failed(error, namespace=watched.namespace, deployment=watched.deployment)
            log.warning(
                "%s: %s",
                watched.deployment,
                error,
                exc_info=not isinstance(error, errors.FairwayError),
            )
            return 0

    def _kept(self, watched: Watched) -> Keeper:
        """Return what watches a revision; it is made once, and again where that failed."""
        if watched not in self._keepers:
            self._keepers[watched] = self._make(watched)
            self._series.watch(
                namespace=watched.namespace,
                deployment=watched.deployment,
                revision=watched.revision,
            )
        return self._keepers[watched]

    def forget(self, watched: Collection[Watched]) -> None:
        """Let go of what is watched no longer."""
        wanted = {(one.namespace, one.deployment, one.revision) for one in watched}
        for gone in [one for one in self._keepers if one not in watched]:
            del self._keepers[gone]
            if (gone.namespace, gone.deployment, gone.revision) not in wanted:
                self._series.forget(
                    namespace=gone.namespace,
                    deployment=gone.deployment,
                    revision=gone.revision,
                )
        self.failures = {one: error for one, error in self.failures.items() if one in watched}
