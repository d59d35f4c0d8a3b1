"""When to try again: after a poll, after failed polls, and after a message was not accepted.

Knows how waiting grows and how chance spreads it. Refuses to know the clock and what is waited
for; chance comes in as an argument.

Waiting without sleeping: for events, and not longer than a time.

Refuses to know what is waited for.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

LONGEST_RETRY_AFTER = timedelta(days=1)
FIRST_RETRY = timedelta(seconds=5)
SLOWEST_RETRY = timedelta(minutes=15)
# Beyond this many doublings every limit is reached, and a duration would overflow.
MOST_DOUBLINGS = 40


def backoff(
    interval: timedelta,
    failures: int,
    retry_after: timedelta | None = None,
    *,
    limit: timedelta,
    rng: Random,
    jitter: Decimal = Decimal("0.1"),
) -> timedelta:
    """How long to wait before the next poll, after `failures` failed ones in a row.

    With none, the interval give or take the share `jitter`. Else something from the interval to
    its 2^failures-fold, at most `limit` and never under the interval. `retry_after` is what the
    server asked for: kept even where it is beyond `limit`, up to a day.
    """
    if failures <= 0:
        spread = float(jitter)
        wait = interval * rng.uniform(1 - spread, 1 + spread)
    else:
        longest = _doubled(interval, failures, limit)
        wait = interval + max(longest - interval, timedelta()) * rng.random()
    return max(wait, _asked_for(retry_after))


def next_attempt(attempts: int, retry_after: timedelta | None, rng: Random) -> timedelta:
    """How long to wait before a message is tried again, after `attempts` (1 or more) failures.

    From 5 s doubling to 15 min, spread by chance; `retry_after` is the least, up to a day.
    """
    longest = _doubled(FIRST_RETRY, max(attempts, 1), SLOWEST_RETRY)
    return max(longest * rng.uniform(0.5, 1), _asked_for(retry_after))


def _doubled(first: timedelta, times: int, limit: timedelta) -> timedelta:
    seconds = first.total_seconds() * 2.0 ** min(times, MOST_DOUBLINGS)
    return timedelta(seconds=min(seconds, limit.total_seconds()))


def _asked_for(retry_after: timedelta | None) -> timedelta:
    return min(retry_after or timedelta(), LONGEST_RETRY_AFTER)


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
