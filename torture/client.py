"""The real client without a network: it reads a catalogue in memory.

Everything above the socket is the watcher's own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from watcher.config.settings import PollSettings
from watcher.kie.client import KieClient
from watcher.simulator.replies import PageQuery, Replies

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from random import Random

    from watcher.config.settings import SourceSettings
    from watcher.simulator.catalogue import Catalogue

__all__ = ["InMemoryClient"]


class InMemoryClient(KieClient):
    """Answers every call from `catalogue`; `before_reply` is called before each reply is made.

    Two pages asked for at once are answered in any order, as `rng` has it.
    """

    def __init__(self, catalogue: Catalogue, source: SourceSettings, rng: Random) -> None:
        super().__init__(None, source, PollSettings(), _no_pause)  # type: ignore[arg-type]
        self.before_reply: Callable[[], None] = lambda: None
        self._replies = Replies(catalogue)
        self._rng = rng

    async def _exchange(self, call: Any) -> tuple[str, timedelta | None]:
        self.traffic.requests += 1
        for _ in range(self._rng.randrange(3)):
            await asyncio.sleep(0)
        self.before_reply()
        if call.payload is None:
            return self._replies.count([]).decode(), None
        return self._replies.page(PageQuery.of(call.payload), []).decode(), None

    def page_body(self, number: int, size: int) -> bytes:
        """The body of the reply to a page call."""
        return self._replies.page(PageQuery(number, size), [])


async def _no_pause(_: timedelta) -> None:
    return
