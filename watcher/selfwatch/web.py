"""Three pages for whoever looks after the machine: /livez, /readyz and /metrics. Nothing else.

Knows HTTP and its dangers: strangers may connect where they are let. So no reply repeats what was
asked, none is logged, connections are few and short, and there is nothing to change here. Refuses
to know what the pages say.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from watcher.config.addresses import TcpAddress, UnixAddress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

__all__ = ["ListenError", "Pages", "Reply", "serve"]

log = structlog.get_logger()

TEXT = "text/plain; charset=utf-8"
# Scrapers and health checks ask once and leave: more than this is not looking after us.
MOST_CONNECTIONS = 20
LONGEST_CONNECTION = timedelta(seconds=10)
LONGEST_LINE = 2048
MOST_HEADERS = 50
# Whoever may use the socket is a matter of its directory, and of this.
SOCKET_MODE = 0o660


class ListenError(Exception):
    """The address cannot be listened at; the text says why and what to set instead."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A page: the status, the body, and what it is."""

    status: HTTPStatus
    body: bytes
    content_type: str = TEXT

    @classmethod
    def words(cls, status: HTTPStatus, text: str) -> Reply:
        return cls(status, f"{text}\n".encode())


@dataclass(frozen=True, slots=True)
class Pages:
    """What each page says at the moment it is asked for."""

    live: Callable[[], Awaitable[Reply]]
    ready: Callable[[], Awaitable[Reply]]
    metrics: Callable[[], Awaitable[Reply]]


@asynccontextmanager
async def serve(
    listen: TcpAddress | UnixAddress,
    pages: Pages,
    *,
    allow_remote: bool = False,
    longest: timedelta = LONGEST_CONNECTION,
) -> AsyncIterator[str]:
    """Answer for as long as the block lasts; gives the address in words, with the real port.

    Raises `ListenError` where the address cannot be had, or is not of this machine alone and that
    was not asked for.
    """
    if not listen.is_loopback and not allow_remote:
        raise ListenError(
            "web.listen: others could reach this address; "
            "write 127.0.0.1, or set web.allow_remote to true"
        )
    server = web.Server(partial(_answer, pages))
    try:
        async with _listening(listen, partial(_connection, server, longest)) as address:
            yield address
    finally:
        await server.shutdown(timeout=1)


async def _answer(pages: Pages, request: web.BaseRequest) -> web.Response:
    """The page asked for. Bodies, queries and headers are not looked at."""
    page = {"/livez": pages.live, "/readyz": pages.ready, "/metrics": pages.metrics}.get(
        request.path
    )
    if page is None:
        return _response(_bare(HTTPStatus.NOT_FOUND))
    if request.method not in {"GET", "HEAD"}:
        return _response(_bare(HTTPStatus.METHOD_NOT_ALLOWED))
    try:
        return _response(await page())
    except Exception:
        log.exception("web.crashed")
        return _response(_bare(HTTPStatus.INTERNAL_SERVER_ERROR))


def _bare(status: HTTPStatus) -> Reply:
    return Reply.words(status, f"{status.value} {status.phrase}")


def _response(reply: Reply) -> web.Response:
    response = web.Response(status=reply.status, body=reply.body)
    response.headers["Content-Type"] = reply.content_type
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "kie-watcher"
    response.force_close()
    return response


class _Connection(web.RequestHandler):
    """One connection. A request that is no HTTP is answered with its status and no more."""

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Say the status; what aiohttp would say, and log, repeats what the stranger sent."""
        return _response(_bare(HTTPStatus(status)))


def _connection(server: web.Server, longest: timedelta) -> asyncio.Protocol:
    """A new connection, cut off where there are too many and when it lasts too long."""
    if len(server.connections) >= MOST_CONNECTIONS:
        return _Refusal()
    loop, silent = asyncio.get_running_loop(), _silent()
    connection = _Connection(
        server,
        loop=loop,
        access_log=silent,
        logger=silent,
        max_line_size=LONGEST_LINE,
        max_field_size=LONGEST_LINE,
        max_headers=MOST_HEADERS,
    )
    loop.call_later(longest.total_seconds(), connection.force_close)
    return connection


def _silent() -> logging.Logger:
    """A logger for aiohttp, which would log what strangers send."""
    logger = logging.getLogger("watcher.nobody")
    logger.disabled = True
    return logger


class _Refusal(asyncio.Protocol):
    """Hangs up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


@asynccontextmanager
async def _listening(
    listen: TcpAddress | UnixAddress, connection: Callable[[], asyncio.Protocol]
) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    try:
        if isinstance(listen, UnixAddress):
            path = Path(listen.path)
            server = await loop.create_unix_server(connection, path)
            path.chmod(SOCKET_MODE)  # noqa: ASYNC240 - a moment, at start and end only
        else:
            server = await loop.create_server(connection, listen.host, listen.port)
    except OSError as error:
        why = error.strerror or "not possible"
        raise ListenError(
            f"web.listen: the address cannot be listened at ({why}); free it or set another"
        ) from error
    try:
        yield _address(listen, server)
    finally:
        server.close()
        if isinstance(listen, UnixAddress):
            path.unlink(missing_ok=True)  # noqa: ASYNC240


def _address(listen: TcpAddress | UnixAddress, server: asyncio.Server) -> str:
    if isinstance(listen, UnixAddress):
        return f"unix:{listen.path}"
    port = server.sockets[0].getsockname()[1]
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    return f"{host}:{port}"
