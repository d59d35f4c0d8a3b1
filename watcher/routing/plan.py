"""Which receivers a change goes to, decided once, when it is recorded; and why, route by route.

`plan` decides by routes, thresholds, silences and flapping; when each delivery is sent is decided
in `release`. `explain` says the same in words, for people who try out their routes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from watcher.catalog.changes import PRICE_KINDS, Kind, ModelChange
from watcher.routing.match import EVERY_KIND
from watcher.routing.moves import comparable, follows_price, measured_from, move_since
from watcher.routing.rules import DEFAULT_ROUTE, Flap, flapping_since

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from watcher.catalog.changes import Change
    from watcher.catalog.record import Model
    from watcher.routing.moves import PriceMove
    from watcher.routing.rules import PricePoint, Route, RoutingRules, Silence

# A route and one of its receivers: each such pair has its own anchors.
AnchorKey = tuple[str, str]

# A change with one of these is never held back because the price flaps.
_NEVER_FLAPPING = frozenset(
    {Kind.NEW, Kind.REMOVED, Kind.RETURNED, Kind.RENAMED, Kind.UNIT, Kind.CREDIT_VALUE}
)


@dataclass(frozen=True, slots=True)
class ModelHistory:
    """What is known of the earlier prices of the model that a change is about.

    `anchors`: the model as it was last reported, by route and receiver. `prices`: what it cost per
    base unit and from when, oldest first, back to where it last stood still, without this change.
    `flapping_sent`: when each receiver last got a delivery that is marked as flapping.
    `is_complete`: the prices go back to when the model was first seen.
    """

    anchors: Mapping[AnchorKey, Model] = field(default_factory=dict)
    prices: Sequence[PricePoint] = ()
    flapping_sent: Mapping[str, datetime] = field(default_factory=dict)
    is_complete: bool = True


NO_HISTORY = ModelHistory()


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One delivery that a change makes.

    `since` is the model as this route last reported it to this receiver, where the route has a
    threshold and the price moved: the change to report is the one from there (`change_since`).
    """

    receiver: str
    route: str
    since: Model | None = None
    silence_id: int | None = None
    flap: Flap = Flap.STEADY


@dataclass(frozen=True, slots=True)
class Anchor:
    """The model as the route last reported it to the receiver: the next move counts from it."""

    route: str
    receiver: str
    model_id: int
    model: Model


@dataclass(frozen=True, slots=True)
class Plan:
    """What a change makes; `suppressed` is what it would have made without a dropping silence."""

    dispatches: tuple[Dispatch, ...] = ()
    anchors: tuple[Anchor, ...] = ()
    suppressed: tuple[Dispatch, ...] = ()


_NOTHING = Plan()


def plan(
    change: Change,
    rules: RoutingRules,
    *,
    now: datetime,
    history: ModelHistory = NO_HISTORY,
    silences: Sequence[Silence] = (),
) -> Plan:
    """Decide which receivers get a change: each once, however many routes have it.

    Digests are messages of their own: a receiver may get the change in each of them as well.
    """
    planner = _Planner(change, rules, history, now)
    for place in rules.index.candidates(change):
        unconditional = bool(rules.index.unconditional >> place & 1)
        if planner.ask(rules.effective_routes[place], unconditional=unconditional):
            break
    if not planner.dispatches:
        return Plan(anchors=tuple(planner.anchors)) if planner.anchors else _NOTHING
    return planner.plan(_catching_silence(change, silences, now))


