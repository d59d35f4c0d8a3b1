"""Receivers: one named destination each, one send at a time, and what came of it.

A failed send is an `Outcome`, not an exception: accepted, to be tried again, or refused for good.
Its reason never repeats what a server said: servers quote addresses and tokens back.
"""

from __future__ import annotations

import asyncio
import logging
import os
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import structlog

from watcher.notify import wire
from watcher.notify.addresses import SERVICE_TIMEOUT, apprise_asset, create_plugin
from watcher.notify.formats import Format, choose_format, parse_markup, plain_text, prepare_service
from watcher.notify.wire import Adapted, adapted, correct_plugin
from watcher.render.markup import Markup, Service
from watcher.safe_text import one_line, printable
from watcher.schedule import parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from apprise import AppriseResult

    from watcher.notify.formats import Plugin

log = structlog.get_logger()

TERMINAL = Service("terminal", Markup.TERMINAL, 1_000_000, 1_000, None)
_BOLD, _NOT_BOLD = "\x1b[1m", "\x1b[0m"

# Services whose plugins send the headers they are given.
_TAKES_HEADERS = frozenset({"mailto", "mailtos", "json", "jsons", "xml", "xmls", "form", "forms"})
_MAIL_SCHEMES = frozenset({"mailto", "mailtos"})
_FAILURE_REASONS = {
    "ConnectTimeout": "no connection in time",
    "ReadTimeout": "no answer in time; it may have arrived",
    "SSLError": "the certificate was not accepted",
    "ProxyError": "the proxy did not work",
}
_REFUSED_REASONS = {
    400: "the service does not take this message",
    401: "the credentials are wrong",
    403: "the credentials do not allow this",
    404: "the address is gone or wrong",
    410: "the address is gone",
}
_SMTP_REASONS = {
    421: "the mail server is not available now",
    450: "the mailbox is busy",
    451: "the mail server had an error",
    452: "the mail server is out of space",
    530: "the mail server wants a login or encryption",
    534: "the mail server wants another way to log in",
    535: "the user name or the password is wrong",
    550: "the recipient or the sender is not accepted",
    551: "the recipient is elsewhere",
    552: "the message is too large or the mailbox is full",
    553: "the recipient's address is not allowed",
    554: "the mail server does not take this message",
}


class Verdict(StrEnum):
    """What to do next: nothing, try again, or give up for good."""

    ACCEPTED = "accepted"
    RETRY = "retry"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one send. `reason` is for people, without secrets; empty where accepted.

    `retry_after` is what the service asked for, at most a day; `None` where it asked for nothing.
    """

    verdict: Verdict
    reason: str
    retry_after: timedelta | None = None


class Receiver(Protocol):
    """One named destination."""

    @property
    def name(self) -> str:
        """As the configuration names it."""

    @property
    def service(self) -> Service:
        """What rendering must know of it."""

    async def send(
        self,
        title: str,
        body: str,
        alert_id: str,
        markup: str | None = None,
        picture: bytes | None = None,
    ) -> Outcome:
        """Send one rendered message. Never raises for what a service does.

        `markup` is what the body was written in, where that may not be what `service` says now: a
        message may have been stored under another configuration or by another version. `picture`
        is a PNG that goes with it where the service takes pictures; it decides nothing.
        """


def open_receiver(name: str, url: str, format: str = "auto") -> AppriseReceiver:  # noqa: A002 - as in the configuration
    """The receiver of a URL. Raises `ValueError` where `check_url` finds something wrong.

    The first one loads Apprise: up to a quarter of a second, so not inside a running loop.
    """
    plugin = create_plugin(url, format)
    wire.install()
    return AppriseReceiver(name, plugin, Format(format))


class AppriseReceiver:
    """A destination that Apprise sends to."""

    def __init__(self, name: str, plugin: Plugin, wanted: Format = Format.AUTO) -> None:
        """`plugin` is one service with one destination, and from now on this receiver's own."""
        from apprise import Apprise, ContentLocation  # noqa: PLC0415 - see the package's docstring

        self.name = name
        self.service = prepare_service(plugin, choose_format(plugin, wanted))
        self._plugin = plugin
        correct_plugin(plugin, self.service.markup)
        self._apprise = Apprise([plugin], asset=apprise_asset(), location=ContentLocation.HOSTED)
        # A plugin keeps its throttle and its headers on itself, and does not lock them.
        self._turn = asyncio.Lock()

    async def send(
        self,
        title: str,
        body: str,
        alert_id: str,
        markup: str | None = None,
        picture: bytes | None = None,
    ) -> Outcome:
        """Send one message within half a minute; the alert id goes into headers too."""
        written_in = self.service.markup if markup is None else parse_markup(markup)
        text = adapted(self._plugin, written_in, title, body)
        shown = picture if picture and self._plugin.attachment_support else None
        # A mail is one thing with its picture. Elsewhere a picture is a request of its own, and
        # one that fails must not make the text be sent twice.
        enclosed = shown if self._plugin.schema in _MAIL_SCHEMES else None
        async with self._turn:
            if self._plugin.schema in _TAKES_HEADERS:
                self._plugin.headers |= {
                    "X-Alert-Id": alert_id,
                    "Auto-Submitted": "auto-generated",
                }
            with wire.record(alert_id, f"{title}\n{body}", text.replacement) as exchange:
                result = await self._notify(text, enclosed)
            with result:
                outcome = _outcome_of(result, exchange)
            if shown and not enclosed and outcome.verdict is Verdict.ACCEPTED:
                await self._send_picture(shown, alert_id)
        return outcome

    async def _notify(self, text: Adapted, picture: bytes | None) -> AppriseResult:
        return await self._apprise.async_notify(
            title=text.title,
            body=text.body,
            body_format=text.body_format,
            attach=None if picture is None else _attachment(picture),
            log_level=logging.DEBUG,
        )

    async def _send_picture(self, picture: bytes, alert_id: str) -> None:
        """Send a picture after its text."""
        with wire.record(alert_id, alert_id):
            result = await self._notify(Adapted("", "", None), picture)
        with result:
            if not result:
                log.warning("picture.failed", receiver=self.name, alert=alert_id)


