"""The platform port: what the command line and the pipeline ask of wherever deployments run.

Each platform implements it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from fairway.config import sections
from fairway.packaging import lineage
from fairway.rollout.seen import Command
from fairway.rollout.states import Phase, Reply, State

Json = dict[str, Any]
Row = Mapping[str, Any]
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a deploy has asked for."""

    identity: str
    """The revision, or, where only the controller can name it, the package's digest."""
    revision: str | None
    """The revision, None where only the controller can name it."""
    record: Json
    """For programs."""
    lines: tuple[str, ...]
    """For people."""
    refusal: str | None = None
    """Why no rollout begins."""


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A deployment, and where its rollout stands."""

    record: Json
    """deployment, phase, stable, candidate, weight, mirror, verdict, reason, rejected."""
    state: State | None
    """The rollout's whole state, None where another version of fairway wrote it."""
    policy: sections.Strategy
    """The strategy in force."""
    approximate: str = ""
    """Why the judge's promise does not hold to the letter."""
    details: Json = field(default_factory=dict)
    """What else programs are shown of the rollout, such as its history."""
    tables: tuple[Sequence[Row], ...] = ()
    """What else people are shown of it."""
    unreadable: str | None = None
    """Why there is no state."""


class End(StrEnum):
    """How following a rollout came to an end."""

    SERVES = "serves"
    PAUSED = "paused"  # a person is asked
    ROLLED_BACK = "rolledBack"
    IMPOSSIBLE = "impossible"  # what is asked for cannot be followed


@dataclass(frozen=True, kw_only=True)
class Ended:
    """Where a rollout stood when following it came to an end."""

    end: End
    sentence: str
    record: Json


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What became of a command, and the phase after it."""

    reply: Reply
    phase: Phase | str | None


@dataclass(frozen=True, kw_only=True)
class InService:
    """The package of the revision that serves."""

    address: str
    digest: str


class PlatformPort(Protocol):
    """Where deployments run.

    Methods raise UsageError for what is not there, Unavailable where nobody answers in time.
    """

    def deploy(
        self,
        config: sections.Config,
        *,
        package: Path,
        uri: str | None = None,
        note: str = "",
        origin: lineage.Provenance = lineage.UNKNOWN,
    ) -> Asked:
        """Ask for the package to be served; asking again for the same changes nothing. The revision
        remembers the package's lineage, with how its run came about and with its champions'."""

    def read(self, name: str) -> Deployed:
        """Return the deployment of that name."""

    def every(self, *, everywhere: bool = False) -> list[Deployed]:
        """Return all deployments; `everywhere` are those of all namespaces."""

    def in_service(self, name: str, *, store: str | None) -> InService | None:
        """Return the package that serves as `name`, None where nothing does; `store` is where
        packages lie by their digest, for one that is not the newest that was asked for."""

    def lineage(self, name: str, *, revision: str | None = None) -> tuple[Json, ...]:
        """Return the lineage of a revision and of the champions before it, newest first; of the one
        in service by default, else of what was asked for."""

    def follow(
        self,
        name: str,
        *,
        revision: str | None = None,
        timeout_seconds: float | None = None,
        tell: Tell | None = None,
    ) -> Ended:
        """Wait until the rollout of what is asked for has ended or asks for a person.

        `tell` is called with a line for each change.
        """

    def command(self, name: str, command: Command) -> Answered:
        """Give a command, and wait until the controller has obeyed or refused it."""
