"""The web server: which routes it serves is the caller's, its limits are here.

Strangers may connect where that is allowed. So no reply repeats what a request held, requests are
not logged, and connections are short and few: a new one takes the place of the oldest, so that
clients that are slow or silent keep nobody out.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, cast

from aiohttp import web

from watcher.config.addresses import ListenError, TcpAddress, UnixAddress
from watcher.log import log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

# Scrapers and health checks ask once and leave: nothing that monitors us needs more than this.
MOST_CONNECTIONS = 20
LONGEST_CONNECTION = timedelta(seconds=10)
LONGEST_LINE = 2048
MOST_HEADERS = 50
# Its directory and this decide who may use the socket.
SOCKET_MODE = 0o660

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Server": "kie-watcher",
}


@asynccontextmanager
async def serve(
    listen: TcpAddress | UnixAddress,
    routes: Iterable[web.AbstractRouteDef],
    *,
    allow_remote: bool = False,
    longest: timedelta = LONGEST_CONNECTION,
) -> AsyncIterator[str]:
    """Serve for as long as the block lasts; gives the address as text, with the real port.

    `longest` is how long a connection may last. Raises `ListenError` where it cannot listen on the
    address, or others could reach it and `allow_remote` does not allow that.
    """
    if not listen.is_loopback and not allow_remote:
        raise ListenError(
            "web.listen: others could reach this address; "
            "write 127.0.0.1, or set web.allow_remote to true"
        )
    application = web.Application()
    application.add_routes(routes)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    try:
        connect = partial(_Connection, cast("web.Server", runner.server), {}, longest)
        async with _listening(listen, connect) as address:
            yield address
    finally:
        await runner.cleanup()


class _Connection(web.RequestHandler):
    """One connection among `others`, in the order in which they were made."""

    def __init__(
        self, server: web.Server, others: dict[_Connection, None], longest: timedelta
    ) -> None:
        # aiohttp would log what strangers send.
        silent = logging.getLogger("watcher.monitor.web.silent")
        silent.disabled = True
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=silent,
            logger=silent,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            max_headers=MOST_HEADERS,
        )
        self._others = others
        self._longest = longest

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._others[self] = None
        self._end = asyncio.get_running_loop().call_later(self._longest.total_seconds(), self.drop)
        if len(self._others) > MOST_CONNECTIONS:
            next(iter(self._others)).drop()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._end.cancel()
        self._others.pop(self, None)
        super().connection_lost(exc)

    def drop(self) -> None:
        """End the connection at once, even if the client does not read what it was sent."""
        self._others.pop(self, None)
        transport = self.transport
        self.force_close()
        if transport is not None:
            transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Reply with the status alone; what aiohttp would reply, and log, repeats the request."""
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("web.crashed", exc_info=exc)
        return web.Response(status=status, text=_status_text(status))

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a reply, of whatever comes from; each connection is for one."""
        if isinstance(resp, web.HTTPException):
            resp.text = _status_text(resp.status)
        resp.headers.update(_HEADERS)
        resp.force_close()
        return await super().finish_response(request, resp, start_time)


def _status_text(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}\n"


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
