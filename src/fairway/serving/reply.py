"""What a request is answered with."""

from collections.abc import Mapping
from typing import Any

from fairway.serving import protocol


class InferenceReply:
    """What a request is answered with, and what the event log keeps of it."""

    __slots__ = (
        "body",
        "columns",
        "header_length",
        "labels",
        "raw",
        "rows",
        "status",
        "unreadable",
        "unusual",
    )

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body
        self.header_length: int | None = None
        self.columns: protocol.Columns | None = None
        self.rows = 0
        self.labels: list[Any] | None = None
        self.raw: protocol.Array | None = None
        self.unusual: dict[str, int] | None = None
        self.unreadable: Mapping[str, int] | None = None
