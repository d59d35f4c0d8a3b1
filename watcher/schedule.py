"""How long to wait: until the next poll, after failed polls, and before a message is sent again.

Waits grow with every failure and are spread by chance, which comes in as an argument. A server's
Retry-After is respected up to one day, here and nowhere else.
"""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

# What asks for longer is tried again anyway.
MAX_RETRY_AFTER = timedelta(days=1)
FIRST_RETRY = timedelta(seconds=5)
MAX_RETRY = timedelta(minutes=15)
# A receiver that gave no answer so often is sent what it may have got already only rarely.
UNANSWERED_IN_A_ROW = 3
FIRST_PAUSE = timedelta(hours=6)
PAUSE = timedelta(hours=12)
# After this many doublings every limit is reached, and a duration would overflow.
MAX_DOUBLINGS = 40

# Some services write fractions of a second, which the RFC does not know.
_SECONDS = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)


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

    After none, the interval plus or minus the share `jitter`. Otherwise between the interval and
    2^failures times the interval, at most `limit` and never less than the interval. `retry_after`
    is what the server asked for: respected even beyond `limit`, up to `MAX_RETRY_AFTER`.
    """
    if failures <= 0:
        spread = float(jitter)
        wait = interval * rng.uniform(1 - spread, 1 + spread)
    else:
        longest = _doubled(interval, failures, limit)
        wait = interval + max(longest - interval, timedelta()) * rng.random()
    return max(wait, _capped(retry_after))


def next_attempt(
    attempts: int, retry_after: timedelta | None, rng: Random, *, unanswered: int = 0
) -> timedelta:
    """How long to wait before a message is sent again, after `attempts` (1 or more) failures.

    From 5 s doubling to 15 min, spread by chance; at least `retry_after`, up to `MAX_RETRY_AFTER`.
    After a try without an answer `unanswered` is how many its receiver had since it last accepted
    a message, this one included: after three 6 h, after more 12 h, for each may be another copy.
    """
    if unanswered >= UNANSWERED_IN_A_ROW:
        return FIRST_PAUSE if unanswered == UNANSWERED_IN_A_ROW else PAUSE
    longest = _doubled(FIRST_RETRY, max(attempts, 1), MAX_RETRY)
    return max(longest * rng.uniform(0.5, 1), _capped(retry_after))


def time_waited(planned_at: datetime, due_at: datetime, now: datetime) -> timedelta:
    """How much of the wait before a try, planned at `planned_at` until `due_at`, counts.

    The lesser of what passed and what was planned: a clock that jumps must not make a message too
    old, nor must a machine that slept. Nothing where the clock was set back.
    """
    return max(min(now, due_at) - planned_at, timedelta())


def parse_retry_after(text: str | None, now: datetime) -> timedelta | None:
    """How long a Retry-After header asks to wait: seconds or a date (RFC 9110 section 10.2.3).

    From zero to `MAX_RETRY_AFTER`; `None` where there is no header, or one that cannot be read.
    """
    if text is None:
        return None
    text = text.strip()
    if _SECONDS.fullmatch(text):
        # So many digits are more than any limit, and more may be too many for a duration.
        return min(timedelta(seconds=float(text[:12])), MAX_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return min(max(wait, timedelta()), MAX_RETRY_AFTER)


def _doubled(first: timedelta, times: int, limit: timedelta) -> timedelta:
    seconds = first.total_seconds() * 2.0 ** min(times, MAX_DOUBLINGS)
    return timedelta(seconds=min(seconds, limit.total_seconds()))


def _capped(retry_after: timedelta | None) -> timedelta:
    return min(retry_after or timedelta(), MAX_RETRY_AFTER)


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
