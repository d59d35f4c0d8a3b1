"""The markups of services, and how untrusted text is made safe to stand in any of them.

`harmless` and `safe_link` take away what chat services, mail programs and terminals act upon, and
leave a text readable. Whatever comes from the listing, the API or a service passes through them
before it is put into a message; `MarkupStyle` then only writes what surrounds it.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache

from watcher.catalog.record import is_page_of_kie

LONGEST_NAME = 120
LONGEST_LINK = 300
# No language puts more marks on one letter; more of them would cover the lines above and below.
MOST_MARKS = 3

ZERO_WIDTH_SPACE = "\u200b"
# Backslash escapes are shown as backslashes by some services: look-alikes mean nothing to any.
_LOOK_ALIKES = str.maketrans(
    {
        "@": "@" + ZERO_WIDTH_SPACE,
        "<": "‹",
        ">": "›",
        "&": "＆",
        "`": "ʼ",
        "[": "［",
        "]": "］",
        "*": "∗",
        "~": "∼",
        "|": "¦",
        "#": "♯",
        "\\": "＼",
    }
)
# Underscores inside a word are names as people know them and emphasise nothing; others do.
_EMPHASIS = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_SCHEME = re.compile(r":(?=//)")
# A shortcode turns into a picture; the text may be followed by a colon of ours. Of numbers only two
# are shortcodes: others are lines of a file.
_SHORTCODE = re.compile(r":(?=[\w+-]+(?::|$))(?!(?!100\b|1234\b)\d+(?::|$))")
# `name.tld` becomes a link in many clients, `www.` in all; `2.6` and `5.0s` in none.
# It looks like a dot, and a search that folds Unicode finds it as one.
_DOT_OF_NO_DOMAIN = "\u2024"
# What our own files end in is no domain.
_DOMAIN_DOT = re.compile(
    r"(?<=\w)([.．。｡])(?=[^\W\d_]{2})(?!(?:db|log|yaml|yml)\b)|(?i:(?<=\bwww)(\.))"
)
# A path of several parts is no command.
_BOT_COMMAND = re.compile(r"(?<![\w/.])/(?=[A-Za-z])(?![\w.-]+/)")
_SPACES = re.compile(r" {2,}")
_TAG = re.compile(r"<[^>]*>")
_LINK_ENCODED = {char: f"%{ord(char):02X}" for char in "@*_~!;$"}

# Categories of Unicode.
_INVISIBLE = frozenset({"Cf", "Cn", "Co", "Cs"})
_SPACES_AND_CONTROLS = frozenset({"Cc", "Zs", "Zl", "Zp"})
_MARKS = frozenset({"Mn", "Me"})
# Letters and marks that show nothing; format characters are covered by their category.
_BLANK = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, range(0xFE00, 0xFE10)))
)


@lru_cache(maxsize=4096)
def harmless(text: str) -> str:
    """One line of at most `LONGEST_NAME` UTF-16 units on which no service or terminal acts.

    Mentions, markup, links, shortcodes, control characters, escapes and direction overrides lose
    their effect. A text of which nothing is visible is `?`.
    """
    plain = text if text.isascii() and text.isprintable() else _visible(text)
    # Nothing below makes a text shorter: what lies beyond is cut off in any case.
    plain = _SPACES.sub(" ", plain).strip()[: 2 * LONGEST_NAME].translate(_LOOK_ALIKES)
    plain = _EMPHASIS.sub("ˍ", plain)
    plain = _SHORTCODE.sub("∶", _SCHEME.sub("∶", plain))
    plain = _DOMAIN_DOT.sub(_DOT_OF_NO_DOMAIN, plain)
    plain = _BOT_COMMAND.sub("∕", plain)
    return shortened(plain, LONGEST_NAME) or "?"


def width(text: str) -> int:
    """How long a text is by the strictest count of any service.

    UTF-16 units, and an ampersand as the entity some services make of it before they count.
    """
    return _utf16_units(text) + 4 * text.count("&")


def visible_width(text: str) -> int:
    """How long a text with HTML tags is as Telegram counts: UTF-16 units of what is shown."""
    return _utf16_units(html.unescape(_TAG.sub("", text)))


def utf8_size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _utf16_units(text: str) -> int:
    # A template may make a lone surrogate, which no encoding has.
    return len(text.encode("utf-16-le", "replace")) // 2


def shortened(text: str, longest: int) -> str:
    """The text, or its beginning and `…`, in at most `longest` units; no character is split."""
    if width(text) <= longest:
        return text
    kept = text[: longest - 1]
    while width(kept) > longest - 1:
        kept = kept[:-1]
    # An at sign is not left without what follows it.
    return kept.rstrip(" @" + ZERO_WIDTH_SPACE) + "…"


def without_mention_guards(text: str) -> str:
    """A harmless text for where no at sign mentions anybody: without its invisible characters.

    A search finds them, and some terminals and mail programs give each a place.
    """
    return text.replace(ZERO_WIDTH_SPACE, "")


@lru_cache(maxsize=4096)
def safe_link(link: str | None) -> str | None:
    """The link with its markup characters encoded; `None` where it does not lead to kie.ai."""
    if link is None or not link.isascii() or len(link) > LONGEST_LINK or not is_page_of_kie(link):
        return None
    # An underscore is data in a path and emphasis in a message; encoded it is data in both.
    return "".join(_LINK_ENCODED.get(char, char) for char in link)


@lru_cache(maxsize=4096)
def page_of(link: str | None) -> str | None:
    """The page that a link leads to, without its query and fragment."""
    safe = safe_link(link)
    return None if safe is None else safe.partition("#")[0].partition("?")[0]


def _visible(text: str) -> str:
    """The text in its composed form, without what shows nothing; each space and control a space."""
    kept: list[str] = []
    marks = letters = 0
    for char in unicodedata.normalize("NFC", text):
        category = unicodedata.category(char)
        if category in _INVISIBLE or char in _BLANK:
            continue
        marks = marks + 1 if category in _MARKS else 0
        if marks > MOST_MARKS:
            continue
        kept.append(" " if category in _SPACES_AND_CONTROLS else char)
        letters += category not in _SPACES_AND_CONTROLS
        if letters > 2 * LONGEST_NAME:
            break
    return unicodedata.normalize("NFC", "".join(kept))


class Markup(StrEnum):
    """What a message's body is written in. The last six are each for one kind of service."""

    MARKDOWN = "markdown"
    TEXT = "text"
    HTML = "html"
    TERMINAL = "terminal"
    TELEGRAM_HTML = "telegram_html"
    SLACK_BLOCKS = "slack_blocks"
    DISCORD_EMBED = "discord_embed"
    NTFY = "ntfy"
    EMAIL = "email"
    CLOUDEVENTS = "cloudevents"


