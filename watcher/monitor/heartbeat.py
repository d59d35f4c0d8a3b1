"""A dead man's switch: somebody else is told that all is well, and misses us when it is not.

Knows the URLs of Healthchecks and of Uptime Kuma's push monitors; whatever else answers to a GET
gets one. Its failure touches nothing else. The URL is a secret: nothing here ever says it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import aiohttp
import structlog

from watcher import __version__
from watcher.catalog.changes import NoticeKind
from watcher.monitor.alarms import AlarmKind
from watcher.poller import PollOutcome
from watcher.schedule import first_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from watcher.catalog.changes import Notice
    from watcher.poller import PollReport

log = structlog.get_logger()

PATIENCE = timedelta(seconds=10)
# A ping that is lost would be missed for a whole period.
PAUSES = (timedelta(seconds=5), timedelta(seconds=20))
HEALTHCHECKS = "hc-ping.com"
_KUMA_PATH = "/api/push/"
_HEALTHCHECKS_PATH = "/ping/"

_COMPLETE = {PollOutcome.UNCHANGED, PollOutcome.CHANGED, PollOutcome.BASELINE}
_ILL = {AlarmKind.BLIND, AlarmKind.SHAPE, AlarmKind.REFUSED, AlarmKind.STATE}


class Beat(StrEnum):
    """What a monitor is told."""

    WELL = "well"
    ILL = "ill"


@dataclass(frozen=True, slots=True, repr=False)
class Monitor:
    """Where to tell it, and how that service wants to be told."""

    url: str

    def address(self, beat: Beat, words: str) -> str | None:
        """The URL that says it; `None` where the service knows no such thing.

        Then silence is what it understands.
        """
        parts = urlsplit(self.url)
        if _KUMA_PATH in parts.path:
            status = {Beat.WELL: "up", Beat.ILL: "down"}[beat]
            kept = [
                (name, value)
                for name, value in parse_qsl(parts.query, keep_blank_values=True)
                if name not in {"status", "msg"}
            ]
            query = urlencode([("status", status), ("msg", words), *kept])
            return urlunsplit(parts._replace(query=query))
        if beat is Beat.WELL:
            return self.url
        if parts.hostname == HEALTHCHECKS or _HEALTHCHECKS_PATH in parts.path:
            return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/fail"))
        return None


class Heartbeat:
    """Tells a monitor how we are: `well` after each complete sweep, `ill` when an alarm says so.

    With `every`, the monitor is told so often instead that we are well, for as long as nobody has
    said that we are ill; `None` is with each complete sweep.
    """

    def __init__(
        self,
        monitor: Monitor,
        session: aiohttp.ClientSession,
        *,
        every: timedelta | None = None,
        pauses: tuple[timedelta, ...] = PAUSES,
        after: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`after` hears how each beat ended: `accepted` or `failed`."""
        self._monitor = monitor
        self._session = session
        self._every = every
        self._pauses = pauses
        self._after = after
        self._news = asyncio.Event()
        self._beat: tuple[Beat, str] | None = None
        self._ill = False
        self._failing = False

    def polled(self, report: PollReport) -> None:
        """Learn of a poll: only a complete sweep proves that all is well."""
        if report.outcome in _COMPLETE:
            self.well()

    def heard(self, notice: Notice) -> None:
        """Learn of an alarm: some say that the watch fails. The next complete sweep ends it."""
        alarm = notice.detail.get("alarm")
        if notice.kind is NoticeKind.ALARM and alarm in _ILL:
            self.ill(f"alarm: {alarm}")

    def well(self) -> None:
        """Say that a complete sweep was made."""
        recovered, self._ill = self._ill, False
        if self._every is None or recovered:
            self._say(Beat.WELL, "watching")

    def ill(self, words: str) -> None:
        """Say that the watch fails; `words` are ours and short, for a monitor shows them."""
        self._ill = True
        self._say(Beat.ILL, words)

    async def run(self, stop: asyncio.Event) -> None:
        """Tell what there is to tell until `stop` is set. Never raises."""
        while not stop.is_set():
            if self._every is not None and not self._ill and self._beat is None:
                self._beat = (Beat.WELL, "watching")
            self._news.clear()
            told, self._beat = self._beat, None
            if told is not None:
                await self._tell_carefully(*told, stop)
            await first_of(stop, self._news, within=self._every)

    def _say(self, beat: Beat, words: str) -> None:
        # Only the newest counts: a monitor knows no past.
        self._beat = (beat, words)
        self._news.set()

    async def _tell_carefully(self, beat: Beat, words: str, stop: asyncio.Event) -> None:
        try:
            await self._tell(beat, words, stop)
        except Exception as error:  # noqa: BLE001 - nothing here may end the watch
            # Neither its text nor its trace: they hold the address.
            log.error("heartbeat.crashed", why=type(error).__name__)  # noqa: TRY400
            self._after("failed")

    async def _tell(self, beat: Beat, words: str, stop: asyncio.Event) -> None:
        address = self._monitor.address(beat, words)
        if address is None:
            return
        why = await self._ping(address)
        for pause in self._pauses:
            if why is None or stop.is_set() or self._beat is not None:
                break
            await first_of(stop, self._news, within=pause)
            why = await self._ping(address)
        self._log(why)
        self._after("accepted" if why is None else "failed")

    async def _ping(self, address: str) -> str | None:
        """`None` where it was taken; else why not, without the address."""
        try:
            async with self._session.get(address, allow_redirects=False) as response:
                status = response.status
        except TimeoutError:
            return f"no answer within {PATIENCE.total_seconds():g} s"
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
    patience: timedelta = PATIENCE,
    pauses: tuple[timedelta, ...] = PAUSES,
    after: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Heartbeat]:
    """A heartbeat with a connection of its own; it follows no redirect and keeps no cookie."""
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"kie-watcher/{__version__}"},
        timeout=aiohttp.ClientTimeout(total=patience.total_seconds()),
    ) as session:
        yield Heartbeat(Monitor(url), session, every=every, pauses=pauses, after=after)
