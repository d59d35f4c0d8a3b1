"""The simulated API itself: an HTTP server on loopback that serves a catalogue, or faults.

It answers the two documented calls, count and page, as Kie.ai does.
"""

from __future__ import annotations

import asyncio
import json
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from watcher.simulator.catalogue import Catalogue
from watcher.simulator.faults import Altering, FaultPlan, Stale
from watcher.simulator.replies import PageQuery, Replies, envelope, json_response, spoiled_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from watcher.simulator.faults import Fault, Replacing

BASE_PATH = "/client/v1/"
# Below this many bytes compression costs more than it saves; servers commonly start here.
SMALLEST_COMPRESSED = 1000
# A benchmark polls ten thousand times; the memory it measures must not be this list's.
REQUESTS_KEPT = 10_000


class Simulator:
    """A Kie-like API on 127.0.0.1, for as long as the `async with` lasts.

    `requests`: the calls so far as (call, body); `headers`: those of the last one; `body_bytes`:
    bytes sent in good bodies; `most_at_once`: the most calls that were ever answered at once.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = (), port: int = 0) -> None:
        self.catalogue = Catalogue(rows)
        self.faults = FaultPlan()
        self.requests: list[tuple[str, Any]] = []
        self.headers: Mapping[str, str] = {}
        self.body_bytes = 0
        self.most_at_once = 0
        self._at_once = 0
        self._port = port
        self._replies = Replies(self.catalogue)
        self._stopping = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._before_page: Callable[[Catalogue, int], None] | None = None

    @property
    def url(self) -> str:
        """The base address, as `source.url` wants it."""
        return f"http://127.0.0.1:{self._port}{BASE_PATH}"

    def between_pages(self, hook: Callable[[Catalogue, int], None] | None) -> None:
        """Call `hook(catalogue, page_number)` before each page reply is made; `None`: no longer."""
        self._before_page = hook

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get(f"{BASE_PATH}model-pricing/count", self._count)
        app.router.add_post(f"{BASE_PATH}model-pricing/page", self._page)
        app.router.add_route("*", "/{path:.*}", self._not_found)
        self._stopping.clear()
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _count(self, request: web.Request) -> web.StreamResponse:
        self._note_request("count", None, request)
        altering, replacing = _split(self.faults.take("count", None))
        replies, headers = self._source(altering)
        return await self._answer(request, replies.count(altering), headers, replacing)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        try:
            body = json.loads(await request.read())
            query = PageQuery.of(body)
        except ValueError as why:
            return json_response(envelope(None, 400, str(why)))
        self._note_request("page", body, request)
        if self._before_page is not None:
            self._before_page(self.catalogue, query.number)
        altering, replacing = _split(self.faults.take("page", query.number))
        replies, headers = self._source(altering)
        return await self._answer(request, replies.page(query, altering), headers, replacing)

    def _source(self, faults: Iterable[Altering]) -> tuple[Replies, dict[str, str]]:
        """What the reply is made from, and its own headers: the catalogue, or a cache's copy."""
        stale = next((fault for fault in faults if isinstance(fault, Stale)), None)
        if stale is None:
            return self._replies, {}
        headers: dict[str, str] = {}
        if stale.age is not None:
            headers["Age"] = str(int(stale.age.total_seconds()))
        if stale.date is not None:
            headers["Date"] = format_datetime(stale.date, usegmt=True)
        return Replies(Catalogue(stale.rows)), headers

    async def _not_found(self, _: web.Request) -> web.StreamResponse:
        """What the API answers to GET on `page`: HTTP 200 with code 404 in the envelope."""
        return json_response(envelope(None, 404, "Not Found"))

    async def _answer(
        self,
        request: web.Request,
        good: bytes,
        headers: dict[str, str],
        fault: Replacing | None,
    ) -> web.StreamResponse:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if fault is not None:
                return await spoiled_response(fault, request, good, self._stopping)
            return self._good_response(request, good, headers)
        finally:
            self._at_once -= 1

    def _good_response(
        self, request: web.Request, body: bytes, headers: dict[str, str]
    ) -> web.Response:
        headers = {"Vary": "Accept-Encoding", **headers}
        if len(body) >= SMALLEST_COMPRESSED and _accepts_gzip(request):
            body = self._replies.compressed(body)
            headers["Content-Encoding"] = "gzip"
        self.body_bytes += len(body)
        return json_response(body, headers)

    def _note_request(self, call: str, body: Any, request: web.Request) -> None:
        self.requests.append((call, body))
        self.headers = request.headers
        if len(self.requests) > 2 * REQUESTS_KEPT:
            del self.requests[:-REQUESTS_KEPT]


def _split(faults: Iterable[Fault]) -> tuple[list[Altering], Replacing | None]:
    """All faults that alter the reply, and the first that replaces it."""
    altering: list[Altering] = []
    replacing: Replacing | None = None
    for fault in faults:
        if isinstance(fault, Altering):
            altering.append(fault)
        else:
            replacing = replacing or fault
    return altering, replacing


def _accepts_gzip(request: web.Request) -> bool:
    return "gzip" in request.headers.get("Accept-Encoding", "")
