"""Which deployments are one monitor's: each belongs to one shard by a hash of its name. Pure."""

import re
import zlib
from dataclasses import dataclass

from fairway import errors

FORM = re.compile(r"(\d{1,4})/(\d{1,4})")


@dataclass(frozen=True)
class Shard:
    """One of so many parts of the fleet, numbered from 0."""

    number: int
    of: int

    @property
    def lease(self) -> str:
        """Return the name of the Lease that its monitor holds."""
        return f"fairway-monitor-{self.number}-of-{self.of}"

    def has(self, namespace: str, deployment: str) -> bool:
        """Say whether the deployment belongs to it."""
        return zlib.crc32(f"{namespace}/{deployment}".encode()) % self.of == self.number


def parse(text: str) -> Shard:
    """Return the shard that `2/3` is the last of; raises UsageError for what is none."""
    found = FORM.fullmatch(text)
    number, of = (int(part) for part in found.groups()) if found else (0, 0)
    if number >= of:
        raise errors.UsageError(
            f"--shard {text!r}: wanted NUMBER/OF from 0, such as 0/1 for all, or 0/2 and 1/2"
        )
    return Shard(number, of)
