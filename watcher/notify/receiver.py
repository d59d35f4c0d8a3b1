"""One receiver, one send, one outcome: a message handed to Apprise and what came of it.

Knows Apprise's call and its result. Refuses to know when to try again, what the text says, or what
any other receiver does.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from watcher.notify import wire
from watcher.notify.address import SERVICE_TIMEOUT, asset, service_at
from watcher.notify.dress import Dressed, dressed
from watcher.notify.formats import Format, described, told_format
from watcher.notify.outcome import Outcome, Verdict, after_http, after_smtp
from watcher.notify.plain import read_markup
from watcher.notify.taming import tamed

if TYPE_CHECKING:
    from apprise import AppriseResult

    from watcher.notify.formats import Plugin
    from watcher.rendering import Service

__all__ = ["AppriseReceiver", "Receiver", "open_receiver"]

log = structlog.get_logger()

# Services whose plugins send the headers they are given.
_TAKES_HEADERS = frozenset({"mailto", "mailtos", "json", "jsons", "xml", "xmls", "form", "forms"})
_LETTERS = frozenset({"mailto", "mailtos"})
_FAILURES = {
    "ConnectTimeout": "no connection in time",
    "ReadTimeout": "no answer in time; it may have arrived",
    "SSLError": "the certificate was not accepted",
    "ProxyError": "the proxy did not work",
}


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
        """Hand one rendered message over. Never raises for what a service does.

        `markup` is what the body was written in, where that may not be what `service` says now: a
        message may have been stored under another configuration or by another version. `picture`
        is a PNG that goes with it where the service takes pictures; it decides nothing.
        """


def open_receiver(name: str, url: str, format: str = "auto") -> AppriseReceiver:  # noqa: A002 - as in the configuration
    """The receiver behind a URL that `check` finds nothing wrong with; else `ValueError`.

    The first one loads all of Apprise: a quarter of a second, so not inside a running loop.
    """
    plugin = service_at(url, format)
    wire.install()
    return AppriseReceiver(name, plugin, Format(format))


class AppriseReceiver:
    """A destination that Apprise knows how to reach."""

    def __init__(self, name: str, plugin: Plugin, wanted: Format = Format.AUTO) -> None:
        """`plugin` is one service with one destination, and from now on this receiver's own."""
        from apprise import Apprise, ContentLocation  # noqa: PLC0415 - see the package's docstring

        self.name = name
        self.service = described(plugin, told_format(plugin, wanted))
        self._plugin = plugin
        tamed(plugin, self.service.markup)
        self._apprise = Apprise([plugin], asset=asset(), location=ContentLocation.HOSTED)
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
        """Send one message, at most half a minute long; the alert id goes into headers too."""
        written_in = self.service.markup if markup is None else read_markup(markup)
        text = dressed(self._plugin, written_in, title, body)
        shown = picture if picture and self._plugin.attachment_support else None
        # A letter is one thing with its picture. Elsewhere a picture is a request of its own, and
        # one that fails must not have the text said twice.
        enclosed = shown if self._plugin.schema in _LETTERS else None
        async with self._turn:
            if self._plugin.schema in _TAKES_HEADERS:
                self._plugin.headers |= {
                    "X-Alert-Id": alert_id,
                    "Auto-Submitted": "auto-generated",
                }
            with wire.record(alert_id, f"{title}\n{body}", text.instead) as exchange:
                result = await self._notify(text, enclosed)
            with result:
                outcome = _outcome(result, exchange)
            if shown and not enclosed and outcome.verdict is Verdict.ACCEPTED:
                await self._show(shown, alert_id)
        return outcome

    async def _notify(self, text: Dressed, picture: bytes | None) -> AppriseResult:
        return await self._apprise.async_notify(
            title=text.title,
            body=text.body,
            body_format=text.body_format,
            attach=None if picture is None else _attachment(picture),
            log_level=logging.DEBUG,
        )

    async def _show(self, picture: bytes, alert_id: str) -> None:
        """Send a picture after its text."""
        with wire.record(alert_id, alert_id):
            result = await self._notify(Dressed("", "", None), picture)
        with result:
            if not result:
                log.warning("picture.failed", receiver=self.name, alert=alert_id)


def _attachment(picture: bytes) -> Any:
    from apprise import ContentLocation  # noqa: PLC0415 - see the package's docstring
    from apprise.attachment.memory import AttachMemory  # noqa: PLC0415

    attachment = AttachMemory(  # type: ignore[no-untyped-call]
        content=picture, name="prices.png", mimetype="image/png"
    )
    # It counts as a file of this machine, and those are not to be sent; this one never was a file.
    attachment.location = ContentLocation.HOSTED
    return attachment


def _outcome(result: AppriseResult, exchange: wire.Exchange) -> Outcome:
    if result:
        return Outcome(Verdict.ACCEPTED, "")
    wire.read_log(exchange, result.logs())
    if exchange.smtp_code is not None:
        return after_smtp(exchange.smtp_code)
    if exchange.failure is not None:
        why = _FAILURES.get(exchange.failure, "the service could not be reached")
        return Outcome(Verdict.RETRY, why)
    if exchange.status is not None:
        return after_http(exchange.status, exchange.retry_after, datetime.now(UTC))
    if result.timeout_count:
        why = f"no answer within {SERVICE_TIMEOUT:.0f} seconds; it may have arrived"
        return Outcome(Verdict.RETRY, why)
    return Outcome(Verdict.RETRY, "the service could not be reached, or broke off")
