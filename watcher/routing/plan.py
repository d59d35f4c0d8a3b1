"""Which deliveries a change makes, decided once, when it is believed.

Knows routes, what each last told, silences and flapping. Refuses to know when it is delivered:
that is `release`.

Why a change goes where it goes, route by route, in words.

The long way round to what `plan` finds quickly; for people who try out their routes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from watcher.catalog.changes import Kind, ModelChange
from watcher.routing.match import EVERY_KIND
from watcher.routing.moves import PRICES, comparable, follows_price, move_since
from watcher.routing.rules import EVERYBODY, Flap, flapping_since

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from watcher.catalog.changes import Change
    from watcher.catalog.record import Model
    from watcher.routing.moves import PriceMove
    from watcher.routing.rules import FlapRule, PricePoint, Route, RoutingRules, Silence

# A route and one of its receivers.
Way = tuple[str, str]

_NOT_OF_THE_PRICE = frozenset(
    {Kind.NEW, Kind.REMOVED, Kind.RETURNED, Kind.RENAMED, Kind.UNIT, Kind.CREDIT_VALUE}
)


@dataclass(frozen=True, slots=True)
class Past:
    """What is remembered of the model that a change is about.

    `anchors`: the model as each way last told it. `prices`: what it cost per base unit from when,
    oldest first, back to where it last stood still, this change left out. `told_flapping`: when
    each receiver was last due something marked as flapping. `whole`: the prices go back to when the
    model was first seen.
    """

    anchors: Mapping[Way, Model] = field(default_factory=dict)
    prices: Sequence[PricePoint] = ()
    told_flapping: Mapping[str, datetime] = field(default_factory=dict)
    whole: bool = True


NOTHING_KNOWN = Past()


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One delivery.

    `since` is the model as this way last told it, where the route has a threshold and the price
    moved: the change to tell is the one from there (see `since_told`).
    """

    receiver: str
    route: str
    since: Model | None = None
    silence_id: int | None = None
    flap: Flap = Flap.STEADY


@dataclass(frozen=True, slots=True)
class Anchor:
    """From now on this is what the way last told of the model."""

    route: str
    receiver: str
    model_id: int
    model: Model


@dataclass(frozen=True, slots=True)
class Plan:
    """What a change makes; `suppressed` is what it would have made but for a dropping silence."""

    dispatches: tuple[Dispatch, ...] = ()
    anchors: tuple[Anchor, ...] = ()
    suppressed: tuple[Dispatch, ...] = ()


_NOTHING = Plan()


def plan(
    change: Change,
    rules: RoutingRules,
    *,
    now: datetime,
    past: Past = NOTHING_KNOWN,
    silences: Sequence[Silence] = (),
) -> Plan:
    """Decide who is to hear of a change. A receiver is told once, however many routes say so.

    A digest is another message, and so is not counted there.
    """
    places = rules.index.concerned(change)
    planning = _Planning(change, rules, past, now)
    for place in places:
        if planning.take(rules.ways[place], plain=bool(rules.index.plain >> place & 1)):
            break
    if not planning.dispatches:
        return Plan(anchors=tuple(planning.anchors)) if planning.anchors else _NOTHING
    return planning.plan(_catching(change, silences, now))


