"""An HTTP server on loopback that replies byte for byte as it is told, also against HTTP's rules.

Without an HTTP library: those do not let one break the rules.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from random import Random

    from torture.mutations import SpoiledReply

__all__ = ["RawReply", "RawServer", "broken_http", "correct_http"]

MEBIBYTE = 2**20
DRIP_INTERVAL = 0.02


@dataclass(frozen=True, slots=True)
class RawReply:
    """Pieces of a reply in order, as raw bytes; `every`: seconds between two of them.

    `endless`: the last piece is repeated until the client disconnects.
    """

    pieces: tuple[bytes, ...]
    every: float = 0
    endless: bool = False


def correct_http(spoiled: SpoiledReply) -> RawReply:
    """A reply that is correct HTTP, whatever its body is."""
    return RawReply((_head(len(spoiled.body), spoiled.encoding), spoiled.body))


def broken_http(rng: Random, good: bytes) -> RawReply:
    """A reply that breaks HTTP, comes too slowly, or never ends."""
    head = _head(len(good))
    drips = tuple(good[at : at + 50] for at in range(0, len(good), 50))
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return rng.choice(
        [
            RawReply((head, *drips), every=DRIP_INTERVAL),
            RawReply((head[:9], head[9:20], b""), every=0.5),
            RawReply((b"HTTP/1.1 200 OK\r\n\r\n", b" " * MEBIBYTE), endless=True),
            RawReply((chunked, b"10000\r\n" + b" " * 0x10000 + b"\r\n"), endless=True),
            RawReply((b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 4000 + b"\r\n"), endless=True),
            RawReply((b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 100_000 + b"\r\n\r\n", good)),
            RawReply((_head(len(good) + 100), good)),
            RawReply((_head(max(len(good) - 100, 0)), good)),
            RawReply((_head(-5), good)),
            RawReply((b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", good)),
            RawReply((chunked, b"zz\r\n", good)),
            RawReply((chunked, b"fffffffffffffffff\r\n", good)),
            RawReply((chunked, b"5\r\n" + good[:5])),
            RawReply((b"HTTP/9.9 999 \xff\xfe\r\n\r\n", good)),
            RawReply((b"SSH-2.0-OpenSSH_9.9\r\n",)),
            RawReply((rng.randbytes(300),)),
            RawReply((b"",)),
            RawReply((b"HTTP/1.1 100 Continue\r\n\r\n",), endless=True),
            RawReply((b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", good)),
        ]
    )


class RawServer:
    """Replies to every call as `answer` has it; `url` is for `source.url`."""

    def __init__(self, answer: Callable[[Any], RawReply]) -> None:
        """`answer` gets the JSON body of a page call, and `None` for the count call."""
        self._answer = answer
        self._port = 0
        self._serving: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """The base address."""
        return f"http://127.0.0.1:{self._port}/client/v1/"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        try:
            await self._reply(writer, self._answer(await _read_request(reader)))
        except (OSError, EOFError, ValueError, asyncio.CancelledError):
            pass  # the client has disconnected, or the server stops
        finally:
            # Not awaited: what nobody reads is never written.
            writer.close()

    async def _reply(self, writer: asyncio.StreamWriter, reply: RawReply) -> None:
        async for piece in _timed_pieces(reply):
            writer.write(piece)
            await writer.drain()


async def _timed_pieces(reply: RawReply) -> AsyncIterator[bytes]:
    for number, piece in enumerate(reply.pieces):
        if number:
            await asyncio.sleep(reply.every)
        yield piece
    while reply.endless:
        await asyncio.sleep(0)
        yield reply.pieces[-1]


async def _read_request(reader: asyncio.StreamReader) -> Any:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    return json.loads(await reader.readexactly(length)) if length else None


def _head(length: int, encoding: str = "") -> bytes:
    lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {length}"]
    if encoding:
        lines.append(f"Content-Encoding: {encoding}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")
