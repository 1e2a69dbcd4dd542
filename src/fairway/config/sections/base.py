"""What may be configured: the one source of the checked configuration, the CRD schema and the
reference page.

Keys are camelCase in files (as in the custom resource) and snake_case in Python. Durations are
written `250ms`, `30s`, `10m`, `6h` or `2d` and are `timedelta` here. Every field has a line that
says why its default is what it is.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

DURATION = re.compile(r"^([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)$")
UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]*://")
ADDRESSES = re.compile(r"^(s3|gs|minio|https?|oci|pvc|file)://\S+$")
CREDENTIALS = re.compile(r"^[a-z0-9]+://[^/?#]*@")


def parse_duration(value: Any) -> timedelta:
    """Return the duration that `250ms`, `30s`, `10m`, `6h` or `2d` means."""
    if isinstance(value, timedelta):
        return value
    match = DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("wanted a duration such as 250ms, 30s, 10m, 6h or 2d")
    try:
        return timedelta(seconds=float(match[1]) * UNIT_SECONDS[match[2]])
    except OverflowError as error:
        raise ValueError("wanted a duration that ends before the calendar does") from error


def format_duration(value: timedelta) -> str:
    """Return the shortest way to write the duration in whole units."""
    milliseconds = round(value.total_seconds() * 1000)
    for unit in ("d", "h", "m", "s"):
        size = round(UNIT_SECONDS[unit] * 1000)
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION.pattern, "maxLength": 16}),
]
Fraction = Annotated[float, Field(ge=0, le=1)]


def _without_credentials(uri: str) -> str:
    if CREDENTIALS.match(uri):
        raise ValueError(
            "wanted no credentials in an address: a Secret holds them, and the environment gives them"
        )
    return uri


NO_CREDENTIALS = AfterValidator(_without_credentials)


def _place(value: Any) -> Path | str:
    """Return an address as it is written, a path of this machine as a path."""
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("wanted a path or an address")
    if not ADDRESS.match(value):
        return Path(value)
    if not ADDRESSES.match(value):
        raise ValueError(
            "wanted a path, or an address that starts with s3://, gs://, oci://, https://, http://, pvc:// or file://"
        )
    return _without_credentials(value)


# a file: of this machine, or elsewhere, from where it is brought before it is read
Location = Annotated[
    Path | str,
    PlainValidator(_place),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 2048}),
]


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values are frozen."""

    # keys that were called otherwise once, and are read still
    FORMER: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, values: Any) -> Any:
        if not cls.FORMER or not isinstance(values, Mapping):
            return values
        return {
            cls.FORMER.get(key, key) if cls.FORMER.get(key) not in values else key: values[key]
            for key in values
        }
