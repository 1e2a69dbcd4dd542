"""What is kept whole for a monitor: a server shows its package, and a monitor keeps what it learnt
and what it concluded.

    GET, POST /v1/packages      of a server: which files of its package are kept, and one more
    GET, PUT, DELETE /v1/blobs  of a monitor: any of them, what it learnt, samples to label, what was accepted
    POST /v1/conclusions        of a monitor: steps that are stored together

A package's files are a server's own word: whoever reads them holds them against the digest that the
operator gave.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fairway import clocks, errors
from fairway.monitoring.eventstore import access, archive, batches, blobs, cloudevents, stored_json
from fairway.monitoring.eventstore.collector import bodies, callers

# of a package, what a monitor needs: what its rows look like, how good it was, what it learnt from
FILES = ("manifest.json", "evaluation.json", "reference.npz")
KEPT = ("usual", "learning", "samples", "accepted")  # of a deployment, whatever its revision
LARGEST = 32 << 20  # bytes of one file
MOST_COMING = 2 * LARGEST
Answer = Callable[[Request, access.Principal], Awaitable[Response]]
TOO_LARGE = f"the file is larger than {LARGEST >> 20} MiB; nothing was stored"


class Keeping:
    """The blobs and conclusions of one store; `writer` is the thread that writes it, `reader` the
    one that reads."""

    def __init__(
        self,
        store: archive.EventStore,
        read_store: archive.EventStore,
        *,
        clock: clocks.Steady,
        writer: Executor,
        reader: Executor,
        known: callers.Callers,
        packages: bool,
    ) -> None:
        self._store, self._read_store, self._clock = store, read_store, clock
        self._writer, self._reader, self._callers = writer, reader, known
        self._packages = packages  # whether servers are asked to show theirs
        self._bodies = bodies.Bodies(most_bytes=MOST_COMING)

    async def package(self, request: Request, caller: access.Principal) -> Response:
        """Answer a server: the digests of what is kept of its package, or keep one more file."""
        place = _place(request, names=FILES if request.method == "POST" else ())
        await self._callers.permit(
            caller,
            [access.Act("prediction", place.namespace, place.deployment, place.revision)],
        )
        if request.method == "GET":
            found = await _in(self._reader, self._read_store.blobs.digests, place)
            if found:
                await _in(self._writer, self._touch, place)
            return JSONResponse({"wanted": self._packages, "files": found})
        if not self._packages:
            raise errors.DataError("no packages are kept here (--packages); nothing was stored")
        return await self._put(request, place, caller=caller)

    async def blob(self, request: Request, caller: access.Principal) -> Response:
        """Answer a monitor: one file, or keep what it learnt."""
        if request.method == "GET":
            place = _place(request, names=(*FILES, *KEPT))
            await self._permit(caller, "inputs", place)
            found = await _in(self._reader, self._read_store.blobs.get, place)
            if found is None:
                return JSONResponse({"error": f"no {place.name} is kept"}, status_code=404)
            return Response(found, media_type="application/octet-stream")
        place = _place(request, names=KEPT)
        await self._permit(caller, "conclusions", place)
        known = _turn(request)
        if request.method == "PUT":
            return await self._put(request, place, caller=caller, known=known)
        await asyncio.shield(_in(self._writer, self._write, place, None, known))
        return Response(status_code=204)

    async def conclude(self, request: Request, caller: access.Principal) -> Response:
        """Answer a monitor: the steps of its batch are stored."""
        owner = _owner(request)
        await self._callers.permit(
            caller, [access.Act("conclusions", owner.namespace, owner.deployment)]
        )
        body = await self._whole(request, caller=caller)
        write = partial(_stored, self._store, owner, body)
        return JSONResponse({"turn": await asyncio.shield(_in(self._writer, write))})

    async def _put(
        self,
        request: Request,
        place: blobs.BlobPlace,
        *,
        caller: access.Principal,
        known: int | None = None,
    ) -> Response:
        body = await self._whole(request, caller=caller)
        digest = await asyncio.shield(_in(self._writer, self._write, place, body, known))
        return JSONResponse({"digest": digest}, status_code=202)

    def _touch(self, place: blobs.BlobPlace) -> None:
        self._store.blobs.touch(place, at=self._clock.now())

    def _write(self, place: blobs.BlobPlace, body: bytes | None, known: int | None) -> str | None:
        with self._store.writing():
            if known is not None:
                owner = batches.About(namespace=place.namespace, deployment=place.deployment)
                batches.need_turn(self._store, owner, known)
            if body is None:
                self._store.blobs.remove(place)
                return None
            return self._store.blobs.put(place, body, at=self._clock.now())

    async def _permit(
        self, caller: access.Principal, kind: access.Kind, place: blobs.BlobPlace
    ) -> None:
        await self._callers.permit(caller, [access.Act(kind, place.namespace, place.deployment)])

    async def _whole(self, request: Request, *, caller: access.Principal) -> bytes:
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > LARGEST:
            raise bodies.TooLarge(TOO_LARGE)
        return await self._bodies.read(
            request.stream(), caller=caller.name, largest=LARGEST, too_large=TOO_LARGE
        )


def _stored(store: archive.EventStore, owner: batches.About, body: bytes) -> int:
    try:
        batch = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise errors.DataError(f"the body is no JSON ({error}): wanted a batch of steps") from error
    return batches.store_batch(store, owner, batch)


def _owner(request: Request) -> batches.About:
    return batches.About(
        namespace=_name(request, "namespace"), deployment=_name(request, "deployment")
    )


def _place(request: Request, *, names: tuple[str, ...]) -> blobs.BlobPlace:
    """Return what the query names; one of `names` where there are any."""
    owner = _owner(request)
    name = request.query_params.get("name", "")
    if names and name not in names:
        raise errors.DataError(
            f"the query's name is {cloudevents.shown(name or None)}: wanted one of {', '.join(names)}"
        )
    revision = "" if name in KEPT else _name(request, "revision")
    return blobs.BlobPlace(
        namespace=owner.namespace, deployment=owner.deployment, revision=revision, name=name
    )


def _name(request: Request, key: str) -> str:
    value = request.query_params.get(key, "")
    if not 0 < len(value) <= cloudevents.LONGEST_NAME or not stored_json.storable(value):
        raise errors.DataError(
            f"the query's {key} is {cloudevents.shown(value or None)}: wanted a name of 1 to "
            f"{cloudevents.LONGEST_NAME} characters"
        )
    return value


def _turn(request: Request) -> int:
    text = request.query_params.get("turn", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise errors.DataError(
            f"the query's turn is {cloudevents.shown(text or None)}: wanted the number of the last answer"
        )
    return int(text)


def _in(
    threads: Executor, function: Callable[..., Any], *arguments: object
) -> "asyncio.Future[Any]":
    return asyncio.get_running_loop().run_in_executor(threads, function, *arguments)
