"""Which receivers a change goes to, decided once, when it is recorded; and why, route by route.

`decide` asks the routes, `plan` makes deliveries of what they take: with silences and flapping.
When each delivery is sent is decided in `release`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from watcher.catalog.changes import Kind, ModelChange, RecordedChange
from watcher.routing.flapping import turns, values_moved
from watcher.routing.match import EVERY_KIND
from watcher.routing.moves import comparable, price_move
from watcher.routing.rules import Flap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from watcher.catalog.changes import Change
    from watcher.catalog.record import Model
    from watcher.routing.match import Reason
    from watcher.routing.moves import PriceMove
    from watcher.routing.rules import Route, RoutingRules, Silence

# A route and one of its receivers: each such pair has its own anchors.
AnchorKey = tuple[str, str]

# How many times `FlapRule.within` back the changes decide whether something flaps: what turned in
# that time returned to a value that was left in the same time before.
FLAPPING_LOOKS_BACK = 2


@dataclass(frozen=True, slots=True)
class History:
    """What is known of a model, or of a credit's value, before a change of it.

    `anchors`: the model as it was last reported, by route and receiver. `recent`: its changes of
    the time that decides whether it flaps, oldest first. `flapping_sent`: when each receiver last
    got a delivery in which this kind flaps.
    """

    anchors: Mapping[AnchorKey, Model] = field(default_factory=dict)
    recent: Sequence[RecordedChange] = ()
    flapping_sent: Mapping[tuple[str, Kind], datetime] = field(default_factory=dict)


NO_HISTORY = History()


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One delivery that a change makes.

    `since` is the model as this route last reported it to this receiver, where the route has a
    threshold and the price moved: the change to report is the one from there (`change_since`).
    `flapping`: which of its kinds flap.
    """

    receiver: str
    route: str
    since: Model | None = None
    silence_id: int | None = None
    flap: Flap = Flap.STEADY
    flapping: frozenset[Kind] = frozenset()


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
    change: Change, rules: RoutingRules, history: History = NO_HISTORY
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
    history: History = NO_HISTORY,
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
            flap, kinds = flapping.of_delivery(route, receiver)
            dispatches.append(Dispatch(receiver, route.name, since, None, flap, kinds))
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
    change: ModelChange, decision: RouteDecision, rules: RoutingRules, history: History
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
    """Whether what a change moves goes back and forth, worked out where it is asked."""

    def __init__(
        self, change: Change, rules: RoutingRules, history: History, now: datetime
    ) -> None:
        self._rules = rules
        self._history = history
        self._now = now
        self._kinds = frozenset(change.kinds)
        self._changes = [*history.recent, RecordedChange(0, now, change)]
        self._turns: dict[tuple[frozenset[Kind], Decimal | None], int] = {}

    def of_delivery(self, route: Route, receiver: str) -> tuple[Flap, frozenset[Kind]]:
        """What it has to do with flapping, and which kinds flap.

        It is held back where all that the route asks for flaps, and that has been said.
        """
        if not self._rules.flap.within or not self._history.recent:
            return Flap.STEADY, frozenset()
        wanted = route.matcher.wanted_kinds(self._rules.announce)
        moved = values_moved(self._kinds)
        # A mark in USD is crossed by the value of a credit too, though no route asks for that kind.
        asked = [value for value in moved if not value.isdisjoint(wanted)] or moved
        states = {value: self._state(value, route, receiver) for value in asked}
        flapping = frozenset[Kind]().union(
            *(self._kinds & value for value, state in states.items() if state is not Flap.STEADY)
        )
        found = set(states.values())
        if Flap.ANNOUNCED in found:
            return Flap.ANNOUNCED, flapping
        return (Flap.HELD if found == {Flap.HELD} else Flap.STEADY), flapping

    def _state(self, value: frozenset[Kind], route: Route, receiver: str) -> Flap:
        rule, sent = self._rules.flap, self._history.flapping_sent
        said = (sent[receiver, kind] for kind in value if (receiver, kind) in sent)
        if any(timedelta(0) <= self._now - at < rule.within for at in said):
            return Flap.HELD
        # Moves of a price that are too small for the route are no part of the flapping.
        least = min(filter(None, (route.matcher.min_up, route.matcher.min_down)), default=None)
        if (value, least) not in self._turns:
            self._turns[value, least] = turns(self._changes, value, rule.within, least)
        return Flap.ANNOUNCED if self._turns[value, least] >= rule.changes else Flap.STEADY


def _catching_silence(change: Change, silences: Iterable[Silence], now: datetime) -> Silence | None:
    """The silence that catches a change: one that drops it, otherwise the one that ends last."""
    catching = [
        silence
        for silence in silences
        if silence.is_active(now) and silence.matcher.refusal(change, announce=EVERY_KIND) is None
    ]
    return max(catching, key=lambda silence: (silence.drop, silence.ends_at), default=None)
