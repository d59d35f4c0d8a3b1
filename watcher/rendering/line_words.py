"""One line of a message in harmless words: whom it is about, all there is to say, and its tone.

Refuses to know the markup it will stand in and how much room there is in all.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from watcher.changes import Kind
from watcher.rendering.facts_words import cost_words, gone_words, standing_words
from watcher.rendering.harmless import harmless, page_of, safe_link, shortened, width
from watcher.rendering.moments import moment
from watcher.rendering.numbers import counted
from watcher.rendering.shared_words import shared_phrases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.rendering.grouping import Family, Line, Variant

__all__ = ["TERSE_NAME", "Tone", "context", "label", "link_of", "said_of", "shared_link", "tone_of"]

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
