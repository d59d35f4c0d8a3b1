"""A price rise that never happened, for trying out a receiver.

Knows one made-up model. Refuses to know how it is told.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from watcher.catalog import DOCUMENTED_USD_PER_CREDIT, Model, Record
from watcher.changes import Cause, Kind, ModelChange, RecordedChange
from watcher.units import parse_unit

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["sample_rise"]


def sample_rise(at: datetime) -> RecordedChange:
    kinds = (Kind.PRICE_UP, Kind.DISCOUNT_DOWN)
    change = ModelChange(kinds, _at("50"), _at("60"), {Kind.DISCOUNT_DOWN: Cause.PRICE})
    return RecordedChange(0, at, change)


def _at(price_in_credits: str) -> Model:
    return Model(
        Record(
            description="Example 1.0, 1080p with audio",
            folded="example 1.0, 1080p with audio",
            interface="video",
            provider="a made-up model",
            credits=Decimal(price_in_credits),
            unit=parse_unit("per second"),
            usd_listed=None,
            fal=Decimal("0.5"),
            rate=None,
            anchor="https://kie.ai/",
            promotion=False,
        ),
        DOCUMENTED_USD_PER_CREDIT,
    )
