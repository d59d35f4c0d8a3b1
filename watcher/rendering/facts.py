"""What is told, and what is known beside it that a change itself does not hold.

Values only. Refuses to know where a fact was looked up and how it is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.changes import Notice, RecordedChange

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from decimal import Decimal

__all__ = ["NO_FACTS", "Content", "Facts", "Telling", "tellings"]

Content = RecordedChange | Notice


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one change beside the change; `None` and `False`: not known, or not so.

    `monthly_cost_usd` is what it costs more (below 0: saves) each month at the declared usage.
    `lowest_since` is when the price was last as low; `lowest_ever`: never while it was watched;
    likewise the highest. `days_since_change` counts whole days since the model's change before
    this one. Of a removal: `missed_since` is the sweep that first missed it, `family_left` how
    many of its family remain, `family_cheapest` the description and the price in words
    (`20 credits per second`) of the cheapest of them. `flapping`: the price goes back and forth,
    so nothing more is told of it until it stands still.
    """

    monthly_cost_usd: Decimal | None = None
    lowest_since: datetime | None = None
    lowest_ever: bool = False
    highest_since: datetime | None = None
    highest_ever: bool = False
    days_since_change: int | None = None
    family_left: int | None = None
    family_cheapest: tuple[str, str] | None = None
    missed_since: datetime | None = None
    flapping: bool = False


NO_FACTS = Facts()


@dataclass(frozen=True, slots=True)
class Telling:
    """One thing to be told, with what is known beside it."""

    content: Content
    facts: Facts | None = None


def tellings(contents: Iterable[Content | Telling]) -> tuple[Telling, ...]:
    """Each as a telling: one without facts where it comes bare."""
    return tuple(one if isinstance(one, Telling) else Telling(one) for one in contents)
