"""The story, act by act: a first model, a better one, two defective ones, a world that moves, and a
challenger that learns."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fairway import artifacts, errors, files
from fairway.config import sections
from fairway.data import sources, splits
from fairway.demo import models, visitors
from fairway.monitoring.eventstore import places
from fairway.platforms.local import client, requests, state
from fairway.platforms.local.home import Home

RATE, CLIENTS, UNITS = 200.0, 8, 2000
ROTATION_DEGREES = 12.0
LABELS_BEFORE, LABELS_AFTER, LABELS_LAST = 60, 900, 250
MODELS_SECONDS, ROLLOUT_SECONDS, TICKET_SECONDS, LOOP_SECONDS = (
    300.0,
    300.0,
    180.0,
    300.0,
)  # on a machine that is busy; alone a fifth
POLL_SECONDS = 0.2
LEAST_REQUESTS = 10_000

Tell = Callable[[str, str], None]


@dataclass
class Stage:
    """What the acts share."""

    home: Home
    config: sections.Config
    tell: Tell
    began: float
    users: visitors.UserTraffic
    revisions: list[dict[str, Any]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # revision -> letter
    told: int = 0  # number of the last event of the platform's own story that was told


def play(home: Home, *, out: Path, seed: int, tell: Tell) -> dict[str, Any]:
    """Play the story and gives its record; everything it started still runs, for the caller to stop
    or keep."""
    began = time.time()
    tell("start", f"seed {seed}; everything lies below {home.root}")
    config = models.configuration(seed=seed, out=out)
    with _trained(home, out=out, seed=seed) as packages:
        client.up(home)
        tell("up", "gateway, collector and monitor run; models A to D are being trained")
        first = packages.next("A")
        users = _users(client.need(home).gateway, out / "dataset", seed=seed)
        stage = Stage(home, config, tell, began, users)
        try:
            _act(stage, "A", first, asked="first")
            users.start()
            _act(
                stage, "B", packages.next("B"), asked="trained for longer; the gate let it through"
            )
            _act(
                stage,
                "C",
                packages.next("C"),
                asked="packaged by hand, with the scale of 8-bit pictures in its schema; every health check passes",
            )
            hurried = config.model_copy(
                update={
                    "strategy": config.strategy.model_copy(
                        update={"shadow": sections.Shadow(enabled=False)}
                    )
                }
            )
            _act(
                stage,
                "D",
                packages.next("D"),
                asked="a hot fix in a hurry, its shadow skipped; a table in it is too short for some pictures",
                config=hurried,
            )
            record = _shift(stage)
            record |= _labels(stage)
        finally:
            users.stop()
    return _finish(stage, record)


# -- the acts --------------------------------------------------------------------------------------


def _act(
    stage: Stage, letter: str, package: Path, *, asked: str, config: sections.Config | None = None
) -> None:
    """Deploy a model and follows its rollout to the end."""
    started = time.time()
    revision, _ = client.deploy(
        stage.home, package, config=config or stage.config, note=f"model {letter}", now=started
    )
    stage.names[revision.revision] = letter
    stage.tell("deploy", f"model {letter} is revision {revision.revision}: {asked}")
    _follow(stage, letter, revision.revision, started=started)


def _follow(stage: Stage, letter: str, revision: str, *, started: float) -> None:
    ended = client.follow(
        stage.home,
        models.NAME,
        revision=revision,
        timeout_seconds=ROLLOUT_SECONDS,
        after=stage.told,
        tell=lambda event: stage.tell(event.type, event.message),
    ).state
    with contextlib.closing(state.Store(stage.home.state)) as known:
        stage.told = known.story(models.NAME)[-1][0]
    rolled_back = revision in ended.rejected
    verdict = ended.verdict
    outcome = "rolled back" if rolled_back else "first" if not stage.revisions else "promoted"
    if not rolled_back and ended.stable != revision:
        raise errors.Refused(
            f"model {letter} is neither in service nor rolled back: {ended.phase}: {ended.reason}"
        )
    stage.revisions.append(
        {
            "name": letter,
            "revision": revision,
            "outcome": outcome,
            "verdict": str(verdict.action) if verdict else None,
            "reason": ended.reason,
            "caught_by": verdict.guard if verdict and rolled_back else None,
            "evidence": dict(ended.history[-1]["evidence"]) if ended.history else {},
            "seconds": round(time.time() - started, 1),
        }
    )


def _shift(stage: Stage) -> dict[str, Any]:
    """The pictures turn; waits for the ticket."""
    store = places.opened(stage.home.events)
    alert_before = {alert.id for alert in store.conclusions.alerts(deployment=models.NAME)}
    moved = time.time()
    stage.users.shift(lambda images: _rotated(images))
    stage.tell(
        "shift",
        f"the pictures are turned by {ROTATION_DEGREES:.0f} degrees from now on, as if a scanner had been moved",
    )
    for _ in _patiently(TICKET_SECONDS, "no ticket was opened for the shift"):
        tickets = [
            a
            for a in store.conclusions.alerts(deployment=models.NAME)
            if a.severity == "ticket" and a.id not in alert_before
        ]
        if tickets:
            break
    stage.tell("ticket", tickets[0].summary)
    windows = [
        window
        for window in store.conclusions.drift(models.NAME, limit=1000)
        if window["at"] >= moved
    ]
    drifted = [window for window in windows if window["drifted"]]
    found: dict[str, float] = {}
    for window in drifted:
        for feature in window["features"]:
            if feature["drifted"]:
                found[feature["name"]] = max(
                    found.get(feature["name"], 0.0), abs(feature["effect"])
                )
    pages = [
        alert.name
        for alert in store.conclusions.alerts(deployment=models.NAME)
        if alert.severity == "page"
    ]
    store.close()
    features = [
        {"name": name, "effect": round(effect, 4)}
        for name, effect in sorted(found.items(), key=lambda item: -item[1])
    ]
    return {
        "moved": moved,
        "drift": {
            "detected": True,
            "features": features,
            "windows": len(drifted),
            "seconds": round(time.time() - moved, 1),
            "pages": pages,
            "ticket": tickets[0].summary,
        },
    }


def _labels(stage: Stage) -> dict[str, Any]:
    """Labels arrive for answers of a while ago; the policy fires, a challenger is trained, rolled
    out, and recovers."""
    moved = next(answer.at for answer in stage.users.answers() if answer.shifted)
    sent = _send_late(stage, moved=moved)
    known = state.Store(stage.home.state)
    deployment = _challenged(stage, known)
    challenger = deployment.desired
    stage.names[challenger] = "E"
    _follow(stage, "E", challenger, started=deployment.retraining["lastRunAt"])
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
    for _ in _patiently(30.0, "the users sent too few requests"):
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
    for _ in _patiently(LOOP_SECONDS, "no challenger was deployed"):
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
    for _ in _patiently(30.0, "the challenger answered too few requests"):
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
    for _ in _patiently(10.0, "not every label was joined"):
        cursor, labels = store.labelled(models.NAME, namespace=stage.config.namespace, after=cursor)
        joined += sum(label.rows for label in labels)
        if joined >= sent:
            break
    store.close()
    return joined


def _finish(stage: Stage, record: dict[str, Any]) -> dict[str, Any]:
    """Return the record of the whole story."""
    tally = stage.users.tally
    defective = next(row["revision"] for row in stage.revisions if row["name"] == "D")
    defect_errors = tally.failed_by_revision[defective]
    for row in stage.revisions:
        row["requests"] = tally.by_revision[row["revision"]]
    record.pop("moved")
    return {
        "seconds": round(time.time() - stage.began, 1),
        "requests": tally.requests,
        "failed_requests": tally.failed - defect_errors,
        "defect_errors": defect_errors,
        "false_rollback": stage.config.strategy.false_rollback,
        "false_promotion": stage.config.strategy.false_promotion,
        "revisions": stage.revisions,
        **record,
    }


# -- what the acts use -----------------------------------------------------------------------------


class _Trained:
    """Packages as the training process builds them."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process, self._log, self._made = process, log, {}  # type: ignore[var-annotated]

    def next(self, letter: str) -> Path:
        """Return the package of a model, waiting until it is built."""
        while letter not in self._made:
            line = self._process.stdout.readline() if self._process.stdout else ""
            if not line:
                words = self._log.read_text(errors="replace").strip().splitlines()[-1:] or [
                    "it said nothing"
                ]
                raise errors.TrainingError(f"model {letter} was not built: {words[0]}")
            made = json.loads(line)
            self._made[made["letter"]] = Path(made["path"])
        found: Path = self._made[letter]
        return found

    def __enter__(self) -> "_Trained":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)


