"""Waiting without sleeping: for events, and not longer than a time.

Refuses to know what is waited for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["first_of"]


async def first_of(*events: asyncio.Event, within: timedelta | None) -> None:
    """Return as soon as one of the events is set, or after `within` (`None`: however long)."""
    waiters = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(
            waiters,
            timeout=None if within is None else max(within.total_seconds(), 0),
            return_when=asyncio.FIRST_COMPLETED,
        )
    finally:
        for waiter in waiters:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
