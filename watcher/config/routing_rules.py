"""The settings about routing, as the values that routing works with."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from watcher.config.field_types import DAYS
from watcher.routing.calendar import QuietWindow
from watcher.routing.match import Matcher, Pattern
from watcher.routing.rules import FlapRule, Route, RoutingRules, Usage

if TYPE_CHECKING:
    from watcher.config.routes import MatchSettings, QuietHoursSettings, RouteSettings
    from watcher.config.settings import Settings


def routing_rules(settings: Settings) -> RoutingRules:
    """All that the settings say about who gets which change, and when."""
    usage = (Usage(Pattern(used.model), used.per_month) for used in settings.usage)
    return RoutingRules(
        receivers=settings.receiver_names(),
        routes=tuple(map(_route, settings.routes)),
        announce=settings.announce,
        quiet=tuple(map(_window, settings.quiet_hours)),
        zone=ZoneInfo(settings.timezone),
        usage=tuple(usage),
        flap=FlapRule(settings.flap.changes, settings.flap.within),
    )


def matcher(match: MatchSettings) -> Matcher:
    """What a route's `match`, or the `urgent` of quiet hours, asks for."""
    least = match.min_change
    return Matcher(
        kinds=match.all_kinds,
        interface=_patterns(match.interface),
        provider=_patterns(match.provider),
        model=_patterns(match.model),
        family=_patterns(match.family),
        min_up=None if least is None else least.up,
        min_down=None if least is None else least.down,
        min_usd=match.min_change_usd,
        usd_below=match.usd_below,
        usd_above=match.usd_above,
        discount_below=match.discount_below,
        discount_above=match.discount_above,
    )


def _patterns(texts: tuple[str, ...]) -> tuple[Pattern, ...]:
    return tuple(map(Pattern, texts))


def _route(route: RouteSettings) -> Route:
    return Route(
        name=route.name,
        matcher=matcher(route.match),
        receivers=route.receivers,
        continues=route.continue_,
        digest=route.digest,
        empty=route.empty,
    )


def _window(window: QuietHoursSettings) -> QuietWindow:
    return QuietWindow(
        name=window.name,
        start=window.from_,
        end=window.to,
        days=frozenset(map(DAYS.index, window.days)),
        receivers=None if window.receivers is None else frozenset(window.receivers),
        urgent=None if window.urgent is None else matcher(window.urgent),
    )
