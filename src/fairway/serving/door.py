"""How connections come in, and how a server leaves so that none is reset.

libuv takes one new connection in each round of the event loop. Under load a round is long, and
whoever came new waited until the peak was over: 8 s where others were answered in half a second. So
the listener is watched many times over.

A socket that is closed with an unread request in it resets its client, and a listener that is
closed resets the connections that the kernel has made for it and nobody has taken yet. So new
connections stop first, in the kernel; those that it had made are taken and answered; each answer
says `connection: close`; and only then the door is closed. Idle clients get a while to be heard
once more.
"""

import asyncio
import contextlib
import ctypes
import os
import socket
import struct
from typing import Any

# of the listener: new connections in a round of the event loop; each costs a system call where one
# comes
WATCHES = 32
# for clients that keep a connection and say nothing: half a second is many round trips
IDLE_SECONDS = 0.5
POLL_SECONDS = 0.01
SO_ATTACH_FILTER = 26  # asm-generic/socket.h
# A program for the packets of the listening socket: the flags are byte 13 of TCP's header; a SYN is
# dropped, all else passes.
NO_SYN = (
    struct.pack("HBBI", 0x30, 0, 0, 13)
    + struct.pack("HBBI", 0x45, 0, 1, 0x02)
    + struct.pack("HBBI", 0x06, 0, 0, 0)
    + struct.pack("HBBI", 0x06, 0, 0, 0xFFFF)
)


async def widen(server: Any) -> None:
    """Return when uvicorn's `server` takes many new connections in a round of the event loop."""
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(POLL_SECONDS)
    loop, config = asyncio.get_running_loop(), server.config

    def protocol() -> asyncio.Protocol:
        made: asyncio.Protocol = config.http_protocol_class(
            config=config,
            server_state=server.server_state,
            app_state=server.lifespan.state,
            _loop=loop,
        )
        return made

    for one in [one for listener in server.servers for one in listener.sockets]:
        for _ in range(WATCHES - 1):
            again = socket.socket(fileno=os.dup(one.fileno()))
            server.servers.append(
                await loop.create_server(
                    protocol, sock=again, ssl=config.ssl, backlog=config.backlog
                )
            )


async def leave(server: Any, *, seconds: float) -> None:
    """Return when uvicorn's `server` may close its door: `seconds` in which gateways learn that it
    leaves, then its connections are answered."""
    await asyncio.sleep(seconds)
    for one in [one for listener in server.servers for one in listener.sockets]:
        # another kernel than Linux: a few connections may be reset there
        with contextlib.suppress(OSError):
            refuse_new(one.fileno())
    clock = asyncio.get_running_loop().time
    deadline = clock() + IDLE_SECONDS
    await asyncio.sleep(POLL_SECONDS)  # what the kernel had made by then is taken meanwhile
    while server.server_state.connections and clock() < deadline:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(POLL_SECONDS)


def refuse_new(listener: int) -> None:
    """Have the kernel ignore the first packet of new connections: their clients ask again, and by
    then find another server or a closed port."""
    program = ctypes.create_string_buffer(NO_SYN, len(NO_SYN))
    fields = struct.pack("HL", len(NO_SYN) // 8, ctypes.addressof(program))
    with socket.socket(fileno=os.dup(listener)) as door:
        door.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, fields)
