"""An HTTP server on loopback that says good things well and bad things badly, byte for byte.

No HTTP library: those are too well-behaved. Refuses to know what a reply means.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from random import Random

    from torture.mutations import Spoiled

__all__ = ["Manner", "RawServer", "badly", "whole"]

MEBIBYTE = 2**20
A_DRIP = 0.02


@dataclass(frozen=True, slots=True)
class Manner:
    """Pieces of a reply in order, each as raw bytes, with seconds before each but the first.

    `again`: the last piece is repeated until nobody listens.
    """

    pieces: tuple[bytes, ...]
    every: float = 0
    again: bool = False


def whole(spoiled: Spoiled) -> Manner:
    """A reply that HTTP has nothing against."""
    return Manner((_head(len(spoiled.body), spoiled.encoding), spoiled.body))


def badly(rng: Random, good: bytes) -> Manner:
    """A reply that HTTP itself has something against, or that comes too slowly, or never ends."""
    head = _head(len(good))
    drips = tuple(good[at : at + 50] for at in range(0, len(good), 50))
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return rng.choice(
        [
            Manner((head, *drips), every=A_DRIP),
            Manner((head[:9], head[9:20], b""), every=0.5),
            Manner((b"HTTP/1.1 200 OK\r\n\r\n", b" " * MEBIBYTE), again=True),
            Manner((chunked, b"10000\r\n" + b" " * 0x10000 + b"\r\n"), again=True),
            Manner((b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 4000 + b"\r\n"), again=True),
            Manner((b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 100_000 + b"\r\n\r\n", good)),
            Manner((_head(len(good) + 100), good)),
            Manner((_head(max(len(good) - 100, 0)), good)),
            Manner((_head(-5), good)),
            Manner((b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", good)),
            Manner((chunked, b"zz\r\n", good)),
            Manner((chunked, b"fffffffffffffffff\r\n", good)),
            Manner((chunked, b"5\r\n" + good[:5])),
            Manner((b"HTTP/9.9 999 \xff\xfe\r\n\r\n", good)),
            Manner((b"SSH-2.0-OpenSSH_9.9\r\n",)),
            Manner((rng.randbytes(300),)),
            Manner((b"",)),
            Manner((b"HTTP/1.1 100 Continue\r\n\r\n",), again=True),
            Manner((b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", good)),
        ]
    )


class RawServer:
    """Answers every call as `answer` has it; `url` is what `source.url` wants."""

    def __init__(self, answer: Callable[[Any], Manner]) -> None:
        """`answer` gets the JSON body of a page call, and `None` for the count call."""
        self._answer = answer
        self._port = 0
        self._at_work: set[asyncio.Task[Any]] = set()

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
        for task in self._at_work:
            task.cancel()
        await asyncio.gather(*self._at_work, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._at_work.add(task)
            task.add_done_callback(self._at_work.discard)
        try:
            await self._reply(writer, self._answer(await _asked(reader)))
        except (OSError, EOFError, ValueError, asyncio.CancelledError):
            pass  # whoever asked has gone, or the server goes
        finally:
            # Not awaited: what nobody reads any more is never written out.
            writer.close()

    async def _reply(self, writer: asyncio.StreamWriter, manner: Manner) -> None:
        async for piece in _in_time(manner):
            writer.write(piece)
            await writer.drain()


async def _in_time(manner: Manner) -> AsyncIterator[bytes]:
    for number, piece in enumerate(manner.pieces):
        if number:
            await asyncio.sleep(manner.every)
        yield piece
    while manner.again:
        await asyncio.sleep(0)
        yield manner.pieces[-1]


async def _asked(reader: asyncio.StreamReader) -> Any:
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
