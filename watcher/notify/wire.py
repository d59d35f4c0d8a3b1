"""Below Apprise's own interface: what a send exchanged, corrected plugins, captured sends.

Apprise reports only yes or no. Functions of other libraries are wrapped or replaced: the one
through which `requests` sends everything, the one that names a mail, the one that makes plain text
of a mail; and for `capture_sends` the connections of urllib3 and smtplib, and the pause between two
sends. What they see goes to the send that caused it, by context, which Apprise copies into its
threads. Where a wrapped function is missing, the log that Apprise keeps with a result, and what
Apprise made, are used. `capture_sends` affects the whole process, and keeps no address and no
header: these hold secrets.
"""

from __future__ import annotations

import io
import logging
import re
import smtplib
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING, Any

from watcher.notify.formats import (
    is_mail,
    parse_json_object,
    plain_text,
    service_name,
    shorten_text,
    text_limit,
)
from watcher.render.markup import Markup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from apprise.logger import NotifyLogEntry

    from watcher.notify.formats import Plugin

_WRAPPED = "_kie_watcher_wrapped"
# As in `Failed to send Discord notification: Not Found, error=404.`
_HTTP_STATUS = re.compile(r"\berror=(\d{3})\b")
# As in `Socket Exception: (535, b'5.7.8 …')`, `Socket Exception: {'a@example.org': (550, b'…')}`
# and `SMTP recipient a@example.org was refused: 550 b'…'`. From the start of the text only: other
# lines quote messages, and a message may hold anything.
_SMTP_CODE = re.compile(
    r"(?:Socket Exception: (?:\{'[^']*': )?\(|SMTP recipient \S+ was refused: )([245]\d\d)\b"
)


@dataclass(frozen=True, slots=True)
class Replacement:
    """What is sent in place of what Apprise made; `None`: as Apprise made it.

    `payload` for a service that takes JSON of its own, `raw` as the whole of a request, of
    `content_type`, and `text_part` as the plain text beside a mail's HTML.
    """

    payload: Mapping[str, Any] | None = None
    raw: bytes | None = None
    content_type: str = ""
    text_part: str | None = None


NO_REPLACEMENT = Replacement()


@dataclass(slots=True)
class Exchange:
    """What one send saw: the last HTTP status and Retry-After, the last error, the SMTP code.

    `failure` is the name of an exception's class, never its text. `message_id` names a mail the
    same way each time the same text is sent.
    """

    replacement: Replacement = NO_REPLACEMENT

    status: int | None = None
    retry_after: str | None = None
    failure: str | None = None
    smtp_code: int | None = None
    message_id: str = field(default="")


_current: ContextVar[Exchange | None] = ContextVar("kie_watcher_exchange", default=None)


@contextmanager
def record(
    alert_id: str, text: str, replacement: Replacement = NO_REPLACEMENT
) -> Iterator[Exchange]:
    """Let everything sent in this context, and in threads it starts, report to one `Exchange`."""
    # Alert ids are short, and mail programs drop a mail whose id they have seen: the text is part.
    digest = sha256(f"{alert_id}\n{text}".encode()).hexdigest()[:24]
    exchange = Exchange(replacement, message_id=f"kie-watcher.{digest}")
    token = _current.set(exchange)
    try:
        yield exchange
    finally:
        _current.reset(token)


def replacement_payload() -> Mapping[str, Any] | None:
    """The payload that the send in this context has of its own."""
    exchange = _current.get()
    return None if exchange is None else exchange.replacement.payload


def install() -> None:
    """Wrap the functions, once for the process; the second call does nothing."""
    import apprise.plugins.email.base as mail  # noqa: PLC0415 - loading Apprise takes a while
    from requests.adapters import HTTPAdapter  # noqa: PLC0415

    _wrap(HTTPAdapter, "send", _reporting)
    _wrap(mail, "make_msgid", _stable_message_id)
    _wrap(mail, "convert_between", _own_text_part)
    # The SMTP codes are told at DEBUG only, and a result keeps only what the logger lets through.
    # Nothing of it may reach the root logger: these records hold addresses and tokens.
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def read_log(exchange: Exchange, entries: Iterable[NotifyLogEntry]) -> None:
    """Fill in, from Apprise's own log of one send, what the wrapped functions did not see."""
    for entry in entries:
        if code := _SMTP_CODE.match(entry.message):
            exchange.smtp_code = int(code[1])
        if exchange.status is not None or entry.level == "DEBUG":
            continue
        if status := _HTTP_STATUS.search(entry.message):
            exchange.status = int(status[1])


