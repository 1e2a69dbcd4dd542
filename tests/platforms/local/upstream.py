"""A little model server for tests of the gateway: says what it was sent, and misbehaves on demand.

    python upstream.py --port PORT --revision NAME

Request headers: `x-test-status` (answer with it), `x-test-delay` (seconds before the answer),
`x-test-reset` (close without an answer), `x-test-crash` (die); with `x-test-only: REVISION` they
hold for that revision alone. GET /seen gives how many requests came per arm.
"""

import argparse
import asyncio
import collections
import contextlib
import json
import os
import signal

SEEN: collections.Counter[str] = collections.Counter()
MOST: dict[str, int] = {"now": 0, "most": 0}


async def read(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], int] | None:
    """Return the path, the headers and the size of the body of the next request, or None where
    there is none."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    size = 0
    if headers.get("transfer-encoding") == "chunked":
        while chunk := int(await reader.readline(), 16):
            await reader.readexactly(chunk + 2)
            size += chunk
        await reader.readexactly(2)
    else:
        size = len(await reader.readexactly(int(headers.get("content-length", 0))))
    return first.split(" ")[1], headers, size


async def answer(
    revision: str, path: str, headers: dict[str, str], size: int
) -> tuple[int, object] | None:
    """Return the status and the body to answer with, or None to close the connection."""
    if path == "/seen":
        return 200, {**SEEN, "at_once": MOST["most"]}
    arm = headers.get("x-fairway-arm", "none")
    SEEN[arm] += 1
    MOST["now"] += 1
    MOST["most"] = max(MOST.values())
    try:
        if headers.get("x-test-only", revision) != revision:
            return 200, {"revision": revision, "arm": arm}
        await asyncio.sleep(float(headers.get("x-test-delay", 0)))  # the work that is asked for
        if "x-test-crash" in headers:
            os.kill(os.getpid(), signal.SIGKILL)
        if "x-test-reset" in headers:
            return None
        said = {
            "revision": revision,
            "arm": arm,
            "unit": headers.get("x-fairway-unit"),
            "id": headers.get("x-request-id"),
            "size": size,
            "claimed": headers.get("x-fairway-revision"),
        }
        return int(headers.get("x-test-status", 200)), said
    finally:
        MOST["now"] -= 1


async def serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, revision: str
) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while (request := await read(reader)) is not None:
            found = await answer(revision, *request)
            if found is None:
                break
            body = json.dumps(found[1]).encode()
            writer.write(
                b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                % (found[0], len(body))
                + body
            )
            await writer.drain()
    writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--revision", required=True)
    arguments = parser.parse_args()
    server = await asyncio.start_server(
        lambda r, w: serve(r, w, revision=arguments.revision), "127.0.0.1", arguments.port
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
