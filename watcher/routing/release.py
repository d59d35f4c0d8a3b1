"""What is sent to a receiver now of everything that waits for it, and when more is due.

Silences, digests, quiet hours and flapping hold items back; what was held back on purpose is sent
as net changes. All of it is decided again each time, by the rules of that moment: nothing that is
decided here is stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from watcher.catalog.changes import (
    CreditValueChange,
    Kind,
    ModelChange,
    Notice,
    NoticeKind,
    RecordedChange,
)
from watcher.routing.calendar import last_moment, next_moment, open_windows
from watcher.routing.flapping import values_moved
from watcher.routing.net_effect import DigestSummary, Subject, net_change, subject, summarize
from watcher.routing.plan import Anchor
from watcher.routing.rules import Flap

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from watcher.catalog.changes import Change
    from watcher.catalog.record import Model
    from watcher.routing.rules import Route, RoutingRules, Silence

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_NO_DIGESTS: Mapping[str, datetime] = {}


@dataclass(frozen=True, slots=True)
class QueuedItem:
    """One delivery that is not in a message yet, as it is to be reported (see `change_since`).

    `flapping`: which of its kinds flap; `still_since`: since when one of the values that these
    move stands still. `current`: the model as it is now, `None` where it is not on sale or not
    known.
    """

    delivery_id: int
    content: RecordedChange | Notice
    queued_at: datetime
    route: str | None = None
    silence_id: int | None = None
    flap: Flap = Flap.STEADY
    flapping: frozenset[Kind] = frozenset()
    still_since: datetime | None = None
    current: Model | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """One message: its contents, and every delivery that is done with it.

    `flapping` are the numbers of changes that say that something flaps; `routes` names those that
    brought it.
    """

    deliveries: tuple[int, ...]
    contents: tuple[RecordedChange | Notice, ...]
    flapping: frozenset[int] = frozenset()
    digest: DigestSummary | None = None
    routes: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[ModelChange, ...]:
        """The changes of models in it."""
        changes = (it.change for it in self.contents if isinstance(it, RecordedChange))
        return tuple(change for change in changes if isinstance(change, ModelChange))

    @property
    def model_ids(self) -> frozenset[int]:
        """The models that it is about, by the store's numbers."""
        return frozenset(it.model_id for it in self.changes if it.model_id is not None)

    @property
    def needs_what_is_on_sale(self) -> bool:
        """Whether a model in it was removed, or the value of a credit moved."""
        changes = (it.change for it in self.contents if isinstance(it, RecordedChange))
        return any(isinstance(it, CreditValueChange) or it.after is None for it in changes)


class DeferredBy(StrEnum):
    """What holds a delivery back."""

    SILENCE = "silence"
    DIGEST = "digest"
    FLAP = "flap"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Deferral:
    """Why a delivery is not sent yet, and until when (`None`: its digest never comes)."""

    by: DeferredBy
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Release:
    """What is due. `netted` are deliveries that came to nothing and are done without a message.

    `deferred` are those that wait, by their numbers. `next_at`: when something more is due if
    nothing happens. `anchors`: what is reported of a model, where that is not what was planned.
    `digests`: up to when each digest of this receiver was sent, including those that begin now; to
    be passed in the next time.
    """

    batches: tuple[Batch, ...]
    netted: tuple[int, ...]
    deferred: Mapping[int, Deferral]
    next_at: datetime | None
    anchors: tuple[Anchor, ...]
    digests: Mapping[str, datetime]


def release(
    items: Sequence[QueuedItem],
    rules: RoutingRules,
    *,
    receiver: str,
    now: datetime,
    silences: Sequence[Silence] = (),
    digests: Mapping[str, datetime] = _NO_DIGESTS,
) -> Release:
    """Decide about everything that waits for one receiver; `items` oldest first."""
    releaser = _Releaser(ReceiverQueue(items, rules, silences, receiver, now), digests)
    releaser.release_news()
    for route in rules.effective_routes:
        if route.digest is not None and receiver in route.receivers:
            releaser.release_digest(route)
    return releaser.outcome()


