"""The gist of a message in one line: the biggest move by name, the rest by number.

Refuses to know more of the contents than a phone shows on its lock screen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from watcher.changes import (
    CreditValueChange,
    Kind,
    ModelChange,
    Notice,
    NoticeKind,
    RecordedChange,
    change_percent,
)
from watcher.rendering.alarm_words import alarm_gist
from watcher.rendering.grouping import general, main_kind, weight
from watcher.rendering.harmless import harmless, shortened, width
from watcher.rendering.numbers import money, percent
from watcher.rendering.wording import brief_announcement, catalogue_words, missing_words, value_move

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from watcher.rendering.grouping import Content

__all__ = ["headline"]

WHO = "Kie.ai"
LONGEST_NAME_IN_A_TITLE = 60
# The share of a short title that one name may take.
NAME_SHARE = 2

_PRICE = {Kind.PRICE_UP, Kind.PRICE_DOWN}
# In the order in which they are counted; kinds that share words are counted together.
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
}
_ALONE = {
    Kind.NEW: "is new",
    Kind.REMOVED: "is gone",
    Kind.RETURNED: "is back",
    Kind.UNIT: "has another unit",
    Kind.RENAMED: "is renamed",
    Kind.DISCOUNT_UP: "is cheaper against Fal",
    Kind.DISCOUNT_DOWN: "is less cheap against Fal",
    Kind.PROMOTION_STARTED: "is in promotion",
    Kind.PROMOTION_ENDED: "is no longer in promotion",
    Kind.FAL_UP: "costs more at Fal",
    Kind.FAL_DOWN: "costs less at Fal",
    Kind.CORRECTED: "is corrected",
    Kind.RELABELLED: "is relabelled",
}


def headline(contents: Sequence[Content], longest: int) -> str:
    """`Kie.ai: Seedance 2.5, 1080p +38.7 %, 3 new, 1 gone`, in at most `longest` units."""
    changes = sorted(_model_changes(contents), key=_order)
    parts = [_of_all(content) for content in general(contents)]
    named = _named(changes)
    if named is not None:
        name_width = min(LONGEST_NAME_IN_A_TITLE, max(1, longest // NAME_SHARE))
        parts.append(_sentence(named, name_width))
    parts.extend(_counts([change for change in changes if change is not named], named))
    return _joined(parts or ["nothing changed"], longest)


def _model_changes(contents: Iterable[Content]) -> Iterator[ModelChange]:
    for content in contents:
        if isinstance(content, RecordedChange) and isinstance(content.change, ModelChange):
            yield content.change


def _order(change: ModelChange) -> tuple[object, ...]:
    return (weight(change), change.model.record.folded, repr(change.model.record))


def _named(changes: Sequence[ModelChange]) -> ModelChange | None:
    """The biggest price move; where no price moved, a change that stands alone."""
    moved = next((change for change in changes if main_kind(change) in _PRICE), None)
    return moved or (changes[0] if len(changes) == 1 else None)


def _sentence(change: ModelChange, longest: int) -> str:
    name = shortened(harmless(change.model.record.description), longest)
    kind = main_kind(change)
    if kind not in _PRICE:
        return f"{name} {_ALONE[kind]}"
    moved = change_percent(change)
    if moved is not None:
        return f"{name} {percent(moved)}"
    if change.after is None or change.after.price is None:
        return f"{name} has no price now"
    if change.before is None or change.before.price is None:
        return f"{name} has a price now"
    return f"{name} is no longer free"


def _counts(changes: Sequence[ModelChange], named: ModelChange | None) -> Iterator[str]:
    counts = dict.fromkeys(_COUNTED, 0)
    for change in changes:
        counts[main_kind(change)] += 1
    for kind, count in counts.items():
        if count:
            another = " more" if named is not None and main_kind(named) is kind else ""
            yield _COUNTED[kind][count > 1].format(f"{count:,}{another}")


def _of_all(content: Notice | RecordedChange) -> str:
    if isinstance(content, RecordedChange):
        change = content.change
        assert isinstance(change, CreditValueChange), "all that is general and no notice"  # noqa: S101
        return f"one credit is now {money(change.after)} ({value_move(change)})"
    match content.kind:
        case NoticeKind.BASELINE:
            return f"watching {catalogue_words(content.detail)}"
        case NoticeKind.COLLAPSE:
            return _within_a_sentence(missing_words(content.detail))
        case NoticeKind.RECOVERED:
            return _within_a_sentence(brief_announcement(content).rstrip("."))
        case NoticeKind.SAMPLE:
            return "a test, no price has moved"
        case NoticeKind.ALARM | NoticeKind.ALARM_OVER:
            return alarm_gist(content)
        case _:
            assert_never(content.kind)


def _within_a_sentence(words: str) -> str:
    return words[0].lower() + words[1:]


def _joined(parts: Sequence[str], longest: int) -> str:
    """As many whole parts as fit; only the first may be cut."""
    title = shortened(f"{WHO}: {parts[0]}", longest)
    for part in parts[1:]:
        if width(f"{title}, {part}") > longest:
            break
        title = f"{title}, {part}"
    return title
