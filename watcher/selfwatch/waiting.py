"""Waiting for whichever comes first: the end, news, or a time.

Refuses to know what the news are.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["first_of"]


async def first_of(stop: asyncio.Event, news: asyncio.Event, wait: timedelta | None) -> None:
    """Return when stopped, when there is news, or after `wait` (`None`: however long)."""
    waiters = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(news.wait())]
    try:
        await asyncio.wait(
            waiters,
            timeout=None if wait is None else wait.total_seconds(),
            return_when=asyncio.FIRST_COMPLETED,
        )
    finally:
        for waiter in waiters:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
