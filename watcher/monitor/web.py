"""The web pages for monitoring: /livez, /readyz and /metrics, and what each of them says.

Strangers may connect where that is allowed. So no reply repeats what a request held, requests are
not logged, connections are few and short, and nothing can be changed here. What makes the watcher
unready is decided from how things stand alone (`unready_reasons`).
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
from watcher.config.durations import duration_text
from watcher.monitor.metrics import CONTENT_TYPE
from watcher.store.connection import StateError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator
    from datetime import datetime

    from watcher.monitor.alarms import Alarm
    from watcher.monitor.metrics import Metrics
    from watcher.store.values import ReceiverStatus, Status

log = structlog.get_logger()

TEXT = "text/plain; charset=utf-8"
# Scrapers and health checks ask once and leave: nothing that monitors us needs more than this.
MOST_CONNECTIONS = 20
LONGEST_CONNECTION = timedelta(seconds=10)
LONGEST_LINE = 2048
MOST_HEADERS = 50
# Its directory and this decide who may use the socket.
SOCKET_MODE = 0o660
# A message is tried within seconds of its time; a send takes at most minutes.
OVERDUE_AFTER = timedelta(minutes=10)
# What is not deferred on purpose is in a message within seconds.
UNBATCHED_AFTER = timedelta(hours=1)


class ListenError(Exception):
    """The server cannot listen on the address; the text says why and what to set instead."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A page: the status, the body and its type."""

    status: HTTPStatus
    body: bytes
    content_type: str = TEXT

    @classmethod
    def of_text(cls, status: HTTPStatus, text: str) -> Reply:
        return cls(status, f"{text}\n".encode())


@dataclass(frozen=True, slots=True)
class Pages:
    """What gives each page, when it is requested."""

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
    """Serve for as long as the block lasts; gives the address as text, with the real port.

    Raises `ListenError` where it cannot listen on the address, or others could reach it and
    `allow_remote` does not allow that.
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
    """The page of a request. Bodies, queries and headers are ignored."""
    page = {"/livez": pages.live, "/readyz": pages.ready, "/metrics": pages.metrics}.get(
        request.path
    )
    if page is None:
        return _response(_status_reply(HTTPStatus.NOT_FOUND))
    if request.method not in {"GET", "HEAD"}:
        return _response(_status_reply(HTTPStatus.METHOD_NOT_ALLOWED))
    try:
        return _response(await page())
    except Exception:
        log.exception("web.crashed")
        return _response(_status_reply(HTTPStatus.INTERNAL_SERVER_ERROR))


def _status_reply(status: HTTPStatus) -> Reply:
    return Reply.of_text(status, f"{status.value} {status.phrase}")


def _response(reply: Reply) -> web.Response:
    response = web.Response(status=reply.status, body=reply.body)
    response.headers["Content-Type"] = reply.content_type
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "kie-watcher"
    response.force_close()
    return response


class _Connection(web.RequestHandler):
    """One connection. A request that is not HTTP is answered with the status alone."""

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Give the status; what aiohttp would reply, and log, repeats what the client sent."""
        return _response(_status_reply(HTTPStatus(status)))


def _connection(server: web.Server, longest: timedelta) -> asyncio.Protocol:
    """A new connection: refused where there are too many, closed when it lasts too long."""
    if len(server.connections) >= MOST_CONNECTIONS:
        return _Refused()
    loop = asyncio.get_running_loop()
    # aiohttp would log what strangers send.
    silent = logging.getLogger("watcher.monitor.web.silent")
    silent.disabled = True
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


class _Refused(asyncio.Protocol):
    """A connection that is closed at once."""

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


@dataclass(frozen=True, slots=True)
class ReadinessLimits:
    """What is expected: how often the whole catalogue is read, and which receivers are served."""

    full_sweep_every: timedelta
    receivers: Collection[str]


