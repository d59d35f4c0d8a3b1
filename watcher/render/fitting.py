"""How much fits: whole lines in order, as many as a service takes, and a closing that owns up.

Knows limits and line ends. Refuses to know what the lines say.

A message as lines of text in one markup: what it opens with, its families, how it closes.

Writes for every service that takes text of any kind. Refuses to know what else a service wants
around the text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from watcher.catalog.changes import ModelChange, Notice, NoticeKind
from watcher.render.contents import sample_rise
from watcher.render.grouping import families
from watcher.render.lines import TERSE_NAME, context, label, link_of, said_of, shared_link
from watcher.render.markup import LONGEST_NAME, harmless, shortened, width
from watcher.render.news import Telling
from watcher.render.words import announcement, brief_announcement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from watcher.catalog.changes import CreditValueChange
    from watcher.render.contents import Contents
    from watcher.render.grouping import Family, Line
    from watcher.render.markup import Dress, Service
    from watcher.render.news import Content


@dataclass(frozen=True, slots=True)
class Block:
    """The lines that say one thing; all of them stand, or none.

    `opens` begins a paragraph; an empty line begins another. `contents` is how many of the things
    to be told it tells.
    """

    lines: tuple[str, ...]
    opens: bool
    contents: int = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service takes, as `measure` counts it; a section ends at a blank line."""

    body: int
    section: int | None
    newline: str
    measure: Callable[[str], int] = width


@dataclass(frozen=True, slots=True)
class Fitted:
    """The text without its closing, and how many contents and how many blocks stand in it."""

    text: str
    closing: tuple[str, ...]
    shown: int
    blocks: int

    def whole(self, newline: str = "\n") -> str:
        """With the closing, its paragraphs a blank line apart."""
        return (2 * newline).join(part for part in (self.text, *self.closing) if part)


@dataclass(slots=True)
class _Page:
    """Lines gathered so far; `used` and `section` are their sizes, in all and since the gap."""

    limits: Limits
    lines: list[str] = field(default_factory=list)
    used: int = 0
    section: int = 0
    end: int = 0

    def __post_init__(self) -> None:
        self.end = self.limits.measure(self.limits.newline)

    def add_all(self, block: Block) -> None:
        opens = block.opens
        for line in block.lines:
            if line:
                self._add(line, opens=opens)
            opens = not line

    def _add(self, line: str, *, opens: bool) -> None:
        cost = self.limits.measure(line)
        if self.lines and (opens or self._overflows(cost + self.end)):
            self.lines.append("")
            self.used += self.end
            self.section = 0
        gap = self.end if self.lines else 0
        self.lines.append(line)
        self.used += gap + cost
        self.section += (self.end if self.section else 0) + cost

    def _overflows(self, cost: int) -> bool:
        return self.limits.section is not None and self.section + cost > self.limits.section

    @property
    def within(self) -> bool:
        return self.used <= self.limits.body and (
            self.limits.section is None or self.section <= self.limits.section
        )

    def room_taken(self, closing: tuple[str, ...]) -> int:
        """Of the whole, with a closing."""
        return self.used + sum(2 * self.end + self.limits.measure(part) for part in closing)


def fit(
    blocks: Iterable[Block],
    count: int,
    limits: Limits,
    closing: Callable[[int], tuple[str, ...]],
) -> Fitted:
    """As many blocks as fit above the closing, which is told how many of `count` contents do not.

    Blocks are asked for one by one and no further than they fit: making them may be dear.
    """
    page = _Page(limits)
    told = kept = shown = lines = 0
    for number, block in enumerate(blocks, 1):
        page.add_all(block)
        if not page.within:
            break
        told += block.contents
        # One block more may fit where this one does not: the last takes "+1 more" away.
        if page.room_taken(closing(count - told)) <= limits.body:
            kept, shown, lines = number, told, len(page.lines)
    text = limits.newline.join(page.lines[:lines])
    return Fitted(text, closing(count - shown), shown, kept)


