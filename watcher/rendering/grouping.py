"""What belongs together in a message and what comes first: families, their variants, their weight.

Whatever order changes come in, they leave in the same one. Refuses to know any words.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from watcher.changes import (
    CreditValueChange,
    Kind,
    ModelChange,
    Notice,
    NoticeKind,
    RecordedChange,
    change_percent,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from watcher.catalog import Record

__all__ = ["Content", "Family", "Line", "families", "general", "main_kind", "weight"]

Content = RecordedChange | Notice

# A price that came out of nothing has no percent and is the biggest of moves.
BOUNDLESS = Decimal("Infinity")

_KIND_WEIGHT = {
    Kind.REMOVED: 0,
    Kind.PRICE_UP: 1,
    Kind.PRICE_DOWN: 1,
    Kind.UNIT: 2,
    Kind.NEW: 3,
    Kind.RETURNED: 4,
    Kind.RENAMED: 5,
    Kind.DISCOUNT_UP: 6,
    Kind.DISCOUNT_DOWN: 6,
    Kind.PROMOTION_STARTED: 7,
    Kind.PROMOTION_ENDED: 7,
    Kind.FAL_UP: 8,
    Kind.FAL_DOWN: 8,
    Kind.CORRECTED: 9,
    Kind.RELABELLED: 10,
    Kind.CREDIT_VALUE: 11,
}
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
class Line:
    """One change of one variant; `mark` is what tells it from its namesakes beside it, or empty.

    `dated` is true where the message has more than one line about this very model.
    """

    recorded: RecordedChange
    change: ModelChange
    variant: str
    mark: tuple[str, ...]
    dated: bool


@dataclass(frozen=True, slots=True)
class Family:
    """The variants of one family, the weightiest first; a model's own lines by time."""

    name: str
    lines: tuple[Line, ...]


def weight(change: ModelChange) -> tuple[int, Decimal]:
    """Less is weightier: first what happened, then how big it is."""
    kind = main_kind(change)
    return _KIND_WEIGHT[kind], -_size(kind, change)


def main_kind(change: ModelChange) -> Kind:
    """The kind that a change is foremost."""
    return min(change.kinds, key=_KIND_WEIGHT.__getitem__)


def general(contents: Iterable[Content]) -> tuple[Notice | RecordedChange, ...]:
    """What is about the catalogue as a whole, what alarms first."""
    about_all = [
        content
        for content in contents
        if isinstance(content, Notice) or isinstance(content.change, CreditValueChange)
    ]
    return tuple(sorted(about_all, key=_general_order))


def families(contents: Iterable[Content]) -> tuple[Family, ...]:
    """The changes of models by family, the family with the weightiest change first."""
    grouped: dict[str, list[tuple[RecordedChange, ModelChange]]] = {}
    for content in contents:
        if isinstance(content, RecordedChange) and isinstance(content.change, ModelChange):
            key = content.change.model.record.folded.partition(",")[0].strip()
            grouped.setdefault(key, []).append((content, content.change))
    heaviest = {key: min(weight(change) for _, change in group) for key, group in grouped.items()}
    return tuple(
        _family(grouped[key]) for key in sorted(grouped, key=lambda key: (heaviest[key], key))
    )


def _family(group: Sequence[tuple[RecordedChange, ModelChange]]) -> Family:
    models: dict[tuple[str, ...], list[tuple[RecordedChange, ModelChange]]] = {}
    for recorded, change in group:
        models.setdefault(_identity(change.model.record), []).append((recorded, change))
    heaviest = {key: min(weight(change) for _, change in model) for key, model in models.items()}
    namesakes: dict[str, list[tuple[str, ...]]] = {}
    for key in models:
        namesakes.setdefault(key[0], []).append(key)
    marks = {key: _mark(key, same) for same in namesakes.values() for key in same}
    lines = [
        Line(recorded, change, _variant(change.model.record), marks[key], len(models[key]) > 1)
        for key in sorted(models, key=lambda key: (heaviest[key], key))
        for recorded, change in sorted(models[key], key=_by_time)
    ]
    # Spellings may differ within a family: the name must not depend on which came first.
    return Family(min(change.model.record.family for _, change in group), tuple(lines))


def _identity(record: Record) -> tuple[str, ...]:
    return (record.folded, record.interface, record.provider, record.unit.base)


def _mark(key: tuple[str, ...], namesakes: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Interface and provider, where they tell a model from its namesakes; units say themselves."""
    return tuple(key[place] for place in (1, 2) if any(o[place] != key[place] for o in namesakes))


def _variant(record: Record) -> str:
    return record.description.partition(",")[2].strip()


def _by_time(item: tuple[RecordedChange, ModelChange]) -> tuple[Any, ...]:
    return (item[0].at, item[0].id)


def _size(kind: Kind, change: ModelChange) -> Decimal:
    if kind in {Kind.PRICE_UP, Kind.PRICE_DOWN}:
        moved = change_percent(change)
        return BOUNDLESS if moved is None else abs(moved)
    if change.before is None or change.after is None:
        return Decimal(0)
    if kind in {Kind.DISCOUNT_UP, Kind.DISCOUNT_DOWN}:
        return abs((change.after.discount or 0) - (change.before.discount or Decimal(0)))
    return Decimal(0)


def _general_order(content: Notice | RecordedChange) -> tuple[Any, ...]:
    if isinstance(content, Notice):
        return (_NOTICE_WEIGHT[content.kind], content.at, repr(sorted(content.detail.items())))
    return (_CREDIT_VALUE_WEIGHT, content.at, str(content.id))
