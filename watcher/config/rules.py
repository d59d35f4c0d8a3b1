"""The settings, as the rules that routing, confirmation and alarms go by."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from watcher.catalog.confirm import ConfirmRules
from watcher.config.field_types import DAYS
from watcher.config.routes import MatchSettings
from watcher.routing.calendar import QuietWindow
from watcher.routing.match import Matcher, Pattern
from watcher.routing.rules import FlapRule, Route, RoutingRules, Silence, Usage

if TYPE_CHECKING:
    from watcher.config.routes import QuietHoursSettings, RouteSettings
    from watcher.config.settings import Settings
    from watcher.monitor.alarms import AlarmRules
    from watcher.store.values import StoredSilence


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


def confirm_rules(settings: Settings) -> ConfirmRules:
    """How long which changes wait to be seen again."""
    confirm = settings.confirm
    return ConfirmRules(
        removals=confirm.removals,
        implausible=confirm.implausible,
        implausible_factor=confirm.implausible_factor,
        collapse=confirm.collapse,
        collapse_share=confirm.collapse_share,
    )


def alarm_rules(settings: Settings) -> AlarmRules:
    """Who is notified of alarms, and when the watcher counts as blind."""
    from watcher.monitor.alarms import AlarmRules  # noqa: PLC0415 - only a daemon alarms

    return AlarmRules(
        operators=settings.operator,
        receivers=settings.receiver_names(),
        # One failed poll of a slow watcher does not make it blind.
        blind_after=max(settings.operator_after, 2 * settings.poll.interval),
        zone=ZoneInfo(settings.timezone),
    )


def parse_silence(stored: StoredSilence) -> Silence:
    """A silence with its matcher parsed; one that cannot be parsed holds nothing back."""
    try:
        parsed, until_at = _parse_matcher(json.dumps(stored.spec)), stored.until_at
    except ValidationError:
        # It was checked when it was requested, so another version of the program wrote it.
        parsed, until_at = Matcher(), stored.since_at
    return Silence(
        id=stored.id,
        matcher=parsed,
        since_at=stored.since_at,
        until_at=until_at,
        reason=stored.reason,
        drop=stored.dropping,
        ended_at=stored.ended_at,
    )


# Cached, because a regular expression is tried on hard texts each time it is parsed.
@lru_cache(maxsize=512)
def _parse_matcher(spec: str) -> Matcher:
    return matcher(MatchSettings.model_validate(json.loads(spec)))


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