@contextmanager
def mute_apprise() -> Iterator[list[str]]:
    """Keep Apprise out of every log, and collect its warnings and errors for the caller.

    For the time in which a URL is read: the texts quote it, and no redactor may know it yet. What
    its services say of themselves while they are first imported concerns nobody here.
    """
    logger = logging.getLogger("apprise")
    before = logger.handlers, logger.propagate, logger.level
    complaints = _Complaints(logging.WARNING)
    logger.handlers, logger.propagate = [complaints], False
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield complaints.texts
    finally:
        logger.handlers, logger.propagate, level = before
        logger.setLevel(level)


class _Complaints(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _wrap(owner: Any, name: str, wrapping: Callable[[Any], Any]) -> None:
    original = getattr(owner, name, None)
    if original is None or getattr(original, _WRAPPED, False):
        return
    wrapped = wrapping(original)
    setattr(wrapped, _WRAPPED, True)
    setattr(owner, name, wrapped)


def _reporting(send: Callable[..., Any]) -> Callable[..., Any]:
    """`HTTPAdapter.send` that records in the current `Exchange`, if any, how it ended."""

    @wraps(send)
    def reporting(*args: Any, **kwargs: Any) -> Any:
        exchange = _current.get()
        if exchange is None:
            return send(*args, **kwargs)
        if exchange.replacement.raw is not None:
            _replace_body(args[1], exchange.replacement)
        try:
            response = send(*args, **kwargs)
        except Exception as failure:
            exchange.status, exchange.retry_after = None, None
            exchange.failure = type(failure).__name__
            raise
        exchange.status, exchange.failure = response.status_code, None
        exchange.retry_after = response.headers.get("Retry-After")
        return response

    return reporting


def _replace_body(request: Any, replacement: Replacement) -> None:
    """Put our own bytes into a request that is ready to go."""
    request.body = replacement.raw
    request.headers["Content-Length"] = str(len(replacement.raw or b""))
    request.headers["Content-Type"] = replacement.content_type


def _own_text_part(convert: Callable[..., str]) -> Callable[..., str]:
    """`convert_between` that gives our own text part for a mail, where the send has one."""

    @wraps(convert)
    def own_text_part(from_format: str, to_format: str, content: str) -> str:
        exchange = _current.get()
        text = None if exchange is None else exchange.replacement.text_part
        if text is None or (from_format, to_format) != ("html", "text"):
            return convert(from_format, to_format, content)
        return text

    return own_text_part


def _stable_message_id(make_msgid: Callable[..., str]) -> Callable[..., str]:
    """`make_msgid` that gives the same text the same name on every try."""

    @wraps(make_msgid)
    def stable_message_id(idstring: str | None = None, domain: str | None = None) -> str:
        exchange = _current.get()
        if exchange is None or not domain:
            return make_msgid(idstring, domain)
        return f"<{exchange.message_id}@{domain}>"

    return stable_message_id


# Where a message goes and who it is from is as the receiver's URL says.
_SLACK_OWN = ("channel", "thread_ts", "username", "icon_url")


def correct_plugin(plugin: Plugin, markup: Markup) -> None:
    """Stop a plugin from splitting messages, mentioning people and sleeping."""
    # Rendering makes it fit; this is for the case that it did not. Not with HTML, which is longer
    # than what it shows.
    html = plugin.resolve_format("text") == "html" or markup in {Markup.EMAIL, Markup.HTML}
    plugin.overflow_mode = _overflow("upstream" if html else "truncate")
    if plugin.schema == "discord":
        _correct_discord(plugin)
    if plugin.schema == "slack":
        _correct_slack(plugin)


def _overflow(name: str) -> Any:
    from apprise import OverflowMode  # noqa: PLC0415 - see the package's docstring

    return OverflowMode(name)


def _correct_discord(plugin: Plugin) -> None:
    """Mention only those that the receiver's URL names, and leave waiting to the outbox.

    Apprise writes `allow_mentions`, which Discord does not know; after a 429 it sleeps and sends
    again by itself, long after this send has been given up.
    """
    send = plugin._send  # noqa: SLF001 - the one place every payload passes; a test watches the wire

    def send_quietly(payload: dict[str, Any], **options: Any) -> bool:
        plugin.ratelimit_remaining = 1.0
        allowed = payload.pop("allow_mentions", {"parse": []})
        ours = None if options.get("attach") else replacement_payload()
        if ours is not None:
            payload = _in_place_of(payload, ours, _mentions(plugin))
        return bool(send({**payload, "allowed_mentions": allowed}, **options | {"rate_limit": 0}))

    plugin._send = send_quietly  # noqa: SLF001


def _mentions(plugin: Plugin) -> dict[str, Any]:
    """The mention of those that the URL names, which an embed cannot hold."""
    if not plugin.ping:
        return {}
    return {"content": plugin.ping_payload(" ".join(plugin.ping)).get("content", "")}


def _in_place_of(payload: dict[str, Any], ours: Any, beside: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in payload.items() if key not in {"content", "embeds"}}
    return kept | {"embeds": ours.get("embeds", [])} | beside


def _correct_slack(plugin: Plugin) -> None:
    """Send our blocks as they are; Apprise would put all of it into an attachment."""
    send = plugin._send  # noqa: SLF001 - as above

    def send_ours(url: str, payload: dict[str, Any], **options: Any) -> Any:
        ours = replacement_payload()
        if ours is not None and "attachments" in payload:
            kept = {key: payload[key] for key in _SLACK_OWN if key in payload}
            payload = kept | dict(ours)
        return send(url, payload, **options)

    plugin._send = send_ours  # noqa: SLF001


_EMPTY_LINE = re.compile(r"\n(?=\n)")
# What Apprise is handed where it has a payload of ours to send: it takes no empty body.
PLACEHOLDER = "kie-watcher"
BATCH_TYPE = "application/cloudevents-batch+json; charset=utf-8"

_OWNERS = {Markup.SLACK_BLOCKS: "slack", Markup.DISCORD_EMBED: "discord"}


@dataclass(frozen=True, slots=True)
class Adapted:
    """Title, body, and the format that Apprise is told they are in; `None`: in the service's.

    `replacement` is what the service gets in place of what Apprise makes of them.
    """

    title: str
    body: str
    body_format: str | None
    replacement: Replacement = NO_REPLACEMENT


def adapted(plugin: Plugin, markup: Markup, title: str, body: str) -> Adapted:
    """The message in the form that survives Apprise unchanged.

    `markup` is what the body was written in when it was stored; where this service takes no such
    thing, it gets the text of it.
    """
    match markup:
        case Markup.MARKDOWN:
            return Adapted(title, body, "markdown")
        case Markup.SLACK_BLOCKS | Markup.DISCORD_EMBED | Markup.EMAIL:
            return _made_for(plugin, markup, title, body) or _foreign(plugin, markup, title, body)
        case Markup.TELEGRAM_HTML if plugin.schema == "tgram":
            return _telegram(title, body)
        case Markup.HTML if plugin.resolve_format("html") == "html" and plugin.schema != "tgram":
            return Adapted(title, body, "html")
        case Markup.CLOUDEVENTS if service_name(plugin) == "json":
            raw = Replacement(raw=body.encode(), content_type=BATCH_TYPE)
            return Adapted(title, body, "text", raw)
        case Markup.TEXT | Markup.TERMINAL:
            return _text(plugin, title, body)
        case _:
            return _foreign(plugin, markup, title, body)


def _made_for(plugin: Plugin, markup: Markup, title: str, body: str) -> Adapted | None:
    """The body sent as it is; `None` where it was made for another service, or is damaged."""
    parts = parse_json_object(body)
    if markup is Markup.EMAIL:
        if not is_mail(plugin) or "html" not in parts:
            return None
        return Adapted(title, parts["html"], "html", Replacement(text_part=parts.get("text")))
    if not parts or service_name(plugin) != _OWNERS[markup]:
        return None
    return Adapted("", title or PLACEHOLDER, "text", Replacement(payload=parts))


def _foreign(plugin: Plugin, markup: Markup, title: str, body: str) -> Adapted:
    text = plain_text(markup, body)
    return _text(plugin, title, shorten_text(text, text_limit(plugin) - len(title)))


def _text(plugin: Plugin, title: str, body: str) -> Adapted:
    if plugin.resolve_format("text") != "html":
        return Adapted(title, body, "text")
    # Apprise's own way from text to HTML turns every space into a non-breaking one.
    if plugin.title_maxlen <= 0:
        title = escape(title, quote=False)
    body = escape(body, quote=False)
    if plugin.schema == "tgram":
        return _telegram(title, body)
    lines = (_indented(line) for line in body.split("\n"))
    return Adapted(title, "<br/>\n".join(lines), "html")


def _telegram(title: str, body: str) -> Adapted:
    """A message with no format declared: declared as HTML, its indents would be lost.

    Empty lines would be lost even so; one with a character in it, if only an invisible one, stays.
    """
    return Adapted(title, _EMPTY_LINE.sub("\n\u200b", body), None)


def _indented(line: str) -> str:
    text = line.lstrip(" ")
    return "&nbsp;" * (len(line) - len(text)) + text


MAIL_TYPE = "message/rfc822"

# For plugins that read in the reply whether a message was accepted; most read only the status.
_TAKEN = b'{"ok": true, "status": 1, "success": true}'


@dataclass(frozen=True, slots=True)
class CapturedSend:
    """The body of one request, or a whole mail (`MAIL_TYPE`), as it would have gone out."""

    content: bytes
    content_type: str


@contextmanager
def capture_sends() -> Iterator[list[CapturedSend]]:
    """Let nothing that is sent leave the machine, and make it look accepted, at once."""
    from apprise.url import URLBase  # noqa: PLC0415 - see the package's docstring
    from urllib3.connectionpool import HTTPConnectionPool  # noqa: PLC0415 - comes with Apprise

    found: list[CapturedSend] = []
    replaced = (
        (HTTPConnectionPool, "urlopen", _fake_urlopen(found)),
        (smtplib, "SMTP", _fake_smtp(found)),
        (smtplib, "SMTP_SSL", _fake_smtp(found)),
        # Apprise waits seconds between two sends to one service.
        (URLBase, "throttle", lambda *_, **__: None),
    )
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
    try:
        for owner, name, fake in replaced:
            setattr(owner, name, fake)
        yield found
    finally:
        for owner, name, original in before:
            setattr(owner, name, original)


def _fake_urlopen(found: list[CapturedSend]) -> Any:
    def urlopen(_pool: Any, *_: Any, body: Any = None, headers: Any = None, **__: Any) -> Any:
        from urllib3 import HTTPResponse  # noqa: PLC0415

        if isinstance(body, bytes | str):
            content = body.encode() if isinstance(body, str) else body
            found.append(CapturedSend(content, str((headers or {}).get("Content-Type", ""))))
        said = {"Content-Type": "application/json"}
        return HTTPResponse(io.BytesIO(_TAKEN), said, status=200, preload_content=False)

    return urlopen


def _fake_smtp(found: list[CapturedSend]) -> type:
    class FakeSmtp:
        """Accepts every mail, like a mail server."""

        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def starttls(self, **_: Any) -> None:
            pass

        def login(self, *_: Any) -> None:
            pass

        def quit(self) -> None:
            pass

        def sendmail(self, _sender: str, _recipients: Any, letter: str | bytes) -> dict[str, Any]:
            content = letter.encode() if isinstance(letter, str) else letter
            found.append(CapturedSend(content, MAIL_TYPE))
            return {}

    return FakeSmtp
