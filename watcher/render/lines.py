"""What is known beside a change, in words: what it costs a month, since when a price is the lowest.

Of one variant or of several that share a line. Refuses to know where it was looked up.

What happened to several variants at once, in the phrases that one line has for all of them.

Knows how each kind that can be shared is said of many. Refuses to know which share a line.

One line of a message in harmless words: whom it is about, all there is to say, and its tone.

Refuses to know the markup it will stand in and how much room there is in all.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from watcher.catalog.changes import Cause, Kind
from watcher.render.figures import (
    counted,
    discount_moves,
    fal_moves,
    moment,
    monthly,
    moves,
    percent,
    prices,
    standings,
    usd_moves,
)
from watcher.render.markup import harmless, page_of, safe_link, shortened, width
from watcher.render.news import PRICE_KINDS
from watcher.render.words import because, phrases

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from watcher.catalog.changes import ModelChange
    from watcher.catalog.record import Model, Record
    from watcher.render.grouping import Family, Line, Variant
    from watcher.render.news import Facts, News

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


_SAID_OF_ONE_SIDE = {
    Kind.NEW: "new, {}",
    Kind.REMOVED: "gone, last price {}",
    Kind.RETURNED: "back, {}",
}
_DISCOUNT = {Kind.DISCOUNT_UP, Kind.DISCOUNT_DOWN}
_FAL = {Kind.FAL_UP, Kind.FAL_DOWN}
_SAID = {
    Kind.PROMOTION_STARTED: "promotion started",
    Kind.PROMOTION_ENDED: "promotion ended",
}


def shared_phrases(news: Sequence[News], longest_name: int) -> tuple[str, ...]:
    """All there is to say about variants that `sharing` found alike; the first is the news."""
    changes = [one.change for one in news]
    kind = news[0].kind
    if len(changes) == 1:
        return phrases(changes[0], longest_name)
    if kind in _SAID_OF_ONE_SIDE:
        return tuple(_one_sided(kind, [change.model for change in changes]))
    pairs = [(it.before, it.after) for it in changes if it.before and it.after]
    if kind in PRICE_KINDS:
        return tuple(_moved(news, pairs))
    if kind is Kind.RELABELLED:
        # The new labels are the same for all of them, the prices are not.
        return (phrases(changes[0], longest_name)[0], f"price {prices([it[1] for it in pairs])}")
    return tuple(_stood(kind, changes, pairs))


def _one_sided(kind: Kind, models: Sequence[Model]) -> Iterator[str]:
    yield _SAID_OF_ONE_SIDE[kind].format(prices(models))
    if kind is not Kind.REMOVED and (standing := standings(models)):
        yield standing


def _moved(news: Sequence[News], pairs: Sequence[tuple[Model, Model]]) -> Iterator[str]:
    moved = news[0].moved
    assert moved is not None, "what moved boundlessly shares no line"  # noqa: S101
    yield f"{percent(moved)}, {moves(pairs)}"
    if in_usd := usd_moves(pairs):
        yield in_usd
    yield from _against_fal(news[0].change, pairs)
    if Cause.COMPETITOR in news[0].change.causes.values() and (fal := fal_moves(pairs)):
        yield fal


def _stood(
    kind: Kind, changes: Sequence[ModelChange], pairs: Sequence[tuple[Model, Model]]
) -> Iterator[str]:
    """Of models whose own price stood as it was."""
    kinds = set(changes[0].kinds)
    if kind in _SAID:
        yield _SAID[kind]
    if kinds & _DISCOUNT:
        yield from _against_fal(changes[0], pairs)
    fal_moved = kinds & _FAL or Cause.COMPETITOR in changes[0].causes.values()
    if fal_moved and (fal := fal_moves(pairs)):
        yield fal
    if not kinds & _DISCOUNT:
        yield from _against_fal(changes[0], pairs)
    yield f"price {prices([after for _, after in pairs])}"


def _against_fal(change: ModelChange, pairs: Sequence[tuple[Model, Model]]) -> Iterator[str]:
    if not set(change.kinds) & _DISCOUNT:
        said = standings([after for _, after in pairs])
    else:
        said = discount_moves(pairs)
    if said:
        yield said + because(change)


TERSE_NAME = 20
LONGEST_CONTEXT = 40
# So many names, as told in one line, are enough to see which variants are meant.
NAMES_OF_A_LINE = 2


class Tone(StrEnum):
    """What a line is for the one who pays."""

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


def tone_of(line: Line) -> Tone:
    return _TONES.get(line.news[0].kind, Tone.OTHER)


def label(line: Line, longest_name: int) -> str:
    """The variant, or all those that share the line; empty where the family says it all."""
    if len(line.variants) == 1:
        return _name(line.variants[0], longest_name)
    names = [
        _name(variant, longest_name) or _family(variant, longest_name) for variant in line.variants
    ]
    # Many variants have commas in their names.
    between = "; " if any("," in name for name in names) else ", "
    kept = 0
    room = NAMES_OF_A_LINE * longest_name
    while kept < len(names) and width(between.join(names[: kept + 1])) <= room:
        kept += 1
    others = len(names) - kept
    if longest_name == TERSE_NAME and others:
        return f"{len(names):,} variants"
    said = between.join(names[:kept])
    return f"{said} and {counted(others, 'other', 'others')}" if others else said


def said_of(line: Line, longest_name: int) -> tuple[str, ...]:
    """All there is to say, in phrases: the news, what it costs a month, then the rest."""
    news = line.news
    first, *rest = shared_phrases(news, longest_name)
    if news[0].facts.flapping:
        first = f"goes back and forth, {first}"
    cost = cost_words(news)
    gone = gone_words(news, longest_name) if news[0].kind is Kind.REMOVED else ()
    return (first, *([cost] if cost else []), *rest, *gone, *standing_words(news))


def context(family: Family) -> Iterator[str]:
    """What all of a family share: provider and category."""
    records = list(family.records)
    for told in ({record.provider for record in records}, {r.interface for r in records}):
        shared = told.pop().strip() if len(told) == 1 else ""
        if shared:
            yield shortened(harmless(shared), LONGEST_CONTEXT)


def link_of(line: Line) -> str | None:
    """What leads to the page that all of the line share; the page itself where they differ."""
    anchors = [news.change.model.record.link for news in line.news]
    links = {safe_link(anchor) for anchor in anchors}
    return links.pop() if len(links) == 1 else page_of(anchors[0])


def shared_link(family: Family) -> str | None:
    links = {safe_link(record.link) for record in family.records}
    return links.pop() if len(links) == 1 else None


def _name(variant: Variant, longest: int) -> str:
    marks = [shortened(harmless(mark or "none"), TERSE_NAME) for mark in variant.mark]
    if variant.dated:
        marks.append(moment(variant.news.recorded.at))
    told_apart = f"({', '.join(marks)})" if marks else ""
    name = shortened(harmless(variant.name), longest) if variant.name else ""
    return " ".join(part for part in (name, told_apart) if part)


def _family(variant: Variant, longest: int) -> str:
    return shortened(harmless(variant.news.change.model.record.family), longest)