# Where an at sign mentions nobody.
WITHOUT_MENTIONS = frozenset({Markup.EMAIL, Markup.TERMINAL})


# Slack refuses longer sections. It takes 50 blocks; headers, a button and the context are some.
SLACK_SECTION = 3000
SLACK_SECTIONS = 40


@dataclass(frozen=True, slots=True)
class Service:
    """What the service of one receiver takes: its markup, how many characters of it, and how often.

    `body_limit` is for the body alone. A service without titles has a `title_limit` of 0: the body
    then begins with the headline. A section is what stands between two blank lines. `pace` is the
    shortest time between two messages.
    """

    name: str
    markup: Markup
    body_limit: int
    title_limit: int
    section_limit: int | None
    pace: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class MarkupStyle:
    """How one markup writes the parts of a message; the texts put in are harmless already.

    Where `link` is empty a link is its address. `large` is for one number; where it is empty, that
    has a place of its own. `escapes`: texts are escaped as in HTML. `has_mentions`: an at sign
    could mention somebody.
    """

    strong: str
    item: str
    link: str
    code: str
    newline: str
    large: str = "{}"
    escapes: bool = False
    has_mentions: bool = True

    def bold(self, text: str, link: str | None = None) -> str:
        """A text in bold; it leads to `link` where the markup has links."""
        shown = self.linked(text, link) if link and self.link else self.text(text)
        return self.strong.format(shown)

    def linked(self, text: str, link: str) -> str:
        """A text that leads to an address, or the address alone."""
        address = html.escape(link, quote=True) if self.escapes else link
        return self.link.format(self.text(text), address) if self.link else address

    def text(self, text: str) -> str:
        if not self.has_mentions:
            return without_mention_guards(text)
        return html.escape(text, quote=False) if self.escapes else text