# Below this a service takes a text message's worth: names are cut short, a line says one thing.
SMALL_BODY = 500
# No one line may take more of a message than this share of it.
LINE_SHARE = 3
LONGEST_LINE = 2000


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the blocks of one message. `say` words a line with names of at most a length."""

    service: Service
    dress: Dress
    alert_id: str
    say: Callable[[Line, int], tuple[str, ...]] = said_of

    def blocks(self, contents: Contents) -> Iterator[Block]:
        """One block for each thing said: a notice, or a line with its family's heading."""
        opening = self._opening(contents)
        for content in contents.general:
            yield Block((*opening, *self._announced(content)), opens=True)
            opening = ()
        for family in contents.families:
            heading = self._heading(family)
            shared = shared_link(family)
            for line in family.lines:
                said = self._line(line, None if shared else link_of(line))
                lines = (*opening, *heading, said)
                yield Block(lines, opens=bool(heading), contents=len(line.variants))
                opening, heading = (), ()
        if opening:
            yield Block(opening, opens=True, contents=0)

    def closing(self, hidden: int, contents: Contents) -> tuple[str, ...]:
        """The fullest closing that leaves most of the message to the message."""
        room = self.service.body_limit // 2
        if self.service.section_limit is not None:
            room = min(room, self.service.section_limit)
        last = self._last_line(hidden, contents.seen, room)
        if not contents.summary:
            return (last,)
        lines = (self.dress.item.format(self.dress.text(line)) for line in contents.summary)
        summary = self.dress.newline.join(lines)
        return (summary, last) if width(summary) + width(last) <= room else (last,)

    @property
    def _small(self) -> bool:
        return self.service.body_limit < SMALL_BODY

    @property
    def _longest_line(self) -> int:
        share = 0 if self._small else min(self.service.body_limit // LINE_SHARE, LONGEST_LINE)
        section = self.service.section_limit
        return share if section is None else min(share, section)

    def _opening(self, contents: Contents) -> tuple[str, ...]:
        """What stands for a title where the service has none."""
        if self.service.title_limit:
            return () if contents.tellings else (self.dress.text("Nothing changed."),)
        gist = "Kie.ai" if self._small else contents.gist(self._longest_line)
        return (self.dress.bold(gist), "")

    def _announced(self, content: Content) -> tuple[str, ...]:
        about = content if isinstance(content, Notice) else content.change
        assert not isinstance(about, ModelChange), "models stand in families"  # noqa: S101
        if self._small:
            return (self.dress.text(brief_announcement(about)),)
        return (self.dress.text(announcement(about)), *self._example(about))

    def _example(self, about: Notice | CreditValueChange) -> tuple[str, ...]:
        """What a sample announces, which no other notice has."""
        if not isinstance(about, Notice) or about.kind is not NoticeKind.SAMPLE:
            return ()
        (family,) = families([Telling(sample_rise(about.at))])
        return ("", *self._heading(family), *(self._line(line, None) for line in family.lines))

    def _heading(self, family: Family) -> tuple[str, ...]:
        name = harmless(family.name)
        parts = [self.dress.bold(name), *map(self.dress.text, context(family))]
        link = shared_link(family)
        full = " · ".join([*parts, self.dress.linked(link)] if link else parts)
        if width(full) <= self._longest_line:
            return (full,)
        return (self.dress.bold(shortened(name, TERSE_NAME)),)

    def _line(self, line: Line, link: str | None) -> str:
        full = self._item(line, LONGEST_NAME, " · ".join(self.say(line, LONGEST_NAME)))
        if link is not None:
            full = f"{full} · {self.dress.linked(link)}"
        if width(full) <= self._longest_line:
            return full
        return self._item(line, TERSE_NAME, self.say(line, TERSE_NAME)[0])

    def _item(self, line: Line, longest_name: int, said: str) -> str:
        name = label(line, longest_name)
        return self.dress.item.format(self.dress.text(f"{name}: {said}" if name else said))

    def _last_line(self, hidden: int, seen: str, room: int) -> str:
        command = self.dress.code.format(f"kie-watcher changes --alert {self.alert_id}")
        more = f"+{hidden} more"
        if hidden:
            choices = [f"{more}: {command}", f"{more}, alert {self.alert_id}"]
        else:
            choices = [f"alert {self.alert_id}"]
        if not self._small and seen:
            choices.insert(0, f"{seen} · {choices[0]}")
        fallback = more if hidden else ""
        return next((choice for choice in choices if width(choice) <= room), fallback)
