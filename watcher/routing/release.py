"""What is due to a receiver, and until when each piece of it waits.

Knows the rules and the clock's time as an argument. Refuses to know what several pieces come to:
that is `release`.

What of all that waits for a receiver is told now, in which messages, and when to look again.

Knows what deferral does to several changes of one model. Refuses to know how it is worded and
sent. Nothing is decided for ever here: rules that changed are rules that hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from watcher.catalog.changes import Kind, ModelChange, Notice, NoticeKind, RecordedChange
from watcher.routing.calendar import last_moment, next_moment, open_windows
from watcher.routing.net_effect import Digest, Subject, net_of, subject, summed_up
from watcher.routing.plan import Anchor
from watcher.routing.rules import Flap

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from watcher.catalog.record import Model
    from watcher.routing.rules import Route, RoutingRules, Silence


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


_NO_DIGESTS: Mapping[str, datetime] = {}


@dataclass(frozen=True, slots=True)
class Batch:
    """One message: what it tells, and every delivery that is done with it.

    `flapping` are the numbers of changes that tell that a price flaps.
    """

    deliveries: tuple[int, ...]
    contents: tuple[RecordedChange | Notice, ...]
    flapping: frozenset[int] = frozenset()
    digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """What is due. `netted` came to nothing and is done without a message.

    `next_at`: when, by the clock alone, something more is due. `anchors`: what ways last told of a
    model, where that is not what was planned. `digests`: up to when each digest of this receiver
    has been told, to be given back next time; those begun today among them.
    """

    batches: tuple[Batch, ...]
    netted: tuple[int, ...]
    next_at: datetime | None
    anchors: tuple[Anchor, ...]
    digests: Mapping[str, datetime]


@dataclass(slots=True)
class _Bundle:
    """What one message is made of."""

    deliveries: list[int] = field(default_factory=list)
    contents: list[RecordedChange | Notice] = field(default_factory=list)
    flapping: set[int] = field(default_factory=set)


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
    releasing = _Releasing(Desk(rules, silences, receiver, now), items, digests)
    releasing.release_news()
    for route in rules.ways:
        if route.digest is not None and receiver in route.receivers:
            releasing.release_digest(route)
    return releasing.outcome()


class _Releasing:
    """One round for one receiver."""

    def __init__(
        self, desk: Desk, items: Sequence[QueuedItem], digests: Mapping[str, datetime]
    ) -> None:
        self.desk = desk
        self.items = items
        self.digests = dict(digests)
        self.batches: list[Batch] = []
        self.netted: list[int] = []
        self.anchors: list[Anchor] = []
        self.looks: list[datetime] = []
        self.due: dict[str | None, list[QueuedItem]] = {}
        self.held: dict[tuple[str | None, Subject], list[QueuedItem]] = {}
        for item in items:
            self._sort(item)

    def release_news(self) -> None:
        """All that is told as it comes: one message."""
        bundle = _Bundle()
        due = self.due.get(None, [])
        self._tell_notices([item for item in due if isinstance(item.content, Notice)], bundle)
        for about, group in _by_subject(due).items():
            self._tell_subject(about, group, bundle)
        self._close(bundle, None)

    def release_digest(self, route: Route) -> None:
        """One route's digest, where its moment came; what it gathers is always netted."""
        items = self.due.get(route.name, [])
        is_first = bool(items) and route.name not in self.digests
        begun_at = self.digests.setdefault(route.name, self.desk.now)
        last_at = self.desk.last_digest(route)
        if items or route.empty:
            self._look_again(self.desk.next_digest(route))
        if last_at is None or not (is_first or self.desk.digest_came(route, begun_at)):
            return
        if self.desk.is_quiet:
            self._look_again(self.desk.next_end)
            return
        bundle = _Bundle()
        for about, group in _by_subject(items).items():
            self._tell_net(group, bundle, is_all=(route.name, about) not in self.held)
        self.digests[route.name] = last_at
        if not bundle.contents and not route.empty:
            return
        since_at = min([begun_at, *(item.queued_at for item in items)])
        changes = [told for told in bundle.contents if isinstance(told, RecordedChange)]
        zone = self.desk.rules.zone
        period = (since_at.astimezone(zone), last_at.astimezone(zone))
        self._close(bundle, summed_up(route.name, period, changes, len(items)))

    def outcome(self) -> Release:
        later = [look for look in self.looks if look > self.desk.now]
        return Release(
            tuple(self.batches),
            tuple(self.netted),
            min(later, default=None),
            tuple(self.anchors),
            self.digests,
        )

    def _sort(self, item: QueuedItem) -> None:
        until = self.desk.waits_until(item)
        route = self.desk.digest(item)
        gathered_by = None if route is None else route.name
        if until is None:
            self.due.setdefault(gathered_by, []).append(item)
            return
        self._look_again(until)
        if isinstance(item.content, RecordedChange):
            about = subject(item.content.change)
            self.held.setdefault((gathered_by, about), []).append(item)

    def _tell_notices(self, notices: list[QueuedItem], bundle: _Bundle) -> None:
        if not notices:
            return
        if self.desk.is_quiet:
            self._look_again(self.desk.next_end)
            return
        over: list[QueuedItem] = []
        if any(self.desk.was_deferred(item) for item in notices):
            over = _alarms_and_their_ends(notices)
        self.netted += [item.delivery_id for item in over]
        told = [item for item in notices if item not in over]
        bundle.deliveries += [item.delivery_id for item in told]
        bundle.contents += [item.content for item in told]

    def _tell_subject(self, about: Subject, group: list[QueuedItem], bundle: _Bundle) -> None:
        held = self.held.get((None, about), [])
        net = net_of(_changes(group), None if held else _standing(group))
        if self.desk.is_quiet and not (net and self.desk.is_urgent(net)):
            self._look_again(self.desk.next_end)
            return
        if net is not None and Kind.REMOVED in net.change.kinds:
            # Nothing is left to say later about what is gone.
            group = sorted([*held, *group], key=lambda item: item.delivery_id)
            held = []
        if any(self.desk.was_deferred(item) for item in group):
            self._tell_net(group, bundle, is_all=not held)
            return
        bundle.deliveries += [item.delivery_id for item in group]
        bundle.contents += _once(_changes(group))
        bundle.flapping |= _announced(group)

    def _tell_net(self, group: list[QueuedItem], bundle: _Bundle, *, is_all: bool) -> None:
        """What a group comes to, up to the model as it stands now.

        A route may have left out the way back, so the last change that it took is not the last
        word. Where that is not all (more of the model is held back), it ends with the group: what
        is held back goes on from there.
        """
        changes = _once(_changes(group))
        plain = net_of(changes)
        net = net_of(changes, _standing(group) if is_all else None)
        is_one = len(changes) == 1 and net == plain
        flapping = _announced(group)
        is_news = net is not None and (is_one or self.desk.still_news(net, group))
        if not (is_all or is_news or flapping or net is None):
            # Not enough by itself; with what is held back it may be.
            return
        if not is_news:
            # That a price flaps is news even where it is back.
            net = changes[-1] if flapping else None
        if is_all:
            self._mend_anchors(group, net)
        if net is None:
            self.netted += [item.delivery_id for item in group]
            return
        bundle.deliveries += [item.delivery_id for item in group]
        bundle.contents.append(net)
        if flapping:
            bundle.flapping.add(net.id)

    def _mend_anchors(self, group: list[QueuedItem], net: RecordedChange | None) -> None:
        """Remember what was told indeed: the model as it is now, or nothing since before."""
        planned: dict[str, tuple[ModelChange, ModelChange]] = {}
        for item in group:
            route = self.desk.route(item)
            change = _model_change(item)
            if route is not None and route.matcher.has_threshold and change is not None:
                first = planned[route.name][0] if route.name in planned else change
                planned[route.name] = (first, change)
        told = net.change.after if net and isinstance(net.change, ModelChange) else None
        for name, (first, last) in planned.items():
            model = first.before if net is None else told
            if model is not None and model != last.after and first.model_id is not None:
                self.anchors.append(Anchor(name, self.desk.receiver, first.model_id, model))

    def _close(self, bundle: _Bundle, digest: Digest | None) -> None:
        if bundle.contents or digest is not None:
            told = (tuple(bundle.deliveries), tuple(bundle.contents))
            self.batches.append(Batch(*told, frozenset(bundle.flapping), digest))

    def _look_again(self, at: datetime | None) -> None:
        if at is not None:
            self.looks.append(at)


