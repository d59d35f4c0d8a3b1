"""The items of a message: each change or notice, with the facts that make it worth reading.

How a price compares with its own history, what remains of a model's family, what a change costs a
month. Values only: the history and the models on sale are looked up by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from watcher.catalog.changes import (
    PRICE_KINDS,
    CreditValueChange,
    Kind,
    ModelChange,
    Notice,
    RecordedChange,
)
from watcher.catalog.record import NO_PRICES, fold
from watcher.routing.rules import monthly_cost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from watcher.catalog.record import Model, PriceHistory, PricePoint
    from watcher.routing.release import Batch
    from watcher.routing.rules import Usage

# "The lowest ever watched" means nothing before the price was watched for a while.
LEAST_HISTORY = timedelta(days=7)
# Nor does "the lowest since this morning".
LEAST_SPAN = timedelta(days=1)

Content = RecordedChange | Notice


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one change beside the change; `None` and `False`: not known, or not so.

    `monthly_cost_usd` is what it costs more (below 0: saves) each month at the declared usage.
    `lowest_since` is when the price was last as low; `lowest_ever`: never while it was watched;
    likewise the highest. `days_since_change` counts whole days since the model's change before
    this one. Of a removal: `missed_since` is the sweep that first missed it, `family_left` how
    many of its family remain, `family_cheapest` the cheapest of them. `flapping`: what changed goes
    back and forth, so nothing more is announced of it until it stands still.
    """

    monthly_cost_usd: Decimal | None = None
    lowest_since: datetime | None = None
    lowest_ever: bool = False
    highest_since: datetime | None = None
    highest_ever: bool = False
    days_since_change: int | None = None
    family_left: int | None = None
    family_cheapest: Model | None = None
    missed_since: datetime | None = None
    flapping: bool = False


@dataclass(frozen=True, slots=True)
class MessageItem:
    """One thing that a message is about, with what is known beside it."""

    content: Content
    facts: Facts | None = None


def enrich(
    batch: Batch,
    histories: Mapping[int, PriceHistory],
    on_sale: Sequence[Model],
    usage: Sequence[Usage],
) -> tuple[MessageItem, ...]:
    """Put beside each content of a batch what is known of it.

    `histories` are those of its models; `on_sale` is needed where a model was removed, and may be
    empty otherwise.
    """
    items: list[MessageItem] = []
    by_family: dict[str, list[Model]] = {}
    for model in on_sale:
        by_family.setdefault(fold(model.record.family), []).append(model)
    for content in batch.contents:
        if isinstance(content, Notice):
            items.append(MessageItem(content))
            continue
        flapping = content.id in batch.flapping
        if isinstance(content.change, CreditValueChange):
            cost = _cost_of_credit_value(content.change, on_sale, usage)
            costing = replace(content.change, monthly_cost_usd=cost)
            items.append(MessageItem(replace(content, change=costing), Facts(flapping=flapping)))
            continue
        change = content.change
        history = histories.get(change.model_id or 0, NO_PRICES)
        facts = replace(
            _facts(change, content.at, history.prices, by_family),
            monthly_cost_usd=monthly_cost(change, usage),
            flapping=flapping,
        )
        if not history.is_complete:
            # Before what is known the price may have been lower, or higher.
            facts = replace(facts, lowest_ever=False, highest_ever=False)
        items.append(MessageItem(content, facts))
    return tuple(items)


def _cost_of_credit_value(
    change: CreditValueChange, on_sale: Sequence[Model], usage: Sequence[Usage]
) -> Decimal | None:
    """What another value of a credit costs a month, for all that is used of what is on sale."""
    costs = [
        cost
        for model in (on_sale if usage else ())
        if (
            cost := monthly_cost(
                ModelChange(
                    change.kinds,
                    replace(model, usd_per_credit=change.before),
                    replace(model, usd_per_credit=change.after),
                ),
                usage,
            )
        )
        is not None
    ]
    return sum(costs, start=Decimal(0)) if costs else None


def _facts(
    change: ModelChange,
    at: datetime,
    past: Sequence[PricePoint],
    by_family: Mapping[str, Sequence[Model]],
) -> Facts:
    lowest_since, lowest_ever = _extreme(change, past, at, Kind.PRICE_DOWN)
    highest_since, highest_ever = _extreme(change, past, at, Kind.PRICE_UP)
    facts = Facts(
        lowest_since=lowest_since,
        lowest_ever=lowest_ever,
        highest_since=highest_since,
        highest_ever=highest_ever,
        days_since_change=_days_since_change(change, past, at),
    )
    if Kind.REMOVED not in change.kinds:
        return facts
    left = _family_left(change, by_family)
    return replace(
        facts,
        family_left=len(left),
        family_cheapest=_cheapest(change, left),
        missed_since=change.first_seen_at,
    )


def _extreme(
    change: ModelChange, past: Sequence[PricePoint], at: datetime, kind: Kind
) -> tuple[datetime | None, bool]:
    """When the price was last as low as after a fall (as high as after a rise); or that never."""
    if kind not in change.kinds or change.after is None or change.after.price is None:
        return None, False
    earlier = _before_the_move(change, past, at)
    if not earlier:
        return None, False
    now, is_fall = change.after.price, kind is Kind.PRICE_DOWN
    ended_at = at
    for from_at, price in reversed(earlier):
        if price != now and (price < now) is is_fall:
            return (ended_at, False) if at - ended_at >= LEAST_SPAN else (None, False)
        ended_at = from_at
    return None, at - earlier[0][0] >= LEAST_HISTORY


def _before_the_move(
    change: ModelChange, past: Sequence[PricePoint], at: datetime
) -> Sequence[PricePoint]:
    """The prices up to the one that the change starts from.

    A change may sum up several steps, and none of those is the past.
    """
    before = [point for point in past if point[0] < at]
    start = None if change.before is None else change.before.price
    while before and before[-1][1] != start:
        before.pop()
    return before


def _days_since_change(change: ModelChange, past: Sequence[PricePoint], at: datetime) -> int | None:
    """How long the price before had held; `None` where it is the first one known."""
    earlier = _before_the_move(change, past, at)
    if PRICE_KINDS.isdisjoint(change.kinds) or len(earlier) < 2:  # noqa: PLR2004 - it and one before
        return None
    later = [point[0] for point in past if earlier[-1][0] < point[0] < at]
    return (min(later, default=at) - earlier[-1][0]).days


def _family_left(change: ModelChange, by_family: Mapping[str, Sequence[Model]]) -> list[Model]:
    removed = change.model.record
    family = by_family.get(fold(removed.family), ())
    return [model for model in family if model.record.identity_key != removed.identity_key]


def _cheapest(change: ModelChange, left: Sequence[Model]) -> Model | None:
    """The cheapest that is sold by the same unit: other units cannot be compared."""
    base = change.model.record.unit.base
    priced = [
        (model.price, model.record.identity_key, model)
        for model in left
        if model.price is not None and model.record.unit.base == base
    ]
    if not priced:
        return None
    return min(priced, key=lambda entry: entry[:2])[2]
