"""A run of changes through the rules, with time as it was: what would have been sent, and when.

Keeps in memory the queues that the store keeps for the daemon, and makes the same two decisions,
`plan` and `release`. Every message is accepted at once.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from watcher.catalog.changes import Kind, ModelChange, Notice, RecordedChange
from watcher.routing.flapping import still_since
from watcher.routing.net_effect import change_since, subject
from watcher.routing.plan import FLAPPING_LOOKS_BACK, History, Plan, plan
from watcher.routing.release import QueuedItem, release

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from watcher.catalog.record import Model
    from watcher.routing.net_effect import Subject
    from watcher.routing.plan import AnchorKey
    from watcher.routing.release import Batch, Deferral, Release
    from watcher.routing.rules import RoutingRules, Silence

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SimulatedMessage:
    """One message that a receiver would have got."""

    receiver: str
    at: datetime
    batch: Batch


class Simulation:
    """One configuration, and the changes that have gone through it so far."""

    def __init__(
        self,
        rules: RoutingRules,
        *,
        begun_at: datetime,
        silences: Sequence[Silence] = (),
    ) -> None:
        self.rules = rules
        self.silences = silences
        self.dropped = 0
        self.netted = 0
        self._queues: dict[str, list[QueuedItem]] = {name: [] for name in rules.receivers}
        self._deferred: dict[str, Mapping[int, Deferral]] = {name: {} for name in rules.receivers}
        self._next: dict[str, datetime] = dict.fromkeys(rules.receivers, begun_at)
        self._digests: dict[str, Mapping[str, datetime]] = {name: {} for name in rules.receivers}
        self._anchors: dict[Subject, dict[AnchorKey, Model]] = defaultdict(dict)
        self._recent: dict[Subject, list[RecordedChange]] = defaultdict(list)
        self._moved_at: dict[Subject, dict[Kind, datetime]] = defaultdict(dict)
        self._flapping_sent: dict[Subject, dict[tuple[str, Kind], datetime]] = defaultdict(dict)
        self._current: dict[Subject, Model | None] = {}
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

    def add(self, content: RecordedChange | Notice) -> Plan:
        """Queue a change or a notice for the receivers that are to get it."""
        if isinstance(content, Notice):
            for receiver in self.rules.receivers:
                self._queue(receiver, QueuedItem(0, content, content.at))
            return Plan()
        change, about = content.change, subject(content.change)
        planned = plan(
            change,
            self.rules,
            now=content.at,
            history=self._history(about, content.at),
            silences=self.silences,
        )
        self.dropped += len(planned.suppressed)
        for it in planned.dispatches:
            reported = replace(content, change=change_since(change, it.since))
            held = (it.silence_id, it.flap, it.flapping)
            self._queue(it.receiver, QueuedItem(0, reported, content.at, it.route, *held))
            for kind in it.flapping:
                self._flapping_sent[about][it.receiver, kind] = content.at
        for anchor in planned.anchors:
            self._anchors[anchor.model_id][anchor.route, anchor.receiver] = anchor.model
        self._recent[about].append(content)
        self._moved_at[about].update(dict.fromkeys(change.kinds, content.at))
        if isinstance(change, ModelChange):
            self._current[about] = change.after
        else:
            self._current = {
                number: it and replace(it, usd_per_credit=change.after)
                for number, it in self._current.items()
            }
        return planned

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

    def deferral(self, receiver: str, route: str) -> Deferral | None:
        """Why what a route had for a receiver still waits; `None` where nothing does."""
        why = self._deferred[receiver]
        waiting = (why.get(it.delivery_id) for it in self._queues[receiver] if it.route == route)
        return next(waiting, None)

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
        self.netted += len(released.netted)
        queue = self._queues[receiver]
        self._queues[receiver] = [it for it in queue if it.delivery_id in released.deferred]
        self._deferred[receiver] = released.deferred
        self._next[receiver] = released.next_at or _NEVER
        self._digests[receiver] = released.digests
        for anchor in released.anchors:
            self._anchors[anchor.model_id][anchor.route, anchor.receiver] = anchor.model

    def _history(self, about: Subject, at: datetime) -> History:
        since = at - FLAPPING_LOOKS_BACK * self.rules.flap.within
        recent = [it for it in self._recent[about] if it.at > since]
        self._recent[about] = recent
        return History(self._anchors[about], tuple(recent), self._flapping_sent[about])

    def _queue(self, receiver: str, item: QueuedItem) -> None:
        self._deliveries += 1
        self._queues[receiver].append(replace(item, delivery_id=self._deliveries))
        self._next[receiver] = min(self._next[receiver], item.queued_at)

    def _up_to_date(self, item: QueuedItem) -> QueuedItem:
        if isinstance(item.content, Notice):
            return item
        about = subject(item.content.change)
        still = still_since(item.flapping, self._moved_at[about])
        return replace(item, current=self._current.get(about), still_since=still)
