"""How a run ended, told to a webhook. The URL is a secret: it comes from the environment, and is in no
parameter, record or log.
"""

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairway import addresses, artifacts, errors
from fairway.addresses import web
from fairway.config import sections

URL, URL_FILE = "FAIRWAY_WEBHOOK_URL", "FAIRWAY_WEBHOOK_URL_FILE"
TIMEOUT_SECONDS = 10.0
PASSING = (408, 425, 429)  # and 5xx: another attempt may succeed
LONGEST = 2000  # characters of a reason; Slack cuts after 4,000
UNTOLD = "nobody could be told that the run"  # how the sentence of a failure begins
SUCCEEDED, FAILED = "succeeded", "failed"
# what Kubeflow Pipelines and kfp.local call the end of a run
STATES = {"SUCCEEDED": SUCCEEDED, "SUCCESS": SUCCEEDED}
RUN = "FAIRWAY_RUN"  # a run's name on this machine, where kfp knows none
MARKS = {"failed": "❌", "refused": "⛔", "waited": "⏸", "succeeded": "✅"}


@dataclass(frozen=True, kw_only=True)
class RunEnd:
    """How a run ended."""

    deployment: str
    namespace: str
    pipeline: str
    run: str
    outcome: str  # succeeded | failed, of a branch that reports by itself also refused | waited
    reason: str


def of_status(
    state: str, error: str, *, environment: Mapping[str, str] = os.environ
) -> tuple[str, str]:
    """Return the outcome and the reason that an exit handler's status tells. On this machine kfp only
    tells that something failed."""
    outcome = STATES.get(state.upper(), FAILED)
    said = "" if RUN in environment else error
    return outcome, said or ("its steps' logs say why" if outcome == FAILED else "")


def body(end: RunEnd, *, form: str) -> artifacts.Json:
    """Return what is sent. Pure."""
    reason = f": {end.reason[:LONGEST]}" if end.reason else ""
    text = (
        f"{MARKS.get(end.outcome, '')} {end.namespace}/{end.deployment}: run {end.run} of "
        f"{end.pipeline} {end.outcome}{reason}"
    ).strip()
    if form == "slack":
        return {"text": text}
    return {"text": text, **artifacts.as_json(end), "reason": end.reason[:LONGEST]}


def told(config: sections.Config, *, pipeline: str, run: str, outcome: str, reason: str) -> str:
    """Tell of a run as `notify` does; a message that cannot be delivered changes no run, and is said."""
    end = RunEnd(
        deployment=config.name,
        namespace=config.namespace,
        pipeline=pipeline,
        run=os.environ.get(RUN, run),
        outcome=outcome,
        reason=reason,
    )
    try:
        return notify(config.pipeline.notify, end)
    except errors.FairwayError as error:
        return f"{UNTOLD} {outcome}: {error}"


def notify(
    section: sections.Notify,
    end: RunEnd,
    *,
    environment: Mapping[str, str] = os.environ,
    pause_seconds: float = addresses.PAUSE_SECONDS,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> str:
    """Tell it where it is asked for, and return the sentence that says what was done.

    Raises UsageError for what is no URL, PlatformError where the webhook refuses, Unavailable where it
    does not answer.
    """
    if end.outcome not in section.outcomes:
        asked = ", ".join(section.outcomes)
        return f"the run {end.outcome}: nobody is told (pipeline.notify.outcomes has {asked})"
    url = _url(environment)
    if url is None:
        return (
            f"the run {end.outcome}, and nobody is told: neither {URL} nor {URL_FILE} is set; name a Secret in "
            "pipeline.notify.url"
        )
    content = json.dumps(body(end, form=section.form), ensure_ascii=False).encode()
    addresses.patiently(
        lambda: web.within(
            lambda: _post(url, content), seconds=timeout_seconds, what="the webhook"
        ),
        pause_seconds=pause_seconds,
    )
    return f"the webhook was told that the run {end.outcome}"


def _url(environment: Mapping[str, str]) -> str | None:
    url, file = environment.get(URL), environment.get(URL_FILE)
    if not url and file:
        try:
            url = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise errors.UsageError(
                f"{URL_FILE} is {file}, which cannot be read ({type(error).__name__}): wanted a file that "
                "holds the webhook's URL"
            ) from error
    url = (url or "").strip()
    if url and not url.startswith(("https://", "http://")):
        raise errors.UsageError("the webhook's URL starts neither with https:// nor with http://")
    return url or None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A webhook that moved is told of: where it leads to is not whom the secret is for."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _post(url: str, content: bytes) -> None:
    """Send it; no error has the URL, nor is it chained to one that may."""
    headers = {"content-type": "application/json"}
    try:
        request = urllib.request.Request(url, data=content, headers=headers)  # noqa: S310
        opener = urllib.request.build_opener(_NoRedirect)
        with opener.open(request, timeout=TIMEOUT_SECONDS):
            return
    except urllib.error.HTTPError as error:
        status = error.code
        error.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        why = type(getattr(error, "reason", error)).__name__
        raise errors.Unavailable(f"the webhook does not answer ({why})") from None
    if status in PASSING or status >= 500:
        raise errors.Unavailable(f"the webhook answered {status}")
    raise errors.PlatformError(
        f"the webhook answered {status}: wanted 200; the URL in the Secret of pipeline.notify.url may be "
        "of another form, or withdrawn"
    )
