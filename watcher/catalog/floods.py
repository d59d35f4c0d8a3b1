"""Floods: what so many models show at once that it looks like a mistake of the listing.

References emptied, flags set everywhere, a field left out: nobody edits a fifth of a catalogue by
hand within one sweep. What a change shows of a flood can be taken out of it, so that the rest of it
need not wait. Plausible moves of prices are no flood: they are what the watcher is for.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from watcher.catalog.changes import (
    DISCOUNT_KINDS,
    PROMOTION_KINDS,
    REFERENCE_KINDS,
    Cause,
    Kind,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from watcher.catalog.changes import ModelChange
    from watcher.catalog.record import Record


class Flood(StrEnum):
    """What changed of many models at once."""

    NAMES = "names"
    PRICE = "price"
    UNIT = "unit"
    PROMOTION = "promotion"
    REFERENCE = "reference"
    DISCOUNT = "discount"
    LISTING = "listing"
    LABELS = "labels"


# A price is its amounts and its unit together.
PRICE_FIELDS = ("credits", "unit", "usd_listed", "rate")
_LABEL_FIELDS = ("anchor", "provider", "interface", "description", "identity_key")

# What changes together where a change shows one of these. `NAMES` and `PRICE` have holds for each
# model, which take them out of it.
_FIELDS = MappingProxyType(
    {
        Flood.UNIT: PRICE_FIELDS,
        Flood.PROMOTION: ("promotion",),
        Flood.REFERENCE: ("reference", "rate"),
        Flood.DISCOUNT: ("rate",),
        Flood.LISTING: ("credits", "usd_listed", "rate"),
        Flood.LABELS: _LABEL_FIELDS,
    }
)


def floods_of(change: ModelChange) -> Iterator[Flood]:
    """What a change of a model that was there before adds to; implausible prices apart."""
    kinds = set(change.kinds)
    if Kind.UNIT in kinds or _has_another_base_unit(change):
        yield Flood.UNIT
    if kinds & PROMOTION_KINDS:
        yield Flood.PROMOTION
    if kinds & REFERENCE_KINDS:
        yield Flood.REFERENCE
    if kinds & DISCOUNT_KINDS and Cause.LISTING in change.causes.values():
        yield Flood.DISCOUNT
    if Kind.CORRECTED in kinds or _price_is_listed_otherwise(change):
        yield Flood.LISTING
    if Kind.RELABELLED in kinds:
        yield Flood.LABELS


def _has_another_base_unit(change: ModelChange) -> bool:
    """Whether the unit is another, also where it was empty or is: then it is only a label."""
    if change.before is None or change.after is None:
        return False
    return change.before.record.unit.base != change.after.record.unit.base


def _price_is_listed_otherwise(change: ModelChange) -> bool:
    """Whether credits are listed no longer, or again: the USD beside them may be mistyped."""
    if change.before is None or change.after is None:
        return False
    return (change.before.record.credits is None) != (change.after.record.credits is None)


def without(floods: Iterable[Flood], before: Record, after: Record) -> Record:
    """The record after a change, with what floods changed of it as it was before."""
    fields: set[str] = set()
    for flood in floods:
        fields.update(_FIELDS[flood])
        # An empty unit is a label only where it changes no price.
        if flood is Flood.LABELS and before.credits == after.credits:
            fields.update(("unit",))
    return replace(after, **{name: getattr(before, name) for name in fields})