class ReceiverQueue:
    """What waits for one receiver at one moment, and until when the rules hold back each item.

    `due` is what may be sent, by the route whose digest it belongs to (`None`: not in a digest);
    `held` is what may not, also by subject; `deferred` says why. `needless` are moves of what flaps
    that lie between two others: what it comes to is known without them.
    """

    def __init__(
        self,
        items: Sequence[QueuedItem],
        rules: RoutingRules,
        silences: Sequence[Silence],
        receiver: str,
        now: datetime,
    ) -> None:
        self.rules = rules
        self.receiver = receiver
        self.now = now
        self._silences: Mapping[int, Silence] = {silence.id: silence for silence in silences}
        self._last: dict[str, datetime | None] = {}
        self._next: dict[str, datetime | None] = {}
        self._open = open_windows(rules.quiet, rules.zone, receiver, now)
        self.is_quiet = bool(self._open)
        # With each window that ends, the items that wait may be urgent enough for the others.
        self.next_end = min((end for _, end in self._open), default=None)
        self.due: dict[str | None, list[QueuedItem]] = {}
        self.held: dict[tuple[str | None, Subject], list[QueuedItem]] = {}
        self.deferred: dict[int, Deferral] = {}
        self._routes = {item.delivery_id: item.route for item in items if item.route}
        for item in items:
            self._add(item)
        self.needless: list[int] = []
        for about, group in _by_subject(items).items():
            self._drop_needless(about, group)

    def routes(self, deliveries: Iterable[int]) -> tuple[str, ...]:
        """The names of the routes of these deliveries, each once."""
        names = (self._routes.get(number) for number in deliveries)
        return tuple(dict.fromkeys(name for name in names if name))

    def route(self, item: QueuedItem) -> Route | None:
        return self.rules.route(item.route)

    def was_deferred(self, item: QueuedItem) -> bool:
        """Whether it was held back on purpose, and not because the receiver failed."""
        if item.silence_id is not None or item.flap is Flap.HELD:
            return True
        if isinstance(item.content, RecordedChange) and item.route and self.route(item) is None:
            # The reason why it waited is gone with its route.
            return True
        rules = self.rules
        return bool(open_windows(rules.quiet, rules.zone, self.receiver, item.queued_at))

    def flaps(self, item: QueuedItem) -> bool:
        """Whether it is held back because it flaps."""
        return self.deferred[item.delivery_id].by is DeferredBy.FLAP

    def is_urgent(self, change: Change) -> bool:
        """Whether it may be sent in every window that is open."""
        announce = self.rules.announce
        return all(
            window.urgent is not None and window.urgent.refusal(change, announce=announce) is None
            for window, _ in self._open
        )

    def is_asked_for(self, net: RecordedChange, items: Sequence[QueuedItem]) -> bool:
        """Whether the net change of these items is what one of their routes asks for."""
        announce = self.rules.announce
        for item in items:
            if (route := self.route(item)) is not None:
                if route.matcher.event_refusal(net.change, announce=announce) is None:
                    return True
            elif not _kinds(item).union(announce).isdisjoint(net.change.kinds):
                return True
        return False

    def is_digest_due(self, route: Route, since: datetime) -> bool:
        """Whether the time of a digest came after `since`."""
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

    def defer(self, items: Iterable[QueuedItem], deferral: Deferral) -> None:
        """Let these wait."""
        for item in items:
            self.deferred[item.delivery_id] = deferral

    def defer_if_quiet(self, items: Sequence[QueuedItem]) -> bool:
        """Let these wait where it is quiet, until the window that ends first; whether they do."""
        if self.is_quiet:
            self.defer(items, Deferral(DeferredBy.QUIET, self.next_end))
        return self.is_quiet

    def _add(self, item: QueuedItem) -> None:
        digest_route = self._digest_route(item)
        digest = None if digest_route is None else digest_route.name
        deferral = self._deferral(item, digest_route)
        if deferral is None:
            self.due.setdefault(digest, []).append(item)
            return
        self.defer([item], deferral)
        if isinstance(item.content, RecordedChange):
            about = subject(item.content.change)
            self.held.setdefault((digest, about), []).append(item)

    def _drop_needless(self, about: Subject, group: Sequence[QueuedItem]) -> None:
        ways = [self._way_of_flapping(item) for item in group]
        dropped = {
            item.delivery_id
            for item, way, before, after in zip(group[1:], ways[1:], ways, ways[2:], strict=False)
            if way is not None and before == way == after
        }
        if dropped:
            held = self.held[None, about]
            self.held[None, about] = [it for it in held if it.delivery_id not in dropped]
            self.needless += dropped
            for number in dropped:
                del self.deferred[number]

    def _way_of_flapping(self, item: QueuedItem) -> Hashable:
        """Equal for what waits for the same values to stand still; `None`: it does not flap."""
        deferral = self.deferred.get(item.delivery_id)
        if deferral is None or deferral.by is not DeferredBy.FLAP:
            return None
        return (item.route, values_moved(item.flapping))

    def _digest_route(self, item: QueuedItem) -> Route | None:
        """The route in whose digest an item is sent."""
        route = None if isinstance(item.content, Notice) else self.route(item)
        return None if route is None or route.digest is None else route

    def _deferral(self, item: QueuedItem, digest_route: Route | None) -> Deferral | None:
        """What holds an item back, apart from quiet hours; `None` where nothing does."""
        silence = None if item.silence_id is None else self._silences.get(item.silence_id)
        if silence is not None and silence.is_active(self.now):
            return Deferral(DeferredBy.SILENCE, silence.ends_at)
        if digest_route is not None:
            since = self._passed(item.queued_at)
            if silence is not None:
                since = max(since, self._passed(silence.ends_at))
            if self.is_digest_due(digest_route, since):
                return None
            return Deferral(DeferredBy.DIGEST, self.next_digest(digest_route))
        if item.flap is Flap.HELD:
            still_at = self._passed(item.still_since or item.queued_at) + self.rules.flap.within
            if still_at > self.now:
                return Deferral(DeferredBy.FLAP, still_at)
        return None

    def _passed(self, at: datetime) -> datetime:
        """A time that has passed. A later one, from before the clock was set back, is long ago.

        Otherwise what was queued by a clock that was ahead by years would wait for years.
        """
        return at if at <= self.now else _LONG_AGO


