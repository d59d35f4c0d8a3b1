"""The real addresses of real services, stood in for over TLS: nothing is patched, nothing leaves.

A proxy on loopback takes the requests to discord.com, hooks.slack.com and api.telegram.org, and
answers for them with certificates of an authority of its own. A mail server speaks STARTTLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from logs import capture_logs
from mail_server import Mailbox, mail_server
from samples import ALERT, ENVELOPE, flood, flood_of_shared_lines
from sending import courier, open_receiver
from torture.internet import WebAnswer, WebRequest
from torture.loopback import serve_http
from watcher.config.settings import PollSettings, SourceSettings
from watcher.kie.client import open_client
from watcher.kie.responses import SourceError
from watcher.monitor.heartbeat import open_heartbeat
from watcher.notify import receiver
from watcher.notify.client import Sender
from watcher.notify.outcome import Outcome, Verdict
from watcher.observer import Observer
from watcher.render.message import render

SERVICES = {
    "discord.com": "discord://123456789012345678/Canary-Discord-Token",
    "hooks.slack.com": "slack://T1JJ3T3L2/A1BRTD4JD/CanarySlackToken00000000",
    "api.telegram.org": "tgram://123456789:CanaryTelegramTokenCanaryTelegramT/4711",
}
ACTING = ("<!", "<@", "@everyone", "@here", "evil.example", "\\u202e", "</p>")


@pytest.fixture
def seen() -> list[WebRequest]:
    """All that the services get."""
    requests: list[WebRequest] = []

    def answer(request: WebRequest) -> WebAnswer:
        requests.append(request)
        return WebAnswer()

    courier().answer(answer)
    return requests


@pytest.mark.parametrize("count", [1, 574])
@pytest.mark.parametrize("host", SERVICES)
async def test_hostile_models_arrive_harmless_at_the_service_itself(
    seen: list[WebRequest], host: str, count: int
) -> None:
    opened = open_receiver("team", SERVICES[host])
    for contents in (flood(count), flood_of_shared_lines(count)):
        alert = render(contents, opened.service, ENVELOPE)
        outcome = await opened.send(alert.title, alert.body, ALERT)
        assert outcome.verdict is Verdict.ACCEPTED, outcome
    assert [request.host for request in seen] == [host, host]
    for request in seen:
        shown = json.dumps(json.loads(request.body), ensure_ascii=False)
        # A time that Slack shows by the clock of its reader calls nobody.
        assert not [mark for mark in ACTING if mark in shown.replace("<!date^", "")]
    assert ALERT in seen[0].body.decode()


async def test_discord_is_told_on_the_wire_to_call_nobody(seen: list[WebRequest]) -> None:
    opened = open_receiver("team", SERVICES["discord.com"])
    alert = render(flood(10), opened.service, ENVELOPE)
    await opened.send(alert.title, alert.body, ALERT)
    payload: dict[str, Any] = json.loads(seen[0].body)
    assert payload["allowed_mentions"] == {"parse": []}
    assert payload["embeds"] == json.loads(alert.body)["embeds"]


async def test_a_certificate_of_somebody_else_is_not_accepted(
    seen: list[WebRequest], tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    variables = {**os.environ, **courier().internet.environment, "REQUESTS_CA_BUNDLE": str(other)}
    async with Sender(variables) as sender:
        opened = await receiver.open_receiver(sender, "team", SERVICES["discord.com"])
        outcome = await opened.send("t", "b", ALERT)
    assert outcome == Outcome(Verdict.RETRY, "the certificate was not accepted")
    assert not seen


async def test_a_proxy_that_is_not_there_is_not_passed_by(seen: list[WebRequest]) -> None:
    async with Sender({**os.environ, "HTTPS_PROXY": "http://127.0.0.1:9"}) as sender:
        opened = await receiver.open_receiver(sender, "team", SERVICES["discord.com"])
        outcome = await opened.send("t", "b", ALERT)
    assert outcome == Outcome(Verdict.RETRY, "the proxy did not work")
    assert not seen


@pytest.fixture(params=["vouched for", "unknown"])
async def with_certificate(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[str, bool]]:
    """A server that refuses everything, and whether this machine trusts its certificate."""
    authority, tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    is_trusted = request.param == "vouched for"
    (authority if is_trusted else trustme.CA()).cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=418)

    async with serve_http(refuse, tls) as host:
        yield f"https://{host}/", is_trusted


async def test_the_api_is_asked_only_where_its_certificate_is_vouched_for(
    with_certificate: tuple[str, bool],
) -> None:
    url, is_trusted = with_certificate
    why = "418" if is_trusted else "certificate or encryption was refused"
    async with open_client(SourceSettings(url=url), PollSettings(), asyncio.sleep) as client:
        with pytest.raises(SourceError, match=why):
            await client.sweep(None)


class Pinged(Observer):
    def __init__(self) -> None:
        self.once = asyncio.Event()

    def pinged(self, outcome: str) -> None:
        self.once.set()


async def test_a_monitor_is_pinged_only_where_its_certificate_is_vouched_for(
    with_certificate: tuple[str, bool],
) -> None:
    url, is_trusted = with_certificate
    stop, pinged = asyncio.Event(), Pinged()
    with capture_logs() as lines:
        async with open_heartbeat(url, retry_pauses=(), observer=pinged) as heartbeat:
            heartbeat.report_up()
            beating = asyncio.create_task(heartbeat.run(stop))
            async with asyncio.timeout(10):
                await pinged.once.wait()
            stop.set()
            await beating
    assert ("418" in str(lines)) is is_trusted, lines


@contextlib.contextmanager
def a_mail_server(mailbox: Mailbox, context: ssl.SSLContext) -> Iterator[str]:
    with mail_server(mailbox, tls_context=context, require_starttls=True) as port:
        options = "smtp=localhost&mode=starttls&from=a@example.org&to=b@example.net"
        yield f"mailtos://localhost:{port}?{options}"


async def test_a_letter_of_hostile_models_arrives_encrypted_and_harmless() -> None:
    mailbox = Mailbox()
    with a_mail_server(mailbox, courier().internet.context("localhost")) as url:
        opened = open_receiver("team", url)
        alert = render(flood(574), opened.service, ENVELOPE)
        outcome = await opened.send(alert.title, alert.body, ALERT)
    assert outcome.verdict is Verdict.ACCEPTED, outcome
    [mail] = mailbox.mails
    assert isinstance(mail, EmailMessage)
    text, page = mail.iter_parts()
    assert text.get_content().split() == json.loads(alert.body)["text"].split()
    assert "<script" not in page.get_content()
    assert f"+{alert.hidden} more" in text.get_content()


async def test_a_letter_is_not_sent_to_a_mail_server_that_nobody_vouches_for() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    mailbox = Mailbox()
    with a_mail_server(mailbox, context) as url:
        outcome = await open_receiver("team", url).send("t", "b", ALERT, "text")
    assert outcome == Outcome(Verdict.RETRY, "the certificate was not accepted")
    assert not mailbox.mails
