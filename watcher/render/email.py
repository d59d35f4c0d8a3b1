"""The HTML that every letter is made of: its frame and its rows, with the styles in place.

Constants only. Refuses to know what a letter says.

A message as a letter: HTML in one column for a mail program, and plain text that says the same.

Knows what mail programs make of HTML: tables for layout, styles in place, nothing fetched from
anywhere. Refuses to know how a mail is built around it.

The text of a letter in HTML, for those who read mail as text.

Refuses to know what the letter says.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from itertools import islice
from typing import TYPE_CHECKING

from watcher.catalog.changes import ModelChange, Notice, NoticeKind
from watcher.render.contents import sample_rise
from watcher.render.fitting import Block, Fitted, Limits, Writer, fit
from watcher.render.grouping import families
from watcher.render.lines import Tone, context, label, link_of, said_of, shared_link, tone_of
from watcher.render.markup import LONGEST_NAME, ZERO_WIDTH_SPACE, Dress, Markup, Service, harmless
from watcher.render.news import Telling
from watcher.render.words import announcement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.render.contents import Contents
    from watcher.render.grouping import Family, Line
    from watcher.render.news import Content

# Mail programs that know the media query take the dark colours; those that turn colours around by
# themselves find enough contrast to turn. Every colour is in place too: some drop the style sheet.
FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; supported-color-schemes: light dark; }}
@media (prefers-color-scheme: dark) {{
  .page {{ background: #0f1317 !important; }}
  .card {{ background: #1a2027 !important; border-color: #2f3842 !important; }}
  .edge {{ border-color: #2f3842 !important; }}
  .text {{ color: #e8ecf1 !important; }}
  .soft {{ color: #a9b4c0 !important; }}
  .link {{ color: #8ab8ff !important; }}
  .up {{ color: #ff9a8b !important; }}
  .down {{ color: #63d69c !important; }}
}}
</style>
</head>
<body class="page" style="margin:0;padding:0;background:#f2f4f7">
<div style="display:none;max-height:0;overflow:hidden">{preview}</div>
<table role="presentation" class="page" width="100%" cellpadding="0" cellspacing="0" border="0" \
style="background:#f2f4f7">
<tr><td align="center" style="padding:12px 8px">
<table role="presentation" class="card text" width="100%" cellpadding="0" cellspacing="0" \
border="0" style="max-width:600px;table-layout:fixed;background:#ffffff;border:1px solid #dfe3e8;\
border-radius:8px;color:#1c2430;text-align:left;overflow-wrap:anywhere;word-break:break-word;\
font:15px/1.5 -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif">
<tr><td class="text" style="padding:16px;color:#1c2430">
<h1 style="margin:0;font-size:19px;line-height:1.35;font-weight:700">{gist}</h1></td></tr>
{rows}
<!-- pictures -->
<tr><td class="edge soft" style="padding:12px 16px 8px;border-top:1px solid #dfe3e8;\
color:#5b6675;font-size:13px">{closing}</td></tr>
</table>
</td></tr>
</table>
</body>
</html>
"""

# Where whoever sends the letter can put rows with pictures that go along with it.
PICTURES = "<!-- pictures -->"

GENERAL = (
    '<tr><td class="edge text" style="padding:12px 16px;border-top:1px solid #dfe3e8;'
    'color:#1c2430">{}</td></tr>'
)
FAMILY = (
    '<tr><td class="edge text" style="padding:14px 16px 0;border-top:1px solid #dfe3e8;'
    'color:#1c2430"><b style="font-size:16px">{}</b>{}</td></tr>'
)
CONTEXT = '<br><span class="soft" style="color:#5b6675;font-size:13px">{}</span>'
LINE = (
    '<tr><td class="text" style="padding:6px 16px 10px;color:#1c2430">'
    "{name}{news}{cost}{rest}</td></tr>"
)
NAME = "{}<br>"
COST = "<br><b>{}</b>"
REST = '<br><span class="soft" style="color:#5b6675;font-size:13px">{}</span>'
LINK = '<a class="link" href="{}" style="color:#175cd3">page</a>'

# A sign beside the colour: not everybody sees the one, not every program shows the other.
TONES = {
    Tone.DEARER: '<b class="up" style="color:#b42318">▲ {}</b>',
    Tone.CHEAPER: '<b class="down" style="color:#067647">▼ {}</b>',
    Tone.GONE: '<b class="up" style="color:#b42318">✕ {}</b>',
    Tone.NEW: '<b class="link" style="color:#175cd3">+ {}</b>',
    Tone.OTHER: "<b>{}</b>",
}


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


_UNSEEN = frozenset({"head", "script", "style", "title"})
_LINES = frozenset(
    {"br", "div", "h1", "h2", "h3", "h4", "li", "p", "table", "tr", "ul", "ol", "hr"}
)
_SPACES = re.compile(r"[ \t\r\n\u00a0]+")
_EMPTY_LINES = re.compile(r"\n{3,}")


def text_of(page: str) -> str:
    """What is seen of a page, line by line, each link after its words."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    lines = (line.strip() for line in "".join(reader.seen).split("\n"))
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self._unseen = 0
        self._links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in _UNSEEN
        if tag in _LINES:
            self.seen.append("\n")
        if tag == "a":
            self._links.append(dict(attrs).get("href") or "")

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in _UNSEEN))
        if tag in _LINES:
            self.seen.append("\n")
        if tag == "a" and self._links and (link := self._links.pop()):
            self.seen.append(f" {link}")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.seen.append(_SPACES.sub(" ", data))
