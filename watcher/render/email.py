"""A message as an email: HTML in one column, and a text part that says the same.

The HTML is what mail programs understand: tables for layout, styles in place, nothing fetched from
anywhere. `html_to_text` makes the text part of an email whose HTML a template wrote.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser
from itertools import islice
from typing import TYPE_CHECKING

from watcher.catalog.changes import ModelChange, Notice, NoticeKind
from watcher.render.fitting import Block, Fitted, SizeLimits, Writer, fit
from watcher.render.lines import (
    Tone,
    family_context,
    family_link,
    line_link,
    line_name,
    line_phrases,
    tone_of,
)
from watcher.render.markup import (
    LONGEST_NAME,
    Markup,
    MarkupStyle,
    Service,
    harmless,
    utf8_size,
    without_mention_guards,
)
from watcher.render.outline import sample_family
from watcher.render.words import announcement, flapping_note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.render.enrichment import MessageItem
    from watcher.render.grouping import Family, MessageLine
    from watcher.render.outline import Outline

LONGEST_HEADLINE = 300
LONGEST_PREVIEW = 120
NO_LIMIT = 10**9

# Mail programs that know the media query take the dark colours; those that invert colours by
# themselves find enough contrast to do so. Every colour is in place too: some drop the style sheet.
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
<h1 style="margin:0;font-size:19px;line-height:1.35;font-weight:700">{headline}</h1></td></tr>
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

# A sign beside the colour: not everybody sees colours, and not every program shows them.
TONES = {
    Tone.DEARER: '<b class="up" style="color:#b42318">▲ {}</b>',
    Tone.CHEAPER: '<b class="down" style="color:#067647">▼ {}</b>',
    Tone.GONE: '<b class="up" style="color:#b42318">✕ {}</b>',
    Tone.NEW: '<b class="link" style="color:#175cd3">+ {}</b>',
    Tone.OTHER: "<b>{}</b>",
}

_HTML_STYLE = MarkupStyle(
    heading="{}", item="{}", link=LINK, code="<code>{}</code>", newline="<br>\n", escapes=True
)
_TEXT_STYLE = MarkupStyle(
    heading="{}", item="• {}", link="{}", code="{}", newline="\n", has_mentions=False
)


def email_body(outline: Outline, service: Service, alert_id: str, title: str) -> tuple[str, int]:
    """The JSON of `html` and `text`, and how many contents they have; the limit is the HTML's.

    Both say the same: what does not fit in the one is not in the other.
    """
    writer = _EmailWriter(service, alert_id)
    room = service.body_limit - utf8_size(_page(outline, title, "", ""))
    fitted = fit(
        writer.rows(outline),
        len(outline.items),
        SizeLimits(room, None, "\n", utf8_size),
        lambda hidden: writer.closing(hidden, outline),
    )
    page = _page(outline, title, fitted.text, "".join(fitted.closing))
    parts = {"html": page, "text": writer.text_part(outline, fitted)}
    return json.dumps(parts, ensure_ascii=False), fitted.shown


@dataclass(frozen=True, slots=True)
class _EmailWriter:
    service: Service
    alert_id: str
    # By identity: nothing of a line changes while a message is written.
    _known: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def rows(self, outline: Outline) -> Iterator[Block]:
        """The rows of the table, one block for each that the text part has."""
        for item in outline.general:
            yield Block((_general_row(item),), opens=False)
        for family in outline.families:
            heading: tuple[str, ...] = (_family_row(family),)
            shared = family_link(family)
            for line in family.lines:
                link = None if shared else line_link(line)
                row = _line_row(line, self._phrases(line, LONGEST_NAME), link)
                yield Block((*heading, row), opens=False, contents=len(line.variants))
                heading = ()

    def closing(self, hidden: int, outline: Outline) -> tuple[str, ...]:
        paragraphs = Writer(self.service, _HTML_STYLE, self.alert_id).closing(hidden, outline)
        return tuple(f'<p style="margin:0 0 8px">{part}</p>' for part in paragraphs if part)

    def text_part(self, outline: Outline, fitted: Fitted) -> str:
        """The headline, then as many blocks as the HTML shows."""
        service = Service(self.service.name, Markup.TEXT, NO_LIMIT, LONGEST_HEADLINE, None)
        writer = Writer(service, _TEXT_STYLE, self.alert_id, self._phrases)
        hidden = len(outline.items) - fitted.shown
        text = fit(
            islice(writer.blocks(outline), fitted.blocks),
            fitted.shown,
            SizeLimits(NO_LIMIT, None, "\n"),
            lambda _: writer.closing(hidden, outline),
        )
        return f"{_TEXT_STYLE.text(outline.headline(LONGEST_HEADLINE))}\n\n{text.whole()}"

    def _phrases(self, line: MessageLine, longest_name: int) -> tuple[str, ...]:
        """The phrases of a line, made once for both parts."""
        if longest_name != LONGEST_NAME:
            return line_phrases(line, longest_name)
        if id(line) not in self._known:
            self._known[id(line)] = line_phrases(line, longest_name)
        return self._known[id(line)]


def _page(outline: Outline, title: str, rows: str, closing: str) -> str:
    return FRAME.format(
        title=_escaped(title),
        preview=_preview(outline),
        headline=_escaped(outline.headline(LONGEST_HEADLINE)),
        rows=rows,
        closing=closing,
    )


def _preview(outline: Outline) -> str:
    """What a list of emails shows beside the subject: the first line's news."""
    if not outline.families:
        return ""
    family = outline.families[0]
    line = family.lines[0]
    names = (harmless(family.name), line_name(line, LONGEST_NAME))
    name = " ".join(part for part in names if part)
    return _escaped(f"{name}: {line_phrases(line, LONGEST_NAME)[0]}"[:LONGEST_PREVIEW])


