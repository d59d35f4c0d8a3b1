"""What one message says, in order, before any markup: headline, families, a digest's summary.

`arrange` sorts the contents once; `render.fitting`, `render.email`, `render.cloudevents` and
`render.templates` write what it found. The sample is a made-up price rise, for trying a receiver.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, assert_never

from watcher.catalog.changes import (
    PRICE_KINDS,
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
from watcher.render.enrichment import MessageItem
from watcher.render.figures import money, percent, utc_time
from watcher.render.grouping import families, general
from watcher.render.lines import Tone, cost_phrase, tone_of
from watcher.render.markup import harmless, shortened, width
from watcher.render.words import (
    GOES_BACK_AND_FORTH,
    alarm_headline,
    brief_announcement,
    collapse_words,
    counts_in_words,
    credit_value_percent,
    model_count,
    single_change,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from watcher.render.enrichment import Content
    from watcher.render.grouping import Family, MessageLine, WeighedChange
    from watcher.routing.net_effect import DigestSummary

SOURCE_NAME = "Kie.ai"
LONGEST_NAME_IN_A_TITLE = 60
# A name may take one part in so many of a short title.
NAME_SHARE = 2
MOST_NAMED_MOVES = 3
LONGEST_NAME_IN_A_SUMMARY = 60
LONGEST_ROUTE = 30


@dataclass(frozen=True, slots=True)
class Outline:
    """The parts of one message. `general` is what is about no single model.

    `seen` says when it happened; `summary` is what closes a digest.
    """

    items: tuple[MessageItem, ...]
    general: tuple[MessageItem, ...]
    families: tuple[Family, ...]
    digest: DigestSummary | None
    seen: str
    summary: tuple[str, ...]

    def headline(self, longest: int) -> str:
        """`Kie.ai: Seedance 2.5, 1080p +38.7 %, 3 new, 1 gone`, in at most `longest` units.

        The monthly cost, the biggest move by its name, and how many others of each kind.
        """
        lines = [line for family in self.families for line in family.lines]
        parts = [_general_headline(item.content) for item in self.general]
        if cost := cost_phrase([weighed for line in lines for weighed in line.changes]):
            parts.append(cost)
        named = _named_line(lines)
        if named is not None:
            longest_name = min(LONGEST_NAME_IN_A_TITLE, max(1, longest // NAME_SHARE))
            parts.append(_line_headline(named, longest_name))
        counts = Counter(
            weighed.kind for line in lines if line is not named for weighed in line.changes
        )
        parts.extend(counts_in_words(counts, None if named is None else named.changes[0].kind))
        start = SOURCE_NAME
        if self.digest is not None:
            start = f"{SOURCE_NAME} {_digest_name(self.digest)}"
        return _joined(start, parts or ["nothing changed"], longest)

    @property
    def tones(self) -> frozenset[Tone]:
        return frozenset(tone_of(line) for family in self.families for line in family.lines)


def arrange(
    contents: Sequence[Content | MessageItem], digest: DigestSummary | None = None
) -> Outline:
    """The outline of a message; the order of `contents` makes no difference."""
    items = tuple(it if isinstance(it, MessageItem) else MessageItem(it) for it in contents)
    summary = () if digest is None else _digest_summary(digest)
    return Outline(items, general(items), families(items), digest, _seen(items), summary)


def _seen(items: Sequence[MessageItem]) -> str:
    """When its contents were seen: a message may have waited long for its receiver."""
    if not items:
        return ""
    times = [item.content.at for item in items]
    first, last = utc_time(min(times)), utc_time(max(times))
    return f"seen {first}" if first == last else f"seen {first} to {last}"


def _named_line(lines: Sequence[MessageLine]) -> MessageLine | None:
    """The heaviest price move; where no price moved, the only line there is."""
    moved = [line for line in lines if line.changes[0].kind in PRICE_KINDS]
    if moved:
        return min(moved, key=lambda line: line.weight)
    return lines[0] if len(lines) == 1 else None


def _line_headline(line: MessageLine, longest: int) -> str:
    weighed = line.changes[0]
    if len(line.variants) == 1:
        name = shortened(harmless(weighed.record.description), longest)
    else:
        family = shortened(harmless(weighed.record.family), longest)
        name = f"{family} ({len(line.variants):,} variants)"
    if weighed.facts.flapping:
        return f"{name} {GOES_BACK_AND_FORTH}"
    if weighed.kind in PRICE_KINDS:
        return f"{name} {_price_headline(weighed)}"
    return f"{name} {single_change(weighed.kind, weighed.change)}"


def _price_headline(weighed: WeighedChange) -> str:
    if weighed.moved is not None:
        return percent(weighed.moved)
    if weighed.change.after is None or weighed.change.after.price is None:
        return "has no price now"
    if weighed.change.before is None or weighed.change.before.price is None:
        return "has a price now"
    return "is no longer free"


def _general_headline(content: Content) -> str:
    if isinstance(content, Notice):
        return _notice_headline(content)
    change = content.change
    assert isinstance(change, CreditValueChange), "changes of models are in families"  # noqa: S101
    return f"one credit is now {money(change.after)} ({credit_value_percent(change)})"


def _notice_headline(notice: Notice) -> str:
    match notice.kind:
        case NoticeKind.BASELINE:
            return f"watching {model_count(notice.detail)}"
        case NoticeKind.COLLAPSE:
            return _lower_first(collapse_words(notice.detail))
        case NoticeKind.REDENOMINATED:
            return "credits are counted in another unit, nobody pays another price"
        case NoticeKind.RECOVERED:
            return _lower_first(brief_announcement(notice).rstrip("."))
        case NoticeKind.SAMPLE:
            return "a test, no price has moved"
        case NoticeKind.ALARM | NoticeKind.ALARM_OVER:
            return alarm_headline(notice)
        case _:
            assert_never(notice.kind)


def _lower_first(words: str) -> str:
    return words[0].lower() + words[1:]


def _joined(start: str, parts: Sequence[str], longest: int) -> str:
    """As many whole parts as fit; only the first may be cut."""
    title = shortened(f"{start}: {parts[0]}", longest)
    for part in parts[1:]:
        if width(f"{title}, {part}") > longest:
            break
        title = f"{title}, {part}"
    return title


def _digest_name(digest: DigestSummary) -> str:
    """`weekly, 2026-11-16 to 2026-11-23`; with times of day where both are on one day.

    The times stay in the zone that they come in: the one that the configuration names.
    """
    since, until = digest.since_at, digest.until_at
    first, last = f"{since:%Y-%m-%d}", f"{until:%Y-%m-%d}"
    if first == last:
        first, last = f"{since:%Y-%m-%d %H:%M}", f"{until:%H:%M}"
    route = shortened(harmless(digest.route), LONGEST_ROUTE) if digest.route.strip() else ""
    return ", ".join(part for part in (route, f"{first} to {last}") if part)


def _digest_summary(digest: DigestSummary) -> tuple[str, ...]:
    """The biggest rises, the biggest falls, and how many changes of each kind."""
    lines = []
    for words, changes in (("rises", digest.rises), ("falls", digest.falls)):
        if named := list(_named_moves(changes)):
            lines.append(f"Biggest {words}: {', '.join(named)}")
    counted = ", ".join(counts_in_words(digest.counts))
    return (*lines, f"In all: {counted or 'nothing changed'}")


def _named_moves(changes: Sequence[RecordedChange]) -> Iterator[str]:
    for recorded in changes[:MOST_NAMED_MOVES]:
        change = recorded.change
        if not isinstance(change, ModelChange):
            continue
        moved = change_percent(change)
        name = shortened(harmless(change.model.record.description), LONGEST_NAME_IN_A_SUMMARY)
        yield name if moved is None else f"{name} {percent(moved)}"


def sample_family(at: datetime) -> Family:
    """One family with one line: a price rise that never happened."""
    kinds = (Kind.PRICE_UP, Kind.DISCOUNT_DOWN)
    causes = {Kind.DISCOUNT_DOWN: Cause.PRICE}
    change = ModelChange(kinds, _sample_model("50"), _sample_model("60"), causes)
    (family,) = families([MessageItem(RecordedChange(0, at, change))])
    return family


def _sample_model(price_in_credits: str) -> Model:
    return Model(
        Record(
            description="Example 1.0, 1080p with audio",
            identity_key="example 1.0, 1080p with audio",
            interface="video",
            provider="a made-up model",
            credits=Decimal(price_in_credits),
            unit=parse_unit("per second"),
            usd_listed=None,
            reference=Decimal("0.5"),
            rate=None,
            anchor="https://kie.ai/",
            promotion=False,
        ),
        DOCUMENTED_USD_PER_CREDIT,
    )
