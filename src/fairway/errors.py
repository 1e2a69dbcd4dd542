"""Everything fairway raises on purpose.

    FairwayError
     ├─ Temporary          try again: the cause may pass by itself
     │   ├─ Unavailable      a process or address does not answer (yet)
     │   ├─ StoreBusy        the event store is locked or its disk is full (StoreFull)
     │   └─ StoreReplaced    the event store is not the one that a cursor is of
     └─ Permanent          tell a human: trying again changes nothing
         ├─ UsageError       a flag, a file name or an option is wrong       (exit 2)
         │   └─ ConfigError    a key of the configuration is wrong           (exit 2)
         ├─ AddressError     an address refuses, or has not what was asked of it
         │   └─ MissingFile    there is no such file at the address
         ├─ DataError        the data cannot be used as it is
         ├─ TrainingError    training or export did not give a usable model
         ├─ ModelError       a model's graph cannot be run, or answers nonsense
         ├─ PackageError     a model package is incomplete or was changed
         ├─ ServingError     a model server could not start
         ├─ PlatformError    the local platform or the cluster refused
         │   └─ StoreDamaged   the event store's file is damaged
         └─ Refused          a gate said no, or a rollout was rolled back    (exit 3)

A message is one sentence: what, where, the value seen, the value wanted, the next step.
`exit_status` is what the command line ends with: 0 done, 1 failed, 2 used wrongly, 3 refused by a
gate or rolled back.
"""

import contextlib
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging


class FairwayError(Exception):
    """The root: catch this at the edge, print its one sentence, exit with `exit_status`."""

    exit_status = 1


class Temporary(FairwayError):
    """Try again: the cause may pass by itself."""


class Unavailable(Temporary):
    """A process or an address does not answer (yet)."""


class StoreBusy(Temporary):
    """The event store cannot take a write now: locked, or its disk is full."""


class StoreFull(StoreBusy):
    """The event store's disk is full: older events must go first."""


class StoreReplaced(Temporary):
    """The event store is not the one that a cursor is of, or was set back: begin anew from its
    newest event."""


class Permanent(FairwayError):
    """Tell a human: trying again changes nothing."""


class UsageError(Permanent):
    """A flag, a file name or an option is wrong."""

    exit_status = 2


class ConfigError(UsageError):
    """A key of the configuration is wrong; the message starts with the key's path."""


class AddressError(Permanent):
    """An address refuses, or has not what was asked of it."""


class MissingFile(AddressError):
    """There is no such file at the address."""


class DataError(Permanent):
    """The data cannot be used as it is."""


class NothingServed(DataError):
    """No logged request is there of what is meant, so far."""


class TrainingError(Permanent):
    """Training or export did not give a usable model."""


class ModelError(Permanent):
    """A model's graph cannot be run, or answers nonsense."""


class PackageError(Permanent):
    """A model package is incomplete or was changed."""


class ServingError(Permanent):
    """A model server could not start."""


class PlatformError(Permanent):
    """The local platform or the cluster refused."""


class StoreDamaged(PlatformError):
    """The event store's file is damaged: what is written to it may be lost."""


class Refused(Permanent):
    """A gate said no, or a rollout was rolled back."""

    exit_status = 3


@contextlib.contextmanager
def logged(log: "logging.Logger") -> Iterator[None]:
    """Log what fairway or the system raises inside the block, and go on after it."""
    try:
        yield
    except (FairwayError, OSError) as error:
        log.error("%s", error)


SHOWN_CHARACTERS = 60
SHOWN_ENTRIES = 8  # of a list or a map
SHOWN_LEVELS = 4  # of lists within lists


def excerpt(value: object, *, levels: int = SHOWN_LEVELS) -> object:
    """Return what a message may show of a value: the beginning of it, whatever its size and however
    deep it is nested."""
    if isinstance(value, str | bytes):
        return value[:SHOWN_CHARACTERS]
    if isinstance(value, dict):
        first = itertools.islice(value.items(), SHOWN_ENTRIES) if levels else ()
        return {
            excerpt(key, levels=levels - 1): excerpt(item, levels=levels - 1) for key, item in first
        }
    if isinstance(value, list | tuple):
        return (
            [excerpt(item, levels=levels - 1) for item in value[:SHOWN_ENTRIES]] if levels else []
        )
    return value


def shortened(text: str) -> str:
    """Return the text with at most SHOWN_CHARACTERS characters."""
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
