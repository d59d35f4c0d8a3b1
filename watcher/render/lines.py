"""One line of a message in harmless words: which variants it is about, all that it says, its tone.

A line is about one variant, or about several that share their news (see `render.grouping`). How
much of it fits and the markup around it are for `render.fitting`.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from watcher.catalog.changes import DISCOUNT_KINDS, PRICE_KINDS, REFERENCE_KINDS, Kind
from watcher.render.figures import (
    counted,
    discount_moves,
    monthly,
    percent,
    price_moves,
    prices,
    reference_moves,
    reference_standings,
    usd_moves,
    utc_date,
    utc_time,
)
from watcher.render.markup import harmless, page_of, safe_link, shortened, width
from watcher.render.words import GOES_BACK_AND_FORTH, MORE_LATER, cause_phrase, phrases

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from watcher.catalog.changes import ModelChange
    from watcher.catalog.record import Model, Record
    from watcher.render.enrichment import Facts
    from watcher.render.grouping import Family, MessageLine, Variant, WeighedChange

# The longest name in a line that must be short.
TERSE_NAME = 20
LONGEST_CONTEXT = 40
LONGEST_PRICE = 60
# A line has room for so many names; they show which variants are meant.
NAMES_OF_A_LINE = 2


class Tone(StrEnum):
    """What a line means for those who pay."""

    DEARER = "dearer"
    CHEAPER = "cheaper"
    GONE = "gone"
    NEW = "new"
    OTHER = "other"


_TONES = {
    Kind.PRICE_UP: Tone.DEARER,
    Kind.PRICE_DOWN: Tone.CHEAPER,
    Kind.REMOVED: Tone.GONE,
    Kind.NEW: Tone.NEW,
    Kind.RETURNED: Tone.NEW,
}
# Of several models that came or went, with their prices.
_CAME_OR_WENT = {
    Kind.NEW: "new, {}",
    Kind.REMOVED: "gone, last price {}",
    Kind.RETURNED: "back, {}",
}
_PROMOTION_WORDS = {
    Kind.PROMOTION_STARTED: "promotion started",
    Kind.PROMOTION_ENDED: "promotion ended",
}


def tone_of(line: MessageLine) -> Tone:
    return _TONES.get(line.changes[0].kind, Tone.OTHER)


def line_name(line: MessageLine, longest_name: int) -> str:
    """The variant, or all those that share the line; empty where the family says it all."""
    if len(line.variants) == 1:
        return _variant_name(line.variants[0], longest_name)
    names = [
        _variant_name(variant, longest_name)
        or shortened(harmless(variant.weighed.record.family), longest_name)
        for variant in line.variants
    ]
    # Many variants have commas in their names.
    separator = "; " if any("," in name for name in names) else ", "
    kept = 0
    room = NAMES_OF_A_LINE * longest_name
    while kept < len(names) and width(separator.join(names[: kept + 1])) <= room:
        kept += 1
    others = len(names) - kept
    if longest_name == TERSE_NAME and others:
        return f"{len(names):,} variants"
    listed = separator.join(names[:kept])
    return f"{listed} and {counted(others, 'other', 'others')}" if others else listed


def _variant_name(variant: Variant, longest: int) -> str:
    qualifiers = [shortened(harmless(it or "none"), TERSE_NAME) for it in variant.qualifiers]
    if variant.dated:
        qualifiers.append(utc_time(variant.weighed.recorded.at))
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


def line_phrases(line: MessageLine, longest_name: int) -> tuple[str, ...]:
    """All there is to say, in phrases: the news, what it costs a month, then the rest."""
    changes = line.changes
    first, *rest = _shared_phrases(changes, longest_name)
    if changes[0].facts.flapping:
        first = f"{GOES_BACK_AND_FORTH}, {first}"
    cost = cost_phrase(changes)
    removal = _removal_phrases(changes, longest_name) if changes[0].kind is Kind.REMOVED else ()
    return (first, *([cost] if cost else []), *rest, *removal, *_history_phrases(changes))


def cost_phrase(changes: Sequence[WeighedChange]) -> str | None:
    """`+$96.00 a month for you`, for all of them together; `None` for less than a cent."""
    total = sum((one.cost for one in changes if one.cost is not None), start=Decimal(0))
    return f"{monthly(total)} for you" if round(total, 2) else None


def _shared_phrases(weighed: Sequence[WeighedChange], longest_name: int) -> tuple[str, ...]:
    """What happened to all variants of a line; the first phrase is the news."""
    changes = [one.change for one in weighed]
    kind = weighed[0].kind
    if len(changes) == 1:
        return phrases(changes[0], longest_name)
    if kind in _CAME_OR_WENT:
        return tuple(_came_or_went(kind, [change.model for change in changes]))
    pairs = [(it.before, it.after) for it in changes if it.before and it.after]
    if kind in PRICE_KINDS:
        return tuple(_price_moved(weighed[0], pairs))
    if kind is Kind.RELABELLED:
        # The new labels are the same for all of them, the prices are not.
        return (phrases(changes[0], longest_name)[0], f"price {prices([it[1] for it in pairs])}")
    return tuple(_price_unchanged(kind, changes[0], pairs))


def _came_or_went(kind: Kind, models: Sequence[Model]) -> Iterator[str]:
    yield _CAME_OR_WENT[kind].format(prices(models))
    if kind is not Kind.REMOVED and (standing := reference_standings(models)):
        yield standing


def _price_moved(first: WeighedChange, pairs: Sequence[tuple[Model, Model]]) -> Iterator[str]:
    assert first.moved is not None, "prices that moved by no percent share no line"  # noqa: S101
    yield f"{percent(first.moved)}, {price_moves(pairs)}"
    if in_usd := usd_moves(pairs):
        yield in_usd
    yield from _against_reference(first.change, pairs)


def _price_unchanged(
    kind: Kind, first: ModelChange, pairs: Sequence[tuple[Model, Model]]
) -> Iterator[str]:
    kinds = set(first.kinds)
    if kind in _PROMOTION_WORDS:
        yield _PROMOTION_WORDS[kind]
    if kinds & DISCOUNT_KINDS:
        yield from _against_reference(first, pairs)
    if kinds & REFERENCE_KINDS:
        yield reference_moves(pairs)
    if not kinds & DISCOUNT_KINDS:
        yield from _against_reference(first, pairs)
    yield f"price {prices([after for _, after in pairs])}"


def _against_reference(change: ModelChange, pairs: Sequence[tuple[Model, Model]]) -> Iterator[str]:
    if DISCOUNT_KINDS.isdisjoint(change.kinds):
        standing = reference_standings([after for _, after in pairs])
    else:
        standing = discount_moves(pairs)
    if standing:
        yield standing + cause_phrase(change)


def _history_phrases(changes: Sequence[WeighedChange]) -> Iterator[str]:
    """How a moved price compares with its own history, and how long it had not moved."""
    facts = [one.facts for one in changes]
    if changes[0].kind is Kind.PRICE_DOWN:
        yield from _extreme("lowest", [(it.lowest_ever, it.lowest_since) for it in facts])
    if changes[0].kind is Kind.PRICE_UP:
        yield from _extreme("highest", [(it.highest_ever, it.highest_since) for it in facts])
    known = [it.days_since_change for it in facts if it.days_since_change is not None]
    if len(known) == len(facts):
        yield f"last change {_days(min(known), max(known))}"
    if facts[0].flapping:
        yield MORE_LATER


def _extreme(word: str, known: Sequence[tuple[bool, datetime | None]]) -> Iterator[str]:
    """What is true of all of them: since the latest of their dates."""
    if all(ever for ever, _ in known):
        yield f"the {word} ever watched"
        return
    since = [at for ever, at in known if at is not None and not ever]
    if all(ever or at is not None for ever, at in known):
        yield f"the {word} since {utc_date(max(since))}"


def _days(fewest: int, most: int) -> str:
    if fewest != most:
        return f"{fewest:,} to {most:,} days earlier"
    if fewest == 0:
        return "less than a day earlier"
    return "a day earlier" if fewest == 1 else f"{fewest:,} days earlier"


def _removal_phrases(changes: Sequence[WeighedChange], longest_name: int) -> Iterator[str]:
    """Since when removed models are missing, and what remains of their family."""
    missed = sorted({utc_time(at) for one in changes if (at := one.facts.missed_since)})
    if missed:
        yield "first missed " + (
            missed[0] if len(missed) == 1 else f"between {missed[0]} and {missed[-1]}"
        )
    facts = changes[0].facts
    if facts.family_left is not None:
        yield _family_left(facts.family_left, facts, changes[0].record, longest_name)


def _family_left(left: int, facts: Facts, record: Record, longest_name: int) -> str:
    if not left:
        return "nothing of its family is left"
    said = f"{counted(left, 'other', 'others')} of its family left"
    if facts.family_cheapest is None:
        return said
    description, price = facts.family_cheapest
    name = shortened(harmless(_without_family(description, record)), longest_name)
    return f"{said}, the cheapest {name} at {shortened(harmless(price), LONGEST_PRICE)}"


def _without_family(description: str, record: Record) -> str:
    """The variant alone, where the description is of the record's family and has a variant."""
    family, _, variant = description.partition(",")
    same = family.strip().casefold() == record.family.casefold()
    return variant.strip() if same and variant.strip() else description
