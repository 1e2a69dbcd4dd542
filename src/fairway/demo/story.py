"""The story, act by act: a first model, a better one, two defective ones, a world that moves, and a
challenger that learns."""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fairway import artifacts, files
from fairway.config import sections
from fairway.data import sources, splits
from fairway.demo import builder, models, recovery, visitors
from fairway.demo.stage import Stage, Tell, follow, patiently
from fairway.monitoring.eventstore import places
from fairway.platforms.local import client
from fairway.platforms.local.home import Home

RATE, CLIENTS, UNITS = 200.0, 8, 2000
ROTATION_DEGREES = 12.0
TICKET_SECONDS = 180.0  # on a machine that is busy; alone a fifth


def play(home: Home, *, out: Path, seed: int, tell: Tell) -> dict[str, Any]:
    """Play the story and gives its record; everything it started still runs, for the caller to stop
    or keep."""
    began = time.time()
    tell("start", f"seed {seed}; everything lies below {home.root}")
    config = models.configuration(seed=seed, out=out)
    with builder.begin(home, out=out, seed=seed) as packages:
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
            record |= recovery.recover(stage)
        finally:
            users.stop()
    return _finish(stage, record)


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
    follow(stage, letter, revision.revision, started=started)


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
    for _ in patiently(TICKET_SECONDS, "no ticket was opened for the shift"):
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
    pages = [
        alert.name
        for alert in store.conclusions.alerts(deployment=models.NAME)
        if alert.severity == "page"
    ]
    store.close()
    return {
        "moved": moved,
        "drift": {
            "detected": True,
            "features": _effects(drifted),
            "windows": len(drifted),
            "seconds": round(time.time() - moved, 1),
            "pages": pages,
            "ticket": tickets[0].summary,
        },
    }


def _effects(windows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the features that drifted in any window with their largest effect, the largest first."""
    found: dict[str, float] = {}
    for window in windows:
        for feature in window["features"]:
            if feature["drifted"]:
                name, effect = feature["name"], abs(feature["effect"])
                found[name] = max(found.get(name, 0.0), effect)
    return [
        {"name": name, "effect": round(effect, 4)}
        for name, effect in sorted(found.items(), key=lambda item: -item[1])
    ]


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


def write(record: dict[str, Any], *, out: Path, timeline: Sequence[tuple[float, str, str]]) -> None:
    """Leave report.json and report.html in `out`."""
    from fairway.demo import page

    artifacts.write_json(out / "report.json", record)
    files.write_bytes(out / "report.html", page.render(record, timeline=timeline).encode())
