"""What one message says, in order, before any markup: headline, strip, families, a digest's moves.

`arrange` sorts the contents once; `render.fitting`, `render.email`, `render.cloudevents` and
`render.templates` write what it found. The sample is a made-up price rise, for trying a receiver.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, assert_never

from watcher.catalog.changes import (
    CreditValueChange,
    Kind,
    ModelChange,
    Notice,
    NoticeKind,
    RecordedChange,
    change_percent,
)
from watcher.catalog.record import DOCUMENTED_USD_PER_CREDIT, Model, parse_record
from watcher.render.enrichment import MessageItem
from watcher.render.figures import (
    CENT,
    PLAIN_NOTATION,
    Notation,
    brief_monthly,
    brief_percent,
    money,
    monthly,
    percent,
)
from watcher.render.grouping import families, general
from watcher.render.lines import crossing_beside, family_link, line_link, total_cost
from watcher.render.markup import harmless, shortened, width
from watcher.render.names import LEAST_NAME, fit_name
from watcher.render.notices import (
    alarm_headline,
    collapse_headline,
    credit_value_percent,
    model_count,
)
from watcher.render.words import GOES_BACK_AND_FORTH, SIGNS, Tone, news, tally, tone_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from watcher.render.enrichment import Content
    from watcher.render.grouping import Family, MessageLine
    from watcher.routing.net_effect import DigestSummary

SOURCE_NAME = "Kie.ai"
# What a button says that leads to what weighs most.
OPEN_PAGE = "Open on Kie.ai"
# What a phone shows of a subject.
LONGEST_TITLE = 60
MOST_NAMED_MOVES = 3
LONGEST_NAME_IN_A_SUMMARY = 60
LONGEST_ROUTE = 30
MOST_ROUTES = 3
_WARNINGS = {NoticeKind.COLLAPSE, NoticeKind.ALARM}


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a message says beside its contents: its id, who gets it by which routes.

    `notation` is how that receiver reads times and prices.
    """

    alert_id: str
    receiver: str = ""
    routes: tuple[str, ...] = ()
    notation: Notation = PLAIN_NOTATION

    @property
    def changes_command(self) -> str:
        """Lists all that the message is about."""
        return f"kie-watcher changes --alert {self.alert_id}"

    @property
    def silence_command(self) -> str:
        """Silences what the message is about."""
        return f"kie-watcher silence add --alert {self.alert_id} --for 7d"


@dataclass(frozen=True, slots=True)
class Outline:
    """The parts of one message. `general` is what is about no single model.

    `summary` is what closes a digest.
    """

    items: tuple[MessageItem, ...]
    general: tuple[MessageItem, ...]
    families: tuple[Family, ...]
    envelope: Envelope
    digest: DigestSummary | None
    summary: tuple[str, ...]

    @property
    def lines(self) -> tuple[MessageLine, ...]:
        return tuple(line for family in self.families for line in family.lines)

    @property
    def changes(self) -> tuple[ModelChange, ...]:
        return tuple(weighed.change for line in self.lines for weighed in line.changes)

    @property
    def tones(self) -> frozenset[Tone]:
        return frozenset(map(tone_of, self.changes))

    @property
    def warns(self) -> bool:
        """Whether it is a warning about the catalogue or the watcher."""
        return any(
            isinstance(it.content, Notice) and it.content.kind in _WARNINGS for it in self.general
        )

    @property
    def cost(self) -> Decimal:
        """USD that all of it costs more a month, to the cent; 0 where that is not known."""
        of_credits = (
            item.content.change.monthly_cost_usd
            for item in self.general
            if isinstance(item.content, RecordedChange)
            and isinstance(item.content.change, CreditValueChange)
        )
        of_models = total_cost([weighed for line in self.lines for weighed in line.changes])
        return of_models + sum(filter(None, of_credits), Decimal(0)).quantize(CENT)

    @property
    def bill(self) -> str:
        """`+$96.00 a month for you`; empty where it is the same as before."""
        return f"{monthly(self.cost)} for you" if self.cost else ""

    @property
    def strip(self) -> tuple[tuple[Tone, str], ...]:
        """How many of each sort: `▲ 8 up`, `✕ 1 gone`; nothing where there is one change."""
        if len(self.changes) <= 1:
            return ()
        return tuple((tone, f"{SIGNS[tone]} {count}") for tone, count in tally(self.changes))

    @property
    def page(self) -> str | None:
        """The page at Kie.ai of what weighs most."""
        if not self.families:
            return None
        family = self.families[0]
        return family_link(family) or line_link(family.lines[0])

    @property
    def seen(self) -> str:
        """When its contents were seen: a message may have waited long for its receiver."""
        if not self.items:
            return ""
        first, last = map(self.envelope.notation.time, self.seen_at)
        return f"seen {first}" if first == last else f"seen {first} to {last}"

    @property
    def seen_at(self) -> tuple[datetime, datetime]:
        """When the first and the last of its contents were seen."""
        times = [item.content.at for item in self.items]
        return min(times), max(times)

    @property
    def period(self) -> str:
        """`weekly, 2026-11-16 to 2026-11-23`: what a digest sums up; otherwise empty."""
        return "" if self.digest is None else _period(self.digest)

    @property
    def why(self) -> str:
        """Who gets it and by which routes; empty where that is not known."""
        receiver = self.envelope.receiver
        if not receiver:
            return ""
        routes = [f"“{_route_name(name)}”" for name in self.envelope.routes[:MOST_ROUTES]]
        others = len(self.envelope.routes) - len(routes)
        routes += [f"{others} more"] if others else []
        by = f", by route {', '.join(routes)}" if routes else ""
        return f"You get this as “{harmless(receiver)}”{by}."

    def headline(self, longest: int = LONGEST_TITLE) -> str:
        """`▲ nano-banana-1.7 1K +33 % · +$40/month · 13 more`: one fact, in at most 60 units.

        The weightiest of the message, its monthly cost, and how many contents are about something
        else.
        """
        longest = min(longest, LONGEST_TITLE)
        start = f"{_route_name(self.digest.route)}: " if self.digest and self.digest.route else ""
        if self.general:
            cost = [brief_monthly(self.cost)] if self.cost else []
            more = [*cost, *_more(len(self.items) - 1)]
            said = _general_headline(self.general[0].content, self.envelope.notation)
            return _joined(f"{start}{said}", more, longest)
        if not self.lines:
            return _joined(f"{start}nothing changed at {SOURCE_NAME}", [], longest)
        line = self.lines[0]
        cost = [brief_monthly(self.cost)] if self.cost else []
        more = _more(len(self.items) - len(line.changes))
        also = [said] if (said := crossing_beside(line.changes[0].change)) else []
        choices: tuple[list[str], ...] = ([*cost, *also, *more], [*cost, *more], cost, [])
        return _line_headline(line, start, choices, longest)


