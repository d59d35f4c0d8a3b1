"""Whether what a change moves goes back and forth: one rule for every kind.

A value turns where it returns to one that it held within `FlapRule.within`. After so many turns in
that time it flaps: that is said once, and then no more until it stood still for as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import (
    DISCOUNT_KINDS,
    PRESENCE_KINDS,
    PRICE_KINDS,
    PROMOTION_KINDS,
    REFERENCE_KINDS,
    CreditValueChange,
    Kind,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta
    from decimal import Decimal

    from watcher.catalog.changes import RecordedChange
    from watcher.catalog.record import Model

# The kinds that move one value of a model, to and fro, and how it is read.
_READ: Mapping[frozenset[Kind], Callable[[Model], Hashable]] = {
    frozenset({Kind.RENAMED}): lambda model: model.record.identity_key,
    PRICE_KINDS: lambda model: model.price,
    frozenset({Kind.UNIT}): lambda model: model.record.unit.base,
    DISCOUNT_KINDS: lambda model: model.discount,
    PROMOTION_KINDS: lambda model: model.record.promotion,
    REFERENCE_KINDS: lambda model: model.record.reference,
    frozenset({Kind.CORRECTED}): lambda model: (
        model.record.credits,
        model.record.usd_listed,
        model.record.rate,
    ),
    frozenset({Kind.RELABELLED}): lambda model: (
        model.record.description,
        model.record.interface,
        model.record.provider,
        model.record.unit.label,
        model.record.anchor,
    ),
    frozenset({Kind.CREDIT_VALUE}): lambda model: model.usd_per_credit,
}
# That a model is on sale stands in no model.
_VALUES = (*_READ, PRESENCE_KINDS)
_VALUE_OF = {kind: kinds for kinds in _VALUES for kind in kinds}

# From when a value held, and the value.
_Point = tuple["datetime", "Any"]


def values_moved(kinds: Iterable[Kind]) -> frozenset[frozenset[Kind]]:
    """The values that such a change moves, each as the kinds that move it."""
    return frozenset(_VALUE_OF[kind] for kind in kinds)


def turns(
    changes: Sequence[RecordedChange],
    value: frozenset[Kind],
    within: timedelta,
    least: Decimal | None = None,
) -> int:
    """How often a value turned `within` the time up to the last of the changes, oldest first.

    A price that climbs in many steps does not turn, nor does one that is corrected.
    `least`: smaller moves of a price, as a share, are no moves.
    """
    points = list(_points(changes, value))
    if least is not None and value is PRICE_KINDS:
        points = list(_steps(points, least))
    if not points:
        return 0
    left_at: dict[Any, datetime] = {}
    found: list[datetime] = []
    held = points[0][1]
    for at, new in points[1:]:
        if new == held:
            continue
        if new in left_at and at - left_at[new] < within:
            found.append(at)
        left_at[held], held = at, new
    return sum(points[-1][0] - at < within for at in found)


def still_since(value_kinds: Iterable[Kind], moved_at: Mapping[Kind, datetime]) -> datetime | None:
    """Since when one of the values that these kinds move stands still: that which does the longest.

    `moved_at`: when there last was a change of each kind. `None` where there was none.
    """
    last = (
        max((moved_at[kind] for kind in value if kind in moved_at), default=None)
        for value in values_moved(value_kinds)
    )
    return min((at for at in last if at is not None), default=None)


def _points(changes: Iterable[RecordedChange], value: frozenset[Kind]) -> Iterator[_Point]:
    """The value before the first move of it, and after each."""
    is_first = True
    for recorded in changes:
        if value.isdisjoint(recorded.change.kinds):
            continue
        before, after = _sides(recorded, value)
        if is_first:
            yield recorded.at, before
            is_first = False
        yield recorded.at, after


def _sides(recorded: RecordedChange, value: frozenset[Kind]) -> tuple[Any, Any]:
    change = recorded.change
    if isinstance(change, CreditValueChange):
        return change.before, change.after
    if value is PRESENCE_KINDS:
        # What returns has a before: as it was last seen.
        return change.after is None, change.after is not None
    read = _READ[value]
    assert change.before is not None and change.after is not None, "a value moves in a model"  # noqa: PT018, S101
    return read(change.before), read(change.after)


def _steps(points: Iterable[_Point], least: Decimal) -> Iterator[_Point]:
    """The prices that differ by at least this share from the one before."""
    last: Decimal | None = None
    for number, (at, price) in enumerate(points):
        if not number or not last or price is None or abs(price / last - 1) >= least:
            yield at, price
            last = price
