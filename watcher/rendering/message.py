"""What a message says and how it looks in each service's markup.

Assembles title, families, lines and footer, and fits them. Refuses to know how a message is sent.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from watcher.changes import CreditValueChange, ModelChange, Notice, NoticeKind, RecordedChange
from watcher.rendering.fitting import Block, Limits, fit
from watcher.rendering.grouping import families, general
from watcher.rendering.harmless import (
    LONGEST_NAME,
    ZERO_WIDTH_SPACE,
    harmless,
    safe_link,
    shortened,
    width,
)
from watcher.rendering.headline import headline
from watcher.rendering.sample import sample_rise
from watcher.rendering.wording import announcement, brief_announcement, moment, phrases

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.rendering.grouping import Content, Family, Line

__all__ = ["Markup", "Message", "Service", "harmless", "render"]

# Below this a service takes a text message's worth: names are cut short, a line says one thing.
SMALL_BODY = 500
TERSE_NAME = 20
# No one line may take more of a message than this share of it.
LINE_SHARE = 3


class Markup(StrEnum):
    """What a service makes of the text it is given."""

    MARKDOWN = "markdown"
    TEXT = "text"
    HTML = "html"
    TERMINAL = "terminal"


@dataclass(frozen=True, slots=True)
class Service:
    """What can be said to one receiver: its markup, and how many characters it takes.

    `body_limit` is for the body alone. A service without titles has a `title_limit` of 0: the body
    then begins with the gist.
    """

    name: str
    markup: Markup
    body_limit: int
    title_limit: int
    section_limit: int | None


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: `shown` of the contents stand in the body, `hidden` are counted at its end."""

    title: str
    body: str
    shown: int
    hidden: int


@dataclass(frozen=True, slots=True)
class _Dress:
    """How one markup writes the parts of a message; the texts put in are harmless already."""

    heading: str
    item: str
    link: str
    code: str
    newline: str


_PLAIN = _Dress(heading="{}", item="• {}", link="{}", code="{}", newline="\n")
# No colours: whoever owns the terminal knows whether it is one.
_TERMINAL = _Dress(heading="{}", item="  • {}", link="{}", code="{}", newline="\n")
# Angle brackets keep chat services from unfolding a preview of every page.
_MARKDOWN = _Dress(heading="**{}**", item="• {}", link="<{}>", code="`{}`", newline="\n")
_HTML = _Dress(
    heading="<b>{}</b>",
    item="• {}",
    link='<a href="{0}">page</a>',
    code="<code>{}</code>",
    newline="<br>\n",
)
_DRESSES = {
    Markup.MARKDOWN: _MARKDOWN,
    Markup.TEXT: _PLAIN,
    Markup.HTML: _HTML,
    Markup.TERMINAL: _TERMINAL,
}


def render(contents: Sequence[Content], service: Service, alert_id: str) -> Message:
    """One message that fits the service and says as much as it can, the weightiest first.

    What does not fit is left out by whole lines, and the last line says how many and which command
    lists them. The order of `contents` makes no difference.
    """
    return _Writer(service, _DRESSES[service.markup], alert_id).message(contents)