def _kinds(item: QueuedItem) -> frozenset[Kind]:
    return frozenset() if isinstance(item.content, Notice) else frozenset(item.content.change.kinds)


@dataclass(slots=True)
class _OpenBatch:
    """What one message will contain, while it is collected."""

    deliveries: list[int] = field(default_factory=list)
    contents: list[RecordedChange | Notice] = field(default_factory=list)
    flapping: set[int] = field(default_factory=set)


class _Releaser:
    """Makes the messages of one receiver at one moment."""

    def __init__(self, queue: ReceiverQueue, digests: Mapping[str, datetime]) -> None:
        self.queue = queue
        self.digests = dict(digests)
        self.batches: list[Batch] = []
        self.netted = list(queue.needless)
        self.anchors: list[Anchor] = []
        # When to look again, even if nothing waits: for digests that are sent without changes.
        self.wakes: list[datetime | None] = []

    def release_news(self) -> None:
        """Everything that is in no digest: one message."""
        draft = _OpenBatch()
        due = self.queue.due.get(None, [])
        self._add_notices([item for item in due if isinstance(item.content, Notice)], draft)
        for about, group in _by_subject(due).items():
            self._add_subject(about, group, draft)
        self._finish(draft, None)

    def release_digest(self, route: Route) -> None:
        """One route's digest, where its time has come; its changes are always net changes."""
        queue = self.queue
        items = queue.due.get(route.name, [])
        is_first = bool(items) and route.name not in self.digests
        begun_at = min(self.digests.get(route.name, queue.now), queue.now)
        self.digests[route.name] = begun_at
        last_at = queue.last_digest(route)
        if route.empty:
            self.wakes.append(queue.next_digest(route))
        if last_at is None or not (is_first or queue.is_digest_due(route, begun_at)):
            queue.defer(items, Deferral(DeferredBy.DIGEST, queue.next_digest(route)))
            return
        if queue.defer_if_quiet(items):
            self.wakes.append(queue.next_end)
            return
        draft = _OpenBatch()
        for about, group in _by_subject(items).items():
            self._add_net(group, draft, queue.held.get((route.name, about), []))
        self.digests[route.name] = last_at
        if not draft.contents and not route.empty:
            return
        since_at = min([begun_at, *(item.queued_at for item in items)])
        changes = [each for each in draft.contents if isinstance(each, RecordedChange)]
        zone = queue.rules.zone
        period = (since_at.astimezone(zone), last_at.astimezone(zone))
        self._finish(draft, summarize(route.name, period, changes, len(items)))

    def outcome(self) -> Release:
        done = {number for batch in self.batches for number in batch.deliveries}
        done.update(self.netted)
        deferred = {
            number: why for number, why in self.queue.deferred.items() if number not in done
        }
        wakes = (*self.wakes, *(why.until for why in deferred.values()))
        later = [at for at in wakes if at is not None and at > self.queue.now]
        return Release(
            tuple(self.batches),
            tuple(self.netted),
            deferred,
            min(later, default=None),
            tuple(self.anchors),
            self.digests,
        )

    def _add_notices(self, notices: list[QueuedItem], draft: _OpenBatch) -> None:
        if not notices or self.queue.defer_if_quiet(notices):
            return
        over: list[QueuedItem] = []
        if any(self.queue.was_deferred(item) for item in notices):
            over = _ended_collapses(notices)
        self.netted += [item.delivery_id for item in over]
        sent = [item for item in notices if item not in over]
        draft.deliveries += [item.delivery_id for item in sent]
        draft.contents += [item.content for item in sent]

    def _add_subject(self, about: Subject, group: list[QueuedItem], draft: _OpenBatch) -> None:
        queue = self.queue
        held = queue.held.get((None, about), [])
        net = net_change(_changes(group), None if held else group[-1].current)
        is_urgent = net is not None and queue.is_urgent(net.change)
        if not is_urgent and queue.defer_if_quiet(group):
            return
        # Of a model that is removed nothing is left to send later. Other news says how the model
        # stands now: what flapped before it is told with it.
        is_gone = net is not None and Kind.REMOVED in net.change.kinds
        told = {
            item.delivery_id
            for item in held
            if is_gone or (queue.flaps(item) and item.delivery_id < group[-1].delivery_id)
        }
        group = [*(item for item in held if item.delivery_id in told), *group]
        group.sort(key=lambda item: item.delivery_id)
        held = [item for item in held if item.delivery_id not in told]
        if any(queue.was_deferred(item) for item in group):
            self._add_net(group, draft, held)
            return
        draft.deliveries += [item.delivery_id for item in group]
        draft.contents += _unique(_changes(group))
        draft.flapping |= _announced_flapping(group)

    def _add_net(
        self, group: list[QueuedItem], draft: _OpenBatch, held: Sequence[QueuedItem]
    ) -> None:
        """What a group comes to, up to the model as it is on sale now.

        A route may not have taken the way back, so its last change is not the last state. Where
        more of the model is held back (`held`), the net change ends with the group: what is held
        back continues from there.
        """
        is_all = not held
        changes = _unique(_changes(group))
        plain = net_change(changes)
        net = net_change(changes, group[-1].current if is_all else None)
        flapping = _announced_flapping(group)
        if is_all and (gone := _gone_meanwhile(group)) is not None:
            net, is_news = gone, True
        else:
            is_single = len(changes) == 1 and net == plain
            is_news = net is not None and (is_single or self.queue.is_asked_for(net, group))
        if not (is_all or is_news or flapping or net is None):
            # Not enough by itself; together with what is held back it may be.
            self.queue.defer(group, self.queue.deferred[held[0].delivery_id])
            return
        if not is_news:
            # That something flaps is reported even where it is back at its old value.
            net = changes[-1] if flapping else None
        if is_all:
            self._correct_anchors(group, net)
        if net is None:
            self.netted += [item.delivery_id for item in group]
            return
        draft.deliveries += [item.delivery_id for item in group]
        draft.contents.append(net)
        if flapping:
            draft.flapping.add(net.id)

    def _correct_anchors(self, group: list[QueuedItem], net: RecordedChange | None) -> None:
        """Keep what is really reported: the model as it is now, or as it was before the group."""
        planned: dict[str, tuple[ModelChange, ModelChange]] = {}
        for item in group:
            route, content = self.queue.route(item), item.content
            if route is None or not route.matcher.has_threshold:
                continue
            if isinstance(content, RecordedChange) and isinstance(content.change, ModelChange):
                change = content.change
                first = planned[route.name][0] if route.name in planned else change
                planned[route.name] = (first, change)
        reported = net.change.after if net and isinstance(net.change, ModelChange) else None
        for name, (first, last) in planned.items():
            model = first.before if net is None else reported
            if model is not None and model != last.after and first.model_id is not None:
                self.anchors.append(Anchor(name, self.queue.receiver, first.model_id, model))

    def _finish(self, draft: _OpenBatch, digest: DigestSummary | None) -> None:
        if draft.contents or digest is not None:
            deliveries, contents = tuple(draft.deliveries), tuple(draft.contents)
            routes = self.queue.routes(deliveries)
            flapping = frozenset(draft.flapping)
            self.batches.append(Batch(deliveries, contents, flapping, digest, routes))


