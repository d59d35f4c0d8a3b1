"""What a service shows: its formats, its size limits, and plain text where a markup fits no more.

Apprise says only some of this. What takes a plugin is called where Apprise is loaded, in a fork of
the sender; the rest, anywhere. A message is fixed before it is first tried, and its receiver may be
another service by the time of a later try, or the program another version: `plain_text` therefore
never fails, and gives the body as it is in the worst case.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from html import unescape
from typing import Any, TypeAlias

from watcher.render.markup import SLACK_SECTION, Markup, Service

# Each of Apprise's plugins has attributes of its own, which its base class does not declare.
Plugin: TypeAlias = Any

# Slack takes this much in a header, and Apprise does not enforce it.
LONGEST_TITLE = 150
# Of all blocks together Slack takes some 13,000, counted in a way that it does not document.
SLACK_BLOCKS = 9000
DISCORD_DESCRIPTION = 4096
DISCORD_TITLE = 256
# Gmail cuts a mail off at 102 kB.
LONGEST_MAIL = 95_000
# What servers take in one request unless configured otherwise.
LONGEST_BATCH = 1_000_000
SHORTEST_BATCH = 1000

# Those that send mail, by SMTP or by somebody's API.
_MAIL_SERVICES = frozenset(
    "mailto azure brevo groundmail mailersend mailgun postmark resend sendgrid sendpulse ses"
    " smtp2go sparkpost".split()
)
# They render Markdown, and Apprise treats them as plain text unless configured.
_RENDER_MARKDOWN = frozenset({"gotify", "mmost", "ntfy", "zulip"})
# What they get goes to a program: no markup for those.
_FOR_PROGRAMS = frozenset({"amqp", "apprise", "form", "json", "mqtt", "xml"})

_SLACK_WORKFLOWS = frozenset({"workflow", "trigger"})

_HTML_LINK = re.compile(r'<a [^>]*?href="([^"]*)"[^>]*>([^<]*)</a>')
_HTML_TAG = re.compile(r"<[^>]*>")
_SLACK_DATE = re.compile(r"<!date\^[^|>]*\|([^>]*)>")
_SLACK_LINK = re.compile(r"<([^|>]*)\|([^>]*)>")
_MARKDOWN_LINK = re.compile(r"\[([^\]]*)\]\(<?([^)>]*)>?\)")
_HEADING = re.compile(r"^## ", re.MULTILINE)
_CUT = "\n… cut off here; kie-watcher changes lists all of it"


class Format(StrEnum):
    """What a receiver's owner can ask for; `auto` is the best that the service takes."""

    AUTO = "auto"
    MARKDOWN = "markdown"
    HTML = "html"
    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Preview:
    """What would go out: the body of a request, a whole mail, or what Apprise would be handed."""

    content: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class _MaxSizes:
    """The most characters of a title, a body, and a section of the body."""

    body: int
    title: int
    section: int | None = None


def choose_format(plugin: Plugin, wanted: Format, in_url: str | None) -> Format:
    """What the configuration asks for, otherwise what the URL does where the service takes it."""
    if wanted is not Format.AUTO or in_url not in set(Format):
        return wanted
    return Format.AUTO if format_problem(plugin, Format(in_url)) else Format(in_url)


def format_problem(plugin: Plugin, wanted: Format) -> str | None:
    """Why the service cannot take a format; `None` where it can."""
    if wanted is Format.JSON and _max_sizes(plugin, Markup.CLOUDEVENTS).body < SHORTEST_BATCH:
        return "is of a service whose messages are too short for format: json"
    if wanted not in {Format.MARKDOWN, Format.HTML} or wanted in _shown_formats(plugin):
        return None
    taken = ", ".join(sorted({*_shown_formats(plugin), Format.TEXT, Format.JSON}))
    return f"is of a service that takes no {wanted} (format: auto, {taken})"


def describe_service(plugin: Plugin, wanted: Format) -> Service:
    """What rendering must know of a plugin's service.

    A body and a title within these limits fit together: nothing is cut on the way.
    """
    markup = _markup(plugin, wanted)
    sizes = _max_sizes(plugin, markup)
    pace = timedelta(seconds=type(plugin).request_rate_per_sec)
    return Service(service_name(plugin), markup, sizes.body, sizes.title, sizes.section, pace)


def service_name(plugin: Plugin) -> str:
    """The service's plain scheme: of several spellings the one without TLS, in most cases."""
    if plugin.schema == "tgram":
        return "telegram"
    # Some plugins overwrite their schema with that of their requests.
    scheme = plugin.protocol or plugin.secure_protocol
    return str(scheme if isinstance(scheme, str) else scheme[0])


def is_mail(plugin: Plugin) -> bool:
    """Whether it sends mail, by SMTP or by somebody's API."""
    return service_name(plugin) in _MAIL_SERVICES


def fitted_text(plugin: Plugin, title: str, text: str) -> str:
    """As much of a plain text as the service takes beside a title."""
    sizes = _max_text_sizes(plugin)
    # Where there are no titles, what was stored with one has it as its first line.
    heading = len(f"{title}\n") if title and not sizes.title else 0
    return shorten_text(text, sizes.body - heading)


def _shown_formats(plugin: Plugin) -> frozenset[str]:
    """The formats beside plain text that a service shows as such."""
    name = service_name(plugin)
    of_class = type(plugin).notify_format
    forms = of_class if isinstance(of_class, tuple) else (of_class,)
    declared = {str(getattr(form, "value", form)) for form in forms} - {"text"}
    if name in _RENDER_MARKDOWN:
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
            return _own_markup(plugin) or _best_markup(plugin)


