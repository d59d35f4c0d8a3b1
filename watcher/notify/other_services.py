"""Every service without a module of its own: sent by Apprise as it is, in its own format.

Apprise says yes or no, and a status only in its log; it never says when to come back.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

from apprise import Apprise, ContentLocation, OverflowMode
from apprise.attachment.memory import AttachMemory

from watcher.notify.formats import (
    Preview,
    fitted_text,
    is_mail,
    parse_json_object,
    plain_text,
)
from watcher.notify.outcome import Outcome, Verdict, outcome_of_http
from watcher.notify.own_service import HttpService
from watcher.render.markup import Markup

if TYPE_CHECKING:
    from watcher.notify.formats import Plugin
    from watcher.notify.own_service import OutgoingMessage

HANDED_TYPE = "application/x-apprise+json"

# As in `Failed to send Discord notification: Not Found, error=404.`
_HTTP_STATUS = re.compile(r"\berror=(\d{3})\b")
_TAKES_HEADERS = frozenset({"xml", "xmls", "form", "forms"})


@dataclass(frozen=True, slots=True)
class Handed:
    """What Apprise is handed: title, body, and the format it is told that they are in."""

    title: str
    body: str
    format: str | None


def send_by_apprise(plugin: Plugin, message: OutgoingMessage) -> Outcome | None:
    """Send one message; `None` where Apprise says no and not why."""
    if plugin.schema in _TAKES_HEADERS:
        plugin.headers |= {"X-Alert-Id": message.alert_id, "Auto-Submitted": "auto-generated"}
    return _notify(plugin, handed(plugin, message), None)


def send_picture(plugin: Plugin, picture: bytes) -> bool:
    """Send a picture by itself; whether it was accepted."""
    attachment = AttachMemory(content=picture, name="prices.png", mimetype="image/png")
    # It counts as a file of this machine, which must not be sent; but it never was a file.
    attachment.location = ContentLocation.HOSTED
    if isinstance(plugin, HttpService):
        return plugin.send_picture(attachment)
    outcome = _notify(plugin, Handed("", "", None), attachment)
    return outcome is not None and outcome.verdict is Verdict.ACCEPTED


def as_handed(plugin: Plugin, message: OutgoingMessage) -> Preview:
    """Title and body as Apprise gets them; what it makes of them only the service sees."""
    given = asdict(handed(plugin, message))
    text = json.dumps(given, ensure_ascii=False, indent=2) + "\n"
    return Preview(text.encode("utf-8", "replace"), HANDED_TYPE)


def handed(plugin: Plugin, message: OutgoingMessage) -> Handed:
    """The message in the best form that the service takes of what it is written in."""
    title, body = message.title, message.body
    match message.markup:
        case Markup.MARKDOWN:
            return Handed(title, fitted_text(plugin, title, body), "markdown")
        case Markup.HTML if plugin.resolve_format("html") == "html":
            return Handed(title, body, "html")
        case Markup.EMAIL if is_mail(plugin) and (page := parse_json_object(body).get("html")):
            return Handed(title, page, "html")
        case _:
            text = fitted_text(plugin, title, plain_text(message.markup, body))
            return _text(plugin, title, text)


def _text(plugin: Plugin, title: str, body: str) -> Handed:
    if plugin.resolve_format("text") != "html":
        return Handed(title, body, "text")
    # Apprise's own way from text to HTML turns every space into a non-breaking one.
    if plugin.title_maxlen <= 0:
        title = escape(title, quote=False)
    lines = (_indented(escape(line, quote=False)) for line in body.split("\n"))
    return Handed(title, "<br/>\n".join(lines), "html")


def _indented(line: str) -> str:
    text = line.lstrip(" ")
    return "&nbsp;" * (len(line) - len(text)) + text


def _notify(plugin: Plugin, given: Handed, attachment: Any) -> Outcome | None:
    """One call of Apprise for one service, in this thread."""
    # Rendering makes it fit; this is for the case that it did not. HTML is longer than it shows.
    longer = given.format == "html"
    plugin.overflow_mode = OverflowMode.UPSTREAM if longer else OverflowMode.TRUNCATE
    caller = Apprise([plugin], asset=plugin.asset, location=ContentLocation.HOSTED)
    with caller.notify(
        title=given.title,
        body=given.body,
        body_format=given.format,
        attach=attachment,
        log_level=logging.WARNING,
    ) as result:
        if result:
            return Outcome(Verdict.ACCEPTED, "")
        statuses = [
            found[1] for entry in result.logs() if (found := _HTTP_STATUS.search(entry.message))
        ]
    if not statuses:
        return None
    return outcome_of_http(int(statuses[-1]), None, datetime.now(UTC))
