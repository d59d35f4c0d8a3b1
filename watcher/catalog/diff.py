"""What differs between two snapshots, model by model: kinds of change, and their causes.

Cosmetic differences are separated from real ones here. Whether a difference counts at once is
decided in `confirm`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from watcher.catalog.changes import (
    Cause,
    Change,
    CreditValueChange,
    Kind,
    ModelChange,
    in_kind_order,
)
from watcher.catalog.record import Model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watcher.catalog.matching import Matching
    from watcher.catalog.record import Record, Snapshot

# A listed rate is often a whole number typed by hand: it agrees with a recomputed one that is
# within half a percent of it.
_LISTED_RATE_TOLERANCE = Decimal("0.5")
# Listed USD is rounded to a few places.
_LISTED_USD_TOLERANCE = Decimal("0.01")

_PROMOTION_KINDS = {Kind.PROMOTION_STARTED, Kind.PROMOTION_ENDED}


class KnownRecord(Protocol):
    """A model that the store knows: its number there, and its last confirmed record."""

    @property
    def id(self) -> int: ...

    @property
    def record(self) -> Record: ...


@dataclass(frozen=True, slots=True)
class Differences:
    """What a snapshot shows: changes, and records to update by model number without a change."""

    changes: tuple[Change, ...]
    updates: tuple[tuple[int, Record], ...]


def diff(
    known: Sequence[KnownRecord],
    departed: Sequence[KnownRecord],
    snapshot: Snapshot,
    matching: Matching,
    usd_per_credit: Decimal,
) -> Differences:
    """List every difference; `usd_per_credit` is what a credit was worth when `known` was recorded.

    The positions in `matching` are those of `known`, `departed` and `snapshot.records`.
    """

    def before(model: KnownRecord) -> Model:
        return Model(model.record, usd_per_credit)

    def after(there: int) -> Model:
        return Model(snapshot.records[there], snapshot.usd_per_credit)

    changes: list[Change] = []
    updates: list[tuple[int, Record]] = []
    if usd_per_credit != snapshot.usd_per_credit:
        changes.append(CreditValueChange(usd_per_credit, snapshot.usd_per_credit))
    for here, there in matching.same:
        old, record = known[here], _as_understood(known[here].record, snapshot.records[there])
        if old.record == record:
            continue
        change = diff_model(before(old), Model(record, snapshot.usd_per_credit), old.id)
        if change is None:
            updates.append((old.id, record))
        else:
            changes.append(change)
    for here, there in matching.renamed:
        old = known[here]
        changes.append(diff_with_kind(Kind.RENAMED, before(old), after(there), old.id))
    for here, there in matching.returned:
        old = departed[here]
        changes.append(diff_with_kind(Kind.RETURNED, before(old), after(there), old.id))
    for here in matching.gone:
        old = known[here]
        changes.append(ModelChange((Kind.REMOVED,), before(old), None, {}, old.id))
    changes.extend(ModelChange((Kind.NEW,), None, after(there)) for there in matching.appeared)
    return Differences(tuple(changes), tuple(updates))


def _as_understood(known: Record, listed: Record) -> Record:
    """A listed record; the reference price stays where the one listed cannot be read.

    Of the two prices of Kie one is enough: where neither can be read, the row is no record.
    """
    if any(problem.startswith("falPrice") for problem in listed.not_understood):
        return replace(listed, reference=known.reference)
    return listed


def diff_model(before: Model, after: Model, model_id: int | None = None) -> ModelChange | None:
    """Everything that differs about one model, or `None` where nothing is worth recording."""
    kinds, causes = _kinds(before, after)
    if not kinds:
        return None
    return ModelChange(in_kind_order(kinds), before, after, causes, model_id)


def diff_with_kind(kind: Kind, before: Model, after: Model, model_id: int | None) -> ModelChange:
    """A model that was renamed or that returned, with whatever else is different about it."""
    kinds, causes = _kinds(before, after)
    if kind is Kind.RENAMED:
        # The new spelling is the rename itself, not a corrected label as well.
        kinds.discard(Kind.RELABELLED)
    return ModelChange(in_kind_order({kind} | kinds), before, after, causes, model_id)


def _kinds(listed_before: Model, after: Model) -> tuple[set[Kind], Mapping[Kind, Cause]]:
    # A new credit value is one change for the whole catalogue: both sides are compared at the
    # value of today.
    before = Model(listed_before.record, after.usd_per_credit)
    price = _price_kind(before, after)
    found = (
        price,
        _reference_kind(before.record.reference, after.record.reference),
        _promotion_kind(before.record, after.record),
        _label_kind(before.record, after.record, price),
    )
    kinds = {kind for kind in found if kind is not None}
    causes: dict[Kind, Cause] = {}
    discount = _discount_kind(listed_before, before, after)
    if discount is not None:
        kinds.add(discount)
        causes[discount] = _cause(before, after, discount)
    if not kinds - {Kind.RELABELLED, *_PROMOTION_KINDS} and _was_corrected(listed_before, after):
        kinds.add(Kind.CORRECTED)
    return kinds, causes


def _price_kind(before: Model, after: Model) -> Kind | None:
    mine, theirs = before.record.unit.base, after.record.unit.base
    if mine != theirs:
        labelled_only = (not mine or not theirs) and before.record.credits == after.record.credits
        return None if labelled_only else Kind.UNIT
    old, new = before.price, after.price
    if old == new or _equal_within_rounding(before, after):
        return None
    if old is None:
        return Kind.PRICE_UP
    return Kind.PRICE_UP if new is not None and new > old else Kind.PRICE_DOWN


def _equal_within_rounding(before: Model, after: Model) -> bool:
    """Whether a price in credits and one known only from rounded USD are the same price."""
    if (before.record.credits is None) == (after.record.credits is None):
        return False
    if before.price is None or after.price is None:
        return False
    return abs(before.price - after.price) <= before.price * _LISTED_USD_TOLERANCE


def _reference_kind(before: Decimal | None, after: Decimal | None) -> Kind | None:
    """Its first listing is a rise, its loss a fall: both are kept, and announced to nobody."""
    if before == after:
        return None
    if before is None:
        return Kind.REFERENCE_UP
    return Kind.REFERENCE_UP if after is not None and after > before else Kind.REFERENCE_DOWN


def _promotion_kind(before: Record, after: Record) -> Kind | None:
    if before.promotion == after.promotion:
        return None
    return Kind.PROMOTION_STARTED if after.promotion else Kind.PROMOTION_ENDED


def _label_kind(before: Record, after: Record, price: Kind | None) -> Kind | None:
    mine = (before.anchor, before.provider, before.interface, before.description)
    theirs = (after.anchor, after.provider, after.interface, after.description)
    if mine != theirs:
        return Kind.RELABELLED
    # A unit that moved the price is a change of price, not of a label.
    moved_price = price is not None and before.unit.quantity != after.unit.quantity
    if before.unit.label == after.unit.label or price is Kind.UNIT or moved_price:
        return None
    return Kind.RELABELLED


def _discount_kind(listed_before: Model, before: Model, after: Model) -> Kind | None:
    old, new = before.discount, after.discount
    if old is None or new is None or old == new:
        return None
    # A reference that is filled in or emptied, often of dozens of rows at once, moves no discount.
    if (before.recomputed_discount is None) != (after.recomputed_discount is None):
        return None
    if _follows_credit_value(listed_before, after, old, new):
        return None
    return Kind.DISCOUNT_UP if new > old else Kind.DISCOUNT_DOWN


def _follows_credit_value(before: Model, after: Model, old: Decimal, new: Decimal) -> bool:
    """Whether a listed rate moved only because the value of a credit did."""
    if before.usd_per_credit == after.usd_per_credit or after.recomputed_discount is not None:
        return False
    expected = 100 - (100 - old) * after.usd_per_credit / before.usd_per_credit
    return abs(new - expected) <= _LISTED_RATE_TOLERANCE


def _cause(before: Model, after: Model, kind: Kind) -> Cause:
    """What moved the discount; where both prices did, the one that moved it further."""
    price_moved = before.usd != after.usd
    reference_moved = before.record.reference != after.record.reference
    if price_moved and reference_moved:
        return _larger_cause(before, after, kind)
    if price_moved:
        return Cause.PRICE
    return Cause.REFERENCE if reference_moved else Cause.LISTING


def _larger_cause(before: Model, after: Model, kind: Kind) -> Cause:
    old, new = before.recomputed_discount, after.recomputed_discount
    if old is None or new is None or after.usd is None or not before.record.reference:
        return Cause.REFERENCE
    by_price = (1 - after.usd / before.record.reference) * 100 - old
    by_reference = new - old - by_price
    direction = 1 if kind is Kind.DISCOUNT_UP else -1
    return Cause.PRICE if by_price * direction >= by_reference * direction else Cause.REFERENCE


def _was_corrected(before: Model, after: Model) -> bool:
    """Whether the listed USD price or rate changed, but no price in credits."""
    old, new = before.record, after.record
    if (old.credits is None) != (new.credits is None):
        return True
    if before.usd_per_credit != after.usd_per_credit and _listed_usd_agrees(after):
        return False
    return (old.usd_listed, old.rate) != (new.usd_listed, new.rate)


def _listed_usd_agrees(model: Model) -> bool:
    listed, worth = model.record.usd_listed, model.usd
    if listed is None or worth is None:
        return True
    return abs(listed - worth) <= worth * _LISTED_USD_TOLERANCE