def _attachment(picture: bytes) -> Any:
    from apprise import ContentLocation  # noqa: PLC0415 - see the package's docstring
    from apprise.attachment.memory import AttachMemory  # noqa: PLC0415

    attachment = AttachMemory(  # type: ignore[no-untyped-call]
        content=picture, name="prices.png", mimetype="image/png"
    )
    # It counts as a file of this machine, which must not be sent; but this one never was a file.
    attachment.location = ContentLocation.HOSTED
    return attachment


def _outcome_of(result: AppriseResult, exchange: wire.Exchange) -> Outcome:
    if result:
        return Outcome(Verdict.ACCEPTED, "")
    wire.read_log(exchange, result.logs())
    if exchange.smtp_code is not None:
        return outcome_of_smtp(exchange.smtp_code)
    if exchange.failure is not None:
        why = _FAILURE_REASONS.get(exchange.failure, "the service could not be reached")
        return Outcome(Verdict.RETRY, why)
    if exchange.status is not None:
        return outcome_of_http(exchange.status, exchange.retry_after, datetime.now(UTC))
    if result.timeout_count:
        why = f"no answer within {SERVICE_TIMEOUT:.0f} seconds; it may have arrived"
        return Outcome(Verdict.RETRY, why)
    return Outcome(Verdict.RETRY, "the service could not be reached, or broke off")


def outcome_of_http(status: int, retry_after: str | None, now: datetime) -> Outcome:
    """The outcome of a send that was answered with `status` and was not a success."""
    wait = parse_retry_after(retry_after, now)
    if status == 429:  # noqa: PLR2004 - the number is its name
        return Outcome(Verdict.RETRY, "told to slow down (429)", wait)
    if status in _REFUSED_REASONS:
        return Outcome(Verdict.REFUSED, f"refused with {status}: {_REFUSED_REASONS[status]}")
    match status // 100:
        case 2:
            return Outcome(
                Verdict.RETRY, f"answered {status}, but did not accept the message", wait
            )
        case 3:
            why = "the address has moved, and redirects are not followed"
            return Outcome(Verdict.REFUSED, f"refused with {status}: {why}")
        case 5:
            return Outcome(Verdict.RETRY, f"the service failed ({status})", wait)
        case _:
            return Outcome(Verdict.RETRY, f"answered {status}", wait)


def outcome_of_smtp(code: int) -> Outcome:
    """The outcome of a mail that a server turned down with `code`."""
    why = _SMTP_REASONS.get(code, "the mail server gave no reason that is known here")
    if 500 <= code <= 599:  # noqa: PLR2004 - permanent, RFC 5321 section 4.2.1
        return Outcome(Verdict.REFUSED, f"refused with {code}: {why}")
    return Outcome(Verdict.RETRY, f"not now ({code}): {why}")


class TerminalReceiver:
    """Prints messages to a stream; the title is bold where the stream is a terminal."""

    service = TERMINAL

    def __init__(
        self,
        stream: TextIO,
        environment: Mapping[str, str] = os.environ,
        *,
        name: str = "terminal",
        indent: str = "",
    ) -> None:
        """`NO_COLOR` in the environment, with any value, turns colour off (no-color.org).

        `indent` stands before every line, where several share a stream.
        """
        self.name = name
        self._indent = indent
        self._stream = stream
        self._bold = stream.isatty() and not environment.get("NO_COLOR")

    async def send(
        self,
        title: str,
        body: str,
        alert_id: str,  # noqa: ARG002 - it is in the text
        markup: str | None = None,
        picture: bytes | None = None,  # noqa: ARG002 - a terminal shows none
    ) -> Outcome:
        """Print one message and a blank line."""
        body = body if markup is None else plain_text(parse_markup(markup), body)
        heading = one_line(title)
        if self._bold:
            heading = f"{_BOLD}{heading}{_NOT_BOLD}"
        try:
            text = textwrap.indent(f"{heading}\n{printable(body)}\n", self._indent)
            print(text, file=self._stream, flush=True)
        except OSError as problem:
            return Outcome(Verdict.RETRY, f"the terminal cannot be written to ({problem.strerror})")
        return Outcome(Verdict.ACCEPTED, "")
