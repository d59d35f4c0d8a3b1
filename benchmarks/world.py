"""The world outside the daemon: the simulated API, a receiver of alerts, and a place for state.

It lives in the benchmark's own process, so that what it costs is never counted as the watcher's,
and so that every moment is read off one clock.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from watcher.simulator.catalogue import Catalogue
from watcher.simulator.generator import generate
from watcher.simulator.replies import PageQuery, Replies
from watcher.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from watcher.simulator.catalogue import Edit

__all__ = ["MODELS", "Receiver", "Upstream", "World", "opened"]

# As many as the real listing had when the figures were promised.
MODELS = 574


class Upstream(Simulator):
    """The simulated API, with a stop-watch.

    `asked_at` is when the last request came, `shown_at` when the first reply that shows the last
    change went out.
    """

    def __init__(self, models: int) -> None:
        super().__init__(generate(seed=1, size=models))
        self.calls: Counter[str] = Counter()
        self.asked_at = 0.0
        self.shown_at: float | None = None
        self._as_it_was: Replies | None = None
        self._awaited: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def polls(self) -> int:
        """How many polls were begun, as long as none of them was a sweep."""
        return self.calls["count"]

    def make(self, edit: Edit) -> None:
        """Change the catalogue."""
        self._as_it_was = Replies(Catalogue(self.catalogue.rows))
        self.shown_at = None
        edit.apply(self.catalogue)

    async def polled(self, polls: int) -> None:
        """Wait until so many polls were begun."""
        if self.polls < polls:
            reached = asyncio.get_running_loop().create_future()
            self._awaited.append((polls, reached))
            await reached

    def _saw(self, call: str, body: Any, request: web.Request) -> None:
        super()._saw(call, body, request)
        self.calls[call] += 1
        self.asked_at = perf_counter()
        for awaited in [each for each in self._awaited if each[0] <= self.polls]:
            self._awaited.remove(awaited)
            awaited[1].set_result(None)

    def _good(self, request: web.Request, body: bytes) -> web.Response:
        if self._as_it_was is not None and body != self._once_said(self._as_it_was):
            self._as_it_was = None
            self.shown_at = perf_counter()
        return super()._good(request, body)

    def _once_said(self, replies: Replies) -> bytes:
        """What the request in hand would have been answered before the last change."""
        call, asked = self.requests[-1]
        return replies.count(()) if call == "count" else replies.page(PageQuery.of(asked), ())


class Receiver:
    """A web hook that notes when each message was there, whole."""

    def __init__(self) -> None:
        self.arrivals: asyncio.Queue[float] = asyncio.Queue()
        self._port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The Apprise URL of this receiver."""
        return f"json://127.0.0.1:{self._port}/alerts"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/alerts", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        await request.json()
        self.arrivals.put_nowait(perf_counter())
        return web.Response()


@dataclass(frozen=True, slots=True)
class World:
    """What a watcher to be measured is put into."""

    upstream: Upstream
    receiver: Receiver
    place: Path

    @property
    def state(self) -> Path:
        """The database file."""
        return self.place / "state.db"

    def configured(self, **poll: str) -> Path:
        """Write a configuration: this world, everything else as it is by default but `poll`."""
        content = {
            "source": {"url": self.upstream.url},
            "poll": poll,
            "state": {"path": str(self.state)},
            "receivers": {"bench": {"url": self.receiver.url}},
        }
        file = self.place / "config.yaml"
        file.write_text(json.dumps(content))  # JSON is YAML
        return file

    def stored_bytes(self) -> int:
        """What the state takes on disk: the database and its log."""
        return sum(file.stat().st_size for file in self.place.glob(f"{self.state.name}*"))


@asynccontextmanager
async def opened(models: int = MODELS) -> AsyncIterator[World]:
    """A world of its own, gone afterwards."""
    with TemporaryDirectory(prefix="kie-watcher-bench-") as place:
        async with Upstream(models) as upstream, Receiver() as receiver:
            yield World(upstream, receiver, Path(place))
