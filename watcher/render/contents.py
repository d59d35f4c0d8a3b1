"""What a digest says beside its changes: its period, the biggest moves and how many of each kind.

Refuses to know what was gathered and when the next one is due.

The gist of a message in one line: your cost, the biggest move by name, the rest by number.

Refuses to know more of the contents than a phone shows on its lock screen.

All that one message is about, sorted once: what is general, what is of families, the gist.

Refuses to know how it is written.

A price rise that never happened, for trying out a receiver.

Knows one made-up model. Refuses to know how it is told.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol, assert_never

from watcher.catalog.changes import (
    Cause,
    CreditValueChange,
    Kind,
    ModelChange,
    Notice,
    NoticeKind,
    RecordedChange,
    change_percent,
)
from watcher.catalog.pricing import parse_unit
from watcher.catalog.record import DOCUMENTED_USD_PER_CREDIT, Model, Record
from watcher.render.figures import moment, money, percent
from watcher.render.grouping import families, general
from watcher.render.lines import Tone, cost_words, tone_of
from watcher.render.markup import harmless, shortened, width
from watcher.render.news import PRICE_KINDS, tellings
from watcher.render.words import (
    alarm_gist,
    brief_announcement,
    catalogue_words,
    counts_in_words,
    missing_words,
    value_move,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from watcher.render.grouping import Family, Line
    from watcher.render.news import Content, News, Telling

MOST_NAMED = 3
LONGEST_NAME_IN_A_SUMMARY = 60
LONGEST_ROUTE = 30


class Digest(Protocol):
    """A period and what stood out in it, for a message that gathers a route's changes.

    The times are told as they are: in the zone they come in.
    """

    @property
    def route(self) -> str:
        """As the configuration names it."""

    @property
    def since_at(self) -> datetime:
        """The moment of the digest before."""

    @property
    def until_at(self) -> datetime:
        """The moment of this one."""

    @property
    def rises(self) -> Sequence[RecordedChange]:
        """The biggest first."""

    @property
    def falls(self) -> Sequence[RecordedChange]:
        """The biggest first."""

    @property
    def counts(self) -> Mapping[Kind, int]:
        """How many changes there were of each kind."""


def digest_name(digest: Digest) -> str:
    """`weekly, 2026-11-16 to 2026-11-23`; with times of day where it is about one day."""
    since, until = digest.since_at, digest.until_at
    first, last = f"{since:%Y-%m-%d}", f"{until:%Y-%m-%d}"
    if first == last:
        first, last = f"{since:%Y-%m-%d %H:%M}", f"{until:%H:%M}"
    route = shortened(harmless(digest.route), LONGEST_ROUTE) if digest.route.strip() else ""
    return ", ".join(part for part in (route, f"{first} to {last}") if part)


def digest_summary(digest: Digest) -> tuple[str, ...]:
    """What closes a digest: the biggest rises, the biggest falls, and the counts."""
    lines = []
    for words, changes in (("rises", digest.rises), ("falls", digest.falls)):
        if named := list(_named_moves(changes)):
            lines.append(f"Biggest {words}: {', '.join(named)}")
    counted = ", ".join(counts_in_words(digest.counts))
    return (*lines, f"In all: {counted or 'nothing changed'}")


def _named_moves(changes: Sequence[RecordedChange]) -> Iterator[str]:
    for recorded in changes[:MOST_NAMED]:
        change = recorded.change
        if not isinstance(change, ModelChange):
            continue
        moved = change_percent(change)
        name = shortened(harmless(change.model.record.description), LONGEST_NAME_IN_A_SUMMARY)
        yield name if moved is None else f"{name} {percent(moved)}"


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


@dataclass(frozen=True, slots=True)
class Contents:
    """What is told, in the order in which it is told.

    `seen` says when it happened; `summary` is what closes a digest.
    """

    tellings: tuple[Telling, ...]
    general: tuple[Content, ...]
    families: tuple[Family, ...]
    digest: Digest | None
    seen: str
    summary: tuple[str, ...]

    def gist(self, longest: int) -> str:
        return headline(self.general, self.families, self.digest, longest)

    @property
    def tones(self) -> frozenset[Tone]:
        return frozenset(tone_of(line) for family in self.families for line in family.lines)


def sorted_contents(
    contents: Sequence[Content | Telling], digest: Digest | None = None
) -> Contents:
    told = tellings(contents)
    summary = () if digest is None else digest_summary(digest)
    return Contents(told, general(told), families(told), digest, _seen(told), summary)


def _seen(told: Sequence[Telling]) -> str:
    """A message may have waited long for its receiver."""
    if not told:
        return ""
    times = [telling.content.at for telling in told]
    first, last = moment(min(times)), moment(max(times))
    return f"seen {first}" if first == last else f"seen {first} to {last}"


def sample_rise(at: datetime) -> RecordedChange:
    kinds = (Kind.PRICE_UP, Kind.DISCOUNT_DOWN)
    change = ModelChange(kinds, _at("50"), _at("60"), {Kind.DISCOUNT_DOWN: Cause.PRICE})
    return RecordedChange(0, at, change)


def _at(price_in_credits: str) -> Model:
    return Model(
        Record(
            description="Example 1.0, 1080p with audio",
            folded="example 1.0, 1080p with audio",
            interface="video",
            provider="a made-up model",
            credits=Decimal(price_in_credits),
            unit=parse_unit("per second"),
            usd_listed=None,
            fal=Decimal("0.5"),
            rate=None,
            anchor="https://kie.ai/",
            promotion=False,
        ),
        DOCUMENTED_USD_PER_CREDIT,
    )
