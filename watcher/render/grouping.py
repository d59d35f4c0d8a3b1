"""What belongs together in a message, and what comes first: families, their lines, their weight.

Variants of a family that share the same news stand in one line: the same kinds and, where a price
moved, the same percent as it is written. What may differ are figures that a line can give as pairs
or as a range. Whatever the order in which changes come in, they leave in the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import (
    DISCOUNT_KINDS,
    PRICE_KINDS,
    PROMOTION_KINDS,
    REFERENCE_KINDS,
    CreditValueChange,
    Kind,
    ModelChange,
    Notice,
    NoticeKind,
    RecordedChange,
    change_percent,
)
from watcher.render.enrichment import Facts
from watcher.render.figures import compared_with, percent, share, side_of_reference
from watcher.render.markup import page_of
from watcher.render.words import crosses_reference, kind_weight, main_kind

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from watcher.catalog.record import Model, Record
    from watcher.render.enrichment import Content, MessageItem

NOTHING_KNOWN = Facts()
# A price that was nothing before has no percent, and is the biggest move there is.
BOUNDLESS = Decimal("Infinity")
ZERO = Decimal(0)

# Of a model that comes or goes only one side is described.
_ONE_SIDED = ({Kind.NEW}, {Kind.REMOVED}, {Kind.RETURNED})

# The smaller a weight, the earlier in the message. What people pay for comes first of all.
_COST_WEIGHT = -1
_NOTICE_WEIGHT = {
    NoticeKind.COLLAPSE: 0,
    NoticeKind.REDENOMINATED: 1,
    NoticeKind.RECOVERED: 1,
    NoticeKind.ALARM: 1,
    NoticeKind.ALARM_OVER: 2,
    NoticeKind.BASELINE: 3,
    NoticeKind.SAMPLE: 4,
}
_CREDIT_VALUE_WEIGHT = 2

Weight = tuple[int, Decimal]


@dataclass(frozen=True, slots=True)
class WeighedChange:
    """A change of a model with its main kind, its price's move in percent, and its weight."""

    recorded: RecordedChange
    change: ModelChange
    facts: Facts
    kind: Kind
    moved: Decimal | None
    weight: Weight

    @property
    def record(self) -> Record:
        """The model as it is now, or as it was last."""
        return self.change.model.record

    @property
    def cost(self) -> Decimal | None:
        """What it costs more a month, where that is anything."""
        return self.facts.monthly_cost_usd or None


@dataclass(frozen=True, slots=True)
class Variant:
    """One change of one variant; `qualifiers` tell it from its namesakes beside it, if any.

    `dated` is true where the message has more than one line about this very model.
    """

    weighed: WeighedChange
    name: str
    qualifiers: tuple[str, ...]
    dated: bool


@dataclass(frozen=True, slots=True)
class MessageLine:
    """Variants of a family that share the same news; one alone in most cases."""

    variants: tuple[Variant, ...]
    changes: tuple[WeighedChange, ...]

    @property
    def weight(self) -> Weight:
        return min(change.weight for change in self.changes)


@dataclass(frozen=True, slots=True)
class Family:
    """The variants of one family, what weighs most first; a model's own lines by time."""

    name: str
    lines: tuple[MessageLine, ...]
    weight: Weight

    @property
    def records(self) -> Iterator[Record]:
        return (change.record for line in self.lines for change in line.changes)


def general(items: Iterable[MessageItem]) -> tuple[MessageItem, ...]:
    """What is about the catalogue as a whole or the watcher itself, what is urgent first."""
    found = [
        item
        for item in items
        if isinstance(item.content, Notice) or isinstance(item.content.change, CreditValueChange)
    ]
    return tuple(sorted(found, key=lambda item: _general_order(item.content)))


def _general_order(content: Content) -> tuple[Any, ...]:
    if isinstance(content, Notice):
        return (_NOTICE_WEIGHT[content.kind], content.at, repr(sorted(content.detail.items())))
    return (_CREDIT_VALUE_WEIGHT, content.at, str(content.id))


def families(items: Iterable[MessageItem]) -> tuple[Family, ...]:
    """The changes of models by family, the family with the heaviest change first."""
    grouped: dict[str, list[WeighedChange]] = {}
    for item in items:
        content = item.content
        if isinstance(content, RecordedChange) and isinstance(content.change, ModelChange):
            key = content.change.model.record.identity_key.partition(",")[0].strip()
            grouped.setdefault(key, []).append(_weigh(content, content.change, item.facts))
    made = {key: _family(group) for key, group in grouped.items()}
    return tuple(made[key] for key in sorted(made, key=lambda key: (made[key].weight, key)))


def _weigh(recorded: RecordedChange, change: ModelChange, facts: Facts | None) -> WeighedChange:
    known = facts or NOTHING_KNOWN
    kind = main_kind(change)
    moved = change_percent(change)
    cost = known.monthly_cost_usd
    weight = (
        (_COST_WEIGHT, -abs(cost)) if cost else (kind_weight(kind), -_size(kind, change, moved))
    )
    return WeighedChange(recorded, change, known, kind, moved, weight)