class _Planner:
    """Takes one change through the routes."""

    def __init__(
        self, change: Change, rules: RoutingRules, history: ModelHistory, now: datetime
    ) -> None:
        self.change = change
        self.rules = rules
        self.history = history
        self.now = now
        self.dispatches: list[Dispatch] = []
        self.anchors: list[Anchor] = []
        self._served: set[str] = set()
        # The change, where it is one that moves the price.
        self._priced: ModelChange | None = None
        self._is_only_price = False
        self._flapping_since: datetime | None = None
        if isinstance(change, ModelChange) and not PRICE_KINDS.isdisjoint(change.kinds):
            self._priced = change
            self._is_only_price = set(change.kinds) <= follows_price(change)
            if _NEVER_FLAPPING.isdisjoint(change.kinds):
                self._flapping_since = self._flaps_since(least=None)
        self._measured: dict[int, PriceMove | None] = {}

    def ask(self, route: Route, *, unconditional: bool) -> bool:
        """Ask one route; whether later routes are not asked any more."""
        if unconditional:
            for receiver in route.receivers:
                self._dispatch(route, receiver, None)
            return not route.continues
        taken = False
        for receiver in route.receivers:
            taken = self._ask_for(route, receiver) or taken
        return taken and not route.continues

    def plan(self, silence: Silence | None) -> Plan:
        dispatches, anchors = tuple(self.dispatches), tuple(self.anchors)
        if silence is None:
            return Plan(dispatches, anchors)
        caught = tuple(replace(each, silence_id=silence.id) for each in dispatches)
        # What is dropped counts as reported: it must not come back as part of the next move.
        return Plan((), anchors, caught) if silence.drop else Plan(caught, anchors)

    def _ask_for(self, route: Route, receiver: str) -> bool:
        """Ask a route with a threshold or a mark, for one of its receivers."""
        since: Model | None = None
        if self._priced is not None and route.matcher.has_threshold:
            anchor = self.history.anchors.get((route.name, receiver))
            since = measured_from(self._priced, anchor)
        takes = not self._is_small_move(route, since) and self._takes(route, since)
        if since is not None and self._priced is not None:
            self._anchor(self._priced, route, receiver, reported=takes)
        if takes:
            self._dispatch(route, receiver, since)
        return takes

    def _takes(self, route: Route, since: Model | None) -> bool:
        announce = self.rules.announce
        return route.matcher.event_refusal(self.change, announce=announce, since=since) is None

    def _is_small_move(self, route: Route, since: Model | None) -> bool:
        """Whether there is nothing but a small move: the quick answer in most cases.

        Most routes with a threshold measure from the same model, so each is measured once.
        """
        if since is None or self._priced is None or not self._is_only_price:
            return False
        move = self._measured.get(id(since))
        if move is None:
            move = self._measured[id(since)] = move_since(self._priced, since)
        return move is not None and route.matcher.is_small(move)

    def _anchor(self, change: ModelChange, route: Route, receiver: str, *, reported: bool) -> None:
        if change.model_id is None:
            return
        known = self.history.anchors.get((route.name, receiver))
        if reported or self._leads_away(change, route, known):
            model = change.after
        elif known is None or not comparable(known, change):
            model = change.before
        else:
            return
        if model is not None:
            self.anchors.append(Anchor(route.name, receiver, change.model_id, model))

    def _leads_away(self, change: ModelChange, route: Route, known: Model | None) -> bool:
        """Whether the price moved in a direction that this route does not ask for.

        A route that asks for falls measures them from the top: a fall after a rise is a fall, even
        where it ends at the price that was last reported.
        """
        move = move_since(change, known)
        wanted = route.matcher.wanted_kinds(self.rules.announce)
        return move is not None and move.kind is not None and move.kind not in wanted

    def _dispatch(self, route: Route, receiver: str, since: Model | None) -> None:
        if route.digest is not None:
            self.dispatches.append(Dispatch(receiver, route.name, since))
        elif receiver not in self._served:
            self._served.add(receiver)
            flap = self._flap(route, receiver)
            self.dispatches.append(Dispatch(receiver, route.name, since, None, flap))

    def _flap(self, route: Route, receiver: str) -> Flap:
        since = self._flapping_since
        if since is None:
            return Flap.STEADY
        # Moves that are too small for the route are no part of the flapping.
        least = min(filter(None, (route.matcher.min_up, route.matcher.min_down)), default=None)
        if least is not None:
            since = self._flaps_since(least)
        if since is None:
            return Flap.STEADY
        sent_at = self.history.flapping_sent.get(receiver)
        return Flap.ANNOUNCED if sent_at is None or sent_at < since else Flap.HELD

    def _flaps_since(self, least: Decimal | None) -> datetime | None:
        """Since when the price flaps, by moves of at least so large a share."""
        after = None if self._priced is None else self._priced.after
        if not self.history.prices or after is None:
            return None
        prices = [*self.history.prices, (self.now, after.price or Decimal(0))]
        return flapping_since(prices if least is None else _steps(prices, least), self.rules.flap)


