"""Receivers: one named destination each, one send at a time, and what came of it.

A failed send is an `Outcome`, not an exception.
"""

from __future__ import annotations

import base64
import os
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from watcher.log import log
from watcher.notify.client import SenderError
from watcher.notify.formats import Preview, parse_markup, plain_text
from watcher.notify.outcome import Outcome, Verdict, outcome_without_reply
from watcher.render.markup import Markup, Service
from watcher.safe_text import one_line, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watcher.notify.client import Sender

TERMINAL = Service("terminal", Markup.TERMINAL, 1_000_000, 1_000, None)
_BOLD, _NOT_BOLD = "\x1b[1m", "\x1b[0m"


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


async def open_receiver(
    sender: Sender,
    name: str,
    url: str,
    format: str = "auto",  # noqa: A002 - as in the configuration
) -> ServiceReceiver:
    """The receiver of a URL, which `sender` sends to.

    Raises `ValueError` where something is wrong with the URL, and `SenderError`.
    """
    found = await sender.inspect(url, format)
    if found.service is None:
        raise ValueError(f"the address {'; '.join(found.problems)}")
    address = Address(url, format, found.takes_pictures)
    return ServiceReceiver(name, found.service, address, sender)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a receiver is: an Apprise URL, a secret, and the format that its owner wants."""

    url: str
    format: str
    takes_pictures: bool


class ServiceReceiver:
    """A destination at a service that Apprise knows."""

    def __init__(self, name: str, service: Service, address: Address, sender: Sender) -> None:
        self.name = name
        self.service = service
        self._address = address
        self._sender = sender

    async def send(
        self,
        title: str,
        body: str,
        alert_id: str,
        markup: str | None = None,
        picture: bytes | None = None,
    ) -> Outcome:
        """Send one message; a picture goes with a mail, and after any other message."""
        if not self._address.takes_pictures:
            picture = None
        is_mail = self.service.name == "mailto"
        request = self._request(title, body, alert_id, markup, picture if is_mail else None)
        reply = await self._sender.send(self.name, request)
        if reply.content is None:
            return outcome_without_reply(reply.ended, self._sender.within, left=reply.left)
        outcome = Outcome.from_json(reply.content)
        if picture and not is_mail and outcome.verdict is Verdict.ACCEPTED:
            # One that fails must not make the text be sent twice.
            await self._send_picture(picture, alert_id)
        return outcome

    async def preview(
        self, title: str, body: str, alert_id: str, picture: bytes | None = None
    ) -> Preview:
        """What `send` would send, without a picture that goes after it. Raises `SenderError`."""
        enclosed = picture if self.service.name == "mailto" else None
        request = self._request(title, body, alert_id, None, enclosed)
        reply = await self._sender.ask({**request, "what": "preview"})
        if reply.content is None:
            raise SenderError(f"the message cannot be made now ({reply.ended})")
        content = base64.b64decode(reply.content["content"])
        return Preview(content, reply.content["content_type"])

    async def _send_picture(self, picture: bytes, alert_id: str) -> None:
        request = self._request("", "", alert_id, None, picture)
        reply = await self._sender.send(self.name, {**request, "what": "picture"})
        if reply.content is None or not reply.content["accepted"]:
            log.warning("picture.failed", receiver=self.name, alert=alert_id)

    def _request(
        self, title: str, body: str, alert_id: str, markup: str | None, picture: bytes | None
    ) -> dict[str, Any]:
        return {
            "what": "send",
            "url": self._address.url,
            "format": self._address.format,
            "title": title,
            "body": body,
            "alert_id": alert_id,
            "markup": self.service.markup.value if markup is None else markup,
            "picture": None if picture is None else base64.b64encode(picture).decode(),
        }


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
