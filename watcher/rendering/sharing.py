"""Which variants of a family share the same news, so that one line can tell it of all of them.

Same news is the same kind and, where a price moved, the same percent as told; what may differ are
figures that a line can give as pairs or as a range. Refuses to know the words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from watcher.changes import Kind
from watcher.rendering.harmless import page_of
from watcher.rendering.news import PRICE_KINDS
from watcher.rendering.numbers import percent
from watcher.rendering.pricing_words import known_discount, share

if TYPE_CHECKING:
    from collections.abc import Hashable
    from decimal import Decimal

    from watcher.catalog import Model
    from watcher.rendering.news import News

__all__ = ["shared_by"]

_DISCOUNT = frozenset({Kind.DISCOUNT_UP, Kind.DISCOUNT_DOWN})
_FAL = frozenset({Kind.FAL_UP, Kind.FAL_DOWN})
_PROMOTION = frozenset({Kind.PROMOTION_STARTED, Kind.PROMOTION_ENDED})
# Of a model that comes or goes only one side is told.
_ONE_SIDED = ({Kind.NEW}, {Kind.REMOVED}, {Kind.RETURNED})


def shared_by(news: News) -> Hashable | None:
    """Equal for news that one line can tell; `None` for what needs a line of its own."""
    told = _told(news)
    if told is None:
        return None
    page = page_of(news.change.model.record.link)
    return (news.change.kinds, news.facts.flapping, news.cost is None, page, told)


def _told(news: News) -> Hashable | None:
    change, kinds = news.change, set(news.change.kinds)
    if kinds in _ONE_SIDED:
        return _tender(change.model)
    if change.before is None or change.after is None:
        return None
    sides = (_tender(change.before), _tender(change.after))
    if kinds & PRICE_KINDS and kinds <= PRICE_KINDS | _DISCOUNT:
        standing = (_standing(change.before), _standing(change.after), _causes(news))
        same_unit = sides[0][1:] == sides[1][1:]
        told = None if news.moved is None or not same_unit else percent(news.moved)
        return told and (told, sides, standing)
    if kinds & _DISCOUNT and kinds <= _DISCOUNT | _FAL:
        return (sides, _share(change.before), _share(change.after), _causes(news))
    if kinds <= _PROMOTION or kinds <= _FAL:
        return (sides, _standing(change.before), _standing(change.after))
    return _labels(change.before, change.after) if kinds == {Kind.RELABELLED} else None


def _tender(model: Model) -> tuple[Any, ...]:
    """What it is paid in, per what: amounts of one tender make a range."""
    record = model.record
    listed = record.credits if record.credits is not None else record.usd_listed
    kind = "none" if listed is None else "free" if not listed else ""
    return (kind, record.credits is None, record.unit.quantity, record.unit.base)


def _standing(model: Model) -> int | None:
    """Cheaper than Fal, dearer, the same, or unknown."""
    discount = known_discount(model)
    return None if discount is None else (discount > 0) - (discount < 0)


def _share(model: Model) -> tuple[str, int] | None:
    discount: Decimal | None = known_discount(model)
    return None if discount is None else (share(discount), (discount > 0) - (discount < 0))


def _causes(news: News) -> Hashable:
    return tuple(sorted(news.change.causes.items()))


def _labels(before: Model, after: Model) -> Hashable | None:
    """What was relabelled; a spelling is each variant's own."""
    old, new = before.record, after.record
    if old.description != new.description:
        return None
    return tuple(
        (getattr(old, name), getattr(new, name))
        for name in ("provider", "interface", "unit", "anchor")
    )