def _by_subject(items: Iterable[QueuedItem]) -> dict[Subject, list[QueuedItem]]:
    groups: dict[Subject, list[QueuedItem]] = {}
    for item in items:
        if isinstance(item.content, RecordedChange):
            groups.setdefault(subject(item.content.change), []).append(item)
    return groups


def _changes(items: Iterable[QueuedItem]) -> list[RecordedChange]:
    return [item.content for item in items if isinstance(item.content, RecordedChange)]


def _once(changes: Iterable[RecordedChange]) -> list[RecordedChange]:
    """Each change once, though two routes lead it here; as the first of them tells it."""
    once: dict[int, RecordedChange] = {}
    for recorded in changes:
        once.setdefault(recorded.id, recorded)
    return list(once.values())


def _model_change(item: QueuedItem) -> ModelChange | None:
    content = item.content
    if isinstance(content, RecordedChange) and isinstance(content.change, ModelChange):
        return content.change
    return None


def _standing(group: Sequence[QueuedItem]) -> Model | None:
    return group[-1].current


def _announced(group: Iterable[QueuedItem]) -> set[int]:
    """The changes that tell of flapping, unless the price has stood still since."""
    items = list(group)
    if any(item.flap is Flap.HELD for item in items):
        return set()
    flapping = [item for item in items if item.flap is Flap.ANNOUNCED]
    return {recorded.id for recorded in _changes(flapping)}


def _alarms_and_their_ends(notices: Iterable[QueuedItem]) -> list[QueuedItem]:
    """Collapses that the same message would call off, with what calls them off."""
    over: list[QueuedItem] = []
    open_alarm: QueuedItem | None = None
    for item in notices:
        kind = item.content.kind if isinstance(item.content, Notice) else None
        if kind is NoticeKind.COLLAPSE:
            open_alarm = item
        elif kind is NoticeKind.RECOVERED and open_alarm is not None:
            over += [open_alarm, item]
            open_alarm = None
    return over
