"""The real addresses of real services, stood in for over TLS: nothing is patched, nothing leaves.

A proxy on loopback takes the requests to discord.com, hooks.slack.com and api.telegram.org, and
answers for them with certificates of an authority of its own. A mail server speaks STARTTLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme

from mail_server import Mailbox, mail_server
from samples import ALERT, flood, flood_of_shared_lines
from watcher.notify.receiver import Verdict, open_receiver
from watcher.render.message import render

SERVICES = {
    "discord.com": "discord://123456789012345678/Canary-Discord-Token",
    "hooks.slack.com": "slack://T1JJ3T3L2/A1BRTD4JD/CanarySlackToken00000000",
    "api.telegram.org": "tgram://123456789:CanaryTelegramTokenCanaryTelegramT/4711",
}
ACTING = ("<!", "<@", "@everyone", "@here", "evil.example", "\\u202e", "</p>")


@dataclass
class StandIn:
    """All of the internet, as far as a proxy is asked for it; `bodies` by host."""

    authority: trustme.CA
    port: int = 0
    bodies: dict[str, list[str]] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        host = head.split()[1].decode().partition(":")[0]
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await writer.drain()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert(host).configure_cert(context)
        await writer.start_tls(context)
        request = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(request.partition("content-length:")[2].split()[0])
        self.bodies.setdefault(host, []).append((await reader.readexactly(length)).decode())
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
        writer.write(answer)
        await writer.drain()


@pytest.fixture
async def internet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StandIn]:
    authority = trustme.CA()
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    standing = StandIn(authority)
    server = await asyncio.start_server(standing.serve, "127.0.0.1", 0)
    standing.port = server.sockets[0].getsockname()[1]
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{standing.port}")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    async with server:
        yield standing


@pytest.mark.parametrize("count", [1, 574])
@pytest.mark.parametrize("host", SERVICES)
async def test_hostile_models_arrive_harmless_at_the_service_itself(
    internet: StandIn, host: str, count: int
) -> None:
    for contents in (flood(count), flood_of_shared_lines(count)):
        # A receiver of its own: Slack's plugin sleeps between two messages.
        receiver = open_receiver("team", SERVICES[host])
        alert = render(contents, receiver.service, ALERT)
        outcome = await receiver.send(alert.title, alert.body, ALERT)
        assert outcome.verdict is Verdict.ACCEPTED, outcome
    first, second = internet.bodies[host]
    for body in (first, second):
        shown = json.dumps(json.loads(body), ensure_ascii=False)
        assert not [mark for mark in ACTING if mark in shown]
    assert ALERT in first


async def test_discord_is_told_on_the_wire_to_call_nobody(internet: StandIn) -> None:
    receiver = open_receiver("team", SERVICES["discord.com"])
    alert = render(flood(10), receiver.service, ALERT)
    await receiver.send(alert.title, alert.body, ALERT)
    payload: dict[str, Any] = json.loads(internet.bodies["discord.com"][0])
    assert payload["allowed_mentions"] == {"parse": []}
    assert payload["embeds"] == json.loads(alert.body)["embeds"]


async def test_a_certificate_of_somebody_else_is_not_accepted(
    internet: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    outcome = await open_receiver("team", SERVICES["discord.com"]).send("t", "b", ALERT)
    assert outcome.verdict is Verdict.RETRY
    assert outcome.reason == "the certificate was not accepted"
    assert not internet.bodies


async def test_a_letter_of_hostile_models_arrives_encrypted_and_harmless(
    internet: StandIn,
) -> None:
    mailbox = Mailbox()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    internet.authority.issue_cert("localhost").configure_cert(context)
    with mail_server(mailbox, tls_context=context, require_starttls=True) as port:
        url = f"mailtos://localhost:{port}?smtp=localhost&mode=starttls&from=a@example.org&to=b@example.net"
        receiver = open_receiver("team", url)
        alert = render(flood(574), receiver.service, ALERT)
        outcome = await receiver.send(alert.title, alert.body, ALERT)
    assert outcome.verdict is Verdict.ACCEPTED, outcome
    [mail] = mailbox.mails
    assert isinstance(mail, EmailMessage)
    text, page = mail.iter_parts()
    assert text.get_content().split() == json.loads(alert.body)["text"].split()
    assert "<script" not in page.get_content()
    assert f"+{alert.hidden} more" in text.get_content()
