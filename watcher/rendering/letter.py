"""A message as a letter: HTML in one column for a mail program, and plain text that says the same.

Knows what mail programs make of HTML: tables for layout, styles in place, nothing fetched from
anywhere. Refuses to know how a mail is built around it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape
from itertools import islice
from typing import TYPE_CHECKING

from watcher.changes import ModelChange, Notice, NoticeKind
from watcher.rendering.dress import Dress, Markup, Service
from watcher.rendering.facts import Telling
from watcher.rendering.fitting import Block, Fitted, Limits, fit
from watcher.rendering.grouping import families
from watcher.rendering.harmless import LONGEST_NAME, ZERO_WIDTH_SPACE, harmless
from watcher.rendering.letter_frame import (
    CONTEXT,
    COST,
    FAMILY,
    FRAME,
    GENERAL,
    LINE,
    LINK,
    NAME,
    REST,
    TONES,
)
from watcher.rendering.line_words import context, label, link_of, said_of, shared_link, tone_of
from watcher.rendering.lines import Writer
from watcher.rendering.sample import sample_rise
from watcher.rendering.wording import announcement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.rendering.contents import Contents
    from watcher.rendering.facts import Content
    from watcher.rendering.grouping import Family, Line

__all__ = ["letter"]

LONGEST_GIST = 300
LONGEST_PREVIEW = 120
NO_LIMIT = 10**9

_DRESS = Dress(
    heading="{}", item="{}", link=LINK, code="<code>{}</code>", newline="<br>\n", tags=True
)
_TEXT = Dress(heading="{}", item="• {}", link="{}", code="{}", newline="\n", calls=False)


def letter(told: Contents, service: Service, alert_id: str, title: str) -> tuple[str, int]:
    """The JSON of `html` and `text`, and how many contents they tell; the limit is the HTML's.

    Both tell the same: what does not fit in the one is not in the other.
    """
    writing = _Letter(service, alert_id, _Remembered())
    frame = _framed(told, title, "", "")
    room = service.body_limit - _bytes(frame)
    fitted = fit(
        writing.blocks(told),
        len(told.tellings),
        Limits(room, None, "\n", _bytes),
        lambda hidden: writing.closing(hidden, told),
    )
    page = _framed(told, title, fitted.text, "".join(fitted.closing))
    parts = {"html": page, "text": writing.plain(told, fitted)}
    return json.dumps(parts, ensure_ascii=False), fitted.shown


class _Remembered:
    """Words each line once for both parts of a letter."""

    def __init__(self) -> None:
        # By identity: nothing of a line changes while a message is written.
        self._said: dict[int, tuple[str, ...]] = {}

    def __call__(self, line: Line, longest_name: int) -> tuple[str, ...]:
        if longest_name != LONGEST_NAME:
            return said_of(line, longest_name)
        if id(line) not in self._said:
            self._said[id(line)] = said_of(line, longest_name)
        return self._said[id(line)]


@dataclass(frozen=True, slots=True)
class _Letter:
    service: Service
    alert_id: str
    say: _Remembered

    def blocks(self, told: Contents) -> Iterator[Block]:
        """The rows of the table, one block for each that the text has."""
        for content in told.general:
            yield Block((_announced(content),), opens=False)
        for family in told.families:
            heading: tuple[str, ...] = (_heading(family),)
            shared = shared_link(family)
            for line in family.lines:
                link = None if shared else link_of(line)
                row = _row(line, self.say(line, LONGEST_NAME), link)
                yield Block((*heading, row), opens=False, contents=len(line.variants))
                heading = ()

    def closing(self, hidden: int, told: Contents) -> tuple[str, ...]:
        paragraphs = Writer(self.service, _DRESS, self.alert_id).closing(hidden, told)
        return tuple(f'<p style="margin:0 0 8px">{part}</p>' for part in paragraphs if part)

    def plain(self, told: Contents, fitted: Fitted) -> str:
        """The text part: the gist, then as many blocks as the HTML shows."""
        service = Service(self.service.name, Markup.TEXT, NO_LIMIT, LONGEST_GIST, None)
        writer = Writer(service, _TEXT, self.alert_id, self.say)
        hidden = len(told.tellings) - fitted.shown
        text = fit(
            islice(writer.blocks(told), fitted.blocks),
            fitted.shown,
            Limits(NO_LIMIT, None, "\n"),
            lambda _: writer.closing(hidden, told),
        )
        return f"{_TEXT.text(told.gist(LONGEST_GIST))}\n\n{text.whole()}"


def _framed(told: Contents, title: str, rows: str, closing: str) -> str:
    gist = _shown(told.gist(LONGEST_GIST))
    return FRAME.format(
        title=_shown(title), preview=_preview(told), gist=gist, rows=rows, closing=closing
    )


def _preview(told: Contents) -> str:
    """What a list of mails shows beside the subject: the first of the news."""
    for family in told.families:
        first = family.lines[0]
        name = " ".join(
            part for part in (harmless(family.name), label(first, LONGEST_NAME)) if part
        )
        return _shown(f"{name}: {said_of(first, LONGEST_NAME)[0]}"[:LONGEST_PREVIEW])
    return ""


def _announced(content: Content) -> str:
    about = content if isinstance(content, Notice) else content.change
    assert not isinstance(about, ModelChange), "models stand in families"  # noqa: S101
    row = GENERAL.format(_shown(announcement(about)))
    if not isinstance(about, Notice) or about.kind is not NoticeKind.SAMPLE:
        return row
    (family,) = families([Telling(sample_rise(about.at))])
    (line,) = family.lines
    return "\n".join([row, _heading(family), _row(line, said_of(line, LONGEST_NAME), None)])


def _heading(family: Family) -> str:
    link = shared_link(family)
    beside = [*map(_shown, context(family)), *([_linked(link)] if link else [])]
    said = CONTEXT.format(" · ".join(beside)) if beside else ""
    return FAMILY.format(_shown(harmless(family.name)), said)


def _row(line: Line, said: tuple[str, ...], link: str | None) -> str:
    news, *rest = said
    cost = COST.format(_shown(rest.pop(0))) if any(one.cost for one in line.news) else ""
    details = [*map(_shown, rest), *([_linked(link)] if link else [])]
    name = label(line, LONGEST_NAME)
    return LINE.format(
        name=NAME.format(_shown(name)) if name else "",
        news=TONES[tone_of(line)].format(_shown(news)),
        cost=cost,
        rest=REST.format(" · ".join(details)) if details else "",
    )


def _linked(link: str) -> str:
    return LINK.format(escape(link, quote=True))


def _shown(text: str) -> str:
    # A mail calls nobody; what should take no room is found by a search, and shown by some.
    return escape(text.replace(ZERO_WIDTH_SPACE, ""), quote=True)


def _bytes(text: str) -> int:
    return len(text.encode())