def _steps(prices: Iterable[PricePoint], least: Decimal) -> list[PricePoint]:
    """The prices that differ by at least this share from the one before."""
    steps: list[PricePoint] = []
    for at, price in prices:
        last = steps[-1][1] if steps else None
        if last is None or not last or abs(price / last - 1) >= least:
            steps.append((at, price))
    return steps


def _catching_silence(change: Change, silences: Iterable[Silence], now: datetime) -> Silence | None:
    """The silence that catches a change: one that drops it, otherwise the one that ends last."""
    catching = [
        silence
        for silence in silences
        if silence.is_active(now) and silence.matcher.refusal(change, announce=EVERY_KIND) is None
    ]
    return max(catching, key=lambda silence: (silence.drop, silence.ends_at), default=None)


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """What one route decides about a change; it takes it where there is no `refusal`.

    `taken_before` names the earlier route that took the change, after which no others are asked.
    """

    route: Route
    refusal: str | None
    taken_before: str | None = None

    @property
    def takes(self) -> bool:
        return self.refusal is None and self.taken_before is None


def route_decisions(
    change: Change, rules: RoutingRules, *, history: ModelHistory = NO_HISTORY
) -> tuple[RouteDecision, ...]:
    """What every route decides, in their order."""
    decisions: list[RouteDecision] = []
    taken_by: str | None = None
    for route in rules.effective_routes:
        if taken_by is not None:
            decisions.append(RouteDecision(route, None, taken_by))
            continue
        decision = RouteDecision(route, _refusal(change, route, rules, history))
        decisions.append(decision)
        if decision.takes and not route.continues:
            taken_by = route.name
    return tuple(decisions)


def explain(decisions: Sequence[RouteDecision]) -> tuple[str, ...]:
    """One line for each route, and one with the receivers."""
    receivers = [name for each in decisions if each.takes for name in each.route.receivers]
    names = ", ".join(dict.fromkeys(receivers))
    end = f"Goes to: {names}" if names else "No receiver gets it."
    return (*map(_line, decisions), end)


def _refusal(
    change: Change, route: Route, rules: RoutingRules, history: ModelHistory
) -> str | None:
    """Why a route does not take it for any of its receivers."""
    matcher, why = route.matcher, None
    anchors = {history.anchors.get((route.name, receiver)): None for receiver in route.receivers}
    for since in anchors or {None: None}:
        why = matcher.refusal(change, announce=rules.announce, since=since)
        if why is None:
            return None
    return why


def _line(decision: RouteDecision) -> str:
    route, name = decision.route, _name(decision.route.name)
    if decision.taken_before is not None:
        return f"{name}: not asked, {_name(decision.taken_before)} took it"
    if decision.refusal is not None:
        return f"{name}: no, {decision.refusal}"
    parts = [", ".join(route.receivers) or "nobody"]
    if route.digest is not None:
        parts.append(f"in its digest ({route.digest})")
    if route.continues:
        parts.append("later routes are asked too")
    return f"{name}: yes, to {'; '.join(parts)}"


def _name(name: str) -> str:
    return "without routes" if name == DEFAULT_ROUTE else f"“{name}”"