def _own_markup(plugin: Plugin) -> Markup | None:
    """The markup that is made for this service alone."""
    name = service_name(plugin)
    if name in _MAIL_SERVICES:
        return Markup.EMAIL
    if name == "slack":
        # A workflow takes one text, and decides itself what becomes of it.
        return Markup.TEXT if plugin.mode in _SLACK_WORKFLOWS else Markup.SLACK_BLOCKS
    return {
        "discord": Markup.DISCORD_EMBED,
        "telegram": Markup.TELEGRAM_HTML,
        "ntfy": Markup.NTFY,
    }.get(name)


def _best_markup(plugin: Plugin) -> Markup:
    shown = _shown_formats(plugin)
    if service_name(plugin) in _FOR_PROGRAMS:
        return Markup.TEXT
    # Those that take both make HTML of Markdown, and not all of them keep its lines.
    if "html" in shown:
        return Markup.HTML
    return Markup.MARKDOWN if "markdown" in shown else Markup.TEXT


def set_markdown(plugin: Plugin, markup: Markup) -> None:
    """Let a service that only renders Markdown where it is told so know what it gets."""
    from apprise import NotifyFormat  # noqa: PLC0415 - loaded in a fork of the sender alone

    if service_name(plugin) in _RENDER_MARKDOWN:
        is_marked = markup is Markup.MARKDOWN
        plugin.notify_format = NotifyFormat.MARKDOWN if is_marked else NotifyFormat.TEXT


def _max_sizes(plugin: Plugin, markup: Markup) -> _MaxSizes:
    match markup:
        case Markup.SLACK_BLOCKS:
            return _MaxSizes(SLACK_BLOCKS, LONGEST_TITLE, SLACK_SECTION)
        case Markup.DISCORD_EMBED:
            return _MaxSizes(DISCORD_DESCRIPTION, DISCORD_TITLE)
        case Markup.EMAIL:
            smtp = service_name(plugin) == "mailto"
            longest = LONGEST_MAIL if smtp else plugin.body_maxlen
            return _MaxSizes(longest, min(plugin.title_maxlen, LONGEST_TITLE))
        case Markup.CLOUDEVENTS if service_name(plugin) == "json":
            return _MaxSizes(LONGEST_BATCH, LONGEST_TITLE)
        case _:
            return _max_text_sizes(plugin)


def _max_text_sizes(plugin: Plugin) -> _MaxSizes:
    slack = service_name(plugin) == "slack"
    longest = min(plugin.body_maxlen, SLACK_SECTION) if slack else plugin.body_maxlen
    longest -= _reserved_length(plugin)
    if plugin.title_maxlen <= 0 or plugin.schema == "discord":
        # A title would become a line of the body: so rendering puts it there.
        return _MaxSizes(longest, 0)
    title = min(plugin.title_maxlen, LONGEST_TITLE)
    if plugin.overflow_amalgamate_title:
        # Apprise counts the title as part of the body, and keeps room for a " [1/2]" behind it.
        longest -= title + plugin.overflow_max_display_count_width
    return _MaxSizes(longest, title, SLACK_SECTION if slack else None)


def _reserved_length(plugin: Plugin) -> int:
    """How much of the body is needed for more than the text."""
    if plugin.schema != "discord" or not plugin.ping:
        return 0
    # A line that mentions those whom the receiver's owner names.
    return len(plugin.ping_payload(" ".join(plugin.ping)).get("content", "")) + 1


def parse_markup(name: str) -> Markup:
    """A stored markup; one that only a later version knows is taken as plain text."""
    return Markup(name) if name in set(Markup) else Markup.TEXT


def plain_text(markup: Markup, body: str) -> str:
    """The body without its markup."""
    match markup:
        case Markup.HTML | Markup.TELEGRAM_HTML:
            return _html_text(body)
        case Markup.EMAIL:
            return str(parse_json_object(body).get("text", body))
        case Markup.DISCORD_EMBED:
            return _embed_text(body)
        case Markup.SLACK_BLOCKS:
            return _blocks_text(body)
        case Markup.NTFY:
            return _markdown_text(str(parse_json_object(body).get("message", body)))
        case _:
            return body


def parse_json_object(body: str) -> dict[str, Any]:
    """The object that a body is; empty where it is none."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def shorten_text(text: str, longest: int) -> str:
    """As many whole lines as fit, with a last line that says there were more."""
    if len(text) <= longest:
        return text
    kept = text[: max(longest - len(_CUT), 0)]
    return (kept.rpartition("\n")[0] or kept) + _CUT if longest > len(_CUT) else text[:longest]


def _html_text(body: str) -> str:
    return unescape(_HTML_TAG.sub("", _HTML_LINK.sub(r"\2 \1", body)))


def _embed_text(body: str) -> str:
    embeds = parse_json_object(body).get("embeds") or [{}]
    parts = (embeds[0].get("description"), embeds[0].get("footer", {}).get("text"))
    text = "\n\n".join(str(part) for part in parts if part)
    return _markdown_text(text) or body


def _markdown_text(text: str) -> str:
    plain = _MARKDOWN_LINK.sub(r"\1 \2", text).replace("**", "").replace("`", "")
    return _HEADING.sub("", plain)


def _blocks_text(body: str) -> str:
    blocks = parse_json_object(body).get("blocks") or []
    parts = [
        text["text"]
        # The first is the title.
        for block in blocks[1:]
        for text in (block.get("text"), *block.get("elements", ()))
        if text and text.get("type") != "button"
    ]
    dated = _SLACK_DATE.sub(r"\1", "\n\n".join(parts))
    joined = _SLACK_LINK.sub(r"\2 \1", dated).replace("*", "").replace("`", "")
    return unescape(joined) or body
