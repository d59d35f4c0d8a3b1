"""The gist of a message in one line: your cost, the biggest move by name, the rest by number.

Refuses to know more of the contents than a phone shows on its lock screen.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, assert_never

from watcher.changes import CreditValueChange, Kind, Notice, NoticeKind, RecordedChange
from watcher.rendering.alarm_words import alarm_gist
from watcher.rendering.digest import digest_name
from watcher.rendering.facts_words import cost_words
from watcher.rendering.harmless import harmless, shortened, width
from watcher.rendering.kind_words import counts_in_words
from watcher.rendering.news import PRICE_KINDS
from watcher.rendering.numbers import money, percent
from watcher.rendering.wording import brief_announcement, catalogue_words, missing_words, value_move

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.rendering.digest import Digest
    from watcher.rendering.facts import Content
    from watcher.rendering.grouping import Family, Line
    from watcher.rendering.news import News

__all__ = ["headline"]

WHO = "Kie.ai"
LONGEST_NAME_IN_A_TITLE = 60
# The share of a short title that one name may take.
NAME_SHARE = 2

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


def headline(
    general: Sequence[Content], families: Sequence[Family], digest: Digest | None, longest: int
) -> str:
    """`Kie.ai: Seedance 2.5, 1080p +38.7 %, 3 new, 1 gone`, in at most `longest` units."""
    lines = [line for family in families for line in family.lines]
    parts = [_of_all(content) for content in general]
    parts.extend(_cost(lines))
    named = _named(lines)
    if named is not None:
        name_width = min(LONGEST_NAME_IN_A_TITLE, max(1, longest // NAME_SHARE))
        parts.append(_sentence(named, name_width))
    parts.extend(_counts(lines, named))
    who = WHO if digest is None else f"{WHO} {digest_name(digest)}"
    return _joined(who, parts or ["nothing changed"], longest)


def _cost(lines: Sequence[Line]) -> Iterator[str]:
    words = cost_words([news for line in lines for news in line.news])
    if words:
        yield words


def _named(lines: Sequence[Line]) -> Line | None:
    """The weightiest price move; where no price moved, what stands alone."""
    moved = [line for line in lines if line.news[0].kind in PRICE_KINDS]
    if moved:
        return min(moved, key=lambda line: line.weight)
    return lines[0] if len(lines) == 1 else None


def _sentence(line: Line, longest: int) -> str:
    news = line.news[0]
    record = news.change.model.record
    if len(line.variants) == 1:
        name = shortened(harmless(record.description), longest)
    else:
        name = f"{shortened(harmless(record.family), longest)} ({len(line.variants):,} variants)"
    if news.facts.flapping:
        return f"{name} goes back and forth"
    return f"{name} {_move(news) if news.kind in PRICE_KINDS else _ALONE[news.kind]}"


def _move(news: News) -> str:
    if news.moved is not None:
        return percent(news.moved)
    if news.change.after is None or news.change.after.price is None:
        return "has no price now"
    if news.change.before is None or news.change.before.price is None:
        return "has a price now"
    return "is no longer free"


def _counts(lines: Sequence[Line], named: Line | None) -> Iterator[str]:
    """What is not named."""
    counts = Counter(news.kind for line in lines if line is not named for news in line.news)
    return counts_in_words(counts, None if named is None else named.news[0].kind)


def _of_all(content: Content) -> str:
    if isinstance(content, RecordedChange):
        change = content.change
        assert isinstance(change, CreditValueChange), "all that is general and no notice"  # noqa: S101
        return f"one credit is now {money(change.after)} ({value_move(change)})"
    return _noticed(content)


def _noticed(notice: Notice) -> str:
    match notice.kind:
        case NoticeKind.BASELINE:
            return f"watching {catalogue_words(notice.detail)}"
        case NoticeKind.COLLAPSE:
            return _within_a_sentence(missing_words(notice.detail))
        case NoticeKind.RECOVERED:
            return _within_a_sentence(brief_announcement(notice).rstrip("."))
        case NoticeKind.SAMPLE:
            return "a test, no price has moved"
        case NoticeKind.ALARM | NoticeKind.ALARM_OVER:
            return alarm_gist(notice)
        case _:
            assert_never(notice.kind)


def _within_a_sentence(words: str) -> str:
    return words[0].lower() + words[1:]


def _joined(who: str, parts: Sequence[str], longest: int) -> str:
    """As many whole parts as fit; only the first may be cut."""
    title = shortened(f"{who}: {parts[0]}", longest)
    for part in parts[1:]:
        if width(f"{title}, {part}") > longest:
            break
        title = f"{title}, {part}"
    return title
