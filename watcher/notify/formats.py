"""What can be said to a service: the best format it takes, or the one it is told to take.

Knows what each service speaks, where Apprise does not say so, and their limits. Refuses to know how
a text is handed over.

Any stored message as plain text: for a receiver that no longer takes what it was written in.

A message is fixed before it is first tried, and its receiver may be another service by the time of
a later try, or the program another version. Refuses to fail: at the worst the body is the text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from html import unescape
from typing import Any, TypeAlias

from watcher.render.markup import Markup, Service

# Each of Apprise's services has attributes of its own, which its base class does not declare.
Plugin: TypeAlias = Any

# Slack takes this much in one section and in one header, and Apprise does not enforce it.
SLACK_SECTION = 3000
LONGEST_TITLE = 150
# Of all blocks together Slack takes some 13,000, counting what it does not tell.
SLACK_BLOCKS = 9000
DISCORD_DESCRIPTION = 4096
DISCORD_TITLE = 256
# What empty lines cost at Telegram; see `dress`.
TELEGRAM_EMPTY_LINES = 128
# Gmail cuts a letter off at 102 kB.
LONGEST_LETTER = 95_000
# What servers take in one request unless told otherwise.
LONGEST_BATCH = 1_000_000
SHORTEST_BATCH = 1000

# Those that send a letter by SMTP or by somebody's API.
_MAIL = frozenset(
    "mailto azure brevo groundmail mailersend mailgun postmark resend sendgrid sendpulse ses"
    " smtp2go sparkpost".split()
)
# They render Markdown, and Apprise takes them for plain text unless told.
_SPEAK_MARKDOWN = frozenset({"gotify", "mmost", "ntfy", "zulip"})
# They pass on to a program what they get: no markup for those.
_HOOKS = frozenset({"amqp", "apprise", "form", "json", "mqtt", "xml"})

_SLACK_WORKFLOWS = frozenset({"workflow", "trigger"})


class Format(StrEnum):
    """What a receiver's owner can ask for; `auto` is the best that the service takes."""

    AUTO = "auto"
    MARKDOWN = "markdown"
    HTML = "html"
    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class _Room:
    """The most a title and a body may be, and a section of the body."""

    body: int
    title: int
    section: int | None = None


def told_format(plugin: Plugin, wanted: Format) -> Format:
    """What the configuration asks for, else what the receiver's URL does, where it can be had."""
    if wanted is not Format.AUTO:
        return wanted
    asked = plugin._format_override  # noqa: SLF001 - where Apprise keeps `?format=`
    if asked is None and plugin.notify_format != type(plugin).notify_format:
        asked = plugin.notify_format
    told = Format.AUTO if asked is None else Format(asked.value)
    return Format.AUTO if format_problem(plugin, told) else told


def format_problem(plugin: Plugin, wanted: Format) -> str | None:
    """Why the service cannot be told to take a format; `None` where it can."""
    if wanted is Format.JSON and _room(plugin, Markup.CLOUDEVENTS).body < SHORTEST_BATCH:
        return "is of a service whose messages are too short for format: json"
    if wanted not in {Format.MARKDOWN, Format.HTML} or wanted in _spoken(plugin):
        return None
    taken = ", ".join(sorted({*_spoken(plugin), Format.TEXT, Format.JSON}))
    return f"is of a service that takes no {wanted} (format: auto, {taken})"


def described(plugin: Plugin, wanted: Format) -> Service:
    """What rendering must know of the service behind a plugin; makes the plugin speak it.

    A body and a title within these limits fit together: nothing is cut on the way.
    """
    markup = _markup(plugin, wanted)
    _tune(plugin, markup)
    room = _room(plugin, markup)
    return Service(service_name(plugin), markup, room.body, room.title, room.section)


def service_name(plugin: Plugin) -> str:
    """The service's plain scheme: of several spellings the one without TLS, in most cases."""
    if plugin.schema == "tgram":
        return "telegram"
    # Some plugins overwrite their schema with that of their requests.
    scheme = plugin.protocol or plugin.secure_protocol
    return str(scheme if isinstance(scheme, str) else scheme[0])


def is_mail(plugin: Plugin) -> bool:
    """Whether it sends letters, by SMTP or by somebody's API."""
    return service_name(plugin) in _MAIL


def text_limit(plugin: Plugin) -> int:
    """How long a plain text may be."""
    return _text_room(plugin).body


def _spoken(plugin: Plugin) -> frozenset[str]:
    """The formats beside plain text that a service shows as they are meant."""
    name = service_name(plugin)
    declared = {form.value for form in plugin._formats()} - {"text"}  # noqa: SLF001 - no other way
    if name in _SPEAK_MARKDOWN:
        declared.add("markdown")
    return frozenset(declared)


def _markup(plugin: Plugin, wanted: Format) -> Markup:
    match wanted:
        case Format.JSON:
            return Markup.CLOUDEVENTS
        case Format.TEXT:
            return Markup.TEXT
        case Format.MARKDOWN:
            return Markup.MARKDOWN
        case Format.HTML:
            own = _own_markup(plugin)
            return own if own in {Markup.EMAIL, Markup.TELEGRAM_HTML} else Markup.HTML
        case Format.AUTO:
            return _own_markup(plugin) or _best(plugin)