_PLAIN = MarkupStyle(strong="{}", item="{}", link="", code="{}", newline="\n")
# No colours: only whoever prints the text knows whether it is for a terminal.
_TERMINAL = MarkupStyle(
    strong="{}", item="  {}", link="", code="{}", newline="\n", has_mentions=False
)
# A list: where Markdown is read strictly, lines run together.
_MARKDOWN = MarkupStyle(
    strong="**{}**", item="- {}", link="[{}]({})", code="`{}`", newline="\n", large="**{}**"
)
_EMBED = MarkupStyle(
    strong="**{}**", item="{}", link="[{}]({})", code="`{}`", newline="\n", large="## {}"
)
# An adaptive card breaks lines at paragraphs only.
_CARD = MarkupStyle(
    strong="**{}**", item="{}", link="[{}]({})", code="{}", newline="\n\n", large="**{}**"
)
# Angle brackets keep Discord from showing a preview of every page; an embed shows none.
_DISCORD = MarkupStyle(
    strong="**{}**", item="{}", link="[{}](<{}>)", code="`{}`", newline="\n", large="## {}"
)
_SLACK = MarkupStyle(
    strong="*{}*",
    item="{}",
    link="<{1}|{0}>",
    code="`{}`",
    newline="\n",
    large="",
    escapes=True,
)
_TELEGRAM = MarkupStyle(
    strong="<b>{}</b>",
    item="{}",
    link='<a href="{1}">{0}</a>',
    code="<code>{}</code>",
    newline="\n",
    large="<b>{}</b>",
    escapes=True,
)
_HTML = replace(_TELEGRAM, newline="<br>\n")
# Where an email has its chart when it is sent with one, what is put there, and what it shows.
CHART_PLACE = "<!-- chart -->"
CHART_ID = "prices@kie-watcher"
_CHART = (
    f'<tr><td style="padding:4px 16px 14px"><img src="cid:{CHART_ID}" width="566" '
    'alt="How the prices moved" style="display:block;width:100%;height:auto;border:0;'
    'border-radius:4px"></td></tr>'
)


def with_chart(page: str) -> str:
    """The HTML of an email that shows its chart; as it is where it has no place for one."""
    return page.replace(CHART_PLACE, _CHART, 1)


# Services that read Markdown in their own way.
_MARKDOWN_OF_SERVICE = {"workflow": _CARD, "discord": _DISCORD}
_STYLES = {
    Markup.MARKDOWN: _MARKDOWN,
    Markup.NTFY: _MARKDOWN,
    Markup.DISCORD_EMBED: _EMBED,
    Markup.HTML: _HTML,
    Markup.EMAIL: _HTML,
    Markup.TELEGRAM_HTML: _TELEGRAM,
    Markup.SLACK_BLOCKS: _SLACK,
    Markup.TERMINAL: _TERMINAL,
}


def style_for(service: Service) -> MarkupStyle:
    """Plain text for what has no style of its own."""
    if service.markup is Markup.MARKDOWN and service.name in _MARKDOWN_OF_SERVICE:
        return _MARKDOWN_OF_SERVICE[service.name]
    return _STYLES.get(service.markup, _PLAIN)
