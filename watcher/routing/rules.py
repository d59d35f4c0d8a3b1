"""What a person laid down about who hears what and when, as values.

Routes, quiet hours, silences, usage. Refuses to know the file it was written in and what becomes
of a change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from watcher.changes import ANNOUNCED_BY_DEFAULT, Kind
from watcher.routing.flapping import FlapRule
from watcher.routing.index import RouteIndex
from watcher.routing.matcher import Matcher

if TYPE_CHECKING:
    from datetime import datetime

    from watcher.routing.calendar import QuietWindow
    from watcher.routing.usage import Usage

__all__ = ["EVERYBODY", "Route", "RoutingRules", "Silence"]

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
