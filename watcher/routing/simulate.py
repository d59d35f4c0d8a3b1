"""A run of changes through the rules, with time as it was: what would have been sent, and when.

Keeps in memory what the store keeps for the daemon, and makes the same two decisions, `plan` and
`release`. Every message is accepted at once.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from watcher.catalog.changes import ModelChange, Notice, RecordedChange
from watcher.routing.net_effect import change_since
from watcher.routing.plan import ModelHistory, plan
from watcher.routing.release import QueuedItem, release
from watcher.routing.rules import Flap, PricePoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from watcher.catalog.changes import Change
    from watcher.catalog.record import Model
    from watcher.routing.plan import AnchorKey, Dispatch
    from watcher.routing.release import Batch, Release
    from watcher.routing.rules import RoutingRules, Silence

_NEVER = datetime.max.replace(tzinfo=UTC)
# Of a price that never stands still: more points than any rule counts.
_MAX_POINTS = 100
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SimulatedMessage:
    """One message that a receiver would have got."""

    receiver: str
    at: datetime
    batch: Batch


class Simulation:
    """One configuration, and the changes that have gone through it so far."""

    def __init__(
        self, rules: RoutingRules, *, begun_at: datetime, silences: Sequence[Silence] = ()
    ) -> None:
        self.rules = rules
        self.silences = silences
        self.dropped = 0
        self.netted = 0
        self._queues: dict[str, list[QueuedItem]] = {name: [] for name in rules.receivers}
        self._next: dict[str, datetime] = dict.fromkeys(rules.receivers, begun_at)
        self._digests: dict[str, dict[str, datetime]] = {name: {} for name in rules.receivers}
        self._anchors: dict[int, dict[AnchorKey, Model]] = defaultdict(dict)
        self._prices: dict[int, list[PricePoint]] = defaultdict(list)
        self._flapping: dict[int, dict[str, datetime]] = defaultdict(dict)
        self._current: dict[int, Model | None] = {}
        self._deliveries = 0

    def run(
        self, contents: Iterable[RecordedChange | Notice], until: datetime
    ) -> Iterator[SimulatedMessage]:
        """Pass changes and notices, oldest first, and then the time until `until`."""
        for content in contents:
            yield from self._pass_time(content.at)
            self.add(content)
        yield from self._pass_time(until)
        yield from self.due(until)

    def add(self, content: RecordedChange | Notice) -> None:
        """Queue a change or a notice for the receivers that are to get it."""
        if isinstance(content, Notice):
            for receiver in self.rules.receivers:
                self._queue(receiver, QueuedItem(0, content, content.at))
            return
        number = _number(content.change)
        planned = plan(
            content.change,
            self.rules,
            now=content.at,
            history=self._history(number, content),
            silences=self.silences,
        )
        self.dropped += len(planned.suppressed)
        for dispatch in planned.dispatches:
            self._dispatch(dispatch, content, number)
        for anchor in planned.anchors:
            self._anchors[anchor.model_id][anchor.route, anchor.receiver] = anchor.model
        self._record(content)

    def due(self, now: datetime) -> Iterator[SimulatedMessage]:
        """The messages that are sent at `now`."""
        for receiver, next_at in self._next.items():
            if next_at <= now:
                yield from self._release(receiver, now)

    def next_at(self) -> datetime | None:
        """When something is due next, if nothing is added."""
        earliest = min(self._next.values(), default=_NEVER)
        return None if earliest == _NEVER else earliest

    def waiting(self) -> int:
        """How many deliveries are held back."""
        return sum(map(len, self._queues.values()))

    def _pass_time(self, until: datetime) -> Iterator[SimulatedMessage]:
        while (at := self.next_at()) is not None and at < until:
            yield from self.due(at)

    def _release(self, receiver: str, now: datetime) -> Iterator[SimulatedMessage]:
        released = release(
            [self._up_to_date(item) for item in self._queues[receiver]],
            self.rules,
            receiver=receiver,
            now=now,
            silences=self.silences,
            digests=self._digests[receiver],
        )
        self._settle(receiver, released)
        for batch in released.batches:
            yield SimulatedMessage(receiver, now, batch)

    def _settle(self, receiver: str, released: Release) -> None:
        done = {number for batch in released.batches for number in batch.deliveries}
        done.update(released.netted)
        self.netted += len(released.netted)
        queue = self._queues[receiver]
        self._queues[receiver] = [item for item in queue if item.delivery_id not in done]
        self._next[receiver] = released.next_at or _NEVER
        self._digests[receiver] = dict(released.digests)
        for anchor in released.anchors:
            self._anchors[anchor.model_id][anchor.route, anchor.receiver] = anchor.model

    def _history(self, number: int | None, recorded: RecordedChange) -> ModelHistory:
        if number is None:
            return ModelHistory()
        self._begin_prices(number, recorded)
        return ModelHistory(self._anchors[number], self._prices[number], self._flapping[number])

    def _begin_prices(self, number: int, recorded: RecordedChange) -> None:
        change = recorded.change
        before = change.before if isinstance(change, ModelChange) else None
        if before is not None and not self._prices[number]:
            self._prices[number].append((_LONG_AGO, before.price or Decimal(0)))

    def _dispatch(self, dispatch: Dispatch, recorded: RecordedChange, number: int | None) -> None:
        reported = replace(recorded, change=change_since(recorded.change, dispatch.since))
        if dispatch.flap is not Flap.STEADY and number is not None:
            self._flapping[number][dispatch.receiver] = recorded.at
        item = QueuedItem(
            0, reported, recorded.at, dispatch.route, dispatch.silence_id, dispatch.flap
        )
        self._queue(dispatch.receiver, item)

    def _queue(self, receiver: str, item: QueuedItem) -> None:
        self._deliveries += 1
        self._queues[receiver].append(replace(item, delivery_id=self._deliveries))
        self._next[receiver] = min(self._next[receiver], item.queued_at)

    def _record(self, recorded: RecordedChange) -> None:
        change = recorded.change
        if not isinstance(change, ModelChange) or change.model_id is None:
            return
        self._current[change.model_id] = change.after
        if change.after is None:
            return
        prices = self._prices[change.model_id]
        price = change.after.price or Decimal(0)
        if prices and prices[-1][1] == price:
            return
        if prices and recorded.at - prices[-1][0] >= self.rules.flap.within:
            # It stood still: of what was before only the last price still counts.
            del prices[:-1]
        del prices[:-_MAX_POINTS]
        prices.append((recorded.at, price))

    def _up_to_date(self, item: QueuedItem) -> QueuedItem:
        content = item.content
        number = None if isinstance(content, Notice) else _number(content.change)
        if number is None:
            return item
        prices = self._prices[number]
        still_since = prices[-1][0] if prices else None
        return replace(item, current=self._current.get(number), still_since=still_since)


def _number(change: Change) -> int | None:
    return change.model_id if isinstance(change, ModelChange) else None