def unready_reasons(
    status: Status, limits: ReadinessLimits, now: datetime, deferring: Collection[str] = ()
) -> tuple[str, ...]:
    """Why the watcher is not ready, each reason a line; none where it is.

    `deferring` names the receivers for which something is deferred on purpose (quiet hours, a
    digest, a silence), so that its age says nothing. The outbox is stuck where a receiver's next
    try is long overdue, or where something waits that is in no message. That a receiver fails is
    no reason: messages to it are tried when they should be.
    """
    return (*_sweep_reasons(status, limits, now), *_outbox_reasons(status, limits, now, deferring))


def _sweep_reasons(status: Status, limits: ReadinessLimits, now: datetime) -> Iterator[str]:
    if status.swept_at is None:
        yield "no complete sweep of the catalogue has been made yet"
        return
    age, oldest = now - status.swept_at, 2 * limits.full_sweep_every
    if age > oldest:
        minutes, limit = age // timedelta(minutes=1), duration_text(oldest)
        yield f"the last complete sweep is {minutes} minutes old, more than {limit}"


def _outbox_reasons(
    status: Status, limits: ReadinessLimits, now: datetime, deferring: Collection[str]
) -> Iterator[str]:
    for receiver in status.receivers:
        # What is left for a receiver that is no longer configured is not sent.
        if receiver.receiver not in limits.receivers:
            continue
        if _is_overdue(receiver, now):
            yield f"the outbox is stuck: the next try at {receiver.receiver} is overdue"
        elif receiver.receiver not in deferring and _is_unbatched(receiver, now):
            yield f"the outbox is stuck: what waits for {receiver.receiver} is in no message"


def _is_overdue(receiver: ReceiverStatus, now: datetime) -> bool:
    due = receiver.next_attempt_at
    return due is not None and now - due > OVERDUE_AFTER


def _is_unbatched(receiver: ReceiverStatus, now: datetime) -> bool:
    # While a message is open, what came later rightly waits for its turn.
    if receiver.open or not receiver.waiting or receiver.oldest_at is None:
        return False
    return now - receiver.oldest_at > UNBATCHED_AFTER


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the pages' answers come from.

    `limits` is called each time, because a reload changes them. `alarms` are those raised,
    `overdue` names the loops that the watchdog finds overdue, `deferring` the receivers for
    which something is deferred on purpose.
    """

    status: Callable[[], Awaitable[Status]]
    metrics: Metrics
    limits: Callable[[], ReadinessLimits]
    now: Callable[[], datetime]
    alarms: Callable[[], Iterable[Alarm]] = tuple
    overdue: Callable[[], Collection[str]] = tuple
    deferring: Callable[[], Collection[str]] = tuple


def pages(sources: Sources) -> Pages:
    """The pages for `web.serve`."""

    async def live() -> Reply:
        return _reply("alive", _stuck(sources))

    async def ready() -> Reply:
        return _reply("ready", (*_stuck(sources), *await _unready(sources)))

    async def metrics() -> Reply:
        try:
            status = await sources.status()
        except StateError:
            status = None
        sources.metrics.set_alarms(alarm.kind for alarm in sources.alarms())
        return Reply(HTTPStatus.OK, sources.metrics.page(status, sources.now()), CONTENT_TYPE)

    return Pages(live, ready, metrics)


def _stuck(sources: Sources) -> tuple[str, ...]:
    return tuple(f"{who} is stuck" for who in sources.overdue())


async def _unready(sources: Sources) -> tuple[str, ...]:
    try:
        status = await sources.status()
    except StateError:
        # Its text names files, which are for the log only.
        return ("the state cannot be read",)
    return unready_reasons(status, sources.limits(), sources.now(), sources.deferring())


def _reply(good: str, reasons: tuple[str, ...]) -> Reply:
    if reasons:
        return Reply.of_text(HTTPStatus.SERVICE_UNAVAILABLE, "\n".join(reasons))
    return Reply.of_text(HTTPStatus.OK, good)
