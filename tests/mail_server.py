"""Mail servers on loopback."""

from __future__ import annotations

import asyncio
import email
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message as Mail
from email.policy import default as modern
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult


def free_port() -> int:
    """A port that nobody listens at, for now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mail_server(handler: Any, **options: Any) -> Iterator[int]:
    """A mail server with a handler and options of aiosmtpd; yields its port."""
    controller = Controller(handler, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def login_with(authenticate: Any) -> dict[str, Any]:
    """Options of a server that asks for a login, over whatever connection."""
    return {"authenticator": authenticate, "auth_require_tls": False}


@dataclass(slots=True)
class Mailbox:
    """What a mail server does at each step: a reply line, or `drop` to hang up."""

    at_mail: str = ""
    at_recipient: str = ""
    at_data: str = ""
    login_works: bool = True
    mails: list[Mail] = field(default_factory=list)

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return self.at_mail or "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if not self.at_recipient:
            envelope.rcpt_tos.append(address)
        return self.at_recipient or "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(email.message_from_bytes(envelope.content, policy=modern))
        if self.at_data == "drop":
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return self.at_data or "250 OK"

    def authenticate(self, server: SMTP, *_: Any) -> AuthResult:
        return AuthResult(success=self.login_works, handled=self.login_works)
