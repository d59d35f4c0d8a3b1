"""How far a price moved and which marks it crossed: what thresholds and crossings measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.catalog.changes import (
    DISCOUNT_KINDS,
    PRICE_KINDS,
    REFERENCE_KINDS,
    Cause,
    Kind,
    ModelChange,
)

if TYPE_CHECKING:
    from decimal import Decimal

    from watcher.catalog.changes import Change
    from watcher.catalog.pricing import Unit
    from watcher.catalog.record import Model

# Kinds that are a number going up or down.
MOVE_KINDS = PRICE_KINDS | DISCOUNT_KINDS | REFERENCE_KINDS


@dataclass(frozen=True, slots=True)
class PriceMove:
    """How far a price that changes now is from `since`, both at the credit value of today.

    `kind` is its direction, `None` where they are equal. `share` is how far (0.05 is 5 % up), `usd`
    how far in USD per listed unit; both are `None` from or to no price, `share` also from zero.
    """

    since: Model
    kind: Kind | None
    share: Decimal | None
    usd: Decimal | None


def price_move(change: Change, reported: Model | None = None) -> PriceMove | None:
    """How far a change moves the price; `None` where it does not.

    From the model as it was last reported where that is given and comparable, otherwise from the
    one before.
    """
    if not isinstance(change, ModelChange) or PRICE_KINDS.isdisjoint(change.kinds):
        return None
    since, after = change.before, change.after
    if reported is not None and comparable(reported, change):
        since = reported
    if since is None or after is None:
        return None
    old, new = since.price, after.price
    if old == new:
        return PriceMove(since, None, None, None)
    if old is None or new is None:
        return PriceMove(since, Kind.PRICE_UP if old is None else Kind.PRICE_DOWN, None, None)
    kind = Kind.PRICE_UP if new > old else Kind.PRICE_DOWN
    usd = (new - old) * after.usd_per_credit * after.record.unit.quantity
    return PriceMove(since, kind, new / old - 1 if old else None, usd)


def follows_price(change: ModelChange) -> frozenset[Kind]:
    """The kinds of a change that follow from its price: the price, and a discount moved by it."""
    kinds = PRICE_KINDS.intersection(change.kinds)
    if not kinds:
        return kinds
    causes = change.causes
    return kinds.union(kind for kind in DISCOUNT_KINDS if causes.get(kind) is Cause.PRICE)


def comparable(since: Model, change: ModelChange) -> bool:
    """Whether a price reported earlier has the same base unit as the one that changes now."""
    return change.before is not None and since.record.unit.base == change.before.record.unit.base


def usd_for(model: Model, unit: Unit) -> Decimal | None:
    """What a model costs per another unit of the same base.

    From $3 for ten seconds to $0.35 for one second is not a fall from 3 to 0.35.
    """
    if model.usd is None or model.record.unit.quantity == unit.quantity:
        return model.usd
    return model.usd / model.record.unit.quantity * unit.quantity


def crosses(
    before: Decimal | None, after: Decimal | None, *, below: Decimal | None, above: Decimal | None
) -> bool:
    """Whether a number falls to or under `below`, or rises to or over `above`, from beyond it."""
    if before is None or after is None:
        return False
    if below is not None and before > below >= after:
        return True
    return above is not None and before < above <= after
