"""The `serving` section: the model server and its event log."""

import difflib
from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import (
    Field,
)

from fairway import errors
from fairway.config.sections.base import Duration, Fraction, Section


class Events(Section):
    """What a server logs of its predictions."""

    sample: Fraction = 1.0
    """Share of predictions whose inputs are logged, chosen by hash of the request id; outputs are
    always logged."""
    redact: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = Field(
        default=(), max_length=1000
    )
    """Features whose values never leave the server in events, and are neither watched for drift nor
    retrained on; the digest of the whole input stays behind with them, for a short input can be guessed by
    it. None by default: nobody but you knows which are secret."""
    batch_size: Annotated[int, Field(ge=1, le=10000)] = 200
    """Events in one delivery; 200 keep one under 1 MB for small inputs."""
    interval: Duration = timedelta(milliseconds=200)
    """Longest an event waits to be sent; the judge's freshness."""
    queue: Annotated[int, Field(ge=1)] = 20_000
    """Events held in memory before they go to the spool."""
    spool_mebibytes: Annotated[int, Field(ge=0)] = 256
    """Disk for events that could not be delivered; beyond it the newest are dropped and counted."""
    write_ahead: bool = False
    """Write each event to the spool before its answer is sent, so that a server that is killed
    (`kill -9`, out of memory) loses none. Off by default: each answer would wait about 40 µs, more
    with pictures, and what is lost otherwise is the events of the last `interval` before a kill,
    and no answer."""

    def need(self, features: Iterable[str]) -> None:
        """Raise ConfigError for a redacted feature that a model with these does not have: with its
        name spelt wrongly its values would leave the server."""
        known = list(features)
        for name in self.redact:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                wanted = repr(near[0]) if near else f"some of {', '.join(known[:20])}"
                raise errors.ConfigError(
                    f"serving.events.redact names {name!r}, which is no feature of this model: wanted {wanted}"
                )


class Serving(Section):
    """How a model answers."""

    runtime: Literal["bentoml", "seldon"] = "bentoml"
    """BentoML by default; Seldon is for clusters that already run it."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes of one server; one core each."""
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    """ONNX Runtime's threads a worker; one is fastest for small models."""
    timeout: Duration = timedelta(seconds=10)
    """A request that takes longer is answered 504; its body may take as long to come (408), and
    more rows than a quarter of it computes are refused (413)."""
    max_body_mebibytes: Annotated[int, Field(ge=1)] = 8
    """Larger requests are refused with 413."""
    max_concurrency: Annotated[int, Field(ge=1)] = 256
    """Requests in work at once; one more is answered 429. What would wait longer than half a second
    is refused before that."""
    unreadable: Literal["refuse", "missing"] = "refuse"
    """What becomes of a value that cannot be read as its feature's: the request is refused (400),
    or the value is missing, as is one where training had one in every row; then the answer says how
    many (`unreadable`) and a series counts them. Refused by default: an answer to a row that its
    client did not mean looks like any other."""
    reveal_revision: bool = False
    """Answers tell which revision gave them. Off: a client that knows its arm can choose what the
    candidate gets; the event log always knows."""
    events: Events = Events()

    @property
    def lenient(self) -> bool:
        """Say whether what cannot be read is missing."""
        return self.unreadable == "missing"
