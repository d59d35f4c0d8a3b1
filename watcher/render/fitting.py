"""How much of a message fits: whole lines in order, and a closing that says how many are missing.

`Writer` makes the lines for every service that takes text of any kind; `fit` takes as many of them
as the service takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from watcher.catalog.changes import ModelChange, Notice, NoticeKind
from watcher.render.lines import (
    TERSE_NAME,
    family_context,
    family_link,
    line_link,
    line_name,
    line_phrases,
)
from watcher.render.markup import LONGEST_NAME, harmless, shortened, width
from watcher.render.outline import SOURCE_NAME, sample_family
from watcher.render.words import announcement, brief_announcement, flapping_note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from watcher.render.enrichment import MessageItem
    from watcher.render.grouping import Family, MessageLine
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
        return self.size + sum(2 * self.newline + self.limits.measure(part) for part in closing)


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the lines of one message; `phrases` makes the words of a line, with names cut."""

    service: Service
    style: MarkupStyle
    alert_id: str
    phrases: Callable[[MessageLine, int], tuple[str, ...]] = line_phrases

    def blocks(self, outline: Outline) -> Iterator[Block]:
        """One block for each notice and each line, the first of a family with its heading."""
        opening = self._opening(outline)
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

    def closing(self, hidden: int, outline: Outline) -> tuple[str, ...]:
        """A digest's summary and the last line; as much as fits in half of the message."""
        room = self.service.body_limit // 2
        if self.service.section_limit is not None:
            room = min(room, self.service.section_limit)
        last = self._last_line(hidden, outline.seen, room)
        if not outline.summary:
            return (last,)
        lines = (self.style.item.format(self.style.text(line)) for line in outline.summary)
        summary = self.style.newline.join(lines)
        return (summary, last) if width(summary) + width(last) <= room else (last,)

    @property
    def _small(self) -> bool:
        return self.service.body_limit < SMALL_BODY

    @property
    def _longest_line(self) -> int:
        share = 0 if self._small else min(self.service.body_limit // LINE_SHARE, LONGEST_LINE)
        section = self.service.section_limit
        return share if section is None else min(share, section)

    def _opening(self, outline: Outline) -> tuple[str, ...]:
        """What takes the place of a title where the service has none."""
        if self.service.title_limit:
            return () if outline.items else (self.style.text("Nothing changed."),)
        headline = SOURCE_NAME if self._small else outline.headline(self._longest_line)
        return (self.style.bold(headline), "")

    def _announcement(self, item: MessageItem) -> tuple[str, ...]:
        content = item.content
        about = content if isinstance(content, Notice) else content.change
        assert not isinstance(about, ModelChange), "changes of models are in families"  # noqa: S101
        if self._small:
            return (self.style.text(brief_announcement(about)),)
        text = self.style.text(announcement(about) + flapping_note(item))
        if not isinstance(about, Notice) or about.kind is not NoticeKind.SAMPLE:
            return (text,)
        family = sample_family(about.at)
        lines = (self._line(line, None) for line in family.lines)
        return (text, "", *self._heading(family), *lines)

    def _heading(self, family: Family) -> tuple[str, ...]:
        name = harmless(family.name)
        parts = [self.style.bold(name), *map(self.style.text, family_context(family))]
        link = family_link(family)
        full = " · ".join([*parts, self.style.linked(link)] if link else parts)
        if width(full) <= self._longest_line:
            return (full,)
        return (self.style.bold(shortened(name, TERSE_NAME)),)

    def _line(self, line: MessageLine, link: str | None) -> str:
        full = self._item(line, LONGEST_NAME, " · ".join(self.phrases(line, LONGEST_NAME)))
        if link is not None:
            full = f"{full} · {self.style.linked(link)}"
        if width(full) <= self._longest_line:
            return full
        return self._item(line, TERSE_NAME, self.phrases(line, TERSE_NAME)[0])

    def _item(self, line: MessageLine, longest_name: int, text: str) -> str:
        name = line_name(line, longest_name)
        return self.style.item.format(self.style.text(f"{name}: {text}" if name else text))

    def _last_line(self, hidden: int, seen: str, room: int) -> str:
        command = self.style.code.format(f"kie-watcher changes --alert {self.alert_id}")
        more = f"+{hidden} more"
        if hidden:
            choices = [f"{more}: {command}", f"{more}, alert {self.alert_id}"]
        else:
            choices = [f"alert {self.alert_id}"]
        if not self._small and seen:
            choices.insert(0, f"{seen} · {choices[0]}")
        fallback = more if hidden else ""
        return next((choice for choice in choices if width(choice) <= room), fallback)
