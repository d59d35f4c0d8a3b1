"""Believe now, or wait to see it again: which changes a later sweep must confirm, and which hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class HoldReason(StrEnum):
    """Why a change waits."""

    REMOVAL = "removal"
    RENAME = "rename"
    PRICE = "price"
    COLLAPSE = "collapse"


@dataclass(frozen=True, slots=True)
class Hold:
    """One change that waits to be seen again.

    `model_id` is the model it is about (`None` for `collapse`, which is about the catalogue);
    `subject` is what was seen and must be seen again (the new description of a rename, the new
    price), empty where there is nothing to compare. `until_at` is when a sweep may settle it.
    """

    reason: HoldReason
    model_id: int | None
    subject: str
    since_at: datetime
    until_at: datetime


@dataclass(frozen=True, slots=True)
class Policy:
    """How long each sort of change waits; zero turns that waiting off. Shares are 0 to 1."""

    removals: timedelta = timedelta(minutes=10)
    implausible: timedelta = timedelta(minutes=30)
    implausible_factor: Decimal = Decimal(5)
    collapse: timedelta = timedelta(hours=6)
    collapse_share: Decimal = Decimal("0.2")
