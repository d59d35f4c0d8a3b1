"""Services on loopback under their own names, over TLS: nothing of the watcher is changed for it.

A proxy takes the requests to discord.com, hooks.slack.com and all others, and answers for them with
certificates of an authority of its own. `environment` makes a process use the proxy and trust the
authority.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import trustme

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["Internet", "WebAnswer", "WebRequest"]


@dataclass(frozen=True, slots=True)
class WebRequest:
    """A request to a service; names of headers are in lower case."""

    host: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class WebAnswer:
    """A service's answer."""

    body: bytes = b"ok"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


class Internet:
    """The proxy, for as long as the `async with` lasts; `answer` answers for every service."""

    def __init__(self, place: Path, answer: Callable[[WebRequest], WebAnswer]) -> None:
        """`place` is a directory for a file."""
        self.answer = answer
        self.authority = trustme.CA()
        self._file = place / "authority.pem"
        self.authority.cert_pem.write_to_path(self._file)
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._port = 0

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment."""
        return {
            "HTTPS_PROXY": f"http://127.0.0.1:{self._port}",
            "NO_PROXY": "127.0.0.1,localhost",
            "REQUESTS_CA_BUNDLE": str(self._file),
            "SSL_CERT_FILE": str(self._file),
        }

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    def context(self, host: str) -> ssl.SSLContext:
        """What a server needs to be taken for `host`."""
        if host not in self._contexts:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.authority.issue_cert(host).configure_cert(context)
            self._contexts[host] = context
        return self._contexts[host]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            head = await reader.readuntil(b"\r\n\r\n")
            host = head.split()[1].decode().partition(":")[0]
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            await writer.drain()
            await writer.start_tls(self.context(host))
            await self._answer(host, reader, writer)
        writer.close()

    async def _answer(
        self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        answer = self.answer(WebRequest(host, first.split()[1], headers, body))
        told = [f"HTTP/1.1 {answer.status} Said", f"Content-Length: {len(answer.body)}"]
        told += [f"{name}: {value}" for name, value in answer.headers]
        head = "\r\n".join([*told, "Connection: close", "", ""])
        writer.write(head.encode("latin-1") + answer.body)
        await writer.drain()
