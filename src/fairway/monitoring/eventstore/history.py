"""The history of a deployment, the newest first: logged inputs, realised loss, and labelled rows to
train from."""

import contextlib
import json
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from fairway.monitoring.eventstore import answers, comparing, databases, gauges

# characters of a request's logged inputs, or of its answers, that are read again
LARGEST_PAYLOAD = 16 << 20
END = 2**63 - 1
MOST_ROWS = 1_000_000  # of one window
# seq, request id, time, rows, inputs, answers and probabilities, the last three as JSON
Record = Sequence[Any]
# labels of a deployment that are looked at for those of one revision, where fewer are wanted: each
# is a look into the index, 50 µs and more of a large store
LABELS_AT_ONCE = 10_000
ANSWERS_AT_ONCE = 10_000  # of one revision, of which it is said how many have a label
REQUESTS_AT_ONCE = 500  # whose labels are asked for


class History:
    """What one store holds of a deployment's past; queries are read row by row, and left where
    enough is read."""

    def __init__(self, backend: databases.Backend) -> None:
        self._backend, self._sql = backend, backend.sql

    def window(
        self,
        deployment: str,
        *,
        namespace: str = answers.NAMESPACE,
        revision: str,
        role: str = "stable",
        limit: int,
        after: int = 0,
        before: int | None = None,
    ) -> list[answers.Prediction]:
        """Return the newest predictions with logged inputs that have `limit` rows together, oldest
        first.

        `after` and `before` bound the sequence numbers, both exclusive: a window after the last
        one's end shares no row with it.
        """
        newest = self.newest(
            deployment,
            namespace=namespace,
            revision=revision,
            role=role,
            after=after,
            before=before,
        )
        found: list[answers.Prediction] = []
        rows = 0
        for prediction in newest:
            found.append(prediction)
            rows += prediction.rows
            if rows >= limit:
                break
        return found[::-1]

    def newest(
        self,
        deployment: str,
        *,
        namespace: str = answers.NAMESPACE,
        revision: str,
        role: str = "stable",
        after: int = 0,
        before: int | None = None,
        wanted: int | None = None,
    ) -> Generator[answers.Prediction, None, None]:
        """Give the predictions with logged inputs, the newest first, read one by one; none where they
        have fewer rows together than are `wanted`.

        A payload may be megabytes, and thousands of them make a window: a window that is not full is
        not read. A payload that cannot be read, or is larger than LARGEST_PAYLOAD, is empty.
        """
        arm = {"namespace": namespace, "revision": revision, "role": role}
        if wanted is not None and not self.has(
            deployment, **arm, after=after, before=before, rows=wanted
        ):
            return
        records = self.records(deployment, **arm, after=after, before=before)
        with contextlib.closing(records):
            yield from map(prediction, records)

    def records(
        self,
        deployment: str,
        *,
        namespace: str = answers.NAMESPACE,
        revision: str,
        role: str = "stable",
        after: int = 0,
        before: int | None = None,
    ) -> Generator[Record, None, None]:
        """Give the same as they are stored, with payloads as text."""
        values = _span(deployment, namespace, revision, role, after=after, before=before)
        with self._backend.reading() as connection:
            yield from connection.stream(self._sql.WINDOW, values)

    def has(
        self,
        deployment: str,
        *,
        namespace: str = answers.NAMESPACE,
        revision: str,
        role: str = "stable",
        after: int = 0,
        before: int | None = None,
        rows: int,
    ) -> bool:
        """Say whether `records` may have so many rows, without reading any of their payloads."""
        span = _span(deployment, namespace, revision, role, after=after, before=before)
        with self._backend.reading() as connection:
            found = connection.execute(self._sql.ROWS, {**span, "wanted": rows}).fetchone()[0]
        return int(found) >= rows

    def last(
        self, deployment: str, *, namespace: str = answers.NAMESPACE, revision: str, after: int
    ) -> int:
        """Return the number of the revision's newest event, `after` where it has none since."""
        values = {
            "namespace": namespace,
            "deployment": deployment,
            "revision": revision,
            "after": after,
        }
        with self._backend.reading() as connection:
            found = connection.execute(self._sql.LAST, values).fetchone()[0]
        return after if found is None else int(found)

    def first(self, deployment: str, *, namespace: str = answers.NAMESPACE, revision: str) -> int:
        """Return the place before the revision's first answer, 0 where it has none yet."""
        values = {"namespace": namespace, "deployment": deployment, "revision": revision}
        with self._backend.reading() as connection:
            found = connection.execute(self._sql.FIRST_ANSWER, values).fetchone()[0]
        return max(int(found or 1) - 1, 0)

    def realised(
        self,
        deployment: str,
        revision: str,
        *,
        namespace: str = answers.NAMESPACE,
        limit: int | None = None,
        after: int = 0,
    ) -> answers.RealisedLoss:
        """Return what the newest `limit` labelled rows of the revision have lost, of the deployment's
        newest LABELS_AT_ONCE labels, or the newest `limit` where that is more.

        Only labels after the cursor count, and none from before the revision's first answer: those
        are its predecessors', and may be many.
        """
        rows, lost = 0, 0.0
        times: list[float] = []
        values: dict[str, Any] = {
            "namespace": namespace,
            "deployment": deployment,
            "revision": revision,
            "after": after,
            "most": END if limit is None else max(limit, LABELS_AT_ONCE),
        }
        with self._backend.reading() as connection:
            first = connection.execute(self._sql.FIRST_ANSWER, values).fetchone()[0]
            gauge = connection.execute(self._sql.GAUGE, values).fetchone()
            values["after"] = max(after, first or 0)
            for at, predicted, truth, task in connection.stream(self._sql.REALISED, values):
                known, losses = comparing.compare(predicted, truth, task)
                if known:
                    rows, lost = rows + known, lost + losses
                    times.append(at)
                if limit is not None and rows >= limit:
                    break
        return answers.RealisedLoss(
            task=gauges.name(gauge[0]) if gauge is not None and gauge[0] is not None else None,
            rows=rows,
            lost=lost,
            first_at=min(times, default=None),
            last_at=max(times, default=None),
        )

    def by_class(
        self, deployment: str, revision: str, *, namespace: str = answers.NAMESPACE, after: int = 0
    ) -> tuple[dict[str | None, comparing.Lost], int]:
        """Return the labelled rows of each true class and what they have lost, of None where answers
        are no classes, of the deployment's newest LABELS_AT_ONCE labels after the cursor; and of how
        many requests these are. None are from before the revision's first answer."""
        found: dict[str | None, comparing.Lost] = {}
        values = {"namespace": namespace, "deployment": deployment, "revision": revision}
        with self._backend.reading() as connection:
            asked = {**values, "after": after, "most": LABELS_AT_ONCE}
            requests = 0
            for _, predicted, truth, task in connection.stream(self._sql.REALISED, asked):
                requests += 1
                for name, loss in comparing.by_class(predicted, truth, task):
                    rows, lost = found.get(name, (0, 0))
                    found[name] = rows + 1, lost + loss
        return found, requests

    def mature(
        self, deployment: str, revision: str, *, namespace: str = answers.NAMESPACE
    ) -> tuple[int, int]:
        """Return how many answers the revision gave, of the newest ANSWERS_AT_ONCE, and how many of
        them have a label."""
        values = {"namespace": namespace, "deployment": deployment, "revision": revision}
        with self._backend.reading() as connection:
            given, labelled = connection.execute(
                self._sql.MATURE, {**values, "most": ANSWERS_AT_ONCE}
            ).fetchone()
        return int(given), int(labelled)

    def lost(
        self,
        deployment: str,
        answered: Mapping[str, Sequence[Any]],
        *,
        namespace: str = answers.NAMESPACE,
        revision: str,
    ) -> dict[str, float]:
        """Return the sum of the losses of each of these requests, given with its answers, by its newest
        label; nothing of those whose rows are not all labelled."""
        with self._backend.reading():
            gauge = self.gauge(deployment, namespace=namespace, revision=revision)
            told = self.labels(deployment, list(answered), namespace=namespace)
        return losses(answered, told, gauge=gauge)

    def gauge(
        self, deployment: str, *, namespace: str = answers.NAMESPACE, revision: str
    ) -> str | None:
        """Return what the revision's losses are measured by, as its servers told."""
        arm = {"namespace": namespace, "deployment": deployment, "revision": revision}
        with self._backend.reading() as connection:
            found = connection.execute(self._sql.GAUGE, arm).fetchone()
        return found[0] if found else None

    def labels(
        self, deployment: str, requests: Sequence[str], *, namespace: str = answers.NAMESPACE
    ) -> dict[str, list[Any]]:
        """Return the newest label of each of these requests that has one, an entry for each row."""
        found: dict[str, list[Any]] = {}
        arm = {"namespace": namespace, "deployment": deployment}
        with self._backend.reading() as connection:
            for place in range(0, len(requests), REQUESTS_AT_ONCE):
                some = json.dumps(requests[place : place + REQUESTS_AT_ONCE])
                told = connection.execute(self._sql.NEWEST_LABELS, {**arm, "requests": some})
                newest = {request: text for request, _, text in told.fetchall()}  # the last counts
                found |= {request: json.loads(text) for request, text in newest.items()}
        return found

    def training_rows(
        self, deployment: str, *, namespace: str = answers.NAMESPACE, limit: int, after: int = 0
    ) -> list[answers.LabelledInputs]:
        """Return the newest labelled requests with logged inputs that have `limit` rows together,
        oldest first."""
        found: dict[str, answers.LabelledInputs] = {}
        rows = 0
        asked = self._to_learn_from(deployment, namespace=namespace, after=after)
        with contextlib.closing(asked) as requests:
            for seq, request_id, inputs, truth in requests:
                known = json.loads(truth)
                found[request_id] = answers.LabelledInputs(
                    seq, request_id, json.loads(inputs), known
                )
                rows += len(known)
                if rows >= limit:
                    break
        return list(found.values())[::-1]

    def learnable(self, deployment: str, *, namespace: str = answers.NAMESPACE, limit: int) -> int:
        """Return how many labelled rows have logged inputs, counted up to `limit`."""
        rows = 0
        asked = self._to_learn_from(deployment, namespace=namespace, after=0)
        with contextlib.closing(asked) as requests:
            for _, _, _, truth in requests:
                rows += sum(label is not None for label in json.loads(truth))
                if rows >= limit:
                    break
        return min(rows, limit)

    def _to_learn_from(
        self, deployment: str, *, namespace: str, after: int
    ) -> Generator[tuple[int, str, str, str], None, None]:
        """Give the labelled requests with logged inputs as they are stored, the newest first, each
        once: both arms may have logged it (a retry), with the same inputs."""
        found: set[str] = set()
        wanted = {"namespace": namespace, "deployment": deployment, "after": after}
        with self._backend.reading() as connection:
            for seq, request_id, inputs, truth in connection.stream(self._sql.TRAINING, wanted):
                if request_id not in found:
                    found.add(request_id)
                    yield seq, request_id, inputs, truth


