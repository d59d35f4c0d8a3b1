"""What is known beside a change and makes its line worth reading.

How a price stands in its own past, what else the family has, what it costs a month. Refuses to
know where the past is kept and how any of it is worded.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from watcher.catalog.changes import Kind, ModelChange
from watcher.catalog.record import Model, fold
from watcher.render.figures import price as in_words
from watcher.render.news import Facts, Telling
from watcher.routing.rules import monthly_cost

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from watcher.catalog.changes import Notice, RecordedChange
    from watcher.routing.release import Batch
    from watcher.routing.rules import PricePoint, Usage

# "The lowest ever watched" says nothing before one has watched for a while.
LONG_ENOUGH = timedelta(days=7)
# Nor does "the lowest since this morning".
WORTH_SAYING = timedelta(days=1)

_PRICES = {Kind.PRICE_UP, Kind.PRICE_DOWN}


def tell(
    batch: Batch,
    prices: Mapping[int, Sequence[PricePoint]],
    on_sale: Sequence[Model],
    usage: Sequence[Usage],
    *,
    cut: Collection[int] = (),
) -> tuple[Telling, ...]:
    """Put beside each content of a batch what is known of it.

    `prices` are each model's prices per base unit and from when they held, oldest first; of the
    models in `cut` they do not go back to the beginning. `on_sale` is needed where something is
    gone, and may be empty else.
    """
    tellings = (
        Telling(content, _facts(content, batch, prices, on_sale, usage))
        for content in batch.contents
    )
    return tuple(_without_ever(it) if _number_of(it.content) in cut else it for it in tellings)


def _number_of(content: RecordedChange | Notice) -> int | None:
    return getattr(getattr(content, "change", None), "model_id", None)


def _without_ever(telling: Telling) -> Telling:
    """What is no longer known may have been lower, or higher."""
    if telling.facts is None:
        return telling
    return replace(telling, facts=replace(telling.facts, lowest_ever=False, highest_ever=False))


def _facts(
    content: RecordedChange | Notice,
    batch: Batch,
    prices: Mapping[int, Sequence[PricePoint]],
    on_sale: Sequence[Model],
    usage: Sequence[Usage],
) -> Facts | None:
    change = getattr(content, "change", None)
    if not isinstance(change, ModelChange):
        return None
    past = prices.get(change.model_id or 0, ())
    left = _family_left(change, on_sale) if Kind.REMOVED in change.kinds else None
    low, lowest = _extreme(change, past, content.at, lowest=True)
    high, highest = _extreme(change, past, content.at, lowest=False)
    return Facts(
        monthly_cost_usd=monthly_cost(change, usage),
        lowest_since=low,
        lowest_ever=lowest,
        highest_since=high,
        highest_ever=highest,
        days_since_change=_days_since_change(change, past, content.at),
        family_left=None if left is None else len(left),
        family_cheapest=_cheapest(change, left or ()),
        missed_since=change.first_seen_at if Kind.REMOVED in change.kinds else None,
        flapping=getattr(content, "id", None) in batch.flapping,
    )


def _extreme(
    change: ModelChange, past: Sequence[PricePoint], at: datetime, *, lowest: bool
) -> tuple[datetime | None, bool]:
    """Until when the price was last as low (or high) as now; or that it never was."""
    now = _moved_to(change, up=not lowest)
    stood = _before_the_move(change, past, at)
    if now is None or not stood:
        return None, False
    ended_at = at
    for from_at, price in reversed(stood):
        if price != now and (price < now) is lowest:
            return (ended_at, False) if at - ended_at >= WORTH_SAYING else (None, False)
        ended_at = from_at
    return None, at - stood[0][0] >= LONG_ENOUGH


def _before_the_move(
    change: ModelChange, past: Sequence[PricePoint], at: datetime
) -> Sequence[PricePoint]:
    """The prices up to the one that the change sets out from.

    What is told may be several steps at once, and none of those is the past.
    """
    before = [point for point in past if point[0] < at]
    start = None if change.before is None else change.before.price
    while before and before[-1][1] != start:
        before.pop()
    return before


def _moved_to(change: ModelChange, *, up: bool) -> Decimal | None:
    """The price that the change led to, where it went that way."""
    kind = Kind.PRICE_UP if up else Kind.PRICE_DOWN
    return change.after.price if change.after and kind in change.kinds else None


def _days_since_change(change: ModelChange, past: Sequence[PricePoint], at: datetime) -> int | None:
    """How long the price before had stood; unknown where it is as old as the watch."""
    stood = _before_the_move(change, past, at)
    if not _PRICES & set(change.kinds) or len(stood) < 2:  # noqa: PLR2004 - a price and one before
        return None
    later = [point[0] for point in past if stood[-1][0] < point[0] < at]
    return (min(later, default=at) - stood[-1][0]).days


def _family_left(change: ModelChange, on_sale: Sequence[Model]) -> list[Model]:
    gone = change.model.record
    family = fold(gone.family)
    return [
        model
        for model in on_sale
        if model.record.folded != gone.folded and fold(model.record.family) == family
    ]


def _cheapest(change: ModelChange, left: Sequence[Model]) -> tuple[str, str] | None:
    """The cheapest of what is sold by the same unit: else there is nothing to compare."""
    base = change.model.record.unit.base
    priced = [
        (model.price, model.record.folded, model)
        for model in left
        if model.price is not None and model.record.unit.base == base
    ]
    if not priced:
        return None
    *_, cheapest = min(priced, key=lambda entry: entry[:2])
    return cheapest.record.description, in_words(cheapest)
