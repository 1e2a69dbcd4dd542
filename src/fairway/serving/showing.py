"""A server shows its package to the collector where that wants it: what a monitor elsewhere needs to
know of the model, which no credential of ours could fetch.

The collector knows whose server it is, so a package is its own revision's; a monitor holds the
files against the digest that the operator gave.
"""

import hashlib
import json
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from fairway.serving import command, delivery

log = logging.getLogger("fairway.serving.showing")

# what a monitor needs: what rows look like, how good it was, and what it learnt from
FILES = ("manifest.json", "evaluation.json", "reference.npz")
SENDING_SECONDS = 30.0  # that one file may take
FIRST_SECONDS, LONGEST_SECONDS = 1.0, 60.0  # between two attempts
AGAIN_SECONDS = 600.0  # between two times that it is asked what the collector has


def start(settings: command.Settings) -> None:
    """Show the package in a thread of its own, now and every few minutes."""
    if settings.collector:
        threading.Thread(
            target=_keep_showing, args=(settings,), name="fairway-showing", daemon=True
        ).start()


def _keep_showing(settings: command.Settings) -> None:
    """Show the package as long as the server runs: a collector may lose what it had, or want it
    from some day on."""
    sender = delivery.Sender(
        settings.collector,
        token=settings.token,
        certificates=settings.certificates,
        pod=settings.pod,
        timeout_seconds=SENDING_SECONDS,
    )
    pause, seconds = threading.Event(), FIRST_SECONDS
    complained = False
    while True:
        try:
            show(sender, settings.package, whose=_whose(settings))
            complained, seconds = False, AGAIN_SECONDS
        except delivery.Undelivered as error:
            if not complained:
                log.warning("The package is not shown to monitors yet: %s", error)
            complained = True
            seconds = AGAIN_SECONDS if error.permanent else min(2 * seconds, LONGEST_SECONDS)
        except Exception:  # the thread must outlive any mistake
            log.exception("Showing the package goes on after an error of its own.")
            seconds = AGAIN_SECONDS
        finally:
            sender.close()
        pause.wait(seconds)


def _whose(settings: command.Settings) -> dict[str, str]:
    return {
        "namespace": settings.namespace,
        "deployment": settings.deployment,
        "revision": settings.revision,
    }


def show(sender: delivery.Sender, package: Path, *, whose: Mapping[str, str]) -> list[str]:
    """Send what the collector wants and has not, and return the names; raises Undelivered."""
    kept = _kept(sender, whose)
    if kept is None:
        return []
    sent = []
    for name in FILES:
        file = package / name
        content = file.read_bytes() if file.is_file() else None
        if content is not None and kept.get(name) != hashlib.sha256(content).hexdigest():
            _send(sender, name, content, whose=whose)
            sent.append(name)
    return sent


def _kept(sender: delivery.Sender, whose: Mapping[str, str]) -> Mapping[str, str] | None:
    """Return the digests of what the collector has, None where it wants nothing."""
    status, text, _ = sender.exchange(
        "GET", f"packages?{urlencode(whose)}", None, content="application/json"
    )
    if status == 404:  # of a version before
        return None
    if status != 200:
        raise _refusal(status, text)
    try:
        answer = json.loads(text)
        return dict(answer["files"]) if answer["wanted"] else None
    except (KeyError, TypeError, ValueError) as error:
        raise delivery.Undelivered(
            f"the collector answered {text[:200]!r}: wanted what it keeps of a package"
        ) from error


def _send(sender: delivery.Sender, name: str, content: bytes, *, whose: Mapping[str, str]) -> None:
    status, text, _ = sender.exchange(
        "POST",
        f"packages?{urlencode({**whose, 'name': name})}",
        content,
        content="application/octet-stream",
    )
    if status // 100 != 2:
        raise _refusal(status, text)


def _refusal(status: int, text: str) -> delivery.Undelivered:
    return delivery.Undelivered(f"{status} {text[:200]}", permanent=status in (400, 413, 415, 422))
