"""What a change costs those who use the model, a month.

Knows prices and amounts used. Refuses to know how a sum is worded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.routing.patterns import accepts, folded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from watcher.catalog import Model, Record
    from watcher.changes import ModelChange
    from watcher.routing.patterns import Pattern

__all__ = ["Usage", "monthly_cost", "usage_of"]


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a model is used: `per_month` in its base unit (seconds, images, tokens)."""

    model: Pattern
    per_month: Decimal


def usage_of(record: Record, usage: Sequence[Usage]) -> Decimal | None:
    """Base units a month by the first entry that names the model; `None` where none does."""
    name = folded(record.description)
    return next((entry.per_month for entry in usage if accepts((entry.model,), name)), None)


def monthly_cost(change: ModelChange, usage: Sequence[Usage]) -> Decimal | None:
    """USD a month that a change costs (positive) or saves (negative).

    `None` where the model is not used, and where one of the prices is not known or not for the
    same thing.
    """
    if change.before is None or change.after is None:
        return None
    before, after = _usd_per_base_unit(change.before), _usd_per_base_unit(change.after)
    if before is None or after is None or before == after:
        return None
    if change.before.record.unit.base != change.after.record.unit.base:
        return None
    amount = usage_of(change.after.record, usage)
    if amount is None:
        # A rename must not make the bill of who knows the old name disappear.
        amount = usage_of(change.before.record, usage)
    return None if amount is None else amount * (after - before)


def _usd_per_base_unit(model: Model) -> Decimal | None:
    return None if model.usd is None else model.usd / model.record.unit.quantity
