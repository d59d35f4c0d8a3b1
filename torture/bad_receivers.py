"""Receivers on loopback that misbehave in every way: each makes whoever sends to it wait or starve.

Raw sockets, since no library lets one break its rules like this.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import subprocess
import sys
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

__all__ = ["NEVER_LEAVES", "NO_NAME", "SORTS", "BadReceivers", "bad_receivers", "sort_of"]

ROOT = Path(__file__).resolve().parent.parent
DRIP_INTERVAL = 1.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
# A tenth of a megabyte that becomes a hundred.
BOMB_SIZE = 100 * 2**20
# Where names are looked up, where one may listen there.
NAMESERVER = ("127.66.66.66", 53)
MAIL_OPTIONS = "smtp=127.0.0.1&mode=insecure&from=watcher@example.org&to=canary@example.net"

Serve: TypeAlias = "Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]"


async def _read_request(reader: asyncio.StreamReader) -> None:
    with suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        await reader.readuntil(b"\r\n\r\n")


async def _drip(writer: asyncio.StreamWriter, first: bytes, byte: bytes) -> None:
    writer.write(first)
    while True:
        writer.write(byte)
        await writer.drain()
        await asyncio.sleep(DRIP_INTERVAL)


async def _flood(writer: asyncio.StreamWriter, first: bytes, more: bytes) -> None:
    writer.write(first)
    while True:
        writer.write(more)
        await writer.drain()
        # As fast as a network, and not as a memory: the machine has other work.
        await asyncio.sleep(0.001)


async def _hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(65_536):
        pass


async def _drip_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _read_request(reader)
    await _drip(writer, HEAD + b"X-Slow: ", b"x")


async def _drip_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _read_request(reader)
    await _drip(writer, HEAD + b"Content-Length: 10000\r\n\r\n", b" ")


async def _endless_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _read_request(reader)
    await _flood(writer, HEAD + b"\r\n", b" " * 65_536)


async def _endless_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _read_request(reader)
    await _flood(writer, b"", b"HTTP/1.1 100 Continue\r\n\r\n")


async def _gzip_bomb(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _read_request(reader)
    bomb = _bomb()
    head = f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    writer.write(HEAD + head.encode() + bomb)
    await writer.drain()


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(BOMB_SIZE))


async def _slow_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    # The beginning of a handshake record that is never complete.
    await _drip(writer, b"\x16\x03\x03\x40\x00", b"\x02")


async def _slow_banner(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _drip(writer, b"220", b" ")


async def _endless_banner(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _flood(writer, b"", b"220-welcome\r\n" * 1000)


async def _slow_after_data(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 ready\r\n")
    while line := await reader.readline():
        if line.upper().startswith(b"DATA"):
            writer.write(b"354 go on\r\n")
            await reader.readuntil(b"\r\n.\r\n")
            await _drip(writer, b"250", b"-")
        writer.write(b"250 fine\r\n")


async def _never_reads(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.Event().wait()


_JSON, _TLS = "json://127.0.0.1:{}/", "jsons://127.0.0.1:{}/"
# A service without a module of its own: Apprise reads its whole reply.
_GOTIFY = "gotify://127.0.0.1:{}/AbCdEf.12345678"
_MAIL = f"mailto://127.0.0.1:{{}}?{MAIL_OPTIONS}"
# What serves each sort, and the URL, with a place for the port.
_SERVED: Mapping[str, tuple[Serve, str]] = {
    "hangs": (_hang, _JSON),
    "never reads": (_never_reads, _JSON),
    "drips its header": (_drip_header, _JSON),
    "drips its body": (_drip_body, _JSON),
    "answers without end": (_endless_body, _JSON),
    "continues without end": (_endless_header, _JSON),
    "sends a bomb": (_gzip_bomb, _JSON),
    "drips its handshake": (_slow_tls, _TLS),
    "hangs, to Apprise": (_hang, _GOTIFY),
    "drips its body, to Apprise": (_drip_body, _GOTIFY),
    "answers without end, to Apprise": (_endless_body, _GOTIFY),
    "sends a bomb, to Apprise": (_gzip_bomb, _GOTIFY),
    "drips its banner": (_slow_banner, _MAIL),
    "greets without end": (_endless_banner, _MAIL),
    "drips its last word": (_slow_after_data, _MAIL),
}
NO_NAME = "has a name that is never resolved"
_NO_PLACE = "accepts no connection"
# Those to which nothing can have been sent: whoever says that it may have arrived is wrong.
NEVER_LEAVES = frozenset(
    {"drips its handshake", "drips its banner", "greets without end", _NO_PLACE, NO_NAME}
)
SORTS = (*_SERVED, _NO_PLACE, NO_NAME)


@dataclass(frozen=True, slots=True)
class BadReceivers:
    """The URL of each, by a name that says its sort; `command` is put before that of the watcher.

    With it, names are never resolved. It is empty where this user may not arrange that, and then no
    receiver needs it.
    """

    urls: Mapping[str, str]
    command: tuple[str, ...]


def sort_of(name: str) -> str:
    """Which sort a receiver is of."""
    return SORTS[int(name.removeprefix("bad").partition("-")[0])]


@asynccontextmanager
async def bad_receivers(count: int, place: Path) -> AsyncIterator[BadReceivers]:
    """So many bad receivers, of all sorts in turn, in a process of their own.

    `place` is a directory for a file. In the process of others they would keep these waiting.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "torture.bad_receivers", str(count), str(place)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        told = json.loads(await process.stdout.readline())
        yield BadReceivers(told["urls"], tuple(told["command"]))
    finally:
        process.kill()
        await process.communicate()


async def _serve(count: int, place: Path) -> None:
    """Serve until killed, or until whoever started this is gone."""
    async with AsyncExitStack() as stack:
        urls = {}
        for sort, (serve, url) in _SERVED.items():
            urls[sort] = url.format(await stack.enter_async_context(_serving(serve)))
        urls[_NO_PLACE] = _JSON.format(stack.enter_context(_full_backlog()))
        command = stack.enter_context(_unresolving(place))
        if command:
            urls[NO_NAME] = "json://receiver.example.org/"
        sorts = list(islice(cycle(urls), count))
        named = {f"bad{SORTS.index(sort)}-{turn}": urls[sort] for turn, sort in enumerate(sorts)}
        _bomb()
        print(json.dumps({"urls": named, "command": command}), flush=True)
        await asyncio.to_thread(sys.stdin.buffer.read)


@asynccontextmanager
async def _serving(serve: Serve) -> AsyncIterator[int]:
    """A server on loopback, and its port; it serves each connection until that is closed."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def _full_backlog() -> Iterator[int]:
    """A port that listens, and whose queue is full: a connection is not made, nor refused."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@contextmanager
def _unresolving(place: Path) -> Iterator[tuple[str, ...]]:
    """What to put before a command that is to ask a name server that never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        # Two trials at once are as silent as one.
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            silent.bind(NAMESERVER)
        except OSError:
            yield ()
            return
        configuration = place / "resolv.conf"
        configuration.write_text(f"nameserver {NAMESERVER[0]}\n")
        mount = f'mount --bind {configuration} /etc/resolv.conf && exec "$@"'
        command = ("unshare", "--mount", "sh", "-c", mount, "sh")
        done = subprocess.run([*command, "true"], check=False, capture_output=True)
        yield () if done.returncode else command


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
