"""What is due to a receiver, and until when each piece of it waits.

Knows the rules and the clock's time as an argument. Refuses to know what several pieces come to:
that is `release`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.changes import Kind, Notice, RecordedChange
from watcher.routing.calendar import last_moment, next_moment, open_windows
from watcher.routing.flapping import Flap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from watcher.catalog import Model
    from watcher.routing.rules import Route, RoutingRules, Silence

__all__ = ["Desk", "QueuedItem"]


@dataclass(frozen=True, slots=True)
class QueuedItem:
    """One delivery that waits to be gathered, as it is to be told (see `since_told`).

    `still_since`: when the price of the model last moved; `current`: the model as it stands now,
    `None` where it is not on sale or not known.
    """

    delivery_id: int
    content: RecordedChange | Notice
    queued_at: datetime
    route: str | None = None
    silence_id: int | None = None
    flap: Flap = Flap.STEADY
    still_since: datetime | None = None
    current: Model | None = None


class Desk:
    """One receiver's rules at one moment."""

    def __init__(
        self, rules: RoutingRules, silences: Sequence[Silence], receiver: str, now: datetime
    ) -> None:
        self.rules = rules
        self.receiver = receiver
        self.now = now
        self._silences: Mapping[int, Silence] = {silence.id: silence for silence in silences}
        self._last: dict[str, datetime | None] = {}
        self._next: dict[str, datetime | None] = {}
        self._open = open_windows(rules.quiet, rules.zone, receiver, now)
        self.is_quiet = bool(self._open)
        # With each that ends, what waits may be urgent enough for the rest.
        self.next_end = min((end for _, end in self._open), default=None)

    def route(self, item: QueuedItem) -> Route | None:
        return self.rules.route(item.route)

    def digest(self, item: QueuedItem) -> Route | None:
        """The route whose digest gathers an item."""
        route = None if isinstance(item.content, Notice) else self.route(item)
        return None if route is None or route.digest is None else route

    def waits_until(self, item: QueuedItem) -> datetime | None:
        """Until when an item is held back, quiet hours left aside; `None` where it is not."""
        silence = self._silence(item)
        if silence is not None and silence.is_active(self.now):
            return silence.over_at
        if (route := self.digest(item)) is not None:
            held = item.queued_at if silence is None else max(item.queued_at, silence.over_at)
            return None if self.digest_came(route, held) else self.next_digest(route)
        if item.flap is Flap.HELD:
            still_at = (item.still_since or item.queued_at) + self.rules.flap.within
            return still_at if still_at > self.now else None
        return None

    def was_deferred(self, item: QueuedItem) -> bool:
        """Whether it was held back on purpose, and not because the receiver failed."""
        if item.silence_id is not None or item.flap is Flap.HELD:
            return True
        if isinstance(item.content, RecordedChange) and item.route and self.route(item) is None:
            # Why it waited went with its route.
            return True
        rules = self.rules
        return bool(open_windows(rules.quiet, rules.zone, self.receiver, item.queued_at))

    def is_urgent(self, content: RecordedChange | Notice) -> bool:
        """Whether something breaks through every window that is open."""
        if isinstance(content, Notice):
            return False
        return all(
            window.urgent is not None
            and window.urgent.refusal(content.change, announce=self.rules.announce) is None
            for window, _ in self._open
        )

    def still_news(self, net: RecordedChange, items: Sequence[QueuedItem]) -> bool:
        """Whether what changes came to is what one of their routes asks for."""
        announce = self.rules.announce
        for item in items:
            if (route := self.route(item)) is not None:
                if route.matcher.news_refusal(net.change, announce=announce) is None:
                    return True
            elif not _kinds(item).union(announce).isdisjoint(net.change.kinds):
                return True
        return False

    def digest_came(self, route: Route, since: datetime) -> bool:
        """Whether the moment of a digest came after `since`."""
        last = self.last_digest(route)
        return last is not None and last > since

    def last_digest(self, route: Route) -> datetime | None:
        if route.name not in self._last:
            cron = route.digest or ""
            self._last[route.name] = last_moment(cron, self.rules.zone, self.now)
        return self._last[route.name]

    def next_digest(self, route: Route) -> datetime | None:
        if route.name not in self._next:
            cron = route.digest or ""
            self._next[route.name] = next_moment(cron, self.rules.zone, self.now)
        return self._next[route.name]

    def _silence(self, item: QueuedItem) -> Silence | None:
        return None if item.silence_id is None else self._silences.get(item.silence_id)


def _kinds(item: QueuedItem) -> frozenset[Kind]:
    return frozenset() if isinstance(item.content, Notice) else frozenset(item.content.change.kinds)
