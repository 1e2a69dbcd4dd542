"""Who calls the collector and what each may do: threads ask the API server, so that no event waits
for its answer."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.requests import Request

from fairway import errors
from fairway.monitoring.eventstore import access
from fairway.monitoring.eventstore.collector import peers, refusals

# questions to the API server at once about tokens that are new, and as many about callers that are
# known already
REVIEWERS = 4
MAX_WAITING = 64  # callers that wait for an answer, in each of the two


class Callers:
    """The callers of one collector; `loopback`: only those of this machine are served; `proof`
    reads what a request shows of its caller."""

    def __init__(
        self, gate: access.Access, *, loopback: bool, proof: peers.ReadProof = peers.bearer
    ) -> None:
        self._gate, self._loopback, self._proof = gate, loopback, proof
        # made-up tokens wait with their like alone
        self._strangers, self._known = Reviewers("strangers"), Reviewers("known")

    async def caller(self, request: Request) -> access.Principal:
        """Return the caller; raise Unauthenticated, or Denied for what a web page sent."""
        refusals.need_no_page(request, loopback=self._loopback)
        given = self._proof(request)
        reviewers = self._known if self._gate.met(given) else self._strangers
        caller: access.Principal = self._gate.remembered(given) or await reviewers.ask(
            self._gate.caller, given
        )
        return caller

    async def permit(self, caller: access.Principal, acts: Iterable[access.Act]) -> None:
        """Raise Denied unless the caller may do all of it; what is remembered waits for nobody."""
        unknown = self._gate.unknown(caller, acts)
        if unknown:
            await self._known.ask(self._gate.permit, caller, unknown)

    def shutdown(self) -> None:
        self._strangers.shutdown()
        self._known.shutdown()


class Reviewers:
    """Threads that ask the API server, and a bound on the callers that wait for them."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(
            max_workers=REVIEWERS, thread_name_prefix=f"collector-{name}"
        )
        self._waiting = 0

    async def ask(self, function: Callable[..., Any], *arguments: object) -> Any:
        if self._waiting >= MAX_WAITING:
            raise errors.Unavailable(
                f"{MAX_WAITING} callers wait for the API server already; try again"
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, function, *arguments
            )
        finally:
            self._waiting -= 1

    def shutdown(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
