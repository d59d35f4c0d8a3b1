"""How a text must be handed to Apprise so that the service shows it as it was rendered.

Knows each service's markup and limits, and the conversions of Apprise that would spoil a text.
Refuses to know what the text says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import Any, TypeAlias

from watcher.rendering import Markup, Service

__all__ = ["Dressed", "described", "dressed", "tamed"]

# Each of Apprise's services has attributes of its own, which its base class does not declare.
Plugin: TypeAlias = Any

_EMPTY_LINE = re.compile(r"\n(?=\n)")

# Slack takes this much in one section and in one header, and Apprise does not enforce it.
SLACK_SECTION = 3000
LONGEST_TITLE = 150
# What empty lines cost at Telegram; see `dressed`.
TELEGRAM_EMPTY_LINES = 128


@dataclass(frozen=True, slots=True)
class Dressed:
    """Title, body, and the format that Apprise is told they are in; `None`: in the service's."""

    title: str
    body: str
    body_format: str | None


def described(plugin: Plugin) -> Service:
    """What rendering must know of the service behind a plugin.

    A body and a title within these limits fit together: nothing is cut on the way.
    """
    name = _name(plugin)
    longest = min(plugin.body_maxlen, SLACK_SECTION) if name == "slack" else plugin.body_maxlen
    longest -= _taken(plugin)
    if plugin.title_maxlen <= 0 or name == "discord":
        # A title would become a line of the body: the body had better say it itself.
        return Service(name, _markup(plugin), longest, 0, None)
    title = min(plugin.title_maxlen, LONGEST_TITLE)
    if plugin.overflow_amalgamate_title:
        # Apprise counts the title as part of the body, and keeps room for a " [1/2]" behind it.
        longest -= title + plugin.overflow_max_display_count_width
    section = SLACK_SECTION if name == "slack" else None
    return Service(name, _markup(plugin), longest, title, section)


def dressed(plugin: Plugin, markup: Markup, title: str, body: str) -> Dressed:
    """The text in the format that survives Apprise unchanged."""
    if markup is Markup.MARKDOWN:
        return Dressed(title, body, "markdown")
    if plugin.resolve_format("text") != "html":
        return Dressed(title, body, "text")
    # Apprise's own way from text to HTML turns every space into a non-breaking one.
    if plugin.title_maxlen <= 0:
        title = escape(title, quote=False)
    body = escape(body, quote=False)
    if plugin.schema == "tgram":
        # Passed through as it is: declared as HTML, indents would be lost. Empty lines would be
        # lost even so; one with a character in it, if only an invisible one, stays.
        return Dressed(title, _EMPTY_LINE.sub("\n\u200b", body), None)
    lines = (_indented(line) for line in body.split("\n"))
    return Dressed(title, "<br/>\n".join(lines), "html")


def tamed(plugin: Plugin) -> None:
    """Take from a plugin the habits that make one message several, or louder than it should be."""
    # Rendering makes it fit; this is the net. HTML is longer than what it shows: no net there.
    html = plugin.resolve_format("text") == "html" and _markup(plugin) is Markup.TEXT
    plugin.overflow_mode = _overflow("upstream" if html else "truncate")
    if plugin.schema == "discord":
        _tame_discord(plugin)


def _name(plugin: Plugin) -> str:
    """The service's plain scheme: of several spellings the one without TLS, in most cases."""
    if plugin.schema == "tgram":
        return "telegram"
    # Some plugins overwrite their schema with that of their requests.
    scheme = plugin.protocol or plugin.secure_protocol
    return str(scheme if isinstance(scheme, str) else scheme[0])


def _markup(plugin: Plugin) -> Markup:
    """Markdown where it is what the service speaks first (or was told to), else plain text."""
    if plugin.schema == "discord":
        return Markup.MARKDOWN
    speaks = plugin.resolve_format(None)
    return Markup.MARKDOWN if speaks == "markdown" and plugin.schema != "tgram" else Markup.TEXT


def _overflow(name: str) -> Any:
    from apprise import OverflowMode  # noqa: PLC0415 - see the package's docstring

    return OverflowMode(name)


def _taken(plugin: Plugin) -> int:
    """What of the room is not the text's."""
    if plugin.schema == "tgram":
        return TELEGRAM_EMPTY_LINES
    if plugin.schema == "discord" and plugin.ping:
        # Apprise adds those whom the receiver's owner wants called.
        return len(plugin.ping_payload(" ".join(plugin.ping)).get("content", ""))
    return 0


def _indented(line: str) -> str:
    text = line.lstrip(" ")
    return "&nbsp;" * (len(line) - len(text)) + text


def _tame_discord(plugin: Plugin) -> None:
    """Call nobody but those the receiver's owner named, and leave waiting to the outbox.

    Apprise writes `allow_mentions`, which Discord does not know; after a 429 it sleeps and sends
    again by itself, long after this send has been given up.
    """
    send = plugin._send  # noqa: SLF001 - the one place every payload passes; a test watches the wire

    def send_quietly(payload: dict[str, Any], **options: Any) -> bool:
        plugin.ratelimit_remaining = 1.0
        allowed = payload.pop("allow_mentions", {"parse": []})
        return bool(send({**payload, "allowed_mentions": allowed}, **options | {"rate_limit": 0}))

    plugin._send = send_quietly  # noqa: SLF001
