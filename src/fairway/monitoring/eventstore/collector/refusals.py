"""What the collector refuses, and how it says so over HTTP."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fairway import errors
from fairway.monitoring.eventstore import access, cloudevents
from fairway.monitoring.eventstore.collector import bodies
from fairway.serving import decoding

RETRY_AFTER_SECONDS = 1
LOOPBACK = ("127.0.0.1", "localhost", "::1")
JSON_TYPES = (
    "application/json",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
)


class NotJson(errors.DataError):
    """The body says that it is something else."""


def meaning(error: errors.FairwayError) -> tuple[int, str]:
    """Return the HTTP status of what was refused, and the reason in a word."""
    if isinstance(error, decoding.Undecodable):
        return error.status, "undecodable"
    kinds: tuple[tuple[type[errors.FairwayError], int, str], ...] = (
        (access.Unauthenticated, 401, "unauthenticated"),
        (access.Denied, 403, "denied"),
        (bodies.TooLarge, 413, "too_large"),
        (NotJson, 415, "invalid"),
        (bodies.Slow, 408, "slow"),
        (errors.DataError, 400, "invalid"),
        (errors.StoreReplaced, 410, "replaced"),
        (errors.StoreBusy, 503, "busy"),
        (errors.Unavailable, 503, "unavailable"),
        (errors.StoreDamaged, 503, "damaged"),
    )
    return next(
        ((status, reason) for kind, status, reason in kinds if isinstance(error, kind)),
        (503, "refused"),
    )


def answer(error: errors.FairwayError, *, status: int) -> Response:
    headers = {
        401: {"WWW-Authenticate": "Bearer"},
        503: {"Retry-After": str(RETRY_AFTER_SECONDS)},
    }.get(status)
    return JSONResponse({"error": str(error)}, status_code=status, headers=headers)


def need_no_page(request: Request, *, loopback: bool) -> None:
    """Refuse what a browser sends for a page of somebody else's: it says so by Origin, and a name
    that was bent to this machine by Host."""
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    if origin is not None:
        raise access.Denied(
            f"the request is a web page's (Origin {cloudevents.shown(origin)}): wanted a program's, without Origin"
        )
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if loopback and name not in LOOPBACK:
        raise access.Denied(
            f"the request is for host {cloudevents.shown(host)}: wanted {' or '.join(LOOPBACK)}, where this "
            f"collector listens"
        )


def need_json(request: Request) -> None:
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() not in JSON_TYPES:
        raise NotJson(
            f"the Content-Type is {cloudevents.shown(given or None)}: wanted {JSON_TYPES[0]} or {JSON_TYPES[2]}; "
            f"nothing was stored"
        )
