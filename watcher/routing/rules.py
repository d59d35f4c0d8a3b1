"""What the configuration says about routing, as values: routes, silences, flapping, usage.

With the rule that is calculated: what a change costs a month.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from watcher.catalog.changes import ANNOUNCED_BY_DEFAULT, Kind, ModelChange
from watcher.routing.match import Matcher, accepts, cached_fold

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    from watcher.catalog.changes import Change
    from watcher.catalog.record import Model, Record
    from watcher.routing.calendar import QuietWindow
    from watcher.routing.match import Pattern

# The name of the route that is used where the configuration has none.
DEFAULT_ROUTE = ""

# The kinds of a change, with the labels of the model before and after it; and how many are cached.
_Key = tuple[tuple[Hashable, ...], ...]
_CACHED_KEYS = 4096


@dataclass(frozen=True, slots=True)
class Route:
    """Which receivers get what matches. `continues`: whether later routes are asked too.

    `digest` is the schedule (cron, local time) of a route that sends digests, and `empty` whether
    it sends one without changes.
    """

    name: str
    matcher: Matcher
    receivers: tuple[str, ...]
    continues: bool = False
    digest: str | None = None
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Silence:
    """What is not sent for a time; with `drop` it is not sent afterwards either."""

    id: int
    matcher: Matcher
    since_at: datetime
    until_at: datetime
    reason: str = ""
    drop: bool = False
    ended_at: datetime | None = None

    @property
    def ends_at(self) -> datetime:
        """When it ends, or was ended early."""
        return self.until_at if self.ended_at is None else min(self.until_at, self.ended_at)

    def is_active(self, at: datetime) -> bool:
        return self.since_at <= at < self.ends_at


class Flap(StrEnum):
    """What a delivery has to do with flapping: `STEADY`, which is false, is nothing."""

    STEADY = ""
    ANNOUNCED = "announced"  # says that something flaps
    HELD = "held"  # waits until it stands still


@dataclass(frozen=True, slots=True)
class FlapRule:
    """A value flaps after `changes` turns `within` a time: returns to what it was in that time.

    It stops when it has stood still for `within`; zero turns this off.
    """

    changes: int = 4
    within: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a model is used: `per_month` in its base unit (seconds, images, tokens)."""

    model: Pattern
    per_month: Decimal


@dataclass(frozen=True, slots=True)
class RoutingRules:
    """All rules of routing. Without routes each of the `receivers` gets what is announced.

    `effective_routes` are the configured routes, or the default route where there are none.
    """

    receivers: tuple[str, ...]
    routes: tuple[Route, ...] = ()
    announce: frozenset[Kind] = ANNOUNCED_BY_DEFAULT
    quiet: tuple[QuietWindow, ...] = ()
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    usage: tuple[Usage, ...] = ()
    flap: FlapRule = field(default_factory=FlapRule)
    effective_routes: tuple[Route, ...] = field(init=False, repr=False, compare=False)
    _by_name: dict[str, Route] = field(init=False, repr=False, compare=False)
    _candidates: dict[_Key, tuple[Route, ...]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        routes = self.routes or (Route(DEFAULT_ROUTE, Matcher(), self.receivers),)
        object.__setattr__(self, "effective_routes", routes)
        object.__setattr__(self, "_by_name", {route.name: route for route in routes})

    def route(self, name: str | None) -> Route | None:
        """The route of that name, if there is one now."""
        return None if name is None else self._by_name.get(name)

    def candidates(self, change: Change) -> tuple[Route, ...]:
        """The routes that may take a change, amounts apart: few of many.

        They are found once for each name and what happened to it: both come again and again.
        """
        key = _key(change)
        routes = self._candidates.get(key)
        if routes is None:
            if len(self._candidates) >= _CACHED_KEYS:
                self._candidates.clear()
            asked = (
                it for it in self.effective_routes if it.matcher.may_take(change, self.announce)
            )
            routes = self._candidates[key] = tuple(asked)
        return routes


def _key(change: Change) -> _Key:
    """All of a change that `may_take` looks at."""
    if not isinstance(change, ModelChange):
        return (change.kinds,)
    sides = (change.before, change.after)
    records = (side.record for side in sides if side is not None)
    return (change.kinds, *((it.interface, it.provider, it.description) for it in records))


def usage_of(record: Record, usage: Sequence[Usage]) -> Decimal | None:
    """Base units a month by the first entry that names the model; `None` where none does."""
    name = cached_fold(record.description)
    return next((entry.per_month for entry in usage if accepts((entry.model,), name)), None)


def monthly_cost(change: ModelChange, usage: Sequence[Usage]) -> Decimal | None:
    """USD a month that a change costs (positive) or saves (negative).

    `None` where the model is not used, and where a price is unknown or the base units differ.
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
        # After a rename `usage` may still have the old name.
        amount = usage_of(change.before.record, usage)
    return None if amount is None else amount * (after - before)


def _usd_per_base_unit(model: Model) -> Decimal | None:
    return None if model.usd is None else model.usd / model.record.unit.quantity
