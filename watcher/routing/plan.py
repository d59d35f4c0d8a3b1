"""Which receivers a change goes to, decided once, when it is recorded; and why, route by route.

`decide` asks the routes, `plan` makes deliveries of what they take: with silences and flapping.
When each delivery is sent is decided in `release`.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from watcher.catalog.changes import PRICE_KINDS, Kind, ModelChange
from watcher.routing.match import EVERY_KIND
from watcher.routing.moves import comparable, price_move
from watcher.routing.rules import Flap, flapping_since

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from watcher.catalog.changes import Change
    from watcher.catalog.record import Model
    from watcher.routing.match import Reason
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

    def until(self, at: datetime) -> ModelHistory:
        """What was known of the prices at a time."""
        known = bisect_right(self.prices, at, key=lambda point: point[0])
        return replace(self, prices=self.prices[:known])


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


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """What one route decides about a change for one of its receivers.

    `refusal` words why this receiver does not get it by this route; `None` where it does. `move` is
    how far the price is from where it was last reported, where the route has a threshold.
    """

    route: Route
    receiver: str
    refusal: Reason | None
    move: PriceMove | None = None


def decide(
    change: Change, rules: RoutingRules, history: ModelHistory = NO_HISTORY
) -> Iterator[RouteDecision]:
    """What routes decide, in their order, up to the one after which no others are asked.

    Those that such a change of such a model does not concern are passed over: see
    `Matcher.refusal` for their reasons.
    """
    # Most routes measure from the same model.
    moves: dict[int, PriceMove | None] = {}
    for route in rules.candidates(change):
        matcher, is_taken = route.matcher, False
        for receiver in route.receivers:
            move, refusal = None, None
            if matcher.has_threshold:
                anchor = history.anchors.get((route.name, receiver))
                if id(anchor) not in moves:
                    moves[id(anchor)] = price_move(change, anchor)
                move = moves[id(anchor)]
            if matcher.is_conditional:
                refusal = matcher.event_refusal(change, announce=rules.announce, move=move)
            is_taken = is_taken or refusal is None
            yield RouteDecision(route, receiver, refusal, move)
        if is_taken and not route.continues:
            return


def plan(
    change: Change,
    rules: RoutingRules,
    *,
    now: datetime,
    history: ModelHistory = NO_HISTORY,
    silences: Sequence[Silence] = (),
) -> Plan:
    """Decide which receivers get a change: each once, however many routes have it.

    Digests are messages of their own: a receiver may get the change in each of them as well. The
    reasons are those of `decide`, which is asked here.
    """
    dispatches: list[Dispatch] = []
    anchors: list[Anchor] = []
    served: set[str] = set()
    flapping = _Flapping(change, rules, history, now)
    for decision in decide(change, rules, history):
        route, receiver, move = decision.route, decision.receiver, decision.move
        if move is not None and isinstance(change, ModelChange):
            anchors += _moved_anchor(change, decision, rules, history)
        since = None if move is None else move.since
        if decision.refusal is not None:
            continue
        if route.digest is not None:
            dispatches.append(Dispatch(receiver, route.name, since))
        elif receiver not in served:
            served.add(receiver)
            flap = flapping.of_delivery(route, receiver)
            dispatches.append(Dispatch(receiver, route.name, since, None, flap))
    silence = _catching_silence(change, silences, now) if dispatches else None
    if silence is None:
        return Plan(tuple(dispatches), tuple(anchors))
    caught = tuple(replace(each, silence_id=silence.id) for each in dispatches)
    # What is dropped counts as reported: it must not come back as part of the next move.
    return Plan((), tuple(anchors), caught) if silence.drop else Plan(caught, tuple(anchors))


def crossed_marks(
    models: Iterable[tuple[int, Model, Model]], rules: RoutingRules
) -> list[ModelChange]:
    """The models of these whose price in USD crosses a mark of a route, and nothing else changed.

    Each with its number, and as it was and is by the value of a credit.
    """
    if not any(route.matcher.has_crossing for route in rules.effective_routes):
        return []
    changes = (
        ModelChange((Kind.CREDIT_VALUE,), before, after, {}, number)
        for number, before, after in models
    )
    return [it for it in changes if any(each.refusal is None for each in decide(it, rules))]


def _moved_anchor(
    change: ModelChange, decision: RouteDecision, rules: RoutingRules, history: ModelHistory
) -> Iterator[Anchor]:
    """The anchor of a route and receiver after a change that moves the price, if it is another."""
    route, receiver = decision.route, decision.receiver
    known = history.anchors.get((route.name, receiver))
    if decision.refusal is None or _leads_away(decision, rules):
        model = change.after
    elif known is None or not comparable(known, change):
        model = change.before
    else:
        return
    if model is not None and change.model_id is not None:
        yield Anchor(route.name, receiver, change.model_id, model)


def _leads_away(decision: RouteDecision, rules: RoutingRules) -> bool:
    """Whether the price moved in a direction that this route does not ask for.

    A route that asks for falls measures them from the top: a fall after a rise is a fall, even
    where it ends at the price that was last reported.
    """
    if decision.move is None or decision.move.kind is None:
        return False
    return decision.move.kind not in decision.route.matcher.wanted_kinds(rules.announce)


class _Flapping:
    """Whether the price that a change moves goes back and forth, worked out where it is asked."""

    def __init__(
        self, change: Change, rules: RoutingRules, history: ModelHistory, now: datetime
    ) -> None:
        self._rules = rules
        self._history = history
        self._prices: list[PricePoint] = []
        self._since: dict[Decimal | None, datetime | None] = {}
        if not isinstance(change, ModelChange) or change.after is None or not history.prices:
            return
        if PRICE_KINDS.intersection(change.kinds) and _NEVER_FLAPPING.isdisjoint(change.kinds):
            self._prices = [*history.prices, (now, change.after.price or Decimal(0))]

    def of_delivery(self, route: Route, receiver: str) -> Flap:
        if not self._prices:
            return Flap.STEADY
        # Moves that are too small for the route are no part of the flapping.
        least = min(filter(None, (route.matcher.min_up, route.matcher.min_down)), default=None)
        if least not in self._since:
            prices = self._prices if least is None else _steps(self._prices, least)
            self._since[least] = flapping_since(prices, self._rules.flap)
        since = self._since[least]
        if since is None:
            return Flap.STEADY
        sent_at = self._history.flapping_sent.get(receiver)
        return Flap.ANNOUNCED if sent_at is None or sent_at < since else Flap.HELD


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