class _Planning:
    """One change on its way through the routes."""

    def __init__(self, change: Change, rules: RoutingRules, past: Past, now: datetime) -> None:
        self.change = change
        self.rules = rules
        self.past = past
        self.now = now
        self.dispatches: list[Dispatch] = []
        self.anchors: list[Anchor] = []
        self._told: set[str] = set()
        self._moved = isinstance(change, ModelChange) and not PRICES.isdisjoint(change.kinds)
        self._is_only_price = self._moved and set(change.kinds) <= _follows(change)
        self._measured: dict[int, PriceMove | None] = {}
        self._flapping = _flapping(change, past, rules.flap, now) if self._moved else None

    def take(self, route: Route, *, plain: bool) -> bool:
        """Ask one route; whether the change goes no further."""
        if plain:
            for receiver in route.receivers:
                self._dispatch(route, receiver, None)
            return not route.go_on
        taken = False
        for receiver in route.receivers:
            taken = self._judge(route, receiver) or taken
        return taken and not route.go_on

    def plan(self, silence: Silence | None) -> Plan:
        dispatches, anchors = tuple(self.dispatches), tuple(self.anchors)
        if silence is None:
            return Plan(dispatches, anchors)
        caught = tuple(
            Dispatch(each.receiver, each.route, each.since, silence.id, each.flap)
            for each in dispatches
        )
        # What is dropped counts as told: it must not come back as part of the next move.
        return Plan((), anchors, caught) if silence.drop else Plan(caught, anchors)

    def _judge(self, route: Route, receiver: str) -> bool:
        """Ask a route with a threshold or a mark on behalf of one receiver."""
        since = self._last_told(route, receiver)
        takes = not self._is_drift(route, since) and self._takes(route, since)
        if since is not None:
            self._anchor(route, receiver, told=takes)
        if not takes:
            return False
        self._dispatch(route, receiver, since)
        return True

    def _takes(self, route: Route, since: Model | None) -> bool:
        announce = self.rules.announce
        return route.matcher.news_refusal(self.change, announce=announce, since=since) is None

    def _is_drift(self, route: Route, since: Model | None) -> bool:
        """Whether there is nothing but a small move; the quick answer to the usual question.

        Most routes with a threshold measure from the same model, so a way is measured once.
        """
        if since is None or not self._is_only_price:
            return False
        move = self._measured.get(id(since))
        if move is None and isinstance(self.change, ModelChange):
            move = self._measured[id(since)] = move_since(self.change, since)
        return move is not None and route.matcher.is_small(move)

    def _last_told(self, route: Route, receiver: str) -> Model | None:
        """Where a threshold measures from; `None` where there is nothing to measure."""
        change = self.change
        if (
            not self._moved
            or not route.matcher.has_threshold
            or not isinstance(change, ModelChange)
        ):
            return None
        anchor = self.past.anchors.get((route.name, receiver))
        return anchor if anchor is not None and comparable(anchor, change) else change.before

    def _anchor(self, route: Route, receiver: str, *, told: bool) -> None:
        change = self.change
        if not isinstance(change, ModelChange) or change.model_id is None:
            return
        known = self.past.anchors.get((route.name, receiver))
        if told or self._leads_away(route, known):
            model = change.after
        elif known is None or not comparable(known, change):
            model = change.before
        else:
            return
        if model is not None:
            self.anchors.append(Anchor(route.name, receiver, change.model_id, model))

    def _leads_away(self, route: Route, known: Model | None) -> bool:
        """Whether the price went where this route does not look.

        One that hears of falls measures them from the top: a fall after a rise is a fall, though
        it ends where the price was when it was last told.
        """
        change = self.change
        if not isinstance(change, ModelChange):
            return False
        since = known if known is not None and comparable(known, change) else change.before
        move = None if since is None else move_since(change, since)
        wanted = route.matcher.wanted(self.rules.announce)
        return move is not None and move.kind is not None and move.kind not in wanted

    def _dispatch(self, route: Route, receiver: str, since: Model | None) -> None:
        if route.digest is not None:
            self.dispatches.append(Dispatch(receiver, route.name, since))
        elif receiver not in self._told:
            self._told.add(receiver)
            since_at = self._flaps_since(route)
            flap = Flap.STEADY if since_at is None else self._flap(receiver, since_at)
            self.dispatches.append(Dispatch(receiver, route.name, since, None, flap))

    def _flaps_since(self, route: Route) -> datetime | None:
        """Since when the price flaps in the eyes of a route: small moves are none of its own."""
        least = min(filter(None, (route.matcher.min_up, route.matcher.min_down)), default=None)
        if self._flapping is None or least is None:
            return self._flapping
        steps = _steps(self._prices(), least)
        return flapping_since(steps, self.rules.flap)

    def _prices(self) -> list[PricePoint]:
        after = self.change.after if isinstance(self.change, ModelChange) else None
        price = Decimal(0) if after is None else after.price or Decimal(0)
        return [*self.past.prices, (self.now, price)]

    def _flap(self, receiver: str, since: datetime) -> Flap:
        told_at = self.past.told_flapping.get(receiver)
        return Flap.ANNOUNCED if told_at is None or told_at < since else Flap.HELD


