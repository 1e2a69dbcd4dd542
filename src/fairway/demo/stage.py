"""What the acts of the demo share: who plays, how a rollout is followed, how long one waits."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fairway import errors
from fairway.config import sections
from fairway.demo import models, visitors
from fairway.platforms.local import client, state
from fairway.platforms.local.home import Home

ROLLOUT_SECONDS = 300.0  # on a machine that is busy; alone a fifth
POLL_SECONDS = 0.2

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


def follow(stage: Stage, letter: str, revision: str, *, started: float) -> None:
    """Follow the model's rollout to its end, and keep what became of it."""
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


def patiently(seconds: float, otherwise: str) -> Iterator[None]:
    """Return turns until the caller breaks; raises Unavailable when the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(POLL_SECONDS)
    raise errors.Unavailable(f"{otherwise} within {seconds:.0f} s")
