"""How much of a message fits: whole lines in order, and a closing that says how many are missing.

`Writer` makes the lines for every service that takes text of any kind; `fit` takes as many of them
as the service takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from watcher.catalog.changes import ModelChange, Notice, NoticeKind
from watcher.render.lines import (
    TERSE_NAME,
    family_context,
    family_link,
    line_link,
    line_text,
)
from watcher.render.markup import LONGEST_NAME, Markup, harmless, width
from watcher.render.names import fit_name
from watcher.render.notices import brief_announcement, general_announcement
from watcher.render.outline import SOURCE_NAME, sample_family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from watcher.render.enrichment import MessageItem
    from watcher.render.figures import Notation
    from watcher.render.grouping import Family, MessageLine
    from watcher.render.lines import LineText
    from watcher.render.markup import MarkupStyle, Service
    from watcher.render.outline import Outline

# A service that takes less than this takes a text message: names are cut, a line says one thing.
SMALL_BODY = 500
# One line may take one part in so many of a message.
LINE_SHARE = 3
LONGEST_LINE = 2000


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that are shown or left out together.

    `opens`: it begins a paragraph; an empty line in it begins another. `contents` is how many
    changes and notices it tells.
    """

    lines: tuple[str, ...]
    opens: bool
    contents: int = 1


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """What a service takes, as `measure` counts it; a section ends at a blank line."""

    body: int
    section: int | None
    newline: str
    measure: Callable[[str], int] = width


@dataclass(frozen=True, slots=True)
class Fitted:
    """The text, its closing apart, and how many contents and how many blocks the text has."""

    text: str
    closing: tuple[str, ...]
    shown: int
    blocks: int

    def whole(self, newline: str = "\n") -> str:
        """The text with its closing; a blank line between paragraphs."""
        return (2 * newline).join(part for part in (self.text, *self.closing) if part)


def fit(
    blocks: Iterable[Block],
    count: int,
    limits: SizeLimits,
    closing: Callable[[int], tuple[str, ...]],
) -> Fitted:
    """As many blocks as fit above the closing; `closing` gets how many of `count` contents do not.

    Blocks are asked for one by one and no further than they fit: making them may be expensive.
    """
    page = _Page(limits)
    contents = kept = shown = lines = 0
    for number, block in enumerate(blocks, 1):
        page.add(block)
        if not page.is_within_limits:
            break
        contents += block.contents
        # One block more may fit where this one does not: the last takes "+1 more" away.
        if page.size_with(closing(count - contents)) <= limits.body:
            kept, shown, lines = number, contents, len(page.lines)
    text = limits.newline.join(page.lines[:lines])
    return Fitted(text, closing(count - shown), shown, kept)


