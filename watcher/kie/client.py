"""The pricing API: its two calls, and the probe and the sweep made of them.

All traffic with Kie.ai is here: one session, a timeout and a size limit for every reply, few
requests at once. Whether a reply is sound is checked in `responses`, whether a sweep is complete
in `completeness`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from watcher import __version__
from watcher.kie.completeness import (
    Complete,
    Inconclusive,
    Page,
    Probe,
    SweepReading,
    clashes,
    first_difference,
    judge,
    known_rows,
    pages_to_read,
    quoted,
    schema_change,
)
from watcher.kie.freshness import Freshness
from watcher.kie.responses import (
    MAX_SWEEP_BYTES,
    Body,
    SourceError,
    SourceReason,
    read_counts,
    read_envelope,
    read_page,
    read_probed_page,
    refuse_status,
)
from watcher.proxy import ProxyError, proxy_for
from watcher.schedule import parse_retry_after
from watcher.tls import no_certificates, trusted_by

with no_certificates():
    import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from datetime import timedelta

    from watcher.catalog.record import Record, Unreadable
    from watcher.config.settings import PollSettings, SourceSettings
    from watcher.kie.completeness import KnownRows

PROJECT_URL = "https://github.com/kie-watcher/kie-watcher"
USER_AGENT = f"kie-watcher/{__version__} (+{PROJECT_URL})"
CHUNK_BYTES = 64 * 1024
# A server with one record per page must not be asked a million times.
MAX_PAGES = 20_000
# A first sweep, and one that disagrees with itself, must be seen again, whatever is configured:
# one whose rows stand twice also with pages of another size.
MIN_ATTEMPTS = 3
# About ten times the rows of today's catalogue.
MOST_ROWS_EXPECTED = 5_000


@dataclass(frozen=True, slots=True)
class Sweep:
    """The complete catalogue, in listing order, and the probe to compare later ones with.

    `disagreement` says what spoke against it where it was accepted because it was seen twice.
    """

    records: tuple[Record, ...]
    unreadable: tuple[Unreadable, ...]
    probe: Probe
    disagreement: str | None

    def not_understood(self) -> tuple[str, ...]:
        """What could not be read, wholly or in part: of each row, which and why."""
        rows = [f"{quoted(row.identity_key)}: {row.why}" for row in self.unreadable]
        prices = [
            f"{quoted(record.description)}: {'; '.join(record.not_understood)}"
            for record in self.records
            if record.not_understood
        ]
        return (*prices, *rows)


@dataclass(slots=True)
class Traffic:
    """The requests made so far, and the bytes of all bodies as transferred, compressed."""

    requests: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    method: str
    path: str
    payload: Mapping[str, int] | None = None


def _page_call(number: int, size: int) -> _Call:
    payload = {"pageNum": number, "pageSize": size}
    name = f"POST model-pricing/page (page {number})"
    return _Call(name, "POST", "model-pricing/page", payload)


@dataclass(slots=True)
class KieClient:
    """Asks the API. Every method gives a complete answer or raises `SourceError`.

    `most_bytes` bounds what all replies of a probe, or of one reading of the catalogue, unpack to.
    """

    _session: aiohttp.ClientSession
    _source: SourceSettings
    _poll: PollSettings
    _pause: Callable[[timedelta], Awaitable[None]]
    traffic: Traffic = field(default_factory=Traffic)
    most_bytes: int = MAX_SWEEP_BYTES
    # The rows of the last reading: nearly all of them come again, and need not be parsed again.
    _known: KnownRows = field(default_factory=dict, init=False)
    _read: int = field(default=0, init=False)
    # What the replies since the last reading began say of their age.
    _ages: list[Freshness] = field(default_factory=list, init=False)

    @property
    def longest_poll(self) -> timedelta:
        """How long a probe and a sweep may take with every reply as slow as allowed.

        Half an hour by default. What takes longer is stuck.
        """
        pages = MOST_ROWS_EXPECTED / self._source.page_size / self._source.concurrency
        # Beside its pages an attempt asks for the counts twice and for page 1 alone.
        attempt = (pages + 3) * self._source.timeout + self._poll.settle_delay
        # Before the attempts comes the probe, two requests.
        return max(self._poll.sweep_attempts, MIN_ATTEMPTS) * attempt + 2 * self._source.timeout

    async def probe(self, last: Probe | None) -> str | None:
        """What differs from the last accepted sweep, in words; `None` where nothing seems to.

        At most two small requests. A price that changed beyond page 1 is not noticed.
        """
        if last is None:
            return "there is nothing to compare with yet"
        self._read = 0
        # Those of a probe decide nothing, and there are many probes between two readings.
        self._ages.clear()
        counts = await self._counts()
        if counts != last.counts:
            return "the counts are not as they were"
        call = _page_call(1, self._source.probe_size)
        page = read_probed_page(call.name, await self._data(call))
        return first_difference(page, last)

    async def sweep(self, last: Probe | None) -> Sweep:
        """Read the complete catalogue, and read it again where records moved meanwhile."""
        earlier: list[Inconclusive] = []
        attempts = max(self._poll.sweep_attempts, MIN_ATTEMPTS)
        for number in range(attempts):
            if number:
                await self._pause(self._poll.settle_delay)
            # Every second reading may ask for pages of another size.
            size = earlier[-1].page_size if number % 2 else None
            try:
                reading = await self._read_all(size or self._source.page_size)
            except SourceError as error:
                if size is None:
                    raise
                earlier.append(Inconclusive(error.what, None))
                continue
            if (change := schema_change(reading)) is not None:
                raise SourceError("sweep", change, SourceReason.SCHEMA)
            self._known = known_rows(reading.pages)
            result = judge(reading, earlier, last)
            if isinstance(result, Complete):
                return Sweep(
                    reading.records(), reading.unreadable(), result.probe, result.disagreement
                )
            earlier.append(result)
        what = f"{attempts} attempts gave no complete catalogue; the last one: {earlier[-1].why}"
        raise SourceError("sweep", what, SourceReason.TORN)

    async def _read_all(self, size: int) -> SweepReading:
        self._read = 0
        self._ages.clear()
        before = await self._counts()
        pages = [await self._page(1, size)]
        while numbers := pages_to_read(pages):
            pages.extend(await self._pages(numbers, pages[0], size))
        after = await self._counts()
        return SweepReading(before, tuple(pages), after, Freshness.oldest(self._ages))

    async def _pages(self, numbers: range, first: Page, size: int) -> list[Page]:
        """Read several pages, a few at once, until one makes the whole reading useless."""
        if numbers.stop > MAX_PAGES:
            what = f"the catalogue comes in more than {MAX_PAGES} pages"
            raise SourceError("sweep", what, SourceReason.CAP)
        waiting, read = deque(numbers), list[Page]()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._source.concurrency, len(numbers))):
                    group.create_task(self._read_waiting(waiting, first, read, size))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return sorted(read, key=lambda page: page.number)

    async def _read_waiting(
        self, waiting: deque[int], first: Page, read: list[Page], size: int
    ) -> None:
        while waiting:
            page = await self._page(waiting.popleft(), size)
            read.append(page)
            if clashes(first, page):
                # The reading is torn: the other pages are of no use.
                waiting.clear()

    async def _counts(self) -> Mapping[str, int]:
        call = _Call("GET model-pricing/count", "GET", "model-pricing/count")
        return read_counts(call.name, await self._data(call))

    async def _page(self, number: int, size: int) -> Page:
        call = _page_call(number, size)
        return read_page(call.name, await self._data(call), number, self._known)

    async def _data(self, call: _Call) -> object:
        seconds = self._source.timeout.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                text, wait = await self._exchange(call)
        except TimeoutError:
            what = f"no complete reply within {seconds:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            what = _description(error)
        else:
            return read_envelope(call.name, text, wait)
        # Not chained: the texts of the HTTP client may contain the address and secrets in it.
        raise SourceError(call.name, what, SourceReason.TRANSPORT)

    async def _exchange(self, call: _Call) -> tuple[str, timedelta | None]:
        self.traffic.requests += 1
        url = f"{self._source.url.rstrip('/')}/{call.path}"
        async with self._session.request(
            call.method,
            url,
            json=call.payload,
            allow_redirects=False,
            proxy=proxy_for(url),
        ) as response:
            headers = response.headers
            self._ages.append(Freshness.of(headers))
            wait = parse_retry_after(headers.get("Retry-After"), datetime.now(UTC))
            refuse_status(call.name, response.status, headers.get("Location"), wait)
            body = Body(call.name, headers.get("Content-Encoding", ""))
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                self.traffic.bytes += len(chunk)
                before = len(body)
                body.feed(chunk)
                self._read += len(body) - before
                if self._read > self.most_bytes:
                    what = f"all replies together are larger than {self.most_bytes >> 20} MiB"
                    raise SourceError(call.name, what, SourceReason.CAP)
            return body.text(), wait


@asynccontextmanager
async def open_client(
    source: SourceSettings,
    poll: PollSettings,
    pause: Callable[[timedelta], Awaitable[None]],
) -> AsyncIterator[KieClient]:
    """A client with its one session; `pause` waits between two attempts of a sweep."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=source.concurrency, ssl=trusted_by(source.url)),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "gzip, deflate",
            # What a cache kept is out of date, and would be announced.
            "Cache-Control": "no-cache",
        },
        # Every request has its own timeout, in `KieClient`.
        timeout=aiohttp.ClientTimeout(),
        auto_decompress=False,
    ) as session:
        yield KieClient(session, source, poll, pause)


def _description(error: Exception) -> str:
    """A failed exchange in our words: those of the HTTP client may contain the address."""
    match error:
        case ProxyError():
            return str(error)
        case aiohttp.ClientHttpProxyError(status=status):
            return f"the proxy refused ({status})"
        case aiohttp.ClientProxyConnectionError():
            return f"cannot connect to the proxy ({error.strerror or 'no reason given'})"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "the server's certificate or encryption was refused"
        case aiohttp.ClientConnectorDNSError():
            return "the host's name could not be resolved"
        case aiohttp.ClientConnectorError():
            return f"cannot connect ({error.strerror or 'no reason given'})"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            return "the connection was closed before the reply was complete"
        case aiohttp.InvalidURL():
            return "source.url is not a valid address"
        case OSError() if error.strerror:
            return f"the connection failed ({error.strerror})"
        case _:
            return f"the exchange failed ({type(error).__name__})"
