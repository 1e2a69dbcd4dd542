"""The last act: labels arrive, and a challenger learns from them."""

import time
from collections.abc import Sequence
from typing import Any

from fairway import errors
from fairway.demo import models, visitors
from fairway.demo.stage import Stage, follow, patiently
from fairway.monitoring.eventstore import places
from fairway.platforms.local import requests, state
from fairway.platforms.local.home import Home

LABELS_BEFORE, LABELS_AFTER, LABELS_LAST = 60, 900, 250
LOOP_SECONDS = 480.0  # on a machine that is busy; alone a fifth
LEAST_REQUESTS = 10_000


def recover(stage: Stage) -> dict[str, Any]:
    """Labels arrive for answers of a while ago; the policy fires, a challenger is trained, rolled
    out, and recovers."""
    moved = next(answer.at for answer in stage.users.answers() if answer.shifted)
    sent = _send_late(stage, moved=moved)
    known = state.Store(stage.home.state)
    deployment = _challenged(stage, known)
    challenger = deployment.desired
    stage.names[challenger] = "E"
    follow(stage, "E", challenger, started=deployment.retraining["lastRunAt"])
    recovered = time.time()
    sent += _send(stage, _answered_by(stage, challenger, since=recovered)[:LABELS_LAST])
    accuracy = _accuracies(stage, challenger, moved=moved, recovered=recovered)
    stage.tell(
        "recovered",
        f"on pictures whose labels nobody sent: {accuracy['before_shift']:.3f} before the shift, "
        f"{accuracy['after_shift']:.3f} after it, "
        f"{accuracy['after_retraining']:.3f} with the challenger",
    )
    joined = _joined(stage, sent=sent)
    known.close()
    return {
        "labels": {"sent": sent, "joined": joined},
        "accuracy": accuracy,
        "retraining": {
            "started": True,
            "run": deployment.retraining.get("run") or _run_name(stage.home),
            "reason": deployment.retraining["why"],
        },
    }


def _send_late(stage: Stage, *, moved: float) -> int:
    """Return how many labels were sent, of answers before the shift and after it."""
    for _ in patiently(30.0, "the users sent too few requests"):
        after = [
            answer for answer in _labelled_half(stage.users.answers(since=moved)) if answer.shifted
        ]
        if len({answer.row for answer in after}) > 300 and len(after) >= LABELS_AFTER:
            break
    before = _labelled_half(stage.users.answers(until=moved))[-LABELS_BEFORE:]
    sent = _send(stage, before) + _send(stage, after[-LABELS_AFTER:])
    stage.tell(
        "labels",
        f"{sent} labels arrive for answers given up to {time.time() - before[0].at:.0f} s ago",
    )
    return sent


def _challenged(stage: Stage, known: state.Store) -> state.Deployment:
    """Return the deployment once a challenger was trained and is asked for."""
    for _ in patiently(LOOP_SECONDS, "no challenger was deployed"):
        deployment = _deployment(known)
        _tell_story(stage, known)
        outcome = deployment.retraining.get("outcome")
        if (
            deployment.retraining.get("running") is None
            and outcome
            and deployment.desired not in stage.names
        ):
            break
        if outcome == "refused":
            raise errors.Refused(
                f"the gate refused the challenger: {deployment.retraining['said']}"
            )
    return deployment


def _answered_by(stage: Stage, challenger: str, *, since: float) -> list[visitors.UserAnswer]:
    """Return the challenger's answers whose labels will be known, once there are enough."""
    for _ in patiently(30.0, "the challenger answered too few requests"):
        late = [
            answer
            for answer in stage.users.answers(since=since)
            if answer.revision == challenger and answer.status == 200
        ]
        if len(late) >= 2 * LABELS_LAST and stage.users.tally.requests >= LEAST_REQUESTS:
            break
    return _labelled_half(late)


def _accuracies(
    stage: Stage, challenger: str, *, moved: float, recovered: float
) -> dict[str, float | None]:
    """Return the accuracy before the shift, after it and with the challenger, on pictures that were
    never learnt from."""
    unseen = _unlabelled_half(stage.users.answers())
    stable = next(row["revision"] for row in stage.revisions if row["name"] == "B")
    of_stable = [answer for answer in unseen if answer.revision == stable]
    return {
        "before_shift": visitors.accuracy([a for a in of_stable if a.at < moved]),
        "after_shift": visitors.accuracy([a for a in of_stable if a.shifted]),
        "after_retraining": visitors.accuracy(
            [a for a in unseen if a.at >= recovered and a.revision == challenger]
        ),
    }


def _joined(stage: Stage, *, sent: int) -> int:
    """Return how many labels the event store has joined, once all of them are."""
    store = places.opened(stage.home.events)
    cursor, joined = 0, 0
    for _ in patiently(10.0, "not every label was joined"):
        cursor, labels = store.labelled(models.NAME, namespace=stage.config.namespace, after=cursor)
        joined += sum(label.rows for label in labels)
        if joined >= sent:
            break
    store.close()
    return joined


def _labelled_half(answers: Sequence[visitors.UserAnswer]) -> list[visitors.UserAnswer]:
    """Return the answered requests of pictures whose labels will be known: two in three. The others
    measure, and are never learnt from."""
    return [answer for answer in answers if answer.row % 3 and answer.status == 200]


def _unlabelled_half(answers: Sequence[visitors.UserAnswer]) -> list[visitors.UserAnswer]:
    return [answer for answer in answers if answer.row % 3 == 0]


def _send(stage: Stage, answers: Sequence[visitors.UserAnswer]) -> int:
    labels = [(answer.request_id, answer.truth) for answer in answers]
    sent = requests.send_labels(
        stage.home, models.NAME, namespace=stage.config.namespace, labels=labels, now=time.time()
    )
    return sent.sent


def _tell_story(stage: Stage, known: state.Store) -> None:
    """Tell what happened since the last time."""
    for number, event in known.story(models.NAME, after=stage.told):
        stage.tell(event.type, event.message)
        stage.told = number


def _deployment(store: state.Store) -> state.Deployment:
    found = store.deployment(models.NAME)
    if found is None:
        raise errors.PlatformError(f"there is no deployment {models.NAME} any more")
    return found


def _run_name(home: Home) -> str:
    return sorted(folder.name for folder in home.runs.iterdir())[-1]