@dataclass(slots=True)
class _Page:
    """Lines added so far; `size` and `section` are their sizes, in all and since a blank line."""

    limits: SizeLimits
    lines: list[str] = field(default_factory=list)
    size: int = 0
    section: int = 0
    newline: int = 0

    def __post_init__(self) -> None:
        self.newline = self.limits.measure(self.limits.newline)

    def add(self, block: Block) -> None:
        opens = block.opens
        for line in block.lines:
            if line:
                self._add_line(line, opens=opens)
            opens = not line

    def _add_line(self, line: str, *, opens: bool) -> None:
        size = self.limits.measure(line)
        if self.lines and (opens or self._overflows_section(size + self.newline)):
            self.lines.append("")
            self.size += self.newline
            self.section = 0
        self.size += (self.newline if self.lines else 0) + size
        self.section += (self.newline if self.section else 0) + size
        self.lines.append(line)

    def _overflows_section(self, size: int) -> bool:
        return self.limits.section is not None and self.section + size > self.limits.section

    @property
    def is_within_limits(self) -> bool:
        return self.size <= self.limits.body and not self._overflows_section(0)

    def size_with(self, closing: tuple[str, ...]) -> int:
        """The size of the page together with this closing."""
        shown = filter(None, closing)
        return self.size + sum(2 * self.newline + self.limits.measure(part) for part in shown)


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the lines of one message."""

    service: Service
    style: MarkupStyle
    outline: Outline
    # By identity and length of names: nothing of a line changes while a message is written.
    _known: dict[tuple[int, int], LineText] = field(default_factory=dict)

    def blocks(self) -> Iterator[Block]:
        """One block for each notice and each line, the first of a family with its heading."""
        outline, opening = self.outline, self._opening()
        for item in outline.general:
            yield Block((*opening, *self._announcement(item)), opens=True)
            opening = ()
        for family in outline.families:
            heading = self._heading(family)
            shared = family_link(family)
            for line in family.lines:
                text = self._line(line, None if shared else line_link(line))
                lines = (*opening, *heading, text)
                yield Block(lines, opens=bool(heading), contents=len(line.variants))
                opening, heading = (), ()
        if opening:
            yield Block(opening, opens=True, contents=0)

    def closing(self, hidden: int) -> tuple[str, ...]:
        """A digest's summary, why it is sent, and the last line: as much as half a message takes.

        Each may be empty.
        """
        room = self.service.body_limit // 2
        if self.service.section_limit is not None:
            room = min(room, self.service.section_limit)
        last = self._last_line(hidden, room)
        room -= width(last)
        why = self._why()
        why = why if width(why) <= room and not self._small else ""
        room -= width(why)
        lines = (self.style.item.format(self.style.text(line)) for line in self.outline.summary)
        summary = self.style.newline.join(lines)
        return (summary if width(summary) <= room else "", why, last)

    def text_of(self, line: MessageLine, longest_name: int) -> LineText:
        """What a line says, found once; without its cost where that is the whole bill above."""
        key = (id(line), longest_name)
        if key not in self._known:
            text = line_text(line, longest_name, self._notation)
            if text.cost == self.outline.bill and not self._small:
                text = replace(text, cost="")
            self._known[key] = text
        return self._known[key]

    @property
    def _notation(self) -> Notation:
        return self.outline.envelope.notation

    @property
    def _small(self) -> bool:
        return self.service.body_limit < SMALL_BODY

    @property
    def _longest_line(self) -> int:
        share = 0 if self._small else min(self.service.body_limit // LINE_SHARE, LONGEST_LINE)
        section = self.service.section_limit
        return share if section is None else min(share, section)

    def _opening(self) -> tuple[str, ...]:
        """What stands above everything: the title where the service has none, and the strip."""
        outline, style = self.outline, self.style
        parts: list[str] = []
        if not self.service.title_limit:
            parts.append(style.bold(SOURCE_NAME if self._small else outline.headline()))
        if not self._small:
            counts = "  ".join(count for _, count in outline.strip)
            parts += [style.text(part) for part in (outline.period, counts) if part]
            if outline.bill and style.large:
                parts.append(style.large.format(style.text(outline.bill)))
        if not outline.items and self.service.title_limit:
            parts.append(style.text("Nothing changed."))
        return tuple(line for part in parts for line in (part, ""))

    def _announcement(self, item: MessageItem) -> tuple[str, ...]:
        content = item.content
        about = content if isinstance(content, Notice) else content.change
        assert not isinstance(about, ModelChange), "changes of models are in families"  # noqa: S101
        if self._small:
            return (self.style.text(brief_announcement(about, self._notation)),)
        text = self.style.text(general_announcement(item, self._notation))
        if not isinstance(about, Notice) or about.kind is not NoticeKind.SAMPLE:
            return (text,)
        family = sample_family(about.at)
        lines = (self._line(line, None) for line in family.lines)
        return (text, "", *self._heading(family), *lines)

    def _heading(self, family: Family) -> tuple[str, ...]:
        name, link, style = harmless(family.name), family_link(family), self.style
        parts = [style.bold(name, link), *map(style.text, family_context(family))]
        if link and not style.link:
            parts.append(link)
        full = " · ".join(parts)
        if width(full) <= self._longest_line:
            return (full,)
        return (style.bold(fit_name(name, TERSE_NAME)),)

    def _line(self, line: MessageLine, link: str | None) -> str:
        """`▲ **+38.7 %** 1080p · $0.3425 → $0.475 per second`; the name leads to `link`."""
        text, style = self.text_of(line, LONGEST_NAME), self.style
        parts = [*map(style.bold, text.strong), *map(style.text, text.rest)]
        name = style.text(text.name)
        if link is not None and style.link:
            name = style.linked(text.name or "page", link)
        elif link is not None:
            parts.append(link)
        full = self._item(text, name, parts)
        if width(full) <= self._longest_line:
            return full
        text = self.text_of(line, TERSE_NAME)
        return self._item(text, style.text(text.name), [style.text(it) for it in text.rest[:1]])

    def _item(self, text: LineText, name: str, parts: Sequence[str]) -> str:
        begun = f"{text.sign} {self.style.bold(text.news)}"
        return self.style.item.format(" · ".join(filter(None, [begun, name, *parts])))

    def _why(self) -> str:
        outline, style = self.outline, self.style
        if not outline.families or not outline.why:
            return style.text(outline.why)
        command = style.code.format(outline.envelope.silence_command)
        return f"{style.text(outline.why)} To hush it for a week: {command}"

    def _last_line(self, hidden: int, room: int) -> str:
        envelope = self.outline.envelope
        command = self.style.code.format(envelope.changes_command)
        more = f"+{hidden} more"
        if hidden:
            choices = [f"{more}: {command}", f"{more}, alert {envelope.alert_id}"]
        else:
            choices = [f"alert {envelope.alert_id}"]
        if not self._small and (seen := self._seen()):
            choices.insert(0, f"{seen} · {choices[0]}")
        fallback = more if hidden else ""
        return next((choice for choice in choices if width(choice) <= room), fallback)

    def _seen(self) -> str:
        """When its contents were seen: by the clock of the reader where the service knows it."""
        outline = self.outline
        if not outline.items:
            return ""
        first, last = outline.seen_at
        match self.service.markup:
            case Markup.DISCORD_EMBED if first == last:
                # An embed has a time of its own.
                return ""
            case Markup.SLACK_BLOCKS:
                dates = (_slack_date(at, self._notation.time(at)) for at in outline.seen_at)
                return f"seen {' to '.join(dict.fromkeys(dates))}"
            case _:
                return self.style.text(outline.seen)


def _slack_date(at: datetime, fallback: str) -> str:
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time}}|{fallback}>"
