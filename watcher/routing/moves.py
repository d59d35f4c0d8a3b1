"""How far a price went and which marks it passed: what thresholds and crossings are judged by.

Knows two models and the way from one to the other. Refuses to know who asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.catalog.changes import Cause, Kind

if TYPE_CHECKING:
    from decimal import Decimal

    from watcher.catalog.changes import ModelChange
    from watcher.catalog.pricing import Unit
    from watcher.catalog.record import Model

PRICES = frozenset({Kind.PRICE_UP, Kind.PRICE_DOWN})
_DISCOUNTS = frozenset({Kind.DISCOUNT_UP, Kind.DISCOUNT_DOWN})
# Kinds that are a number going one way or the other.
MOVES = PRICES | _DISCOUNTS | {Kind.FAL_UP, Kind.FAL_DOWN}


@dataclass(frozen=True, slots=True)
class PriceMove:
    """The way from one price to another.

    `kind` is its direction, `None` where it leads nowhere. `share` is how far (0.05 is 5 % up),
    `usd` how far in USD per listed unit; both `None` from or to no price, `share` also from zero.
    """

    kind: Kind | None
    share: Decimal | None
    usd: Decimal | None


def price_move(before: Model, after: Model) -> PriceMove:
    """From one model to another, both at what a credit is worth today."""
    old, new = before.price, after.price
    if old == new:
        return PriceMove(None, None, None)
    if old is None or new is None:
        return PriceMove(Kind.PRICE_UP if old is None else Kind.PRICE_DOWN, None, None)
    kind = Kind.PRICE_UP if new > old else Kind.PRICE_DOWN
    usd = (new - old) * after.usd_per_credit * after.record.unit.quantity
    return PriceMove(kind, new / old - 1 if old else None, usd)


def move_since(change: ModelChange, since: Model | None) -> PriceMove | None:
    """The move of a price that moved now, from where it was last told."""
    before = since if since is not None and comparable(since, change) else change.before
    if before is None or change.after is None or PRICES.isdisjoint(change.kinds):
        return None
    return price_move(before, change.after)


def follows_price(change: ModelChange) -> frozenset[Kind]:
    """The kinds that say the price moved: by itself, and in a discount that followed it."""
    kinds = PRICES.intersection(change.kinds)
    if not kinds:
        return kinds
    causes = change.causes
    return kinds.union(kind for kind in _DISCOUNTS if causes.get(kind) is Cause.PRICE)


def comparable(since: Model, change: ModelChange) -> bool:
    """Whether a price told earlier is for the same thing as the one that moves now."""
    return change.before is not None and since.record.unit.base == change.before.record.unit.base


def usd_for(model: Model, unit: Unit) -> Decimal | None:
    """What a model costs for as much as another unit holds; the two must have one base.

    $3 for ten seconds and $0.35 for one are no fall from 3 to 0.35.
    """
    if model.usd is None or model.record.unit.quantity == unit.quantity:
        return model.usd
    return model.usd / model.record.unit.quantity * unit.quantity


def crosses(
    before: Decimal | None, after: Decimal | None, *, below: Decimal | None, above: Decimal | None
) -> bool:
    """Whether a number goes from above `below` to at or under it, or the other way with `above`."""
    if before is None or after is None:
        return False
    if below is not None and before > below >= after:
        return True
    return above is not None and before < above <= after