def arrange(
    contents: Sequence[Content | MessageItem],
    envelope: Envelope,
    digest: DigestSummary | None = None,
) -> Outline:
    """The outline of a message; the order of `contents` makes no difference."""
    items = tuple(it if isinstance(it, MessageItem) else MessageItem(it) for it in contents)
    summary = () if digest is None else tuple(_digest_summary(digest))
    return Outline(items, general(items), families(items), envelope, digest, summary)


def _line_headline(
    line: MessageLine, start: str, choices: Iterable[Sequence[str]], longest: int
) -> str:
    """The name gives way to the first of the `choices` of what follows, if enough of it is left."""
    weighed = line.changes[0]
    several = f"({len(line.variants):,} variants) " if len(line.variants) > 1 else ""
    description = weighed.record.family if several else weighed.record.description
    name = ", ".join(map(harmless, description.split(",")))
    said = GOES_BACK_AND_FORTH
    if not weighed.facts.flapping:
        said = news([one.change for one in line.changes], brief_percent)
    start = f"{start}{SIGNS[tone_of(weighed.change)]} "
    for ends in choices:
        rest = " · ".join([f" {several}{said}", *ends])
        room = longest - width(start) - width(rest)
        if room >= min(LEAST_NAME, width(name)):
            return f"{start}{fit_name(name, room)}{rest}"
    return shortened(f"{start}{said}", longest)


def _joined(start: str, ends: Sequence[str], longest: int) -> str:
    """The start with as many of the ends as fit; the start is cut where even it does not."""
    title = shortened(start, longest)
    for end in ends:
        if width(f"{title} · {end}") <= longest:
            title = f"{title} · {end}"
    return title


def _more(count: int) -> list[str]:
    return [f"{count:,} more"] if count > 0 else []


def _general_headline(content: Content, notation: Notation) -> str:
    if isinstance(content, Notice):
        return f"{SOURCE_NAME}: {_notice_headline(content, notation)}"
    change = content.change
    assert isinstance(change, CreditValueChange), "changes of models are in families"  # noqa: S101
    return f"One credit is now {money(change.after)} ({credit_value_percent(change)})"


def _notice_headline(notice: Notice, notation: Notation) -> str:
    match notice.kind:
        case NoticeKind.BASELINE:
            return f"watching {model_count(notice.detail)}"
        case NoticeKind.COLLAPSE:
            return collapse_headline(notice.detail)
        case NoticeKind.REDENOMINATED:
            return "credits are counted in another unit"
        case NoticeKind.RECOVERED:
            return f"looks right again: {model_count(notice.detail)}"
        case NoticeKind.SAMPLE:
            return "a test, no price has moved"
        case NoticeKind.ALARM | NoticeKind.ALARM_OVER:
            return alarm_headline(notice, notation)
        case _:
            assert_never(notice.kind)


def _route_name(name: str) -> str:
    return shortened(harmless(name), LONGEST_ROUTE)


def _period(digest: DigestSummary) -> str:
    """With times of day where both are on one day.

    The times stay in the zone that they come in: the one that the configuration names.
    """
    since, until = digest.since_at, digest.until_at
    first, last = f"{since:%Y-%m-%d}", f"{until:%Y-%m-%d}"
    if first == last:
        first, last = f"{since:%Y-%m-%d %H:%M}", f"{until:%H:%M %Z}"
    route = _route_name(digest.route) if digest.route.strip() else ""
    return ", ".join(part for part in (route, f"{first} to {last}") if part)


def _digest_summary(digest: DigestSummary) -> Iterator[str]:
    """The biggest rises and the biggest falls."""
    for words, changes in (("rises", digest.rises), ("falls", digest.falls)):
        if named := list(_named_moves(changes)):
            yield f"Biggest {words}: {', '.join(named)}"


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
    before, after = (sample_model("1080p with audio", price) for price in ("50", "60"))
    change = ModelChange((Kind.PRICE_UP, Kind.DISCOUNT_DOWN), before, after)
    (family,) = families([MessageItem(RecordedChange(0, at, change))])
    return family


def sample_model(variant: str, price_in_credits: str) -> Model:
    """A model that nobody sells."""
    row = {
        "modelDescription": f"Example 1.0, {variant}",
        "interfaceType": "video",
        "provider": "a made-up model",
        "creditPrice": price_in_credits,
        "creditUnit": "per second",
        "falPrice": "0.5",
        "anchor": "https://kie.ai/",
    }
    return Model(parse_record(row), DOCUMENTED_USD_PER_CREDIT)
