"""The state of a training kept beyond the machine that trains, so that a pod that was preempted goes on
in another."""

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fairway import addresses, errors, files

EVERY_SECONDS = 30.0  # between two copies: at most so much is trained again
LARGEST = 64 << 30  # bytes
log = logging.getLogger("fairway.training")


class StateMirror:
    """Copies of one training's state at an address. An address that cannot be reached costs a warning,
    never the training."""

    def __init__(
        self,
        address: str,
        *,
        identity: object,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`identity` is what the same training has in common, such as its section and dataset."""
        self._address, self._clock = address, clock
        digest = files.digest_bytes(files.canonical(identity)).removeprefix("sha256:")
        self._name = f"checkpoints/{digest}.pt"
        self._next = clock() + EVERY_SECONDS
        self._warned = False

    def fetch(self, kept: Path) -> bool:
        """Put the state to where a resumed training looks for it, unless one lies there; say whether
        one was fetched."""
        if kept.exists():
            return False
        with self._harmless("read"), files.workshop(kept.parent, prefix=".state-") as folder:
            try:
                addresses.take(
                    addresses.folder(self._address),
                    self._name,
                    to=folder / kept.name,
                    largest=LARGEST,
                )
            except errors.MissingFile:
                return False
            (folder / kept.name).replace(kept)
            return True
        return False

    def keep(self, kept: Path) -> None:
        """Copy the state there, once in EVERY_SECONDS."""
        if self._clock() < self._next or not kept.exists():
            return
        with self._harmless("written"), tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            still = Path(folder) / kept.name  # the training may replace the other meanwhile
            os.link(kept, still)
            addresses.need_writable(self._address).put(self._name, still)
        self._next = self._clock() + EVERY_SECONDS

    @contextlib.contextmanager
    def _harmless(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (errors.FairwayError, OSError) as error:
            if not self._warned:
                log.warning(
                    "the state of the training cannot be %s at %s: %s; a pod that is preempted begins anew",
                    verb,
                    self._address,
                    error,
                )
            self._warned = True