def losses(
    answered: Mapping[str, Sequence[Any]], told: Mapping[str, Sequence[Any]], *, gauge: str | None
) -> dict[str, float]:
    """Return what each request lost by its label, of those whose rows are all labelled."""
    found: dict[str, float] = {}
    for request, truth in told.items():
        given = json.dumps(answered[request])
        rows, lost = comparing.compare(given, json.dumps(truth), gauge)
        if rows == len(answered[request]):
            found[request] = lost
    return found


def prediction(record: Record) -> answers.Prediction:
    """Return a stored record with its payload."""
    seq, request_id, at, rows, inputs, predicted, probabilities = record
    return answers.Prediction(
        seq, request_id, at, rows, _loaded(inputs) or {}, _loaded(predicted), _loaded(probabilities)
    )


def _loaded(text: str | None) -> Any:
    """Return what a payload holds; None where it was not logged, or is no JSON that can be read
    within bounds."""
    if not text or len(text) > LARGEST_PAYLOAD:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _span(
    deployment: str, namespace: str, revision: str, role: str, *, after: int, before: int | None
) -> dict[str, Any]:
    """Return what the statements over a stretch of an arm's events are given."""
    return {
        "namespace": namespace,
        "deployment": deployment,
        "revision": revision,
        "role": role,
        "after": after,
        "before": END if before is None else before,
    }
