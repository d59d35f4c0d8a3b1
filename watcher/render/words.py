"""The words for each kind of change: what is new, in bold, and then all there is to say about it.

Several changes that share their news are said at once (see `render.grouping`): their figures are
pairs or a range. Texts of the listing are untrusted here as everywhere.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from watcher.catalog.changes import (
    DISCOUNT_KINDS,
    PRICE_KINDS,
    REFERENCE_KINDS,
    Cause,
    Kind,
    change_percent,
)
from watcher.render.figures import (
    MINUS,
    PLAIN_NOTATION,
    Notation,
    amount,
    compared_with,
    money,
    percent,
    price_moves,
    prices,
    reference_moves,
    reference_name,
    side_of_reference,
    standing_moves,
    standings,
)
from watcher.render.markup import harmless, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from decimal import Decimal

    from watcher.catalog.changes import ModelChange
    from watcher.catalog.record import Record
    from watcher.render.figures import Pair

LONGEST_WORD = 40
GOES_BACK_AND_FORTH = "goes back and forth"
MORE_LATER = "flapping: more is told once it stands still"


class Tone(StrEnum):
    """What a change means for those who pay."""

    UP = "up"
    DOWN = "down"
    GONE = "gone"
    NEW = "new"
    CROSSED = "crossed"  # the reference price: no longer cheaper, or cheaper from now on
    PROMOTION = "promotion"
    REFERENCE = "reference"
    OTHER = "other"


# Everybody sees a sign: not everybody sees colours.
SIGNS = {
    Tone.UP: "▲",
    Tone.DOWN: "▼",
    Tone.GONE: "✕",
    Tone.NEW: "＋",
    Tone.CROSSED: "⚑",
    Tone.PROMOTION: "★",
    Tone.REFERENCE: "⇄",
    Tone.OTHER: "✎",
}


@dataclass(frozen=True, slots=True)
class _KindWords:
    """Where a kind stands in a message (the smaller, the earlier), its tone, and its words.

    `news` is what is said of a model; empty where figures say it. `one` and `many` are what is
    counted.
    """

    weight: int
    tone: Tone
    one: str
    many: str
    news: str = ""


# In the order in which they are counted: what moved money first.
_OF_KIND = {
    Kind.PRICE_UP: _KindWords(1, Tone.UP, "up", "up"),
    Kind.PRICE_DOWN: _KindWords(2, Tone.DOWN, "down", "down"),
    Kind.REMOVED: _KindWords(0, Tone.GONE, "gone", "gone", "gone"),
    Kind.NEW: _KindWords(3, Tone.NEW, "new", "new", "new"),
    Kind.RETURNED: _KindWords(4, Tone.NEW, "back", "back", "back"),
    Kind.DISCOUNT_UP: _KindWords(5, Tone.REFERENCE, "discount up", "discounts up"),
    Kind.DISCOUNT_DOWN: _KindWords(5, Tone.REFERENCE, "discount down", "discounts down"),
    Kind.UNIT: _KindWords(6, Tone.OTHER, "other unit", "other units", "another unit"),
    Kind.RENAMED: _KindWords(7, Tone.OTHER, "renamed", "renamed", "renamed"),
    Kind.PROMOTION_STARTED: _KindWords(
        8, Tone.PROMOTION, "promotion started", "promotions started", "promotion started"
    ),
    Kind.PROMOTION_ENDED: _KindWords(
        8, Tone.PROMOTION, "promotion ended", "promotions ended", "promotion ended"
    ),
    Kind.REFERENCE_UP: _KindWords(9, Tone.REFERENCE, "reference price up", "reference prices up"),
    Kind.REFERENCE_DOWN: _KindWords(
        9, Tone.REFERENCE, "reference price down", "reference prices down"
    ),
    Kind.CORRECTED: _KindWords(10, Tone.OTHER, "corrected", "corrected", "listing corrected"),
    Kind.RELABELLED: _KindWords(11, Tone.OTHER, "relabelled", "relabelled", "relabelled"),
    Kind.CREDIT_VALUE: _KindWords(
        12, Tone.OTHER, "other price in USD", "other prices in USD", "another price in USD"
    ),
}
_CROSSINGS = {Kind.DISCOUNT_DOWN: "no longer cheaper", Kind.DISCOUNT_UP: "now cheaper"}


def main_kind(change: ModelChange) -> Kind:
    """The kind by which a change is known: the weightiest of its kinds."""
    return min(change.kinds, key=lambda kind: _OF_KIND[kind].weight)


def kind_weight(kind: Kind) -> int:
    return _OF_KIND[kind].weight


def crosses_reference(change: ModelChange) -> bool:
    """Whether it is no longer cheaper than the reference, or is so from now on."""
    if change.before is None or change.after is None or DISCOUNT_KINDS.isdisjoint(change.kinds):
        return False
    old, new = side_of_reference(change.before), side_of_reference(change.after)
    return old is not None and new is not None and (old > 0) is not (new > 0)


def tone_of(change: ModelChange) -> Tone:
    kind = main_kind(change)
    crossed = kind in DISCOUNT_KINDS and crosses_reference(change)
    return Tone.CROSSED if crossed else _OF_KIND[kind].tone


def tally(changes: Sequence[ModelChange]) -> tuple[tuple[Tone, str], ...]:
    """How many of each sort: `8 up`, `1 gone`, `3 new`, each with its tone.

    A price that rose beyond the reference counts as both.
    """
    kinds = Counter(main_kind(it) for it in changes if tone_of(it) is not Tone.CROSSED)
    crossings = [it.kinds for it in changes if crosses_reference(it)]
    found: list[tuple[Tone, str]] = []
    for kind, words in _OF_KIND.items():
        if count := kinds[kind]:
            found.append((words.tone, f"{count:,} {words.one if count == 1 else words.many}"))
    for kind, said in _CROSSINGS.items():
        if count := sum(kind in it for it in crossings):
            found.append((Tone.CROSSED, f"{count:,} {said}"))
    return tuple(found)


def news(changes: Sequence[ModelChange], in_percent: Callable[[Decimal], str] = percent) -> str:
    """What is new, in a few words: `+38.7 %`, `gone`, `no longer cheaper than Fal`."""
    first = changes[0]
    kind, record = main_kind(first), first.model.record
    pairs = _pairs(changes)
    if kind in PRICE_KINDS:
        return _price_news(first, in_percent)
    if kind in DISCOUNT_KINDS:
        return crossing(first) or standing_moves(pairs) or "another discount"
    if kind in REFERENCE_KINDS:
        return f"{reference_name(record)} {reference_moves(pairs)}"
    return _OF_KIND[kind].news


def more_words(
    changes: Sequence[ModelChange], longest_name: int, notation: Notation = PLAIN_NOTATION
) -> tuple[str, ...]:
    """What there is to say beside the news of one change, or of several that share it."""
    return tuple(filter(None, _more_words(changes, longest_name, notation)))


def _pairs(changes: Sequence[ModelChange]) -> list[Pair]:
    return [(it.before, it.after) for it in changes if it.before and it.after]


def _price_news(change: ModelChange, in_percent: Callable[[Decimal], str]) -> str:
    moved = change_percent(change)
    if change.after is None or change.after.price is None:
        return "no price now"
    if moved is not None:
        return in_percent(moved) if change.after.price else "free now"
    if change.before is None or change.before.price is None:
        return "has a price now"
    return "no longer free"


def crossing(change: ModelChange) -> str:
    """`no longer cheaper than Fal`, `now cheaper than Fal`; empty where neither is news."""
    if not crosses_reference(change):
        return ""
    (words,) = (words for kind, words in _CROSSINGS.items() if kind in change.kinds)
    return f"{words} than {compared_with(change.model.record)}"


def _more_words(
    changes: Sequence[ModelChange], longest_name: int, notation: Notation
) -> Iterator[str]:
    first, pairs = changes[0], _pairs(changes)
    kinds, kind = set(first.kinds), main_kind(first)
    said = prices([change.model for change in changes], notation)
    if kind is Kind.REMOVED:
        yield f"was {said}"
        return
    is_steady = kinds.isdisjoint({*PRICE_KINDS, Kind.UNIT, Kind.CREDIT_VALUE})
    is_compared = kind in DISCOUNT_KINDS | REFERENCE_KINDS
    if not is_steady:
        yield from price_moves(pairs, notation)
    if Kind.CREDIT_VALUE in kinds:
        yield "because the value of a credit moved"
    yield from _listing_words(first, longest_name)
    if is_steady and not is_compared:
        yield said
    if kinds & DISCOUNT_KINDS:
        yield from _discount_words(first, pairs)
    if kinds & REFERENCE_KINDS and kind not in REFERENCE_KINDS:
        moved = f"{reference_name(first.model.record)} {{}}{reference_moves(pairs)}"
        because = Cause.REFERENCE in first.causes.values()
        yield f"because {moved.format('moved ')}" if because else moved.format("")
    # What did not move closes the line: people decide by it.
    if not kinds & DISCOUNT_KINDS and not kinds <= {Kind.CORRECTED, Kind.RELABELLED}:
        yield standings([change.model for change in changes])
    if is_steady and is_compared:
        yield f"Kie's price {said}"


def _discount_words(first: ModelChange, pairs: Sequence[Pair]) -> Iterator[str]:
    """How it compares with the reference, where the news is something else or only half of it."""
    if main_kind(first) not in DISCOUNT_KINDS or crosses_reference(first):
        yield standing_moves(pairs)
    if Cause.LISTING in first.causes.values():
        yield "only the listed rate moved"


def _listing_words(change: ModelChange, longest_name: int) -> Iterator[str]:
    """What else is another in the listing: name, promotion, labels."""
    if change.before is None or change.after is None:
        return
    old, new, kind = change.before.record, change.after.record, main_kind(change)
    details = {
        Kind.RETURNED: "",
        Kind.RENAMED: f"was “{shortened(harmless(old.description), longest_name)}”",
        Kind.PROMOTION_STARTED: "",
        Kind.PROMOTION_ENDED: "",
        Kind.CORRECTED: ", ".join(_corrections(old, new)) or "the listed price",
        Kind.RELABELLED: ", ".join(_new_labels(old, new)) or "a label",
    }
    for one in change.kinds:
        if one in details:
            words = "" if one is kind else _OF_KIND[one].news
            yield ", ".join(filter(None, [words, details[one]]))


def _corrections(before: Record, after: Record) -> Iterator[str]:
    if before.credits != after.credits:
        yield f"credits {_or_none(before.credits, amount)} → {_or_none(after.credits, amount)}"
    if before.usd_listed != after.usd_listed:
        yield f"USD {_or_none(before.usd_listed, money)} → {_or_none(after.usd_listed, money)}"
    if before.rate != after.rate:
        yield f"discount {_or_none(before.rate, _rate)} → {_or_none(after.rate, _rate)}"


def _rate(value: Decimal) -> str:
    return f"{MINUS if value < 0 else ''}{amount(abs(value))} %"


def _or_none(value: Decimal | None, text: Callable[[Decimal], str]) -> str:
    return "none" if value is None else text(value)


def _new_labels(before: Record, after: Record) -> Iterator[str]:
    pairs = {
        "provider": (before.provider, after.provider),
        "category": (before.interface, after.interface),
        "unit": (before.unit.label, after.unit.label),
        "spelling": (before.description, after.description),
    }
    for what, (old, new) in pairs.items():
        if old != new:
            yield f"{what} {_quoted(old)} → {_quoted(new)}"
    if before.anchor != after.anchor:
        if before.anchor and after.anchor:
            yield "link changed"
        else:
            yield "link added" if after.anchor else "link removed"


def _quoted(text: str) -> str:
    return f"“{shortened(harmless(text), LONGEST_WORD)}”" if text.strip() else "none"
