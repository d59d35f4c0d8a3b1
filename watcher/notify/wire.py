"""What really happened on the wire below Apprise, which reports only yes or no.

Knows three seams of other people's code and wraps each once for the process: the one method through
which `requests` sends everything, the one function that names a mail, and the one that makes plain
text of a letter. What they see goes to the send that caused it, by context, which Apprise copies
into its worker threads; what is to go out instead of what Apprise made comes from there. Where a
seam is missing, the log text that Apprise keeps with a result, and what Apprise made, have to do.
Refuses to know what it means.
"""

from __future__ import annotations

import logging
import re
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from apprise.logger import NotifyLogEntry

__all__ = [
    "NOTHING",
    "Exchange",
    "Instead",
    "install",
    "payload",
    "quiet",
    "read_log",
    "record",
]

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
class Instead:
    """What goes out in place of what Apprise made; `None`: as Apprise made it.

    `payload` for a service that takes JSON of its own, `raw` as the whole of a request, of
    `content_type`, and `text_part` as the plain text beside a letter's HTML.
    """

    payload: Mapping[str, Any] | None = None
    raw: bytes | None = None
    content_type: str = ""
    text_part: str | None = None


NOTHING = Instead()


@dataclass(slots=True)
class Exchange:
    """What one send saw: the last HTTP status and Retry-After, the last error, the SMTP code.

    `failure` is the name of an exception's class, never its text. `message_id` names a mail the
    same way each time the same text is sent.
    """

    instead: Instead = NOTHING

    status: int | None = None
    retry_after: str | None = None
    failure: str | None = None
    smtp_code: int | None = None
    message_id: str = field(default="")


_current: ContextVar[Exchange | None] = ContextVar("kie_watcher_exchange", default=None)


@contextmanager
def record(alert_id: str, text: str, instead: Instead = NOTHING) -> Iterator[Exchange]:
    """Let everything sent in this context, and in threads it starts, report to one `Exchange`."""
    # Alert ids are short, and mail programs drop a mail whose id they have seen: the text is part.
    digest = sha256(f"{alert_id}\n{text}".encode()).hexdigest()[:24]
    exchange = Exchange(instead, message_id=f"kie-watcher.{digest}")
    token = _current.set(exchange)
    try:
        yield exchange
    finally:
        _current.reset(token)


def payload() -> Mapping[str, Any] | None:
    """The payload that the send in this context has of its own."""
    exchange = _current.get()
    return None if exchange is None else exchange.instead.payload


def install() -> None:
    """Wrap the seams, once for the process; the second call does nothing."""
    import apprise.plugins.email.base as mail  # noqa: PLC0415 - loading Apprise takes a while
    from requests.adapters import HTTPAdapter  # noqa: PLC0415

    _wrap(HTTPAdapter, "send", _reporting)
    _wrap(mail, "make_msgid", _same_name)
    _wrap(mail, "convert_between", _own_text)
    # The SMTP codes are told at DEBUG only, and a result keeps only what the logger lets through.
    # Nothing of it may reach the root logger: these records hold addresses and tokens.
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def read_log(exchange: Exchange, entries: Iterable[NotifyLogEntry]) -> None:
    """Fill in, from Apprise's own log of one send, what the seams did not see."""
    for entry in entries:
        if code := _SMTP_CODE.match(entry.message):
            exchange.smtp_code = int(code[1])
        if exchange.status is not None or entry.level == "DEBUG":
            continue
        if status := _HTTP_STATUS.search(entry.message):
            exchange.status = int(status[1])


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Keep what Apprise says from every log, and collect its warnings and errors instead.

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
    """`HTTPAdapter.send` that tells the current `Exchange`, if any, how it ended."""

    @wraps(send)
    def reporting(*args: Any, **kwargs: Any) -> Any:
        exchange = _current.get()
        if exchange is None:
            return send(*args, **kwargs)
        if exchange.instead.raw is not None:
            _replace(args[1], exchange.instead)
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


def _replace(request: Any, instead: Instead) -> None:
    """Put our own bytes into a request that is ready to go."""
    request.body = instead.raw
    request.headers["Content-Length"] = str(len(instead.raw or b""))
    request.headers["Content-Type"] = instead.content_type


def _own_text(convert: Callable[..., str]) -> Callable[..., str]:
    """`convert_between` that has the text of a letter where we brought one along."""

    @wraps(convert)
    def own_text(from_format: str, to_format: str, content: str) -> str:
        exchange = _current.get()
        text = None if exchange is None else exchange.instead.text_part
        if text is None or (from_format, to_format) != ("html", "text"):
            return convert(from_format, to_format, content)
        return text

    return own_text


def _same_name(make_msgid: Callable[..., str]) -> Callable[..., str]:
    """`make_msgid` that gives the same text the same name on every try."""

    @wraps(make_msgid)
    def same_name(idstring: str | None = None, domain: str | None = None) -> str:
        exchange = _current.get()
        if exchange is None or not domain:
            return make_msgid(idstring, domain)
        return f"<{exchange.message_id}@{domain}>"

    return same_name
