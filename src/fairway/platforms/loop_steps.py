"""The loop's part of a pipeline, a function for each step: drift is looked for, a challenger is
decided on, late labels become rows to learn from.

A step is given the configuration as JSON and the champion as its artifact: metadata, and place.
"""

import contextlib
import html
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fairway import artifacts, errors
from fairway.monitoring.drift import account as accounts
from fairway.monitoring.drift import detect
from fairway.monitoring.eventstore import places
from fairway.packaging import manifest
from fairway.pipelines import inputs
from fairway.platforms import choice
from fairway.retraining import late_labels, turn

Champion = tuple[Mapping[str, str], Path]
DRIFTED, SAME, UNSERVED = "drifted", "same", "unserved"
NOTHING: artifacts.Json = {
    "drift": False,
    "schema": [],
    "columns": [],
}  # what an account is read for
TRAIN, WAIT = "train", "wait"  # what a pipeline compares the decision with


def drift(
    config: str,
    *,
    asked: Mapping[str, Any],
    champion: Champion,
    home: Path,
    account: Path,
    report: Path,
    log: Callable[[str, float], None],
) -> tuple[str, str]:
    """Write the account and its page, log its figures, and return the verdict with its sentence. A model that
    nobody was seen to ask yet has not drifted: a schedule begins before its users do."""
    settings = inputs.settings(config)
    place = detect.InPlace(
        package=artifacts.folder_of(champion[0], at=champion[1]),
        revision=choice.standing(settings, home=home).revision,
        store=lambda: places.of_steps(home),
    )
    try:
        record = detect.detect(settings, detect.Sides(**asked), place=place, page=report)
    except errors.NothingServed as error:
        if asked["after"]:
            raise
        print(f"progress: {error}")
        artifacts.write_json(account, NOTHING)
        report.write_text(f"<html><p>{html.escape(str(error))}</p></html>", encoding="utf-8")
        return UNSERVED, str(error)
    artifacts.write_json(account, record)
    log("moved", len(record["moved"]))
    log("pValue", record["pValue"])
    for side in ("before", "after"):
        log(f"rows_{side}", record[side]["rows"])
    print(f"progress: {accounts.verdict(record)}")
    return DRIFTED if record["drift"] else SAME, accounts.verdict(record)


def decide(
    config: str, *, champion: Champion, account: Path, home: Path, run: str, labels: str
) -> tuple[str, str]:
    """Return whether the run trains a challenger now, and why; asked twice by one run, the same."""
    settings = inputs.settings(config)
    serving = choice.standing(settings, home=home)
    record = artifacts.read_json(account)
    package = artifacts.need_folder_of(champion[0], at=champion[1])
    with contextlib.closing(places.of_steps(home)) as store:
        decision = turn.take(
            store,
            settings,
            serving=turn.ModelInService(
                revision=serving.revision or "",
                facts=manifest.load(package).facts(),
                settled=serving.settled,
            ),
            moved=record["drift"],
            broken=detect.broken(record),
            elsewhere=bool(labels),
            run=run,
            now=time.time(),
        )
    print(f"progress: {decision.reason}")
    return TRAIN if decision.start else WAIT, decision.reason


def label(
    config: str, *, champion: Champion, labels: str, home: Path, out: Path
) -> tuple[str, int]:
    """Write the rows of `data` and the labelled requests to `out`; return the configuration that
    learns from both, and how many requests' rows have a label."""
    settings = inputs.settings(config)
    package = artifacts.need_folder_of(champion[0], at=champion[1])
    with contextlib.closing(places.of_steps(home)) as store:
        made, rows = late_labels.joined(
            store, settings, champion=package, labels=labels or None, out=out
        )
    return made.model_dump_json(by_alias=True), rows
