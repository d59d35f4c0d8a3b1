"""How many of each kind, in words: `3 up, 1 gone`. Refuses to know of which models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.changes import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["counts_in_words"]

# In the order in which they are counted.
_COUNTED = {
    Kind.PRICE_UP: ("{} up", "{} up"),
    Kind.PRICE_DOWN: ("{} down", "{} down"),
    Kind.NEW: ("{} new", "{} new"),
    Kind.REMOVED: ("{} gone", "{} gone"),
    Kind.RETURNED: ("{} back", "{} back"),
    Kind.UNIT: ("{} unit changed", "{} units changed"),
    Kind.RENAMED: ("{} renamed", "{} renamed"),
    Kind.DISCOUNT_UP: ("{} discount up", "{} discounts up"),
    Kind.DISCOUNT_DOWN: ("{} discount down", "{} discounts down"),
    Kind.PROMOTION_STARTED: ("{} promotion started", "{} promotions started"),
    Kind.PROMOTION_ENDED: ("{} promotion ended", "{} promotions ended"),
    Kind.FAL_UP: ("{} up at Fal", "{} up at Fal"),
    Kind.FAL_DOWN: ("{} down at Fal", "{} down at Fal"),
    Kind.CORRECTED: ("{} corrected", "{} corrected"),
    Kind.RELABELLED: ("{} relabelled", "{} relabelled"),
    Kind.CREDIT_VALUE: ("{} new credit value", "{} new credit values"),
}


def counts_in_words(counts: Mapping[Kind, int], another: Kind | None = None) -> Iterator[str]:
    """Each kind there is any of, what moved money first; `1 more up` of the kind of `another`."""
    for kind, words in _COUNTED.items():
        if count := counts.get(kind):
            number = f"{count:,} more" if kind is another else f"{count:,}"
            yield words[count > 1].format(number)