def _own_markup(plugin: Plugin) -> Markup | None:
    """The markup that is made for this very service."""
    name = service_name(plugin)
    if name in _MAIL:
        return Markup.EMAIL
    if name == "slack":
        # A workflow takes one text, and decides itself what becomes of it.
        return Markup.TEXT if plugin.mode in _SLACK_WORKFLOWS else Markup.SLACK_BLOCKS
    return {"discord": Markup.DISCORD_EMBED, "telegram": Markup.TELEGRAM_HTML}.get(name)


def _best(plugin: Plugin) -> Markup:
    spoken = _spoken(plugin)
    if service_name(plugin) in _HOOKS:
        return Markup.TEXT
    # Those that take both make HTML of Markdown, and not all of them keep its lines.
    if "html" in spoken:
        return Markup.HTML
    return Markup.MARKDOWN if "markdown" in spoken else Markup.TEXT


def _tune(plugin: Plugin, markup: Markup) -> None:
    """Let nothing but the text that is sent decide in which of its formats a service is told."""
    from apprise import NotifyFormat  # noqa: PLC0415 - see the package's docstring

    plugin._format_override = None  # noqa: SLF001
    if service_name(plugin) in _SPEAK_MARKDOWN:
        marked = markup is Markup.MARKDOWN
        plugin.notify_format = NotifyFormat.MARKDOWN if marked else NotifyFormat.TEXT


def _room(plugin: Plugin, markup: Markup) -> _Room:
    match markup:
        case Markup.SLACK_BLOCKS:
            return _Room(SLACK_BLOCKS, LONGEST_TITLE, SLACK_SECTION)
        case Markup.DISCORD_EMBED:
            return _Room(DISCORD_DESCRIPTION, DISCORD_TITLE)
        case Markup.EMAIL:
            smtp = service_name(plugin) == "mailto"
            longest = LONGEST_LETTER if smtp else plugin.body_maxlen
            return _Room(longest, min(plugin.title_maxlen, LONGEST_TITLE))
        case Markup.CLOUDEVENTS if service_name(plugin) == "json":
            return _Room(LONGEST_BATCH, LONGEST_TITLE)
        case _:
            return _text_room(plugin)


def _text_room(plugin: Plugin) -> _Room:
    slack = service_name(plugin) == "slack"
    longest = min(plugin.body_maxlen, SLACK_SECTION) if slack else plugin.body_maxlen
    longest -= _taken(plugin)
    if plugin.title_maxlen <= 0 or plugin.schema == "discord":
        # A title would become a line of the body: the body had better say it itself.
        return _Room(longest, 0)
    title = min(plugin.title_maxlen, LONGEST_TITLE)
    if plugin.overflow_amalgamate_title:
        # Apprise counts the title as part of the body, and keeps room for a " [1/2]" behind it.
        longest -= title + plugin.overflow_max_display_count_width
    return _Room(longest, title, SLACK_SECTION if slack else None)


def _taken(plugin: Plugin) -> int:
    """What of the room is not the text's."""
    if plugin.schema == "tgram":
        return TELEGRAM_EMPTY_LINES
    if plugin.schema == "discord" and plugin.ping:
        # Apprise adds those whom the receiver's owner wants called.
        return len(plugin.ping_payload(" ".join(plugin.ping)).get("content", ""))
    return 0


_HTML_LINK = re.compile(r'<a [^>]*?href="([^"]*)"[^>]*>[^<]*</a>')
_HTML_TAG = re.compile(r"<[^>]*>")
_SLACK_LINK = re.compile(r"<([^|>]*)\|[^>]*>")
_MARKDOWN_LINK = re.compile(r"\[[^\]]*\]\(<?([^)>]*)>?\)")
_CUT = "\n… cut off here; kie-watcher changes lists all of it"


def read_markup(name: str) -> Markup:
    """A stored markup; what only a later version knows is read as plain text."""
    return Markup(name) if name in set(Markup) else Markup.TEXT


def plain_text(markup: Markup, body: str) -> str:
    """The body without its markup."""
    match markup:
        case Markup.HTML | Markup.TELEGRAM_HTML:
            return _of_html(body)
        case Markup.EMAIL:
            return str(read_json(body).get("text", body))
        case Markup.DISCORD_EMBED:
            return _of_embed(body)
        case Markup.SLACK_BLOCKS:
            return _of_blocks(body)
        case _:
            return body


def read_json(body: str) -> dict[str, Any]:
    """An object, empty where the body is none."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def shortened_text(text: str, longest: int) -> str:
    """Whole lines, as many as there is room for, and that there were more."""
    if len(text) <= longest:
        return text
    kept = text[: max(longest - len(_CUT), 0)]
    return (kept.rpartition("\n")[0] or kept) + _CUT if longest > len(_CUT) else text[:longest]


def _of_html(body: str) -> str:
    return unescape(_HTML_TAG.sub("", _HTML_LINK.sub(r"\1", body)))


def _of_embed(body: str) -> str:
    embeds = read_json(body).get("embeds") or [{}]
    parts = (embeds[0].get("description"), embeds[0].get("footer", {}).get("text"))
    said = "\n\n".join(str(part) for part in parts if part)
    return _MARKDOWN_LINK.sub(r"\1", said).replace("**", "").replace("`", "") or body


def _of_blocks(body: str) -> str:
    blocks = read_json(body).get("blocks") or []
    parts = [
        text["text"]
        for block in blocks
        for text in (block.get("text"), *block.get("elements", ()))
        if text and text.get("type") == "mrkdwn"
    ]
    said = _SLACK_LINK.sub(r"\1", "\n\n".join(parts)).replace("*", "").replace("`", "")
    return unescape(said) or body
