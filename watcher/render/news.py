"""What is told, and what is known beside it that a change itself does not hold.

Values only. Refuses to know where a fact was looked up and how it is said.

One change of a model, weighed: what it is foremost, how far it moved, how much it matters.

Worked out once for each change of a message. Refuses to know any words.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from watcher.catalog.changes import Kind, ModelChange, Notice, RecordedChange, change_percent

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

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


PRICE_KINDS = frozenset({Kind.PRICE_UP, Kind.PRICE_DOWN})

# A price that came out of nothing has no percent and is the biggest of moves.
BOUNDLESS = Decimal("Infinity")
NOUGHT = Decimal(0)

_KIND_WEIGHT = {
    Kind.REMOVED: 0,
    Kind.PRICE_UP: 1,
    Kind.PRICE_DOWN: 2,
    Kind.NEW: 3,
    Kind.RETURNED: 4,
    Kind.DISCOUNT_UP: 5,
    Kind.DISCOUNT_DOWN: 5,
    Kind.UNIT: 6,
    Kind.RENAMED: 7,
    Kind.PROMOTION_STARTED: 8,
    Kind.PROMOTION_ENDED: 8,
    Kind.FAL_UP: 9,
    Kind.FAL_DOWN: 9,
    Kind.CORRECTED: 10,
    Kind.RELABELLED: 11,
    Kind.CREDIT_VALUE: 12,
}
# What people pay for comes before anything that they do not.
_COSTS = -1

Weight = tuple[int, Decimal]


@dataclass(frozen=True, slots=True)
class News:
    """A change of a model. `moved` is its price's move in percent; less `weight` is weightier."""

    recorded: RecordedChange
    change: ModelChange
    facts: Facts
    kind: Kind
    moved: Decimal | None
    weight: Weight

    @property
    def cost(self) -> Decimal | None:
        """What it costs more a month, where that is anything."""
        return self.facts.monthly_cost_usd or None


def weighed(recorded: RecordedChange, change: ModelChange, facts: Facts | None) -> News:
    known = facts or NO_FACTS
    kind = main_kind(change)
    moved = change_percent(change)
    cost = known.monthly_cost_usd
    weight = (_COSTS, -abs(cost)) if cost else (_KIND_WEIGHT[kind], -_size(kind, change, moved))
    return News(recorded, change, known, kind, moved, weight)


def main_kind(change: ModelChange) -> Kind:
    """The kind that a change is foremost."""
    return min(change.kinds, key=_KIND_WEIGHT.__getitem__)


def _size(kind: Kind, change: ModelChange, moved: Decimal | None) -> Decimal:
    if kind in PRICE_KINDS:
        return BOUNDLESS if moved is None else abs(moved)
    if change.before is None or change.after is None:
        return NOUGHT
    if kind in {Kind.DISCOUNT_UP, Kind.DISCOUNT_DOWN}:
        return abs((change.after.discount or NOUGHT) - (change.before.discount or NOUGHT))
    return NOUGHT
