"""How a message must be handed to Apprise so that the service shows it as it was rendered.

Knows the conversions of Apprise that would spoil a text, and which of its payloads are replaced by
our own. Refuses to know what the text says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from watcher.notify.formats import is_mail, service_name, text_limit
from watcher.notify.plain import plain_text, read_json, shortened_text
from watcher.notify.wire import NOTHING, Instead
from watcher.rendering import Markup

if TYPE_CHECKING:
    from watcher.notify.formats import Plugin

__all__ = ["Dressed", "dressed"]

_EMPTY_LINE = re.compile(r"\n(?=\n)")
# What Apprise is handed where it has a payload of ours to send: it takes no empty body.
PLACEHOLDER = "kie-watcher"
BATCH_TYPE = "application/cloudevents-batch+json; charset=utf-8"

_OWNERS = {Markup.SLACK_BLOCKS: "slack", Markup.DISCORD_EMBED: "discord"}


@dataclass(frozen=True, slots=True)
class Dressed:
    """Title, body, and the format that Apprise is told they are in; `None`: in the service's.

    `instead` is what the service gets in place of what Apprise makes of them.
    """

    title: str
    body: str
    body_format: str | None
    instead: Instead = NOTHING


def dressed(plugin: Plugin, markup: Markup, title: str, body: str) -> Dressed:
    """The message in the form that survives Apprise unchanged.

    `markup` is what the body was written in when it was stored; where this service takes no such
    thing, it gets the text of it.
    """
    match markup:
        case Markup.MARKDOWN:
            return Dressed(title, body, "markdown")
        case Markup.SLACK_BLOCKS | Markup.DISCORD_EMBED | Markup.EMAIL:
            return _made_for(plugin, markup, title, body) or _foreign(plugin, markup, title, body)
        case Markup.TELEGRAM_HTML if plugin.schema == "tgram":
            return _telegram(title, body)
        case Markup.HTML if plugin.resolve_format("html") == "html" and plugin.schema != "tgram":
            return Dressed(title, body, "html")
        case Markup.CLOUDEVENTS if service_name(plugin) == "json":
            raw = Instead(raw=body.encode(), content_type=BATCH_TYPE)
            return Dressed(title, body, "text", raw)
        case Markup.TEXT | Markup.TERMINAL:
            return _text(plugin, title, body)
        case _:
            return _foreign(plugin, markup, title, body)


def _made_for(plugin: Plugin, markup: Markup, title: str, body: str) -> Dressed | None:
    """What is whole as it is; `None` where it was made for another service, or is damaged."""
    parts = read_json(body)
    if markup is Markup.EMAIL:
        if not is_mail(plugin) or "html" not in parts:
            return None
        return Dressed(title, parts["html"], "html", Instead(text_part=parts.get("text")))
    if not parts or service_name(plugin) != _OWNERS[markup]:
        return None
    return Dressed("", title or PLACEHOLDER, "text", Instead(payload=parts))


def _foreign(plugin: Plugin, markup: Markup, title: str, body: str) -> Dressed:
    text = plain_text(markup, body)
    return _text(plugin, title, shortened_text(text, text_limit(plugin) - len(title)))


def _text(plugin: Plugin, title: str, body: str) -> Dressed:
    if plugin.resolve_format("text") != "html":
        return Dressed(title, body, "text")
    # Apprise's own way from text to HTML turns every space into a non-breaking one.
    if plugin.title_maxlen <= 0:
        title = escape(title, quote=False)
    body = escape(body, quote=False)
    if plugin.schema == "tgram":
        return _telegram(title, body)
    lines = (_indented(line) for line in body.split("\n"))
    return Dressed(title, "<br/>\n".join(lines), "html")


def _telegram(title: str, body: str) -> Dressed:
    """Passed through as it is: declared as HTML, indents would be lost.

    Empty lines would be lost even so; one with a character in it, if only an invisible one, stays.
    """
    return Dressed(title, _EMPTY_LINE.sub("\n\u200b", body), None)


def _indented(line: str) -> str:
    text = line.lstrip(" ")
    return "&nbsp;" * (len(line) - len(text)) + text
