"""Which prices go back and forth so often that every single move is no news.

Knows the moves of one model's price. Refuses to know who is told of them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from decimal import Decimal

__all__ = ["Flap", "FlapRule", "PricePoint", "flapping_since"]

# From when a price per base unit held, and the price.
PricePoint = tuple["datetime", "Decimal"]


class Flap(StrEnum):
    """What a delivery has to do with flapping; `STEADY` is nothing, and false."""

    STEADY = ""
    ANNOUNCED = "announced"  # tells that the price flaps
    HELD = "held"  # waits until it stands still


@dataclass(frozen=True, slots=True)
class FlapRule:
    """A price flaps when it goes to and fro more than `changes` times `within` a time.

    It has stopped when it stood still for `within`; zero turns this off.
    """

    changes: int = 4
    within: timedelta = timedelta(hours=24)


def flapping_since(prices: Sequence[PricePoint], rule: FlapRule) -> datetime | None:
    """Since when the price flaps, as its last point shows it; `None` where it does not.

    `prices` are oldest first, and reach back to the last time it stood still. A price that climbs
    in many steps goes one way: only turns count.
    """
    if not rule.within:
        return None
    since: datetime | None = None
    last_at: datetime | None = None
    last_way: bool | None = None
    turns: deque[datetime] = deque()
    for at, upward in _moves(prices):
        if last_at is not None and at - last_at >= rule.within:
            since, last_way = None, None
            turns.clear()
        if upward is not last_way:
            turns.append(at)
        while turns[0] <= at - rule.within and len(turns) > 1:
            turns.popleft()
        if since is None and len(turns) > rule.changes:
            since = at
        last_at, last_way = at, upward
    return since


def _moves(prices: Iterable[PricePoint]) -> Iterator[tuple[datetime, bool]]:
    """When it moved, and whether upward."""
    known: Decimal | None = None
    for at, price in prices:
        if known is not None and price != known:
            yield at, price > known
        known = price