def _gone_meanwhile(group: Sequence[QueuedItem]) -> RecordedChange | None:
    """That a model is gone of which more was promised, though no route of these asks for that.

    A receiver was told that it flaps, and waits to hear how it stands.
    """
    last = group[-1]
    if last.current is not None or all(item.flap is Flap.STEADY for item in group):
        return None
    recorded = last.content
    if not isinstance(recorded, RecordedChange) or not isinstance(recorded.change, ModelChange):
        return None
    change = recorded.change
    if change.after is None:
        return None
    gone = ModelChange((Kind.REMOVED,), change.after, None, {}, change.model_id)
    return replace(recorded, change=gone)


def _by_subject(items: Iterable[QueuedItem]) -> dict[Subject, list[QueuedItem]]:
    groups: dict[Subject, list[QueuedItem]] = {}
    for item in items:
        if isinstance(item.content, RecordedChange):
            groups.setdefault(subject(item.content.change), []).append(item)
    return groups


def _changes(items: Iterable[QueuedItem]) -> list[RecordedChange]:
    return [item.content for item in items if isinstance(item.content, RecordedChange)]


def _unique(changes: Iterable[RecordedChange]) -> list[RecordedChange]:
    """Each change once, even if two routes sent it here; as the first of them reports it."""
    unique: dict[int, RecordedChange] = {}
    for recorded in changes:
        unique.setdefault(recorded.id, recorded)
    return list(unique.values())


def _announced_flapping(items: Sequence[QueuedItem]) -> set[int]:
    """The changes that say that the price flaps, unless it has stood still since."""
    if any(item.flap is Flap.HELD for item in items):
        return set()
    flapping = [item for item in items if item.flap is Flap.ANNOUNCED]
    return {recorded.id for recorded in _changes(flapping)}


def _ended_collapses(notices: Iterable[QueuedItem]) -> list[QueuedItem]:
    """Notices of a collapse and of its end that would be in the same message."""
    over: list[QueuedItem] = []
    collapse: QueuedItem | None = None
    for item in notices:
        kind = item.content.kind if isinstance(item.content, Notice) else None
        if kind is NoticeKind.COLLAPSE:
            collapse = item
        elif kind is NoticeKind.RECOVERED and collapse is not None:
            over += [collapse, item]
            collapse = None
    return over
