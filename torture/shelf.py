"""The real client with the wire taken away: it reads a catalogue in memory.

Everything above the socket is the watcher's own. Refuses to know what is done with what is read.
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

__all__ = ["Shelf"]


class Shelf(KieClient):
    """Answers every call from `catalogue`; `move` is called before each answer is made.

    Two pages asked for at once are answered in any order, as `rng` has it.
    """

    def __init__(self, catalogue: Catalogue, source: SourceSettings, rng: Random) -> None:
        super().__init__(None, source, PollSettings(), _at_once)  # type: ignore[arg-type]
        self.move: Callable[[], None] = lambda: None
        self._replies = Replies(catalogue)
        self._rng = rng

    async def _exchange(self, call: Any) -> tuple[str, timedelta | None]:
        self.traffic.requests += 1
        for _ in range(self._rng.randrange(3)):
            await asyncio.sleep(0)
        self.move()
        return self.good(call).decode(), None

    def good(self, call: Any) -> bytes:
        """The body of a good reply."""
        if call.payload is None:
            return self._replies.count([])
        return self._replies.page(PageQuery.of(call.payload), [])

    def good_page(self, number: int, size: int) -> bytes:
        """The body of a good reply to a page call."""
        return self._replies.page(PageQuery(number, size), [])


async def _at_once(_: timedelta) -> None:
    return
