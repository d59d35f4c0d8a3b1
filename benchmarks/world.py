"""What surrounds the measured daemon: the simulated API, a receiver, and a directory for its state.

They are in the benchmark's own process, so that their cost is not counted as the daemon's and all
times are of one clock.
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
from typing import TYPE_CHECKING, Any

from torture.inboxes import HttpInbox
from watcher.simulator.catalogue import Catalogue
from watcher.simulator.generator import generate
from watcher.simulator.replies import PageQuery, Replies
from watcher.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from watcher.simulator.catalogue import Edit

__all__ = ["MODELS", "TimedApi", "World", "open_world"]

# As many as the real listing had when the targets were set.
MODELS = 574


class TimedApi(Simulator):
    """The simulated API with times.

    `asked_at`: of the last request. `shown_at`: of the first reply that shows the last edit.
    """

    def __init__(self, models: int) -> None:
        super().__init__(generate(seed=1, size=models))
        self.calls: Counter[str] = Counter()
        self.asked_at = 0.0
        self.shown_at: float | None = None
        self._before_edit: Replies | None = None
        self._awaited_polls: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def polls(self) -> int:
        """The number of polls that have begun, where none of them is a sweep."""
        return self.calls["count"]

    def make(self, edit: Edit) -> None:
        """Change the catalogue."""
        self._before_edit = Replies(Catalogue(self.catalogue.rows))
        self.shown_at = None
        edit.apply(self.catalogue)

    async def wait_for_polls(self, polls: int) -> None:
        """Wait until so many polls have begun."""
        if self.polls < polls:
            reached = asyncio.get_running_loop().create_future()
            self._awaited_polls.append((polls, reached))
            await reached

    def _note_request(self, call: str, body: Any, request: web.Request) -> None:
        super()._note_request(call, body, request)
        self.calls[call] += 1
        self.asked_at = perf_counter()
        for awaited in [each for each in self._awaited_polls if each[0] <= self.polls]:
            self._awaited_polls.remove(awaited)
            awaited[1].set_result(None)

    def _good_response(
        self, request: web.Request, body: bytes, headers: dict[str, str]
    ) -> web.Response:
        if self._before_edit is not None and body != self._reply_before(self._before_edit):
            self._before_edit = None
            self.shown_at = perf_counter()
        return super()._good_response(request, body, headers)

    def _reply_before(self, replies: Replies) -> bytes:
        """The reply to the current request before the last edit."""
        call, asked = self.requests[-1]
        return replies.count(()) if call == "count" else replies.page(PageQuery.of(asked), ())


@dataclass(frozen=True, slots=True)
class World:
    """What surrounds the measured daemon."""

    api: TimedApi
    inbox: HttpInbox
    # When each message was complete at the inbox.
    arrivals: asyncio.Queue[float]
    place: Path

    @property
    def state(self) -> Path:
        """The database file."""
        return self.place / "state.db"

    def configured(self, **poll: str) -> Path:
        """Write a configuration with this API and receiver, `poll`, and otherwise the defaults."""
        content = {
            "source": {"url": self.api.url},
            "poll": poll,
            "state": {"path": str(self.state)},
            "receivers": {self.inbox.name: {"url": self.inbox.url}},
        }
        file = self.place / "config.yaml"
        file.write_text(json.dumps(content))  # JSON is YAML
        return file

    def stored_bytes(self) -> int:
        """The size of the state on disk: the database and its log."""
        return sum(file.stat().st_size for file in self.place.glob(f"{self.state.name}*"))


@asynccontextmanager
async def open_world(models: int = MODELS) -> AsyncIterator[World]:
    """A new world, removed afterwards."""
    with TemporaryDirectory(prefix="kie-watcher-bench-") as place:
        async with TimedApi(models) as api, HttpInbox() as inbox:
            arrivals = asyncio.Queue[float]()
            inbox.on_message = lambda: arrivals.put_nowait(perf_counter())
            yield World(api, inbox, arrivals, Path(place))
