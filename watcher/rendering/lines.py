"""A message as lines of text in one markup: what it opens with, its families, how it closes.

Writes for every service that takes text of any kind. Refuses to know what else a service wants
around the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.changes import ModelChange, Notice, NoticeKind
from watcher.rendering.facts import Telling
from watcher.rendering.fitting import Block
from watcher.rendering.grouping import families
from watcher.rendering.harmless import LONGEST_NAME, harmless, shortened, width
from watcher.rendering.line_words import (
    TERSE_NAME,
    context,
    label,
    link_of,
    said_of,
    shared_link,
)
from watcher.rendering.sample import sample_rise
from watcher.rendering.wording import announcement, brief_announcement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from watcher.changes import CreditValueChange
    from watcher.rendering.contents import Contents
    from watcher.rendering.dress import Dress, Service
    from watcher.rendering.facts import Content
    from watcher.rendering.grouping import Family, Line

__all__ = ["Writer"]

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
