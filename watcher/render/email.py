"""A message as an email: HTML in one column, and a text part that says the same.

The HTML is what mail programs understand: tables for layout, styles in place, nothing fetched from
anywhere. `html_to_text` makes the text part of an email whose HTML a template wrote.
"""

from __future__ import annotations

import json
import re
from html import escape
from html.parser import HTMLParser
from itertools import islice
from typing import TYPE_CHECKING

from watcher.catalog.changes import Notice, NoticeKind
from watcher.render.fitting import Block, Fitted, SizeLimits, Writer, fit
from watcher.render.lines import family_context, family_link, line_link, line_text
from watcher.render.markup import (
    CHART_PLACE,
    LONGEST_NAME,
    Markup,
    MarkupStyle,
    Service,
    harmless,
    utf8_size,
    without_mention_guards,
)
from watcher.render.notices import general_announcement
from watcher.render.outline import OPEN_PAGE, sample_family
from watcher.render.words import Tone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.render.enrichment import MessageItem
    from watcher.render.grouping import Family
    from watcher.render.lines import LineText
    from watcher.render.outline import Outline

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
  .up, .gone {{ color: #ff9a8b !important; }}
  .down {{ color: #63d69c !important; }}
  .new {{ color: #8ab8ff !important; }}
  .crossed {{ color: #ff8fc4 !important; }}
  .promotion {{ color: #c3b0ff !important; }}
  .reference {{ color: #5fd3c6 !important; }}
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
{rows}
<tr><td class="edge soft" style="padding:12px 16px 8px;border-top:1px solid #dfe3e8;\
color:#5b6675;font-size:13px">{closing}</td></tr>
</table>
</td></tr>
</table>
</body>
</html>
"""
_ROW = (
    '<tr><td class="edge text" style="padding:{padding};border-top:{border}px solid #dfe3e8;'
    'color:#1c2430">{content}</td></tr>'
)
_COUNT = (
    '<b class="{tone}" style="color:{colour};white-space:nowrap;margin-right:16px">{text}</b>\n'
)
_BILL = (
    '<div><b class="{tone}" style="color:{colour};font-size:30px;line-height:1.3">{number}</b> '
    "{words}</div>"
)
_SOFT = '<span class="soft" style="color:#5b6675;font-size:13px">{}</span>'
_NEWS = '<b class="{tone}" style="color:{colour};font-size:17px">{sign} {news}</b>{name}'
_LINK = '<a class="link" href="{1}" style="color:#175cd3">{0}</a>'
_BUTTON = (
    '<a href="{1}" style="display:inline-block;padding:9px 18px;border-radius:6px;'
    'background:#175cd3;color:#ffffff;font-weight:600;text-decoration:none">{0}</a>'
)
_COLOURS = {
    Tone.UP: "#b42318",
    Tone.DOWN: "#067647",
    Tone.GONE: "#b42318",
    Tone.NEW: "#175cd3",
    Tone.CROSSED: "#c11574",
    Tone.PROMOTION: "#5925dc",
    Tone.REFERENCE: "#0e7090",
    Tone.OTHER: "#1c2430",
}

_HTML_STYLE = MarkupStyle(
    strong="<b>{}</b>",
    item="{}",
    link=_LINK,
    code="<code>{}</code>",
    newline="<br>\n",
    escapes=True,
)
_TEXT_STYLE = MarkupStyle(
    strong="{}", item="{}", link="", code="{}", newline="\n", has_mentions=False
)


def email_body(outline: Outline, service: Service, title: str) -> tuple[str, int]:
    """The JSON of `html` and `text`, and how many contents they have; the limit is the HTML's.

    Both say the same: what does not fit in the one is not in the other.
    """
    writer = _EmailWriter(service, outline)
    room = service.body_limit - utf8_size(writer.page(title, "", ""))
    fitted = fit(
        writer.rows(),
        len(outline.items),
        SizeLimits(room, None, "\n", utf8_size),
        writer.closing,
    )
    page = writer.page(title, fitted.text, "".join(fitted.closing))
    parts = {"html": page, "text": writer.text_part(fitted)}
    return json.dumps(parts, ensure_ascii=False), fitted.shown


class _EmailWriter:
    def __init__(self, service: Service, outline: Outline) -> None:
        self._outline = outline
        self._text = Writer(
            # With a title: that is the subject, and not said again.
            Service(service.name, Markup.TEXT, NO_LIMIT, 1, None),
            _TEXT_STYLE,
            outline,
        )
        self._closing = Writer(service, _HTML_STYLE, outline)

    def page(self, title: str, rows: str, closing: str) -> str:
        """The whole HTML; without a place of its own the chart stands below everything."""
        outline = self._outline
        parts = [self._head(), rows]
        if CHART_PLACE not in rows:
            parts.append(CHART_PLACE)
        if outline.page:
            button = _row(_link(OPEN_PAGE, outline.page, _BUTTON), "4px 16px 16px", 0)
            parts.append(button)
        return FRAME.format(
            title=_escaped(title),
            preview=self._preview(),
            rows="\n".join(filter(None, parts)),
            closing=closing,
        )

    def rows(self) -> Iterator[Block]:
        """The rows of the table, one block for each that the text part has."""
        outline = self._outline
        for item in outline.general:
            yield Block((self._general_row(item),), opens=False)
        for family in outline.families:
            heading: tuple[str, ...] = (_family_row(family),)
            shared = family_link(family)
            is_first = family is outline.families[0]
            for line in family.lines:
                link = None if shared else line_link(line)
                row = _line_row(self._text.text_of(line, LONGEST_NAME), link)
                after = (CHART_PLACE,) if is_first and line is family.lines[-1] else ()
                yield Block((*heading, row, *after), opens=False, contents=len(line.variants))
                heading = ()
        if not outline.items:
            yield Block((_row("Nothing changed."),), opens=False, contents=0)

    def closing(self, hidden: int) -> tuple[str, ...]:
        """The paragraphs at the end."""
        paragraphs = self._closing.closing(hidden)
        return tuple(f'<p style="margin:0 0 8px">{part}</p>' for part in paragraphs if part)

    def text_part(self, fitted: Fitted) -> str:
        """As many blocks as the HTML shows."""
        hidden = len(self._outline.items) - fitted.shown
        text = fit(
            islice(self._text.blocks(), fitted.blocks),
            fitted.shown,
            SizeLimits(NO_LIMIT, None, "\n"),
            lambda _: self._text.closing(hidden),
        )
        return text.whole()

    def _head(self) -> str:
        """A digest's period, how many of each sort, and the bill as one large number."""
        outline = self._outline
        parts = [_SOFT.format(_escaped(outline.period))] if outline.period else []
        counts = (
            _COUNT.format(tone=tone, colour=_COLOURS[tone], text=_escaped(text))
            for tone, text in outline.strip
        )
        parts += [f"<div>{joined}</div>"] if (joined := "".join(counts)) else []
        if outline.bill:
            number, _, words = outline.bill.partition(" ")
            tone = Tone.UP if outline.cost > 0 else Tone.DOWN
            colour = _COLOURS[tone]
            parts.append(_BILL.format(tone=tone, colour=colour, number=number, words=words))
        return _row("\n".join(parts), border=0) if parts else ""

    def _preview(self) -> str:
        """What a list of emails shows beside the subject: what the first line says."""
        if not self._outline.families:
            return ""
        text = self._text.text_of(self._outline.lines[0], LONGEST_NAME)
        return _escaped(" · ".join(filter(None, (text.name, *text.rest)))[:LONGEST_PREVIEW])

    def _general_row(self, item: MessageItem) -> str:
        notation, content = self._outline.envelope.notation, item.content
        row = _row(_escaped(general_announcement(item, notation)))
        if not isinstance(content, Notice) or content.kind is not NoticeKind.SAMPLE:
            return row
        family = sample_family(content.at)
        lines = (_line_row(line_text(it, LONGEST_NAME, notation), None) for it in family.lines)
        return "\n".join([row, _family_row(family), *lines])


def _row(content: str, padding: str = "12px 16px", border: int = 1) -> str:
    return _ROW.format(content=content, padding=padding, border=border)


def _family_row(family: Family) -> str:
    name, link = harmless(family.name), family_link(family)
    shown = _link(name, link, _LINK) if link else _escaped(name)
    context = " · ".join(map(_escaped, family_context(family)))
    below = f"<br>{_SOFT.format(context)}" if context else ""
    return _row(f'<b style="font-size:16px">{shown}</b>{below}', "14px 16px 0")


def _line_row(line: LineText, link: str | None) -> str:
    """News and name, the cost, the price, then the rest in small type."""
    name = _link(line.name or "page", link, _LINK) if link else _escaped(line.name)
    name = f" · {name}" if name else ""
    colour = _COLOURS[line.tone]
    shown = [
        _NEWS.format(
            tone=line.tone, colour=colour, sign=line.sign, news=_escaped(line.news), name=name
        )
    ]
    first, rest = line.rest[:1], line.rest[1:]
    shown += [f"<b>{_escaped(line.cost)}</b>"] if line.cost else []
    if line.crossing:
        tone = Tone.CROSSED
        text = _escaped(line.crossing)
        shown.append(f'<b class="{tone}" style="color:{_COLOURS[tone]}">{text}</b>')
    shown += map(_escaped, first)
    if rest:
        shown.append(_SOFT.format(" · ".join(map(_escaped, rest))))
    return _row("<br>".join(shown), "6px 16px 10px", 0)


def _link(text: str, link: str, form: str) -> str:
    return form.format(_escaped(text), escape(link, quote=True))


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
