"""Untrusted text made safe to stand anywhere: names from the listing, and links to their pages.

Knows what chat services, mail programs and terminals act upon, and takes the edge off it while the
text stays readable. Refuses to know what the text is about or where it will stand.

What services make of a text: the markups there are, and how each writes the parts of a message.

Refuses to know what a message says and how much of it fits.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from urllib.parse import urlsplit

LONGEST_NAME = 120
LONGEST_LINK = 300
# More marks on one letter than any language writes are there to smear over the neighbouring lines.
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
# A shortcode turns into a picture; the text may be followed by a colon of ours.
_SHORTCODE = re.compile(r":(?=[\w+-]+(?::|$))")
# `name.tld` becomes a link in many clients, `www.` in all; `2.6` and `5.0s` in none.
# It looks like a dot, and a search that folds Unicode finds it as one.
_DOT_OF_NO_DOMAIN = "\u2024"
_DOMAIN_DOT = re.compile(r"(?<=\w)([.．。｡])(?=[^\W\d_]{2})|(?i:(?<=\bwww)(\.))")
_BOT_COMMAND = re.compile(r"(?<![\w/.])/(?=[A-Za-z])")
_SPACES = re.compile(r" {2,}")
_LINK_ENCODED = {char: f"%{ord(char):02X}" for char in "@*_~!;$"}

_UNSEEN = frozenset({"Cf", "Cn", "Co", "Cs"})
_GAPS = frozenset({"Cc", "Zs", "Zl", "Zp"})
_MARKS = frozenset({"Mn", "Me"})
# Letters and marks that show nothing, besides the format characters, which a category covers.
_INVISIBLE = frozenset(
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
    """How long the strictest service takes a text to be.

    UTF-16 units, and an ampersand as the entity some services make of it before they count.
    """
    return len(text.encode("utf-16-le")) // 2 + 4 * text.count("&")


def shortened(text: str, longest: int) -> str:
    """The text, or its beginning and `…`, in at most `longest` units; no character is split."""
    if width(text) <= longest:
        return text
    kept = text[: longest - 1]
    while width(kept) > longest - 1:
        kept = kept[:-1]
    # An at sign is not left without what follows it.
    return kept.rstrip(" @" + ZERO_WIDTH_SPACE) + "…"


@lru_cache(maxsize=4096)
def safe_link(link: str | None) -> str | None:
    """The link, where it leads to kie.ai and nowhere else; characters that are markup, encoded.

    A page anywhere else is no page of a model: it is left out rather than offered.
    """
    if link is None or not link.isascii() or len(link) > LONGEST_LINK:
        return None
    parts = urlsplit(link)
    host = (parts.hostname or "").rstrip(".")
    if "@" in parts.netloc or parts.scheme not in {"http", "https"}:
        return None
    if host != "kie.ai" and not host.endswith(".kie.ai"):
        return None
    # An underscore is data in a path and emphasis in a message; encoded it is data in both.
    return "".join(_LINK_ENCODED.get(char, char) for char in link)


@lru_cache(maxsize=4096)
def page_of(link: str | None) -> str | None:
    """The page that a link leads to, whatever it is to show first there."""
    safe = safe_link(link)
    return None if safe is None else safe.partition("#")[0].partition("?")[0]


def _visible(text: str) -> str:
    """The text in its composed form, without what shows nothing; every gap a space."""
    seen: list[str] = []
    marks = letters = 0
    for char in unicodedata.normalize("NFC", text):
        category = unicodedata.category(char)
        if category in _UNSEEN or char in _INVISIBLE:
            continue
        marks = marks + 1 if category in _MARKS else 0
        if marks > MOST_MARKS:
            continue
        seen.append(" " if category in _GAPS else char)
        letters += category not in _GAPS
        if letters > 2 * LONGEST_NAME:
            break
    return unicodedata.normalize("NFC", "".join(seen))


class Markup(StrEnum):
    """What a body is written in. The last five are each made for one kind of service."""

    MARKDOWN = "markdown"
    TEXT = "text"
    HTML = "html"
    TERMINAL = "terminal"
    TELEGRAM_HTML = "telegram_html"
    SLACK_BLOCKS = "slack_blocks"
    DISCORD_EMBED = "discord_embed"
    EMAIL = "email"
    CLOUDEVENTS = "cloudevents"


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
class Dress:
    """How one markup writes the parts of a message; the texts put in are harmless already.

    `tags`: the text is escaped first. `calls`: somebody could be called by it.
    """

    heading: str
    item: str
    link: str
    code: str
    newline: str
    tags: bool = False
    calls: bool = True

    def bold(self, text: str) -> str:
        return self.heading.format(self.text(text))

    def linked(self, link: str) -> str:
        return self.link.format(html.escape(link, quote=True) if self.tags else link)

    def text(self, text: str) -> str:
        if not self.calls:
            # There is nobody to call, and some terminals give every character a place.
            return text.replace(ZERO_WIDTH_SPACE, "")
        return html.escape(text, quote=False) if self.tags else text


_PLAIN = Dress(heading="{}", item="• {}", link="{}", code="{}", newline="\n")
# No colours: whoever owns the terminal knows whether it is one.
_TERMINAL = Dress(heading="{}", item="  • {}", link="{}", code="{}", newline="\n", calls=False)
# A list, not lines with dots: where Markdown is read to the letter, lines run together.
_MARKDOWN = Dress(heading="**{}**", item="- {}", link="[page]({})", code="`{}`", newline="\n")
_EMBED = Dress(heading="**{}**", item="• {}", link="[page]({})", code="`{}`", newline="\n")
# An adaptive card breaks lines at paragraphs only.
_CARD = Dress(heading="**{}**", item="• {}", link="[page]({})", code="{}", newline="\n\n")
# Angle brackets keep Discord from unfolding a preview of every page; an embed never does.
_DISCORD = Dress(heading="**{}**", item="• {}", link="[page](<{}>)", code="`{}`", newline="\n")
_SLACK = Dress(heading="*{}*", item="• {}", link="<{}|page>", code="`{}`", newline="\n", tags=True)
_TELEGRAM = Dress(
    heading="<b>{}</b>",
    item="• {}",
    link='<a href="{}">page</a>',
    code="<code>{}</code>",
    newline="\n",
    tags=True,
)
_HTML = Dress(
    heading="<b>{}</b>",
    item="• {}",
    link='<a href="{}">page</a>',
    code="<code>{}</code>",
    newline="<br>\n",
    tags=True,
)
# Services that read Markdown in their own way.
_MARKDOWNS = {"workflow": _CARD, "discord": _DISCORD}
_DRESSES = {
    Markup.MARKDOWN: _MARKDOWN,
    Markup.DISCORD_EMBED: _EMBED,
    Markup.HTML: _HTML,
    Markup.TELEGRAM_HTML: _TELEGRAM,
    Markup.SLACK_BLOCKS: _SLACK,
    Markup.TERMINAL: _TERMINAL,
}


def dress_for(service: Service) -> Dress:
    """Plain text for what has no dress of its own."""
    if service.markup is Markup.MARKDOWN and service.name in _MARKDOWNS:
        return _MARKDOWNS[service.name]
    return _DRESSES.get(service.markup, _PLAIN)
