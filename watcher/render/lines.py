"""One line of a message in harmless words: its sign, which variants it is about, all that it says.

A line is about one variant, or about several that share their news (see `render.grouping`). How
much of it fits and the markup around it are for `render.fitting`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from watcher.catalog.changes import Kind
from watcher.render.figures import CENT, PLAIN_NOTATION, Notation, counted, monthly, prices
from watcher.render.markup import harmless, page_of, safe_link, shortened, width
from watcher.render.names import shared_name
from watcher.render.words import (
    GOES_BACK_AND_FORTH,
    MORE_LATER,
    SIGNS,
    Tone,
    crossing,
    more_words,
    news,
    tone_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from watcher.catalog.changes import ModelChange
    from watcher.catalog.record import Record
    from watcher.render.grouping import Family, MessageLine, Variant, WeighedChange

# The longest name in a line that must be short.
TERSE_NAME = 20
LONGEST_CONTEXT = 40
LONGEST_PRICE = 60
# A line has room for so many names; they show which variants are meant.
NAMES_OF_A_LINE = 2


@dataclass(frozen=True, slots=True)
class LineText:
    """What a line says: its news in bold, then the variants, then the rest in phrases.

    `cost`, what it costs a month, and `crossing`, that it is no longer cheaper than the reference
    where that is not the news, are bold as well. All but the news may be empty.
    """

    tone: Tone
    news: str
    name: str
    cost: str
    crossing: str
    rest: tuple[str, ...]

    @property
    def strong(self) -> tuple[str, ...]:
        """What is bold beside the news."""
        return tuple(filter(None, (self.cost, self.crossing)))

    @property
    def sign(self) -> str:
        return SIGNS[self.tone]


def line_text(
    line: MessageLine, longest_name: int, notation: Notation = PLAIN_NOTATION
) -> LineText:
    """All there is to say."""
    changes = [weighed.change for weighed in line.changes]
    said = news(changes)
    rest = more_words(changes, longest_name, notation)
    if line.changes[0].facts.flapping:
        said, rest = GOES_BACK_AND_FORTH, (said, *rest)
    if Kind.REMOVED in changes[0].kinds:
        rest = (*rest, *_removal_phrases(line.changes, longest_name, notation))
    rest = (*rest, *_history_phrases(line.changes, notation))
    return LineText(
        tone_of(changes[0]),
        said,
        line_name(line, longest_name, notation),
        cost_phrase(line.changes),
        crossing_beside(changes[0]),
        rest,
    )


def crossing_beside(change: ModelChange) -> str:
    """`⚑ no longer cheaper than Fal`, where the news is that the price moved."""
    said = "" if tone_of(change) is Tone.CROSSED else crossing(change)
    return f"{SIGNS[Tone.CROSSED]} {said}" if said else ""


def cost_phrase(changes: Sequence[WeighedChange]) -> str:
    """`+$96.00 a month for you`, for all of them together; empty for less than a cent."""
    total = total_cost(changes)
    return f"{monthly(total)} for you" if total else ""


def total_cost(changes: Sequence[WeighedChange]) -> Decimal:
    """USD a month, to the cent."""
    return sum((one.cost for one in changes if one.cost is not None), Decimal(0)).quantize(CENT)


def line_name(line: MessageLine, longest_name: int, notation: Notation = PLAIN_NOTATION) -> str:
    """The variant, or all those that share the line; empty where the family says it all."""
    if len(line.variants) == 1:
        return _variant_name(line.variants[0], longest_name, notation)
    names = [
        _variant_name(variant, longest_name, notation)
        or shortened(harmless(variant.weighed.record.family), longest_name)
        for variant in line.variants
    ]
    room = NAMES_OF_A_LINE * longest_name
    if (shared := shared_name(names)) and width(shared) <= room:
        return shared
    # Many variants have commas in their names.
    separator = "; " if any("," in name for name in names) else ", "
    kept = 0
    while kept < len(names) and width(separator.join(names[: kept + 1])) <= room:
        kept += 1
    others = len(names) - kept
    if longest_name == TERSE_NAME and others:
        return f"{len(names):,} variants"
    listed = separator.join(names[:kept])
    return f"{listed} and {counted(others, 'other', 'others')}" if others else listed


def _variant_name(variant: Variant, longest: int, notation: Notation) -> str:
    qualifiers = [shortened(harmless(it or "none"), TERSE_NAME) for it in variant.qualifiers]
    if variant.dated:
        qualifiers.append(notation.time(variant.weighed.recorded.at))
    name = shortened(harmless(variant.name), longest) if variant.name else ""
    qualified = f"({', '.join(qualifiers)})" if qualifiers else ""
    return " ".join(part for part in (name, qualified) if part)


def line_link(line: MessageLine) -> str | None:
    """The link that all of the line share; the page alone where their links differ."""
    anchors = [weighed.record.link for weighed in line.changes]
    links = {safe_link(anchor) for anchor in anchors}
    return links.pop() if len(links) == 1 else page_of(anchors[0])


def family_link(family: Family) -> str | None:
    """The link that all of the family share, if they do."""
    links = {safe_link(record.link) for record in family.records}
    return links.pop() if len(links) == 1 else None


def family_context(family: Family) -> Iterator[str]:
    """The provider and the category, each where all of the family share it."""
    records = list(family.records)
    for values in ({record.provider for record in records}, {r.interface for r in records}):
        shared = values.pop().strip() if len(values) == 1 else ""
        if shared:
            yield shortened(harmless(shared), LONGEST_CONTEXT)


def _history_phrases(changes: Sequence[WeighedChange], notation: Notation) -> Iterator[str]:
    """How a moved price compares with its own history, and how long it had not moved."""
    facts = [one.facts for one in changes]
    if changes[0].kind is Kind.PRICE_DOWN:
        lows = [(it.lowest_ever, it.lowest_since) for it in facts]
        yield from _extreme("lowest", lows, notation)
    if changes[0].kind is Kind.PRICE_UP:
        highs = [(it.highest_ever, it.highest_since) for it in facts]
        yield from _extreme("highest", highs, notation)
    known = [it.days_since_change for it in facts if it.days_since_change is not None]
    if len(known) == len(facts) and max(known):
        yield f"last change {_days(min(known), max(known))}"
    if facts[0].flapping:
        yield MORE_LATER


def _extreme(
    word: str, known: Sequence[tuple[bool, datetime | None]], notation: Notation
) -> Iterator[str]:
    """What is true of all of them: since the latest of their dates."""
    if all(ever for ever, _ in known):
        yield f"the {word} ever watched"
        return
    since = [at for ever, at in known if at is not None and not ever]
    if all(ever or at is not None for ever, at in known):
        yield f"the {word} since {notation.date(max(since))}"


def _days(fewest: int, most: int) -> str:
    if fewest != most:
        return f"{fewest:,} to {most:,} days earlier"
    return "a day earlier" if fewest == 1 else f"{fewest:,} days earlier"


def _removal_phrases(
    changes: Sequence[WeighedChange], longest_name: int, notation: Notation
) -> Iterator[str]:
    """Since when removed models are missing, and what remains of their family."""
    missed = sorted({notation.time(at) for one in changes if (at := one.facts.missed_since)})
    if missed:
        yield "first missed " + (
            missed[0] if len(missed) == 1 else f"between {missed[0]} and {missed[-1]}"
        )
    left, cheapest = changes[0].facts.family_left, changes[0].facts.family_cheapest
    if left is None:
        return
    said = f"{counted(left, 'other', 'others')} of its family left"
    if not left:
        yield "nothing of its family is left"
    elif cheapest is None:
        yield said
    else:
        name = _without_family(cheapest.record.description, changes[0].record)
        price = shortened(prices([cheapest], notation), LONGEST_PRICE)
        yield f"{said}, the cheapest {shortened(harmless(name), longest_name)} at {price}"


def _without_family(description: str, record: Record) -> str:
    """The variant alone, where the description is of the record's family and has a variant."""
    family, _, variant = description.partition(",")
    same = family.strip().casefold() == record.family.casefold()
    return variant.strip() if same and variant.strip() else description
