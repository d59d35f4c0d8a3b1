"""What services make of a text: the markups there are, and how each writes the parts of a message.

Refuses to know what a message says and how much of it fits.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from enum import StrEnum

from watcher.rendering.harmless import ZERO_WIDTH_SPACE

__all__ = ["Dress", "Markup", "Service", "dress_for"]


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
