"""What is known beside a change, in words: what it costs a month, since when a price is the lowest.

Of one variant or of several that share a line. Refuses to know where it was looked up.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from watcher.changes import Kind
from watcher.rendering.harmless import harmless, shortened
from watcher.rendering.moments import moment
from watcher.rendering.numbers import counted, monthly

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from watcher.catalog import Record
    from watcher.rendering.facts import Facts
    from watcher.rendering.news import News

__all__ = ["NO_END_IN_SIGHT", "cost_words", "gone_words", "standing_words"]

NO_END_IN_SIGHT = "flapping: more is told once it stands still"
LONGEST_PRICE = 60


def cost_words(news: Sequence[News]) -> str | None:
    """`+$96.00 a month for you`, for all of them together; `None` where it comes to no cent."""
    total = sum((one.cost for one in news if one.cost is not None), start=Decimal(0))
    return f"{monthly(total)} for you" if round(total, 2) else None


def standing_words(news: Sequence[News]) -> Iterator[str]:
    """Where a moved price stands in its own history, and how long it had stood still."""
    kind = news[0].kind
    if kind is Kind.PRICE_DOWN:
        lowest = [(one.facts.lowest_ever, one.facts.lowest_since) for one in news]
        yield from _extreme("lowest", lowest)
    if kind is Kind.PRICE_UP:
        highest = [(one.facts.highest_ever, one.facts.highest_since) for one in news]
        yield from _extreme("highest", highest)
    days = [one.facts.days_since_change for one in news]
    known = [count for count in days if count is not None]
    if known and len(known) == len(days):
        yield f"last change {_days(min(known), max(known))}"
    if news[0].facts.flapping:
        yield NO_END_IN_SIGHT


def gone_words(news: Sequence[News], longest_name: int) -> Iterator[str]:
    """Of removed models: since when they are missed, and what of their family remains."""
    missed = sorted({moment(at) for one in news if (at := one.facts.missed_since)})
    if missed:
        yield "first missed " + (
            missed[0] if len(missed) == 1 else f"between {missed[0]} and {missed[-1]}"
        )
    facts = news[0].facts
    if facts.family_left is not None:
        yield _remaining(facts.family_left, facts, news[0].change.model.record, longest_name)


def _remaining(left: int, facts: Facts, record: Record, longest_name: int) -> str:
    if not left:
        return "nothing of its family is left"
    said = f"{counted(left, 'other', 'others')} of its family left"
    if facts.family_cheapest is None:
        return said
    description, price = facts.family_cheapest
    name = shortened(harmless(_within_the_family(description, record)), longest_name)
    return f"{said}, the cheapest {name} at {shortened(harmless(price), LONGEST_PRICE)}"


def _within_the_family(description: str, record: Record) -> str:
    family, _, variant = description.partition(",")
    same = family.strip().casefold() == record.family.casefold()
    return variant.strip() if same and variant.strip() else description


def _extreme(word: str, known: Sequence[tuple[bool, datetime | None]]) -> Iterator[str]:
    """What is true of all of them: since the latest of their dates."""
    if all(ever for ever, _ in known):
        yield f"the {word} ever watched"
        return
    since = [at for ever, at in known if at is not None and not ever]
    if all(ever or at is not None for ever, at in known):
        yield f"the {word} since {moment(max(since)).partition(' ')[0]}"


def _days(fewest: int, most: int) -> str:
    if fewest != most:
        return f"{fewest:,} to {most:,} days earlier"
    if fewest == 0:
        return "less than a day earlier"
    return "a day earlier" if fewest == 1 else f"{fewest:,} days earlier"