def _follows(change: Change) -> frozenset[Kind]:
    return follows_price(change) if isinstance(change, ModelChange) else frozenset()


def _flapping(change: Change, past: Past, rule: FlapRule, now: datetime) -> datetime | None:
    """Since when the price flaps; news of another sort must not wait for that."""
    if not isinstance(change, ModelChange) or not _NOT_OF_THE_PRICE.isdisjoint(change.kinds):
        return None
    if not past.prices or change.after is None:
        return None
    return flapping_since([*past.prices, (now, change.after.price or Decimal(0))], rule)


def _steps(prices: Iterable[PricePoint], least: Decimal) -> list[PricePoint]:
    """The prices that lie at least so far, as a share, from the one before."""
    steps: list[PricePoint] = []
    for at, price in prices:
        last = steps[-1][1] if steps else None
        if last is None or not last or abs(price / last - 1) >= least:
            steps.append((at, price))
    return steps


def _catching(change: Change, silences: Iterable[Silence], now: datetime) -> Silence | None:
    """The silence that catches a change: one that drops it, else the one that lasts longest."""
    caught = [silence for silence in silences if _catches(silence, change, now)]
    return max(caught, key=lambda silence: (silence.drop, silence.over_at), default=None)


def _catches(silence: Silence, change: Change, now: datetime) -> bool:
    if not silence.is_active(now):
        return False
    return silence.matcher.refusal(change, announce=EVERY_KIND) is None


@dataclass(frozen=True, slots=True)
class RouteVerdict:
    """What one route says to a change: taken where `refusal` is `None`.

    `taken_before` names the earlier route that took the change and let it go no further.
    """

    route: Route
    refusal: str | None
    taken_before: str | None = None

    @property
    def takes(self) -> bool:
        return self.refusal is None and self.taken_before is None


def verdicts(
    change: Change, rules: RoutingRules, *, past: Past = NOTHING_KNOWN
) -> tuple[RouteVerdict, ...]:
    """What every route says, in their order."""
    found: list[RouteVerdict] = []
    taken_by: str | None = None
    for route in rules.ways:
        if taken_by is not None:
            found.append(RouteVerdict(route, None, taken_by))
            continue
        verdict = RouteVerdict(route, _refusal(change, route, rules, past))
        found.append(verdict)
        if verdict.takes and not route.go_on:
            taken_by = route.name
    return tuple(found)


def explain(found: Sequence[RouteVerdict]) -> tuple[str, ...]:
    """One line for each route, and one that sums them up."""
    receivers = [name for each in found if each.takes for name in each.route.receivers]
    told = ", ".join(dict.fromkeys(receivers))
    end = f"Told to: {told}" if told else "Nobody is told."
    return (*map(_line, found), end)


def _refusal(change: Change, route: Route, rules: RoutingRules, past: Past) -> str | None:
    """Why a route does not take it for any of its receivers."""
    matcher, why = route.matcher, None
    anchors = {past.anchors.get((route.name, receiver)): None for receiver in route.receivers}
    for since in anchors or {None: None}:
        why = matcher.refusal(change, announce=rules.announce, since=since)
        if why is None:
            return None
    return why


def _line(verdict: RouteVerdict) -> str:
    name = _name(verdict.route.name)
    if verdict.taken_before is not None:
        return f"{name}: not asked, {_name(verdict.taken_before)} took it"
    if verdict.refusal is not None:
        return f"{name}: no, {verdict.refusal}"
    return f"{name}: yes, to {'; '.join(_what_follows(verdict.route))}"


def _what_follows(route: Route) -> Iterable[str]:
    yield ", ".join(route.receivers) or "nobody"
    if route.digest is not None:
        yield f"in its digest ({route.digest})"
    if route.go_on:
        yield "later routes are asked too"


def _name(name: str) -> str:
    return "without routes" if name == EVERYBODY else f"“{name}”"