@dataclass(frozen=True, slots=True)
class _Writer:
    service: Service
    dress: _Dress
    alert_id: str

    def message(self, contents: Sequence[Content]) -> Message:
        seen = _seen(contents)
        limits = Limits(self.service.body_limit, self.service.section_limit, self.dress.newline)
        fitted = fit(
            self._blocks(contents), len(contents), limits, lambda hidden: self._footer(hidden, seen)
        )
        gist = headline(contents, self.service.title_limit) if self.service.title_limit else ""
        title = gist.replace(ZERO_WIDTH_SPACE, "") if self._on_a_terminal else gist
        return Message(title, fitted.text, fitted.shown, len(contents) - fitted.shown)

    @property
    def _small(self) -> bool:
        return self.service.body_limit < SMALL_BODY

    @property
    def _on_a_terminal(self) -> bool:
        return self.service.markup is Markup.TERMINAL

    @property
    def _longest_line(self) -> int:
        share = 0 if self._small else self.service.body_limit // LINE_SHARE
        section = self.service.section_limit
        return share if section is None else min(share, section)

    def _blocks(self, contents: Sequence[Content]) -> Iterator[Block]:
        opening = self._opening(contents)
        for content in general(contents):
            yield Block((*opening, *self._announced(content)), opens=True)
            opening = ()
        for family in families(contents):
            heading = self._heading(family)
            shared = _shared_link(family)
            for line in family.lines:
                said = self._line(line, None if shared else _link(line))
                yield Block((*opening, *heading, said), opens=bool(heading))
                opening, heading = (), ()

    def _opening(self, contents: Sequence[Content]) -> tuple[str, ...]:
        """What stands for a title where the service has none."""
        if self.service.title_limit:
            return ()
        gist = "Kie.ai" if self._small else headline(contents, self._longest_line)
        return (self._bold(gist), "")

    def _announced(self, content: Notice | RecordedChange) -> tuple[str, ...]:
        about = content if isinstance(content, Notice) else content.change
        assert not isinstance(about, ModelChange), "models stand in families"  # noqa: S101
        if self._small:
            return (self._text(brief_announcement(about)),)
        said = self._text(announcement(about))
        return (said, *self._example(about))

    def _example(self, about: Notice | CreditValueChange) -> tuple[str, ...]:
        """What a sample announces, which no other notice has."""
        if not isinstance(about, Notice) or about.kind is not NoticeKind.SAMPLE:
            return ()
        (family,) = families([sample_rise(about.at)])
        return ("", *self._heading(family), *(self._line(line, None) for line in family.lines))

    def _heading(self, family: Family) -> tuple[str, ...]:
        name = harmless(family.name)
        full = " · ".join([self._bold(name), *self._context(family)])
        if width(full) <= self._longest_line:
            return (full,)
        return (self._bold(shortened(name, TERSE_NAME)),)

    def _context(self, family: Family) -> Iterator[str]:
        """What all of a family share: provider and category, and the page where it is one."""
        records = [line.change.model.record for line in family.lines]
        for told in ({record.provider for record in records}, {r.interface for r in records}):
            shared = told.pop().strip() if len(told) == 1 else ""
            if shared:
                yield self._text(shortened(harmless(shared), 2 * TERSE_NAME))
        link = _shared_link(family)
        if link is not None:
            yield self._linked(link)

    def _line(self, line: Line, link: str | None) -> str:
        full = self._item(line, LONGEST_NAME, " · ".join(phrases(line.change, LONGEST_NAME)))
        if link is not None:
            full = f"{full} · {self._linked(link)}"
        if width(full) <= self._longest_line:
            return full
        return self._item(line, TERSE_NAME, phrases(line.change, TERSE_NAME)[0])

    def _item(self, line: Line, longest_name: int, said: str) -> str:
        marks = [shortened(harmless(mark or "none"), TERSE_NAME) for mark in line.mark]
        if line.dated:
            marks.append(moment(line.recorded.at))
        told_apart = f"({', '.join(marks)})" if marks else ""
        variant = shortened(harmless(line.variant), longest_name) if line.variant else ""
        label = " ".join(part for part in (variant, told_apart) if part)
        return self.dress.item.format(self._text(f"{label}: {said}" if label else said))

    def _footer(self, hidden: int, seen: str) -> str:
        """The fullest footer that leaves most of the message to the message."""
        command = f"kie-watcher changes --alert {self.alert_id}"
        if hidden:
            more = f"+{hidden} more"
            choices = [
                f"{more}: {self.dress.code.format(command)}",
                f"{more}, alert {self.alert_id}",
            ]
        else:
            more = ""
            choices = [f"alert {self.alert_id}"]
        if not self._small and seen:
            choices.insert(0, f"{seen} · {choices[0]}")
        room = self.service.body_limit // 2
        if self.service.section_limit is not None:
            room = min(room, self.service.section_limit)
        return next((choice for choice in choices if width(choice) <= room), more)

    def _bold(self, text: str) -> str:
        return self.dress.heading.format(self._text(text))

    def _linked(self, link: str) -> str:
        return self.dress.link.format(self._text(link))

    def _text(self, text: str) -> str:
        if self._on_a_terminal:
            # There is nobody to call, and some terminals give every character a place.
            return text.replace(ZERO_WIDTH_SPACE, "")
        return html.escape(text, quote=False) if self.service.markup is Markup.HTML else text


def _link(line: Line) -> str | None:
    return safe_link(line.change.model.record.link)


def _shared_link(family: Family) -> str | None:
    links = {_link(line) for line in family.lines}
    return links.pop() if len(links) == 1 else None


def _seen(contents: Sequence[Content]) -> str:
    """When it happened: a message may have waited long for its receiver."""
    times = sorted({moment(content.at) for content in contents})
    if not times:
        return ""
    return f"seen {times[0]}" if len(times) == 1 else f"seen {times[0]} to {times[-1]}"
