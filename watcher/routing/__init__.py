"""Who hears of a change, when, and as part of what: routes, thresholds, quiet hours, digests.

Two decisions: `plan` when a change is believed, `release` when a receiver's message is made. Time,
what was told before and what stands now come in as arguments. Refuses to know how it is worded,
stored and sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.routing.calendar import (
    EVERY_DAY,
    QuietWindow,
    last_moment,
    next_moment,
    quiet_until,
)
from watcher.routing.digest import Digest
from watcher.routing.flapping import Flap, FlapRule, PricePoint, flapping_since
from watcher.routing.matcher import EVERY_KIND, Matcher
from watcher.routing.net import net_effect, since_told
from watcher.routing.patterns import Pattern, PatternError, accepts
from watcher.routing.planning import NOTHING_KNOWN, Anchor, Dispatch, Past, Plan, Way, plan
from watcher.routing.rehearsal import Rehearsal, Told
from watcher.routing.release import Batch, Release, release
from watcher.routing.rules import EVERYBODY, Route, RoutingRules, Silence
from watcher.routing.trail import RouteVerdict, explain, verdicts
from watcher.routing.usage import Usage, monthly_cost, usage_of
from watcher.routing.waiting import QueuedItem

if TYPE_CHECKING:
    from collections.abc import Collection

    from watcher.changes import Change, Kind

__all__ = [
    "EVERYBODY",
    "EVERY_DAY",
    "EVERY_KIND",
    "NOTHING_KNOWN",
    "Anchor",
    "Batch",
    "Digest",
    "Dispatch",
    "Flap",
    "FlapRule",
    "Matcher",
    "Past",
    "Pattern",
    "PatternError",
    "Plan",
    "PricePoint",
    "QueuedItem",
    "QuietWindow",
    "Rehearsal",
    "Release",
    "Route",
    "RouteVerdict",
    "RoutingRules",
    "Silence",
    "Told",
    "Usage",
    "Way",
    "accepts",
    "explain",
    "flapping_since",
    "last_moment",
    "monthly_cost",
    "net_effect",
    "next_moment",
    "plan",
    "quiet_until",
    "release",
    "route",
    "since_told",
    "usage_of",
    "verdicts",
]


def route(
    change: Change, announce: Collection[Kind], receivers: Collection[str]
) -> tuple[str, ...]:
    """Everybody hears of a change of which at least one kind is announced.

    What `plan` finds without routes, for those who keep nothing of the past.
    """
    if not set(change.kinds) & set(announce):
        return ()
    return tuple(receivers)
