"""The heartbeat: pings an external monitor, which raises the alarm when pings stop.

Knows the URLs of Healthchecks and of Uptime Kuma's push monitors; any other monitor gets a plain
GET. A failed ping affects nothing else. The URL is a secret: no log line or error repeats it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import aiohttp

from watcher import __version__
from watcher.catalog.changes import NoticeKind
from watcher.log import log
from watcher.monitor.alarms import AlarmKind
from watcher.observer import NOBODY, Observer
from watcher.proxy import proxy_for
from watcher.schedule import first_of
from watcher.tls import trusted_by

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from watcher.catalog.changes import Notice
    from watcher.observer import PollReport

PING_TIMEOUT = timedelta(seconds=10)
# A ping that is lost would be missed for a whole period.
RETRY_PAUSES = (timedelta(seconds=5), timedelta(seconds=20))
HEALTHCHECKS = "hc-ping.com"
_KUMA_PATH = "/api/push/"
_HEALTHCHECKS_PATH = "/ping/"

_DOWN_ALARMS = {AlarmKind.BLIND, AlarmKind.SHAPE, AlarmKind.REFUSED, AlarmKind.STATE}


class Signal(StrEnum):
    """What a ping says."""

    UP = "up"
    DOWN = "down"


def ping_url(url: str, signal: Signal, text: str) -> str | None:
    """The URL that says it to the monitor at `url`; `None` for one that takes no bad news.

    Such a monitor finds out when pings stop.
    """
    parts = urlsplit(url)
    if _KUMA_PATH in parts.path:
        kept = [
            (name, value)
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
            if name not in {"status", "msg"}
        ]
        query = urlencode([("status", signal.value), ("msg", text), *kept])
        return urlunsplit(parts._replace(query=query))
    if signal is Signal.UP:
        return url
    if parts.hostname == HEALTHCHECKS or _HEALTHCHECKS_PATH in parts.path:
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/fail"))
    return None


class Heartbeat:
    """Pings a monitor: `UP` after each complete sweep, `DOWN` when an alarm says that it fails.

    With `every`, `UP` is sent that often instead, for as long as it is not down; `None` is with
    each complete sweep.
    """

    def __init__(
        self,
        url: str,
        session: aiohttp.ClientSession,
        *,
        every: timedelta | None,
        retry_pauses: tuple[timedelta, ...],
        observer: Observer,
    ) -> None:
        self._url = url
        self._session = session
        self._every = every
        self._retry_pauses = retry_pauses
        self._observer = observer
        self._news = asyncio.Event()
        self._pending: tuple[Signal, str] | None = None
        self._is_down = False
        self._failing = False

    def polled(self, report: PollReport) -> None:
        """Take the report of a poll: only a complete sweep proves that the watcher works."""
        if report.outcome.is_sweep:
            self.report_up()

    def alarmed(self, notice: Notice) -> None:
        """Take a notice: some alarms say that the watcher fails, until the next complete sweep."""
        alarm = notice.detail.get("alarm")
        if notice.kind is NoticeKind.ALARM and alarm in _DOWN_ALARMS:
            self.report_down(f"alarm: {alarm}")

    def report_up(self) -> None:
        """Say that a complete sweep was made."""
        recovered, self._is_down = self._is_down, False
        if self._every is None or recovered:
            self._schedule(Signal.UP, "watching")

    def report_down(self, reason: str) -> None:
        """Say that the watcher fails; `reason` is ours and short, for a monitor shows it."""
        self._is_down = True
        self._schedule(Signal.DOWN, reason)

    async def run(self, stop: asyncio.Event) -> None:
        """Ping when there is something to say, until `stop` is set. Never raises."""
        while not stop.is_set():
            if self._every is not None and not self._is_down and self._pending is None:
                self._pending = (Signal.UP, "watching")
            self._news.clear()
            pending, self._pending = self._pending, None
            if pending is not None:
                await self._ping_safely(*pending, stop)
            await first_of(stop, self._news, within=self._every)

    def _schedule(self, signal: Signal, text: str) -> None:
        # Only the newest counts: a monitor would take an older one for the present.
        self._pending = (signal, text)
        self._news.set()

    async def _ping_safely(self, signal: Signal, text: str, stop: asyncio.Event) -> None:
        try:
            await self._ping(signal, text, stop)
        except Exception as error:  # noqa: BLE001 - nothing here may end polling and sending
            # Neither its text nor its trace: they hold the address.
            log.error("heartbeat.crashed", why=type(error).__name__)  # noqa: TRY400
            self._observer.pinged("failed")

    async def _ping(self, signal: Signal, text: str, stop: asyncio.Event) -> None:
        address = ping_url(self._url, signal, text)
        if address is None:
            return
        why = await self._request(address)
        for pause in self._retry_pauses:
            if why is None or stop.is_set() or self._pending is not None:
                break
            await first_of(stop, self._news, within=pause)
            why = await self._request(address)
        self._log(why)
        self._observer.pinged("accepted" if why is None else "failed")

    async def _request(self, address: str) -> str | None:
        """`None` where it was accepted; otherwise why not, without the address."""
        try:
            proxy = proxy_for(address)
            async with self._session.get(address, allow_redirects=False, proxy=proxy) as response:
                status = response.status
        except TimeoutError:
            return f"no answer within {PING_TIMEOUT.total_seconds():g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Their texts hold the address.
            return f"no answer ({type(error).__name__})"
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return None
        return f"answered {status}"

    def _log(self, why: str | None) -> None:
        if why is None and self._failing:
            log.info("heartbeat.recovered")
        elif why is not None:
            emit = log.debug if self._failing else log.warning
            emit("heartbeat.failed", why=why)
        self._failing = why is not None


@asynccontextmanager
async def open_heartbeat(
    url: str,
    *,
    every: timedelta | None = None,
    ping_timeout: timedelta = PING_TIMEOUT,
    retry_pauses: tuple[timedelta, ...] = RETRY_PAUSES,
    observer: Observer = NOBODY,
) -> AsyncIterator[Heartbeat]:
    """A heartbeat with a connection of its own; it follows no redirect and keeps no cookie."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trusted_by(url)),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"kie-watcher/{__version__}"},
        timeout=aiohttp.ClientTimeout(total=ping_timeout.total_seconds()),
    ) as session:
        yield Heartbeat(url, session, every=every, retry_pauses=retry_pauses, observer=observer)