def _general_row(item: MessageItem) -> str:
    content = item.content
    about = content if isinstance(content, Notice) else content.change
    assert not isinstance(about, ModelChange), "changes of models are in families"  # noqa: S101
    row = GENERAL.format(_escaped(announcement(about) + flapping_note(item)))
    if not isinstance(about, Notice) or about.kind is not NoticeKind.SAMPLE:
        return row
    family = sample_family(about.at)
    rows = (_line_row(line, line_phrases(line, LONGEST_NAME), None) for line in family.lines)
    return "\n".join([row, _family_row(family), *rows])


def _family_row(family: Family) -> str:
    link = family_link(family)
    details = [*map(_escaped, family_context(family)), *([_linked(link)] if link else [])]
    context = CONTEXT.format(" · ".join(details)) if details else ""
    return FAMILY.format(_escaped(harmless(family.name)), context)


def _line_row(line: MessageLine, phrases: tuple[str, ...], link: str | None) -> str:
    news, *rest = phrases
    cost = COST.format(_escaped(rest.pop(0))) if any(one.cost for one in line.changes) else ""
    details = [*map(_escaped, rest), *([_linked(link)] if link else [])]
    name = line_name(line, LONGEST_NAME)
    return LINE.format(
        name=NAME.format(_escaped(name)) if name else "",
        news=TONES[tone_of(line)].format(_escaped(news)),
        cost=cost,
        rest=REST.format(" · ".join(details)) if details else "",
    )


def _linked(link: str) -> str:
    return LINK.format(escape(link, quote=True))


def _escaped(text: str) -> str:
    return escape(without_mention_guards(text), quote=True)


_UNSEEN_TAGS = frozenset({"head", "script", "style", "title"})
_LINE_TAGS = frozenset(
    {"br", "div", "h1", "h2", "h3", "h4", "li", "p", "table", "tr", "ul", "ol", "hr"}
)
_SPACES = re.compile(r"[ \t\r\n\u00a0]+")
_EMPTY_LINES = re.compile(r"\n{3,}")


def html_to_text(page: str) -> str:
    """What is seen of a page, line by line, each link after its words."""
    reader = _TextReader()
    reader.feed(page)
    reader.close()
    lines = (line.strip() for line in "".join(reader.text).split("\n"))
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()


class _TextReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self._unseen_depth = 0
        self._links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen_depth += tag in _UNSEEN_TAGS
        if tag in _LINE_TAGS:
            self.text.append("\n")
        if tag == "a":
            self._links.append(dict(attrs).get("href") or "")

    def handle_endtag(self, tag: str) -> None:
        self._unseen_depth = max(0, self._unseen_depth - (tag in _UNSEEN_TAGS))
        if tag in _LINE_TAGS:
            self.text.append("\n")
        if tag == "a" and self._links and (link := self._links.pop()):
            self.text.append(f" {link}")

    def handle_data(self, data: str) -> None:
        if not self._unseen_depth:
            self.text.append(_SPACES.sub(" ", data))