def _size(kind: Kind, change: ModelChange, moved: Decimal | None) -> Decimal:
    """How far a price or a discount moved; of other kinds none is bigger than another."""
    if kind in PRICE_KINDS:
        return BOUNDLESS if moved is None else abs(moved)
    if kind not in DISCOUNT_KINDS or change.before is None or change.after is None:
        return ZERO
    if crosses_reference(change):
        return BOUNDLESS
    return abs((change.after.discount or ZERO) - (change.before.discount or ZERO))


def _family(group: Sequence[WeighedChange]) -> Family:
    # Spellings may differ within a family: the name must not depend on which came first.
    name = min(weighed.record.family for weighed in group)
    variants = _variants(group)
    lines: dict[Any, list[Variant]] = {}
    for place, variant in enumerate(variants):
        shared = _sharing_key(variant.weighed) if len(variants) > 1 and not variant.dated else None
        lines.setdefault(place if shared is None else shared, []).append(variant)
    heaviest = min(weighed.weight for weighed in group)
    return Family(name, tuple(map(_line, lines.values())), heaviest)


def _line(variants: Sequence[Variant]) -> MessageLine:
    """Variants by price, so that names stand in the order in which a range runs."""
    in_order = tuple(sorted(variants, key=_price_order) if len(variants) > 1 else variants)
    return MessageLine(in_order, tuple(variant.weighed for variant in in_order))


def _price_order(variant: Variant) -> tuple[Any, ...]:
    model = variant.weighed.change.model
    return (model.price or 0, model.record.identity_key)


def _variants(group: Sequence[WeighedChange]) -> list[Variant]:
    models: dict[tuple[str, ...], list[WeighedChange]] = {}
    for weighed in group:
        models.setdefault(_identity(weighed.record), []).append(weighed)
    heaviest = {key: min(weighed.weight for weighed in same) for key, same in models.items()}
    qualifiers = _qualifiers(models)
    return [
        Variant(
            weighed,
            weighed.record.description.partition(",")[2].strip(),
            qualifiers[key],
            dated=len(models[key]) > 1,
        )
        for key in sorted(models, key=lambda key: (heaviest[key], key))
        for weighed in sorted(models[key], key=lambda it: (it.recorded.at, it.recorded.id))
    ]


def _identity(record: Record) -> tuple[str, ...]:
    return (record.identity_key, record.interface, record.provider, record.unit.base)


def _qualifiers(models: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Interface and provider, where they tell a model from its namesakes; a line has the unit."""
    namesakes: dict[str, list[tuple[str, ...]]] = {}
    for key in models:
        namesakes.setdefault(key[0], []).append(key)
    return {
        key: tuple(key[place] for place in (1, 2) if any(o[place] != key[place] for o in same))
        for same in namesakes.values()
        for key in same
    }


def _sharing_key(weighed: WeighedChange) -> Hashable | None:
    """Equal for changes that one line can describe; `None` for what needs a line of its own."""
    news = _news_key(weighed)
    if news is None:
        return None
    record = weighed.record
    place = (page_of(record.link), compared_with(record))
    return (weighed.change.kinds, weighed.facts.flapping, weighed.cost is None, place, news)


def _news_key(weighed: WeighedChange) -> Hashable | None:
    change, kinds = weighed.change, set(weighed.change.kinds)
    if kinds in _ONE_SIDED:
        return _payment_terms(change.model)
    if change.before is None or change.after is None:
        return None
    before, after = change.before.record, change.after.record
    terms = (_payment_terms(change.before), _payment_terms(change.after))
    sides = (side_of_reference(change.before), side_of_reference(change.after))
    listed = (before.reference is None, after.reference is None)
    causes = tuple(sorted(change.causes.items()))
    if kinds & PRICE_KINDS and kinds <= PRICE_KINDS | DISCOUNT_KINDS:
        same_unit = terms[0][1:] == terms[1][1:]
        if weighed.moved is None or not same_unit:
            return None
        return (percent(weighed.moved), terms, sides, causes)
    if kinds & DISCOUNT_KINDS and kinds <= DISCOUNT_KINDS | REFERENCE_KINDS:
        return (terms, _discount(change.before), _discount(change.after), listed, causes)
    if kinds <= PROMOTION_KINDS or kinds <= REFERENCE_KINDS:
        return (terms, sides, listed)
    if kinds == {Kind.RELABELLED} and before.description == after.description:
        return (_labels(before), _labels(after))
    # A new spelling is each variant's own.
    return None


def _payment_terms(model: Model) -> tuple[Any, ...]:
    """What it is paid in, and per what: amounts on the same terms make a range."""
    record = model.record
    listed = record.credits if record.credits is not None else record.usd_listed
    kind = "none" if listed is None else "free" if not listed else ""
    return (kind, record.credits is None, record.unit.quantity, record.unit.base)


def _discount(model: Model) -> tuple[str, int | None] | None:
    discount = model.discount
    return None if discount is None else (share(discount), side_of_reference(model))


def _labels(record: Record) -> Hashable:
    return (record.provider, record.interface, record.unit, record.anchor)
