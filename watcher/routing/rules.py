"""Which prices go back and forth so often that every single move is no news.

Knows the moves of one model's price. Refuses to know who is told of them.

What a change costs those who use the model, a month.

Knows prices and amounts used. Refuses to know how a sum is worded.

What a person laid down about who hears what and when, as values.

Routes, quiet hours, silences, usage. Refuses to know the file it was written in and what becomes
of a change.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from watcher.catalog.changes import ANNOUNCED_BY_DEFAULT, Kind
from watcher.routing.match import Matcher, RouteIndex, accepts, folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from decimal import Decimal

    from watcher.catalog.changes import ModelChange
    from watcher.catalog.record import Model, Record
    from watcher.routing.calendar import QuietWindow
    from watcher.routing.match import Pattern

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


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a model is used: `per_month` in its base unit (seconds, images, tokens)."""

    model: Pattern
    per_month: Decimal


def usage_of(record: Record, usage: Sequence[Usage]) -> Decimal | None:
    """Base units a month by the first entry that names the model; `None` where none does."""
    name = folded(record.description)
    return next((entry.per_month for entry in usage if accepts((entry.model,), name)), None)


def monthly_cost(change: ModelChange, usage: Sequence[Usage]) -> Decimal | None:
    """USD a month that a change costs (positive) or saves (negative).

    `None` where the model is not used, and where one of the prices is not known or not for the
    same thing.
    """
    if change.before is None or change.after is None:
        return None
    before, after = _usd_per_base_unit(change.before), _usd_per_base_unit(change.after)
    if before is None or after is None or before == after:
        return None
    if change.before.record.unit.base != change.after.record.unit.base:
        return None
    amount = usage_of(change.after.record, usage)
    if amount is None:
        # A rename must not make the bill of who knows the old name disappear.
        amount = usage_of(change.before.record, usage)
    return None if amount is None else amount * (after - before)


def _usd_per_base_unit(model: Model) -> Decimal | None:
    return None if model.usd is None else model.usd / model.record.unit.quantity


# The name of the route that there is where the configuration has none.
EVERYBODY = ""


@dataclass(frozen=True, slots=True)
class Route:
    """Who gets what matches. `go_on`: whether later routes are asked too.

    `digest` is a schedule (cron, local time) by which it is gathered, and `empty` whether there is
    a digest of nothing.
    """

    name: str
    matcher: Matcher
    receivers: tuple[str, ...]
    go_on: bool = False
    digest: str | None = None
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Silence:
    """What nobody wants to hear for a time; `drop`: nor afterwards."""

    id: int
    matcher: Matcher
    since_at: datetime
    until_at: datetime
    reason: str = ""
    drop: bool = False
    ended_at: datetime | None = None

    @property
    def over_at(self) -> datetime:
        """When it ends, or was ended early."""
        return self.until_at if self.ended_at is None else min(self.until_at, self.ended_at)

    def is_active(self, at: datetime) -> bool:
        return self.since_at <= at < self.over_at


@dataclass(frozen=True, slots=True)
class RoutingRules:
    """All of it. `receivers` are those there are; without routes each gets what is announced."""

    receivers: tuple[str, ...]
    routes: tuple[Route, ...] = ()
    announce: frozenset[Kind] = ANNOUNCED_BY_DEFAULT
    quiet: tuple[QuietWindow, ...] = ()
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    usage: tuple[Usage, ...] = ()
    flap: FlapRule = field(default_factory=FlapRule)
    ways: tuple[Route, ...] = field(init=False, repr=False, compare=False)
    index: RouteIndex = field(init=False, repr=False, compare=False)
    _named: dict[str, Route] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ways = self.routes or (Route(EVERYBODY, Matcher(), self.receivers),)
        object.__setattr__(self, "ways", ways)
        index = RouteIndex([way.matcher for way in ways], self.announce)
        object.__setattr__(self, "index", index)
        object.__setattr__(self, "_named", {way.name: way for way in ways})

    def route(self, name: str | None) -> Route | None:
        """The route of that name, as there is one now."""
        return None if name is None else self._named.get(name)