def _trained(home: Home, *, out: Path, seed: int) -> _Trained:
    home.make()
    log = home.logs / "models.log"
    argv = [
        sys.executable,
        "-m",
        "fairway.demo.models",
        "--store",
        str(home.packages),
        "--out",
        str(out),
        "--seed",
        str(seed),
    ]
    with log.open("ab") as errors_to:
        return _Trained(
            subprocess.Popen(
                argv, stdout=subprocess.PIPE, stderr=errors_to, stdin=subprocess.DEVNULL, text=True
            ),
            log,
        )


def _users(gateway: str, dataset: Path, *, seed: int) -> visitors.UserTraffic:
    """Return users who hold the pictures that no split of the dataset has."""
    learnt = np.concatenate(
        [splits.columns(dataset, name)[1] for name in ("train", "validation", "test")]
    )
    frame = sources.read(sections.Data.of(source="digits", target="digit")).frame
    held_out = np.setdiff1d(np.arange(len(frame)), learnt)
    images = np.stack(frame["image"].to_list())[held_out].reshape(-1, 1, 8, 8)
    return visitors.UserTraffic(
        gateway,
        images=images,
        labels=frame["digit"].iloc[held_out].tolist(),
        deployment=models.NAME,
        rate=RATE,
        clients=CLIENTS,
        units=UNITS,
        seed=seed,
    )


def _rotated(images: visitors.Images) -> visitors.Images:
    from scipy import ndimage

    turned = ndimage.rotate(
        images, ROTATION_DEGREES, axes=(2, 3), reshape=False, order=1, mode="constant"
    )
    result: visitors.Images = np.clip(turned, 0, 16).astype(np.float32)
    return result


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


def _patiently(seconds: float, otherwise: str) -> Iterator[None]:
    """Return turns until the caller breaks; raises Unavailable when the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(POLL_SECONDS)
    raise errors.Unavailable(f"{otherwise} within {seconds:.0f} s")


def write(record: dict[str, Any], *, out: Path, timeline: Sequence[tuple[float, str, str]]) -> None:
    """Leave report.json and report.html in `out`."""
    from fairway.demo import page

    artifacts.write_json(out / "report.json", record)
    files.write_bytes(out / "report.html", page.render(record, timeline=timeline).encode())
