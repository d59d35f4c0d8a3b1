"""Which variants of a family share the same news, so that one line can tell it of all of them.

Same news is the same kind and, where a price moved, the same percent as told; what may differ are
figures that a line can give as pairs or as a range. Refuses to know the words.

What belongs together in a message and what comes first: families, their variants, their weight.

Whatever order changes come in, they leave in the same one. Refuses to know any words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import (
    CreditValueChange,
    Kind,
    ModelChange,
    Notice,
    NoticeKind,
    RecordedChange,
)
from watcher.render.figures import known_discount, percent, share
from watcher.render.markup import page_of
from watcher.render.news import PRICE_KINDS, weighed

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence
    from decimal import Decimal

    from watcher.catalog.record import Model, Record
    from watcher.render.news import Content, News, Telling, Weight

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


_NOTICE_WEIGHT = {
    NoticeKind.COLLAPSE: 0,
    NoticeKind.RECOVERED: 1,
    NoticeKind.ALARM: 1,
    NoticeKind.ALARM_OVER: 2,
    NoticeKind.BASELINE: 3,
    NoticeKind.SAMPLE: 4,
}
_CREDIT_VALUE_WEIGHT = 2


@dataclass(frozen=True, slots=True)
class Variant:
    """One piece of news of one variant; `mark` tells it from its namesakes beside it, or is empty.

    `dated` is true where the message has more than one line about this very model.
    """

    news: News
    name: str
    mark: tuple[str, ...]
    dated: bool


@dataclass(frozen=True, slots=True)
class Line:
    """Variants of a family that share the same news; one alone in most cases."""

    variants: tuple[Variant, ...]
    news: tuple[News, ...]

    @property
    def weight(self) -> Weight:
        return min(news.weight for news in self.news)


@dataclass(frozen=True, slots=True)
class Family:
    """The variants of one family, the weightiest first; a model's own lines by time."""

    name: str
    lines: tuple[Line, ...]
    weight: Weight

    @property
    def records(self) -> Iterator[Record]:
        return (news.change.model.record for line in self.lines for news in line.news)


def general(tellings: Iterable[Telling]) -> tuple[Content, ...]:
    """What is about the catalogue as a whole, what alarms first."""
    about_all = [
        telling.content
        for telling in tellings
        if isinstance(telling.content, Notice)
        or isinstance(telling.content.change, CreditValueChange)
    ]
    return tuple(sorted(about_all, key=_general_order))


def families(tellings: Iterable[Telling]) -> tuple[Family, ...]:
    """The changes of models by family, the family with the weightiest change first."""
    grouped: dict[str, list[News]] = {}
    for telling in tellings:
        content = telling.content
        if isinstance(content, RecordedChange) and isinstance(content.change, ModelChange):
            key = content.change.model.record.folded.partition(",")[0].strip()
            grouped.setdefault(key, []).append(weighed(content, content.change, telling.facts))
    made = {key: _family(group) for key, group in grouped.items()}
    return tuple(made[key] for key in sorted(made, key=lambda key: (made[key].weight, key)))


def _family(group: Sequence[News]) -> Family:
    # Spellings may differ within a family: the name must not depend on which came first.
    name = min(news.change.model.record.family for news in group)
    variants = _variants(group)
    lines: dict[Any, list[Variant]] = {}
    for place, variant in enumerate(variants):
        shared = shared_by(variant.news) if len(variants) > 1 and not variant.dated else None
        lines.setdefault(place if shared is None else shared, []).append(variant)
    heaviest = min(news.weight for news in group)
    return Family(name, tuple(map(_line, lines.values())), heaviest)


def _line(variants: Sequence[Variant]) -> Line:
    """By price, so that names stand in the order in which a range runs."""
    told = tuple(sorted(variants, key=_by_price) if len(variants) > 1 else variants)
    return Line(told, tuple(variant.news for variant in told))


def _by_price(variant: Variant) -> tuple[Any, ...]:
    model = variant.news.change.model
    return (model.price or 0, model.record.folded)


def _variants(group: Sequence[News]) -> list[Variant]:
    models: dict[tuple[str, ...], list[News]] = {}
    for news in group:
        models.setdefault(_identity(news.change.model.record), []).append(news)
    heaviest = {key: min(news.weight for news in model) for key, model in models.items()}
    marks = _marks(models)
    return [
        Variant(news, _variant(news.change.model.record), marks[key], len(models[key]) > 1)
        for key in sorted(models, key=lambda key: (heaviest[key], key))
        for news in sorted(models[key], key=_by_time)
    ]


def _identity(record: Record) -> tuple[str, ...]:
    return (record.folded, record.interface, record.provider, record.unit.base)


def _marks(models: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Interface and provider, where they tell a model from its namesakes; units say themselves."""
    namesakes: dict[str, list[tuple[str, ...]]] = {}
    for key in models:
        namesakes.setdefault(key[0], []).append(key)
    return {
        key: tuple(key[place] for place in (1, 2) if any(o[place] != key[place] for o in same))
        for same in namesakes.values()
        for key in same
    }


def _variant(record: Record) -> str:
    return record.description.partition(",")[2].strip()


def _by_time(news: News) -> tuple[Any, ...]:
    return (news.recorded.at, news.recorded.id)


def _general_order(content: Content) -> tuple[Any, ...]:
    if isinstance(content, Notice):
        return (_NOTICE_WEIGHT[content.kind], content.at, repr(sorted(content.detail.items())))
    return (_CREDIT_VALUE_WEIGHT, content.at, str(content.id))
