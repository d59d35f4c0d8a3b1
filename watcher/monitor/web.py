"""Three pages for whoever looks after the machine: /livez, /readyz and /metrics. Nothing else.

Knows HTTP and its dangers: strangers may connect where they are let. So no reply repeats what was
asked, none is logged, connections are few and short, and there is nothing to change here. Refuses
to know what the pages say.

Whether the watch does its work, judged from how things stand: nothing, or the reasons why not.

Knows what is too old and what is stuck. Refuses to know clocks, the state and HTTP.

What the three pages say: alive, ready or why not, and everything counted.

Knows whom to ask for each. Refuses to know HTTP connections.
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

    from watcher.monitor.alarms import Trouble
    from watcher.monitor.metrics import Metrics
    from watcher.store.values import ReceiverStatus, Status

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


# A message is tried within seconds of its time; a send takes at most minutes.
OVERDUE_AFTER = timedelta(minutes=10)
# What nobody asked to be put off is in a message within seconds.
UNGATHERED_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is expected: how often the whole catalogue is read, and who is told."""

    full_sweep_every: timedelta
    receivers: Collection[str]


def unready(
    status: Status, limits: Limits, now: datetime, deferring: Collection[str] = ()
) -> tuple[str, ...]:
    """Why the watch is not ready, each reason a line; none where it is.

    `deferring` names the receivers for which something is put off on purpose (quiet hours, a
    digest, a silence), so that its age says nothing. The outbox is stuck where a receiver's next
    try is long overdue, or where something waits that is in no message. That a receiver fails is
    no reason: messages to it are tried when they should be.
    """
    return (*_sweep(status, limits, now), *_outbox(status, limits, now, deferring))


def _sweep(status: Status, limits: Limits, now: datetime) -> Iterator[str]:
    if status.swept_at is None:
        yield "no complete sweep of the catalogue has been made yet"
        return
    age, oldest = now - status.swept_at, 2 * limits.full_sweep_every
    if age > oldest:
        minutes, limit = age // timedelta(minutes=1), duration_text(oldest)
        yield f"the last complete sweep is {minutes} minutes old, more than {limit}"


def _outbox(
    status: Status, limits: Limits, now: datetime, deferring: Collection[str]
) -> Iterator[str]:
    for receiver in status.receivers:
        # What is left for a receiver that is no longer configured is nobody's work.
        if receiver.receiver not in limits.receivers:
            continue
        if _is_overdue(receiver, now):
            yield f"the outbox is stuck: the next try at {receiver.receiver} is overdue"
        elif receiver.receiver not in deferring and _is_ungathered(receiver, now):
            yield f"the outbox is stuck: what waits for {receiver.receiver} is in no message"


def _is_overdue(receiver: ReceiverStatus, now: datetime) -> bool:
    due = receiver.next_attempt_at
    return due is not None and now - due > OVERDUE_AFTER


def _is_ungathered(receiver: ReceiverStatus, now: datetime) -> bool:
    # While a message is open, what came later rightly waits for its turn.
    if receiver.open or not receiver.waiting or receiver.oldest_at is None:
        return False
    return now - receiver.oldest_at > UNGATHERED_AFTER


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the pages' answers come from.

    `limits` is asked each time, because a reload changes it. `alarms` are those open.
    `silent` names who has not got anywhere for too long (the loops, as the watchdog sees them),
    `deferring` the receivers for which something is put off on purpose.
    """

    status: Callable[[], Awaitable[Status]]
    metrics: Metrics
    limits: Callable[[], Limits]
    now: Callable[[], datetime]
    alarms: Callable[[], Iterable[Trouble]] = tuple
    silent: Callable[[], Collection[str]] = tuple
    deferring: Callable[[], Collection[str]] = tuple


def pages(sources: Sources) -> Pages:
    """The pages for `web.serve`."""

    async def live() -> Reply:
        return _verdict("alive", _stuck(sources))

    async def ready() -> Reply:
        return _verdict("ready", (*_stuck(sources), *await _unready(sources)))

    async def metrics() -> Reply:
        try:
            status = await sources.status()
        except StateError:
            status = None
        sources.metrics.alarmed(alarm.kind for alarm in sources.alarms())
        return Reply(HTTPStatus.OK, sources.metrics.page(status, sources.now()), CONTENT_TYPE)

    return Pages(live, ready, metrics)


def _stuck(sources: Sources) -> tuple[str, ...]:
    return tuple(f"{who} is stuck" for who in sources.silent())


async def _unready(sources: Sources) -> tuple[str, ...]:
    try:
        status = await sources.status()
    except StateError:
        # Its text names files, which are the business of the log.
        return ("the state cannot be read",)
    return unready(status, sources.limits(), sources.now(), sources.deferring())


def _verdict(good: str, reasons: tuple[str, ...]) -> Reply:
    if reasons:
        return Reply.words(HTTPStatus.SERVICE_UNAVAILABLE, "\n".join(reasons))
    return Reply.words(HTTPStatus.OK, good)
