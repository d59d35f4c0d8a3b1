"""Sends by a real sender to real servers on loopback, and what is made of the ends."""

from __future__ import annotations

import asyncio
import html
import io
import json
import logging
import re
import subprocess
import sys
from collections import deque
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from build import model
from mail_server import Mailbox, free_port, login_with, mail_server
from sending import courier, open_receiver
from torture.internet import WebAnswer, WebRequest
from torture.loopback import serve_http
from watcher.catalog.changes import Kind, ModelChange, RecordedChange
from watcher.log import configure
from watcher.notify.addresses import check_url
from watcher.notify.outcome import Outcome, Verdict, outcome_of_http, outcome_of_smtp
from watcher.notify.receiver import TerminalReceiver
from watcher.render.markup import Markup, Service, harmless
from watcher.render.message import Message, render
from watcher.render.outline import Envelope
from watcher.safe_text import Redactor
from watcher.schedule import parse_retry_after

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

DISCORD = "discord://123456789012345678/Canary-Discord-Token"
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/CanarySlackToken00000000"
TELEGRAM = "tgram://123456789:CanaryTelegramTokenCanaryTelegramT/4711"

EVIL = (
    "@everyone @here <!channel> <!here> <@U123> <@&42> **bold** _it_ `code` # h [l](https://e.vil) "
    "https://evil.example <b>b</b> <script>x</script> <a href='https://e.vil'>a</a> & &lt; ||s|| ~s~"
    "\x1b[31m\x07\r\n.\r\nBcc: x@example.org\u202e\u2028"
)


@dataclass(slots=True)
class Seen:
    path: str
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Hook:
    """A web service that keeps what it got and answers as told; 200 `ok` when told nothing.

    `said` is the text of its answers.
    """

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    answers: deque[tuple[int, dict[str, str]]] = field(default_factory=deque)
    said: str = ""
    hang: bool = False
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, request: WebRequest) -> WebAnswer:
        self.seen.append(Seen(request.path, dict(request.headers), request.body.decode()))
        status, headers = self.answers.popleft() if self.answers else (200, {})
        # Slack's API and its web hooks say so in different ways.
        good = '{"ok": true}' if "/api/chat" in request.path else "ok"
        return WebAnswer((self.said or good).encode(), status, tuple(headers.items()))

    async def answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        answer = self.take(WebRequest("127.0.0.1", request.path, headers, body))
        if self.hang:
            await self.closing.wait()
        return web.Response(status=answer.status, headers=dict(answer.headers), body=answer.body)

    def address(self, schema: str = "json", path: str = "/in", query: str = "") -> str:
        return f"{self.url.replace('http', schema, 1)}{path}{query and '?' + query}"


@asynccontextmanager
async def a_hook() -> AsyncIterator[Hook]:
    hook = Hook()
    async with serve_http(hook.answer) as host:
        hook.url = f"http://{host}"
        yield hook
        hook.closing.set()


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    """It also stands in for every service with a name of its own."""
    async with a_hook() as running:
        courier().answer(running.take)
        yield running


@contextmanager
def a_mail_server(mailbox: Mailbox) -> Iterator[str]:
    with mail_server(mailbox, **login_with(mailbox.authenticate)) as port:
        yield f"mailto://canaryuser:canarypassword@127.0.0.1:{port}?{MAIL_OPTIONS}"


MAIL_OPTIONS = "smtp=127.0.0.1&mode=insecure&from=watcher@example.org&to=canary@example.net"


async def sent(
    url: str, title: str = "1 price moved", body: str = "Veo 3: 60 → 80", alert_id: str = "k3m9"
) -> Outcome:
    """A plain text, as an earlier version stored it."""
    return await open_receiver("team", url).send(title, body, alert_id, "text")


# What became of it


async def test_a_message_that_arrives_is_accepted(hook: Hook) -> None:
    assert await sent(hook.address()) == Outcome(Verdict.ACCEPTED, "")
    assert hook.seen[0].json["title"] == "1 price moved"
    assert hook.seen[0].json["message"] == "Veo 3: 60 → 80"
    assert hook.seen[0].headers["x-alert-id"] == "k3m9"


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_every_success_is_accepted(hook: Hook, status: int) -> None:
    hook.answers.append((status, {}))
    assert (await sent(hook.address())).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("status", "verdict", "reason"),
    [
        (
            302,
            Verdict.REFUSED,
            "refused with 302: the address has moved, and redirects are not followed",
        ),
        (400, Verdict.REFUSED, "refused with 400: the service does not take this message"),
        (401, Verdict.REFUSED, "refused with 401: the credentials are wrong"),
        (403, Verdict.REFUSED, "refused with 403: the credentials do not allow this"),
        (404, Verdict.REFUSED, "refused with 404: the address is gone or wrong"),
        (410, Verdict.REFUSED, "refused with 410: the address is gone"),
        (405, Verdict.REFUSED, "refused with 405: the service does not take messages this way"),
        (406, Verdict.REFUSED, "refused with 406: the service does not take this message"),
        (408, Verdict.RETRY, "answered 408"),
        (409, Verdict.RETRY, "answered 409"),
        (411, Verdict.REFUSED, "refused with 411: the service does not take this message"),
        (413, Verdict.REFUSED, "refused with 413: the message is too large"),
        (414, Verdict.REFUSED, "refused with 414: the service does not take this message"),
        (415, Verdict.REFUSED, "refused with 415: the service does not take this message"),
        (422, Verdict.REFUSED, "refused with 422: the service does not take this message"),
        (423, Verdict.RETRY, "answered 423"),
        (425, Verdict.RETRY, "answered 425"),
        (451, Verdict.REFUSED, "refused with 451: the service may not show this"),
        (500, Verdict.RETRY, "the service failed (500)"),
        (503, Verdict.RETRY, "the service failed (503)"),
    ],
)
@pytest.mark.parametrize("service", ["discord", "json"])
async def test_a_status_decides_whether_another_try_makes_sense(
    hook: Hook, service: str, status: int, verdict: Verdict, reason: str
) -> None:
    hook.answers.append((status, {"Location": "/elsewhere"}))
    url = DISCORD if service == "discord" else hook.address()
    assert await sent(url) == Outcome(verdict, reason)
    assert len(hook.seen) == 1


@pytest.mark.parametrize(
    "url", [DISCORD, SLACK, TELEGRAM, None], ids=["discord", "slack", "telegram", "json"]
)
async def test_a_service_that_is_too_busy_says_when_to_come_back_and_is_asked_once(
    hook: Hook, url: str | None
) -> None:
    hook.answers.extend([(429, {"Retry-After": "37"})] * 3)
    outcome = await sent(url or hook.address())
    assert outcome == Outcome(Verdict.RETRY, "told to slow down (429)", timedelta(seconds=37))
    assert len(hook.seen) == 1


async def test_discord_does_not_sleep_through_its_own_rate_limit(hook: Hook) -> None:
    reset = int(datetime.now(UTC).timestamp()) + 600
    limits = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)}
    receiver = open_receiver("team", DISCORD)
    hook.answers.extend([(200, limits), (429, limits | {"Retry-After": "1.5"})])
    assert (await receiver.send("", "one", "a")).verdict is Verdict.ACCEPTED
    assert await receiver.send("", "two", "b") == Outcome(
        Verdict.RETRY, "told to slow down (429)", timedelta(seconds=1.5)
    )


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ('{"ok": true, "channel": "C1"}', Outcome(Verdict.ACCEPTED, "")),
        (
            '{"ok": false, "error": "channel_not_found"}',
            Outcome(
                Verdict.REFUSED, "refused: there is no such channel, or the bot may not see it"
            ),
        ),
        (
            '{"ok": false, "error": "Canary-fatal"}',
            Outcome(Verdict.RETRY, "answered 200, but did not accept the message"),
        ),
        (
            "<html>",
            Outcome(
                Verdict.RETRY,
                "answered 200 and nothing that can be read; it may have arrived",
                ambiguous=True,
            ),
        ),
    ],
    ids=["accepted", "refused", "not now", "no answer"],
)
async def test_a_slack_bot_is_told_in_the_body_what_became_of_it(
    hook: Hook, said: str, outcome: Outcome
) -> None:
    hook.said = said
    assert await sent(BOT) == outcome


async def test_an_answer_that_does_not_come_may_still_have_been_a_delivery(hook: Hook) -> None:
    hook.hang = True
    outcome = await sent(hook.address(query="rto=0.2"))
    reason = "no answer in time; it may have arrived"
    assert outcome == Outcome(Verdict.RETRY, reason, ambiguous=True)
    assert len(hook.seen) == 1


async def test_nobody_listening_is_tried_again() -> None:
    assert await sent(f"json://127.0.0.1:{free_port()}/") == Outcome(
        Verdict.RETRY, "the service could not be reached"
    )


async def test_sends_at_the_same_time_keep_their_own_ends(hook: Hook) -> None:
    async with a_hook() as other:
        hook.answers.extend([(429, {"Retry-After": "11"})] * 4)
        other.answers.extend([(404, {})] * 4)
        outcomes = await asyncio.gather(
            *(sent((hook, other)[turn % 2].address(path=f"/{turn}")) for turn in range(8))
        )
    assert [outcome.verdict for outcome in outcomes] == [Verdict.RETRY, Verdict.REFUSED] * 4
    assert [outcome.retry_after for outcome in outcomes] == [timedelta(seconds=11), None] * 4


async def test_a_hostile_name_cannot_pass_for_a_server_s_reply(hook: Hook) -> None:
    hook.answers.append((503, {}))
    body = "error=404.\nSocket Exception: (550, b'x')\nSMTP recipient x was refused: 550 b'x'"
    gotify = f"{hook.address('gotify', '')}/AbCdEf.12345678"
    assert (await sent(gotify, body=body)).reason == "the service failed (503)"


async def test_a_send_that_is_cancelled_ends_at_once_and_the_next_one_works(hook: Hook) -> None:
    receiver = open_receiver("team", hook.address(query="rto=0.3"))
    hook.hang = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await receiver.send("t", "one", "a")
    hook.hang = False
    assert (await receiver.send("t", "two", "b")).verdict is Verdict.ACCEPTED


NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("120", timedelta(seconds=120)),
        (" 0 ", timedelta(0)),
        ("1.5", timedelta(seconds=1.5)),
        ("9" * 400, timedelta(days=1)),
        ("Sun, 22 Nov 2026 07:31:30 GMT", timedelta(seconds=90)),
        ("Sun, 22 Nov 2026 07:31:30 -0000", timedelta(seconds=90)),
        ("Sun, 22 Nov 2026 07:00:00 GMT", timedelta(0)),
        ("Fri, 22 Nov 2030 07:00:00 GMT", timedelta(days=1)),
        (None, None),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("²", None),
        ("1.2.3", None),
        ("nan", None),
        ("Mon, 01 Jan 2026 00:00:00 +99999999999999", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", timedelta(0)),
        ("Fri, 31 Dec 9999 23:59:59 -2359", timedelta(days=1)),
        ("Mon, 32 Foo 99999 25:61:61 +9999", None),
        ("x" * 60_000, None),
    ],
)
def test_retry_after_is_understood_in_both_forms_and_capped_at_a_day(
    text: str | None, wait: timedelta | None
) -> None:
    assert parse_retry_after(text, NOW) == wait


@pytest.mark.parametrize(
    "asked",
    ["Mon, 01 Jan 2026 00:00:00 +99999999999999", "\x80\xff", "9" * 60_000, "-1", "1e999", ""],
    ids=["offset", "bytes", "digits", "negative", "exponent", "empty"],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_whatever_a_service_asks_for_there_is_an_outcome(
    hook: Hook, status: int, asked: str
) -> None:
    hook.answers.append((status, {"Retry-After": asked}))
    assert (await sent(DISCORD)).reason in {"told to slow down (429)", "the service failed (503)"}


def test_no_status_is_without_a_reason() -> None:
    assert all(outcome_of_http(status, None, NOW).reason for status in range(100, 600))
    assert all(outcome_of_smtp(code).reason for code in range(400, 600))


# Mail


@pytest.mark.parametrize(
    ("mailbox", "verdict", "code"),
    [
        (Mailbox(login_works=False), Verdict.REFUSED, 535),
        (Mailbox(at_recipient="550 no such user canary@example.net"), Verdict.REFUSED, 550),
        (Mailbox(at_recipient="450 busy"), Verdict.RETRY, 450),
        (Mailbox(at_data="451 try later"), Verdict.RETRY, 451),
        (Mailbox(at_data="552 too big"), Verdict.REFUSED, 552),
        (Mailbox(at_data="554 spam"), Verdict.REFUSED, 554),
        (Mailbox(at_mail="421 closing"), Verdict.RETRY, 421),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
async def test_a_mail_server_s_code_decides(mailbox: Mailbox, verdict: Verdict, code: int) -> None:
    with a_mail_server(mailbox) as url:
        outcome = await sent(url)
    assert outcome.verdict is verdict
    assert str(code) in outcome.reason
    assert "canary" not in outcome.reason


async def test_a_mail_server_that_hangs_up_after_the_text_may_have_taken_it() -> None:
    mailbox = Mailbox(at_data="drop")
    with a_mail_server(mailbox) as url:
        outcome = await sent(url)
    reason = "broke off before an answer; it may have arrived"
    assert outcome == Outcome(Verdict.RETRY, reason, ambiguous=True)
    assert len(mailbox.mails) == 1


async def test_no_mail_server_is_tried_again() -> None:
    url = f"mailto://127.0.0.1:{free_port()}?{MAIL_OPTIONS}"
    assert await sent(url) == Outcome(Verdict.RETRY, "the service could not be reached")


async def test_a_mail_is_plain_text_that_says_it_is_automatic_and_which_alert_it_is() -> None:
    mailbox = Mailbox()
    with a_mail_server(mailbox) as url:
        await sent(url, body="Veo 3\n\n  60 → 80 & <up>\n")
    [mail] = mailbox.mails
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content().splitlines() == ["Veo 3", "", "  60 → 80 & <up>"]  # type: ignore[attr-defined]
    assert mail["Subject"] == "1 price moved"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Alert-Id"] == "k3m9"


async def test_a_mail_sent_again_has_the_same_message_id_and_another_text_has_another() -> None:
    mailbox = Mailbox()
    with a_mail_server(mailbox) as url:
        for body in ("one", "one", "two"):
            await sent(url, body=body)
    first, again, other = [mail["Message-ID"] for mail in mailbox.mails]
    assert first == again != other
    assert all(len(mail.get_all("Message-ID", [])) == 1 for mail in mailbox.mails)


@pytest.mark.parametrize("count", [1, 40, 300])
async def test_a_letter_has_the_html_and_the_text_as_they_were_rendered(count: int) -> None:
    mailbox = Mailbox()
    with a_mail_server(mailbox) as url:
        receiver = open_receiver("team", url)
        alert = render(hostile_news(count), receiver.service, Envelope("k3m9"))
        outcome = await receiver.send(alert.title, alert.body, "k3m9")
    assert outcome.verdict is Verdict.ACCEPTED
    [mail] = mailbox.mails
    assert mail.get_content_type() == "multipart/alternative"
    text, page = mail.iter_parts()  # type: ignore[attr-defined]
    rendered = json.loads(alert.body)
    assert text.get_content_type() == "text/plain"
    assert text.get_content().split() == rendered["text"].split()
    assert page.get_content_type() == "text/html"
    assert page.get_content().splitlines() == rendered["html"].splitlines()
    assert mail["Subject"] == alert.title
    assert mail["X-Alert-Id"] == "k3m9"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["List-Id"] == "Kie.ai prices <kie-watcher.example.org>"
    assert mail["Bcc"] is None


async def test_a_letter_sent_again_has_the_same_message_id() -> None:
    mailbox = Mailbox()
    with a_mail_server(mailbox) as url:
        receiver = open_receiver("team", url)
        alert = render(hostile_news(2), receiver.service, Envelope("k3m9"))
        await receiver.send(alert.title, alert.body, "k3m9")
        await open_receiver("team", url).send(alert.title, alert.body, "k3m9", Markup.EMAIL)
    first, again = [mail["Message-ID"] for mail in mailbox.mails]
    assert first == again


@pytest.mark.parametrize("count", [1, 300])
async def test_nothing_in_a_letter_acts(count: int) -> None:
    receiver = open_receiver("team", f"mailto://127.0.0.1:1?{MAIL_OPTIONS}")
    page = json.loads(render(hostile_news(count), receiver.service, Envelope("k3m9")).body)["html"]
    tags = set(re.findall(r"<([a-z0-9!/]+)", page.lower()))
    assert not tags & {"script", "img", "iframe", "form", "svg", "base", "object", "/script"}
    assert set(re.findall(r"href=\"([^\"]*)\"", page)) <= {"https://kie.ai/reel-2"}
    assert not re.search(r"\son\w+=|javascript:", page)
    assert "\x1b" not in page
    assert "\u202e" not in page


# What a text may do


async def test_discord_is_told_to_call_nobody(hook: Hook) -> None:
    await sent(DISCORD, title="", body=harmless(EVIL))
    assert hook.seen[0].json["allowed_mentions"] == {"parse": []}
    assert "allow_mentions" not in hook.seen[0].json
    assert "embeds" not in hook.seen[0].json


@pytest.mark.parametrize(
    "options", ["format=markdown", "thread=99", "url=https://kie.ai", "format=text"]
)
async def test_discord_gets_a_text_as_plain_content_whatever_its_url_asks_for(
    hook: Hook, options: str
) -> None:
    body = "\n".join(f"# {number} @everyone" for number in range(30))
    await sent(f"{DISCORD}?{options}", title="", body=body)
    [message] = hook.seen
    assert message.json["content"] == body
    assert message.json["allowed_mentions"] == {"parse": []}


@pytest.mark.parametrize("options", ["", "?format=markdown", "?thread=99", "?url=https://kie.ai"])
async def test_discord_gets_one_embed_whatever_its_url_asks_for(hook: Hook, options: str) -> None:
    receiver = open_receiver("team", f"{DISCORD}{options}")
    alert = render(hostile_news(60), receiver.service, Envelope("k3m9"))
    await receiver.send(alert.title, alert.body, "k3m9")
    [message] = hook.seen
    assert message.json["embeds"] == json.loads(alert.body)["embeds"]
    assert message.json["allowed_mentions"] == {"parse": []}
    assert "content" not in message.json


async def test_an_embed_calls_those_the_owner_named_and_nobody_else(hook: Hook) -> None:
    receiver = open_receiver("team", f"{DISCORD}?ping=<@123>,@here")
    alert = render(hostile_news(3), receiver.service, Envelope("k3m9"))
    await receiver.send(alert.title, alert.body, "k3m9")
    payload = hook.seen[0].json
    assert payload["allowed_mentions"] == {"parse": ["here"], "users": ["123"], "roles": []}
    assert set(re.findall(r"@\w+", payload["content"])) == {"@123", "@here"}
    assert payload["embeds"] == json.loads(alert.body)["embeds"]


async def test_discord_calls_those_the_owner_named_and_leaves_room_for_it(hook: Hook) -> None:
    receiver = open_receiver("team", f"{DISCORD}?ping=<@123>,@here", "text")
    await receiver.send("", "x" * receiver.service.body_limit, "k3m9")
    payload = hook.seen[0].json
    assert payload["allowed_mentions"] == {"parse": ["here"], "users": ["123"], "roles": []}
    assert payload["content"].count("x") == receiver.service.body_limit
    assert len(payload["content"]) <= 2000


@pytest.mark.parametrize("blocks", ["yes", "no"])
async def test_slack_finds_nothing_to_act_upon_in_a_hostile_name(hook: Hook, blocks: str) -> None:
    await sent(f"{SLACK}?blocks={blocks}", title=harmless(EVIL), body=f"**{harmless(EVIL)}**")
    text = hook.seen[0].body
    assert not [
        mark
        for mark in ("<!", "<@", "@everyone", "@here", "](", "https://e", "<b", "`c")
        if mark in text
    ]
    assert "\x1b" not in json.loads(text)["text"]


async def test_telegram_shows_a_text_as_it_is_written(hook: Hook) -> None:
    body = "Veo 3 & <b>4</b>\n\n  indented  twice 'q' \"d\"\n*star* _line_ [l](u)\n\n\nend"
    await sent(TELEGRAM, title="", body=body)
    payload = hook.seen[0].json
    shown = payload["text"].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert shown == body
    assert payload["parse_mode"] == "HTML"
    assert payload["disable_web_page_preview"] is True


async def test_telegram_finds_no_tag_in_a_hostile_name(hook: Hook) -> None:
    await sent(TELEGRAM, title=EVIL, body=f"{EVIL}\n{harmless(EVIL)}")
    text = hook.seen[0].json["text"]
    assert text.startswith("<b>")
    assert text.count("<") == 2


async def test_a_web_hook_gets_the_text_as_it_is(hook: Hook) -> None:
    body = harmless(EVIL) + "\n  'a' & \"b\" :smile: \\t"
    await sent(hook.address(), title=harmless(EVIL), body=body)
    assert hook.seen[0].json["message"] == body


async def test_a_hostile_name_adds_no_header_and_no_line_to_a_mail() -> None:
    mailbox = Mailbox()
    with a_mail_server(mailbox) as url:
        outcome = await sent(url, title=EVIL, body=EVIL)
    assert outcome.verdict is Verdict.ACCEPTED
    [mail] = mailbox.mails
    assert mail["Bcc"] is None
    assert mail.get_content_type() == "text/plain"
    assert not mail.is_multipart()


BOT = "slack://xoxb-1234567890-1234567890-Canary/#prices"
WORKFLOW = "https://hooks.slack.com/workflows/T05XXXX/Ft07XXXX/CANARY/YYYY"
TEAMS = "workflows://prod-1.westeurope.logic.azure.com:443/643e69f83c8944/canarysignature/"


@pytest.mark.parametrize(
    ("url", "wanted", "service"),
    [
        (DISCORD, "auto", Service("discord", Markup.DISCORD_EMBED, 4096, 256, None)),
        (f"{DISCORD}?format=text", "auto", Service("discord", Markup.DISCORD_EMBED, 4096, 256, None)),
        (DISCORD, "text", Service("discord", Markup.TEXT, 2000, 0, None)),
        (DISCORD, "markdown", Service("discord", Markup.MARKDOWN, 2000, 0, None)),
        (SLACK, "auto", Service("slack", Markup.SLACK_BLOCKS, 9000, 150, 3000)),
        (BOT, "auto", Service("slack", Markup.SLACK_BLOCKS, 9000, 150, 3000)),
        (WORKFLOW, "auto", Service("slack", Markup.TEXT, 3000, 150, 3000)),
        (f"{SLACK}?format=text", "auto", Service("slack", Markup.TEXT, 3000, 150, 3000)),
        (f"{SLACK}?format=text", "markdown", Service("slack", Markup.MARKDOWN, 3000, 150, 3000)),
        (TELEGRAM, "auto", Service("telegram", Markup.TELEGRAM_HTML, 4096, 0, None)),
        (f"{TELEGRAM}?format=markdown", "auto", Service("telegram", Markup.TELEGRAM_HTML, 4096, 0, None)),
        (TELEGRAM, "html", Service("telegram", Markup.TELEGRAM_HTML, 4096, 0, None)),
        (TELEGRAM, "text", Service("telegram", Markup.TEXT, 4096, 0, None)),
        ("mailtos://u:secret@example.org", "auto", Service("mailto", Markup.EMAIL, 95_000, 150, None)),
        ("mailtos://u:secret@example.org?format=text", "auto", Service("mailto", Markup.TEXT, 32768, 150, None)),
        ("mailtos://u:secret@example.org", "text", Service("mailto", Markup.TEXT, 32768, 150, None)),
        ("sendgrid://abcd1234ABCD1234:a@example.org/b@example.org", "auto", Service("sendgrid", Markup.EMAIL, 32768, 150, None)),
        ("json://127.0.0.1/", "auto", Service("json", Markup.TEXT, 32768, 150, None)),
        ("json://127.0.0.1/", "json", Service("json", Markup.CLOUDEVENTS, 1_000_000, 150, None)),
        ("ntfys://ntfy.example.org/topic", "auto", Service("ntfy", Markup.NTFY, 7638, 150, None)),
        ("ntfys://ntfy.example.org/topic", "text", Service("ntfy", Markup.TEXT, 7638, 150, None)),
        ("gotify://127.0.0.1/tokentoken", "auto", Service("gotify", Markup.MARKDOWN, 32768, 150, None)),
        ("mmost://127.0.0.1/3ccdd113474722377935511fc85d3dd4", "auto", Service("mmost", Markup.MARKDOWN, 4000, 0, None)),
        ("pover://abcdefghijabcdefghijabcdefghij@abcdefghijabcdefghijabcdefghij", "auto", Service("pover", Markup.HTML, 1024, 150, None)),
        ("gchat://space/key/token", "auto", Service("gchat", Markup.MARKDOWN, 4000, 0, None)),
        (TEAMS, "auto", Service("workflow", Markup.MARKDOWN, 1000, 150, None)),
        ("signal://127.0.0.1/11234567890/11234567891", "auto", Service("signal", Markup.TEXT, 32768, 0, None)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_rendering_is_told_what_the_service_takes(url: str, wanted: str, service: Service) -> None:
    found = open_receiver("team", url, wanted).service
    assert replace(found, pace=timedelta(0)) == service


@pytest.mark.parametrize(
    ("url", "seconds"),
    [
        (SLACK, 1.2),
        ("mailtos://u:secret@example.org", 5.5),
        ("ntfys://ntfy.example.org/topic", 5.5),
        (DISCORD, 0),
        ("json://127.0.0.1/", 0),
    ],
)
def test_a_service_says_how_often_it_may_be_sent_to(url: str, seconds: float) -> None:
    assert open_receiver("team", url).service.pace == timedelta(seconds=seconds)


def test_matrix_is_told_in_html() -> None:
    # How much it takes depends on whether encryption is installed.
    service = open_receiver("team", "matrixs://user:secret@matrix.example.org/#room").service
    assert (service.markup, service.title_limit) == (Markup.HTML, 150)
    assert service.body_limit >= 40_000


@pytest.mark.parametrize(
    ("url", "wanted", "complaint"),
    [
        (DISCORD, "html", "takes no html (format: auto, json, markdown, text)"),
        ("mailtos://u:secret@example.org", "markdown", "takes no markdown (format: auto, html, json, text)"),
        ("ntfys://ntfy.example.org/topic", "html", "takes no html"),
        (DISCORD, "loud", "a format that is none of auto, markdown, html, text, json"),
        ("voipms://canary:a@example.com/16137777777/16137777778", "json", "too short for format: json"),
    ],
)  # fmt: skip
def test_a_format_that_a_service_does_not_take_is_a_problem(
    url: str, wanted: str, complaint: str
) -> None:
    (problem,) = check_url(url, wanted)
    assert complaint in problem
    with pytest.raises(ValueError, match="format"):
        open_receiver("team", url, wanted)


@pytest.mark.parametrize(
    "url", [DISCORD, SLACK, TELEGRAM, None], ids=["discord", "slack", "telegram", "json"]
)
async def test_a_text_that_fills_the_limits_arrives_whole_and_in_one_piece(
    hook: Hook, url: str | None
) -> None:
    receiver = open_receiver("team", url or hook.address(), "text")
    lines = "\n".join(["price line ‹x› 'q'"] * 2000)[: receiver.service.body_limit - 1] + "!"
    await receiver.send("t" * receiver.service.title_limit, lines, "k3m9")
    [message] = hook.seen
    assert lines in json.dumps(message.json, ensure_ascii=False).replace("\\n", "\n")


WITHOUT_HARM = ("@everyone", "@here", "<!", "<@", "evil.example", "<s", "`code", "\x1b", "e.vil", "javascript")  # fmt: skip


@pytest.mark.parametrize("count", [1, 300])
@pytest.mark.parametrize("wanted", ["auto", "text", "json"])
@pytest.mark.parametrize(
    "url", [DISCORD, SLACK, BOT, TELEGRAM, None], ids=["discord", "slack", "bot", "telegram", "json"]
)  # fmt: skip
async def test_alerts_about_hostile_models_arrive_as_they_were_rendered(
    hook: Hook, url: str | None, count: int, wanted: str
) -> None:
    receiver = open_receiver("team", url or hook.address(), wanted)
    alert = render(hostile_news(count), receiver.service, Envelope("k3m9"))
    await receiver.send(alert.title, alert.body, "k3m9")
    [message] = hook.seen
    shown = texts_in(message.json)
    # Telegram counts what it shows, not the tags.
    longest = max(len(re.sub(r"<[^>]*>", "", text)) for text in shown)
    limits = {DISCORD: 4096, SLACK: 3000, BOT: 3000, TELEGRAM: 4096}
    assert longest <= limits.get(url or "", 32768)
    if wanted == "json":
        assert not [mark for mark in ("<!", "<@", "@everyone", "@here") if mark in message.body]
        return
    for line in plain_lines(receiver.service, alert):
        # Markup of ours becomes that of the service, the words stay.
        assert any(line in plain(text) for text in shown), line
    # A time that Slack shows by the clock of its reader calls nobody.
    assert not [mark for mark in WITHOUT_HARM if mark in message.body.replace("<!date^", "")]


def ntfy_at(hook: Hook, options: str = "") -> str:
    return f"ntfy://{hook.url.partition('//')[2]}/topic?image=no{options}"


async def test_ntfy_gets_the_page_the_priority_and_the_tags_of_a_message(hook: Hook) -> None:
    receiver = open_receiver("team", ntfy_at(hook))
    alert = render([rise()], receiver.service, Envelope("k3m9"))
    assert (await receiver.send(alert.title, alert.body, "k3m9")).verdict is Verdict.ACCEPTED
    [message] = hook.seen
    rendered = json.loads(alert.body)
    assert (message.json["title"], message.json["message"]) == (alert.title, rendered["message"])
    wanted = ("x-click", "x-priority", "x-tags", "x-markdown")
    assert [message.headers[name] for name in wanted] == [
        "https://kie.ai/reel-2",
        "4",
        "chart_with_upwards_trend",
        "yes",
    ]


async def test_what_the_url_of_ntfy_asks_for_goes_before_the_message(hook: Hook) -> None:
    own = "&priority=low&click=https://example.org/&tags=money"
    receiver = open_receiver("team", ntfy_at(hook, own))
    alert = render([rise()], receiver.service, Envelope("k3m9"))
    await receiver.send(alert.title, alert.body, "k3m9")
    [message] = hook.seen
    wanted = ("x-click", "x-priority", "x-tags")
    assert [message.headers[name] for name in wanted] == ["https://example.org/", "low", "money"]


async def test_slack_gets_the_blocks_as_they_were_rendered_and_no_attachment(hook: Hook) -> None:
    receiver = open_receiver("team", SLACK)
    alert = render(hostile_news(40), receiver.service, Envelope("k3m9"))
    assert (await receiver.send(alert.title, alert.body, "k3m9")).verdict is Verdict.ACCEPTED
    assert hook.seen[0].json == json.loads(alert.body)


async def test_a_slack_bot_tells_the_channel_it_was_told(hook: Hook) -> None:
    receiver = open_receiver("team", BOT)
    alert = render(hostile_news(2), receiver.service, Envelope("k3m9"))
    await receiver.send(alert.title, alert.body, "k3m9")
    [message] = hook.seen
    assert message.path == "/api/chat.postMessage"
    assert message.json == json.loads(alert.body) | {"channel": "#prices"}


async def test_telegram_gets_the_html_as_it_was_rendered(hook: Hook) -> None:
    receiver = open_receiver("team", TELEGRAM)
    alert = render(hostile_news(40), receiver.service, Envelope("k3m9"))
    await receiver.send(alert.title, alert.body, "k3m9")
    payload = hook.seen[0].json
    assert payload["parse_mode"] == "HTML"
    assert payload["text"] == alert.body
    assert not re.findall(r"<(?!/?(?:b|code)>|a href=\"https://kie\.ai/[^\"]*\">|/a>)", alert.body)


@pytest.mark.parametrize("wanted", ["text", "html", "markdown"])
async def test_a_web_hook_gets_the_format_it_is_told(hook: Hook, wanted: str) -> None:
    receiver = open_receiver("team", hook.address(), wanted)
    alert = render(hostile_news(5), receiver.service, Envelope("k3m9"))
    await receiver.send(alert.title, alert.body, "k3m9")
    assert hook.seen[0].json["message"] == alert.body
    assert receiver.service.markup == wanted


async def test_a_program_gets_the_batch_itself_as_the_whole_request(hook: Hook) -> None:
    receiver = open_receiver("team", hook.address(query="+Authorization=Bearer%20x"), "json")
    alert = render(hostile_news(40), receiver.service, Envelope("k3m9"))
    assert (await receiver.send(alert.title, alert.body, "k3m9")).verdict is Verdict.ACCEPTED
    [message] = hook.seen
    assert message.body == alert.body
    assert len(message.json) == 40
    assert message.headers["content-type"].startswith("application/cloudevents-batch+json")
    assert message.headers["x-alert-id"] == "k3m9"
    assert message.headers["authorization"] == "Bearer x"


# What was stored under another configuration, or by another version


OLDER = {
    "markdown": "**Veo 3** · <https://kie.ai/veo>\n• 60 → 80 credits",
    "text": "Veo 3\n• 60 → 80 credits",
    "html": "<b>Veo 3</b><br>\n• 60 → 80 credits",
    "terminal": "Veo 3\n  • 60 → 80 credits",
    "a markup of the future": "Veo 3\n• 60 → 80 credits",
}


@pytest.mark.parametrize("markup", [*OLDER, *Markup])
@pytest.mark.parametrize(
    "url", [DISCORD, SLACK, TELEGRAM, None], ids=["discord", "slack", "telegram", "json"]
)
async def test_what_was_stored_in_any_markup_is_still_told(
    hook: Hook, url: str | None, markup: str
) -> None:
    title, body = "1 price moved", OLDER.get(markup, "")
    if not body:
        section = 3000 if markup == Markup.SLACK_BLOCKS else None
        service = Service("was", Markup(markup), 9000, 150, section)
        alert = render([rise()], service, Envelope("k3m9"))
        title, body = alert.title, alert.body
    receiver = open_receiver("team", url or hook.address())
    outcome = await receiver.send(title, body, "k3m9", markup)
    assert outcome.verdict is Verdict.ACCEPTED
    [message] = hook.seen
    text = " ".join(texts_in(message.json))
    assert "60 → 80" in text or ("60" in text and markup == Markup.CLOUDEVENTS)
    # A web hook takes HTML as it comes.
    assert "<br" not in text or url is None
    assert '"embeds"' not in text


@pytest.mark.parametrize("markup", Markup)
async def test_what_was_stored_for_a_chat_can_still_be_mailed_or_printed(markup: Markup) -> None:
    section = 3000 if markup is Markup.SLACK_BLOCKS else None
    alert = render([rise()], Service("was", markup, 9000, 150, section), Envelope("k3m9"))
    mailbox = Mailbox()
    with a_mail_server(mailbox) as url:
        outcome = await open_receiver("team", url).send(alert.title, alert.body, "k3m9", markup)
    assert outcome.verdict is Verdict.ACCEPTED
    [mail] = mailbox.mails
    assert mail.is_multipart() is (markup in {Markup.EMAIL, Markup.HTML})
    screen = io.StringIO()
    await TerminalReceiver(screen, {}).send(alert.title, alert.body, "k3m9", markup)
    if markup is not Markup.CLOUDEVENTS:
        assert "60 → 80 credits" in screen.getvalue()
        assert "<b>" not in screen.getvalue()
        assert '"text"' not in screen.getvalue()


@pytest.mark.parametrize("markup", [Markup.SLACK_BLOCKS, Markup.DISCORD_EMBED, Markup.EMAIL])
@pytest.mark.parametrize(
    "body", ["", "{", "[]", "{}", '{"embeds": []}', '{"blocks": [{}]}', "null"]
)
async def test_a_damaged_body_does_no_worse_than_be_told_as_it_is(
    hook: Hook, markup: Markup, body: str
) -> None:
    outcome = await open_receiver("team", DISCORD).send("Veo 3 moved", body, "k3m9", markup)
    assert outcome.verdict is Verdict.ACCEPTED or not body


async def test_a_long_message_of_another_service_is_cut_and_says_so(hook: Hook) -> None:
    alert = render(
        hostile_news(300), Service("mailto", Markup.EMAIL, 95_000, 150, None), Envelope("k3m9")
    )
    await open_receiver("team", TELEGRAM).send(alert.title, alert.body, "k3m9", Markup.EMAIL)
    text = html.unescape(hook.seen[0].json["text"])
    assert len(text) <= 4096
    assert text.endswith("cut off here; kie-watcher changes lists all of it")


def rise() -> RecordedChange:
    before = model("Veo 3, fast", creditPrice="60", usdPrice="0.3")
    after = model("Veo 3, fast", creditPrice="80", usdPrice="0.4")
    return RecordedChange(1, NOW, ModelChange((Kind.PRICE_UP,), before, after))


def hostile_news(count: int) -> list[RecordedChange]:
    new = (model(f"{EVIL} {number}", provider=EVIL) for number in range(count))
    return [
        RecordedChange(number, NOW, ModelChange((Kind.NEW,), None, one))
        for number, one in enumerate(new)
    ]


def texts_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts_in(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in texts_in(inner)]
    return [value] if isinstance(value, str) else []


def plain_lines(service: Service, alert: Message) -> list[str]:
    """The lines of a rendered body, each without our markup."""
    if service.markup in {Markup.DISCORD_EMBED, Markup.SLACK_BLOCKS}:
        body = "\n".join(texts_in(json.loads(alert.body)))
    else:
        body = alert.body
    return [plain(line) for line in body.splitlines()]


def plain(text: str) -> str:
    return re.sub(r"[*`\u200b]|</?b>", "", html.unescape(text)).strip()


# What a URL may say


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "is empty"),
        ("canarytoken", "not an address that Apprise understands"),
        ("canary://canarytoken", "not an address that Apprise understands"),
        ("https://example.org/canarytoken", "not an address that Apprise understands"),
        ("slack://canarytoken", "not a complete address"),
        ("json://canary.example.org/, json://canary.example.net/", "holds 2 addresses"),
        (f"{SLACK}/#canary/#canary2", "names 2 destinations"),
        (f"{TELEGRAM}/4712", "names 2 destinations"),
        ("tgram://123456789:CanaryTelegramTokenCanaryTelegramT/", "names no valid recipient"),
        (
            "mailtos://u:canarypass@example.org?to=a@example.org,b@example.org",
            "names 2 destinations",
        ),
        ("mailtos://u:canarypass@example.org?cc=a@example.org", "names 2 destinations"),
        ("mailtos://u:canarypass@example.org?to=canary", "names no valid recipient"),
        ("mailto://u:canarypass@example.org", "password in the clear"),
        ("mailtos://u:canarypass@example.org?mode=insecure", "password in the clear"),
        ("slack://xoxb-1234-1234-canary/canary@example.org", "a person by e-mail address"),
        (f"{DISCORD}?retry=0", "carries retry="),
        (f"{DISCORD}?RETRY=1", "carries retry="),
        (f"{DISCORD}?wait=1", "carries wait="),
        (f"{DISCORD}?optional=no", "carries optional="),
        (f"{DISCORD}?redirect=yes", "carries redirect="),
        (f"{DISCORD}?redirect=canary", "carries redirect="),
        (f"{DISCORD}?verify=no", "carries verify="),
        ("jsons://user:canarypass@example.org/hook?Verify=False", "carries verify="),
        (f"{DISCORD}?overflow=bogus", "carries overflow="),
        (f"{DISCORD}?overflow=split", "carries overflow="),
        (f"{DISCORD}?format=bogus", "does not understand"),
        (f"{DISCORD}?template=/etc/canary", "carries template="),
        (f"{DISCORD}?attach=/etc/canary", "carries attach="),
        ("fcm://project/canary?keyfile=/etc/canary", "carries keyfile="),
        (f"{DISCORD}?rto=canary", "carries rto="),
        (f"{DISCORD}?rto=-1", "carries rto="),
        (f"{DISCORD}?cto=nan", "carries cto="),
        ("json://127.0.0.1:99999/", "has a port"),
        ("json://127.0.0.1:0/", "has a port"),
        ("kodi://127.0.0.1", "shows 2 lines at most"),
        *(
            (url, "cannot say whether it accepted")
            for url in (
                "syslog://",
                "rsyslog://127.0.0.1",
                "dbus://",
                "kde://",
                "gnome://",
                "windows://",
                "macosx://",
                "glib://",
                "irc://127.0.0.1/#canary",
                "aprs://u:canary@A1BCD/A1BCD",
            )
        ),
    ],
)
def test_what_is_wrong_with_a_url_is_said_without_repeating_it(
    url: str, complaint: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    problems = check_url(url)
    assert complaint in "; ".join(problems)
    assert "canary" not in str(problems).lower()
    with pytest.raises(ValueError, match=complaint) as refusal:
        open_receiver("team", url)
    assert "canary" not in str(refusal.value).lower()
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "url",
    [
        DISCORD,
        SLACK,
        TELEGRAM,
        f"{DISCORD}?redirect=no",
        f"{DISCORD}?verify=yes",
        f" {DISCORD}\n",
        "https://discord.com/api/webhooks/123456789012345678/Canary-Discord-Token",
        "json://127.0.0.1:8080/hook",
        "xml://localhost/hook",
        "jsons://user:password@example.org/hook",
        "ntfy://topic",
        "mailtos://user:password@example.org",
        "mailto://user:password@gmail.com",
        "mailto://user:password@127.0.0.1?from=a@example.org&to=b@example.org",
        "mailto://mail.example.org?from=a@example.org&to=b@example.org",
    ],
)
def test_a_good_url_is_good(url: str) -> None:
    assert check_url(url) == []


def test_the_watcher_itself_loads_nothing_to_send_with() -> None:
    program = (
        "import sys, watcher.app, watcher.cli.main, watcher.notify.client, watcher.notify.receiver\n"
        "print(sorted({'apprise', 'requests', 'smtplib', 'urllib3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert done.stdout == b"[]\n"


# Secrets


async def test_no_error_path_shows_a_secret_even_in_a_debug_log(hook: Hook) -> None:
    log = io.StringIO()
    services = [
        DISCORD,
        SLACK,
        TELEGRAM,
        hook.address(path="/canarypath", query="+Authorization=Bearer%20canarybearer"),
        f"{hook.address('gotify', '')}/canary_gotify_token",
    ]
    dead = f"json://canaryuser:canarypassword@127.0.0.1:{free_port()}/canarypath?token=canarytoken"
    # Nothing is known to be secret, so nothing would be hidden.
    configure("debug", "json", Redactor([]), log)
    # These servers are in the same process, and log what they get.
    for server in ("aiohttp.access", "aiosmtpd", "mail"):
        logging.getLogger(server).propagate = False
    outcomes = []
    for status in (200, 302, 404, 429, 500):
        for url in services:
            hook.answers.append((status, {}))
            outcomes.append(await sent(url))
    hook.hang = True
    outcomes += [await sent(f"{services[3]}&rto=0.1"), await sent(dead)]
    for mailbox in (
        Mailbox(),
        Mailbox(login_works=False),
        Mailbox(at_recipient="550 canary@example.net"),
        Mailbox(at_data="drop"),
    ):
        with a_mail_server(mailbox) as url:
            outcomes.append(await sent(url))
    for url in (f"{DISCORD}?optional=yes", "slack://CanarySlackToken00000000"):
        with pytest.raises(ValueError, match="the address") as refusal:
            open_receiver("team", url)
        outcomes.append(Outcome(Verdict.REFUSED, str(refusal.value)))
    assert "canary" in repr(hook.seen).lower(), "the test must be able to fail"
    assert "canary" not in log.getvalue().lower()
    assert "canary" not in repr(outcomes).lower()


# The terminal


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("screen", "environment", "printed"),
    [
        (Screen(), {}, "\x1b[1m2 prices\x1b[0m\nVeo 3\n  60 → 80\n\n"),
        (Screen(), {"NO_COLOR": "1"}, "2 prices\nVeo 3\n  60 → 80\n\n"),
        (io.StringIO(), {}, "2 prices\nVeo 3\n  60 → 80\n\n"),
    ],
    ids=["terminal", "no colour wanted", "file"],
)
async def test_a_terminal_shows_the_title_and_the_text(
    screen: io.StringIO, environment: dict[str, str], printed: str
) -> None:
    receiver = TerminalReceiver(screen, environment)
    assert await receiver.send("2 prices", "Veo 3\n  60 → 80", "k3m9") == Outcome(
        Verdict.ACCEPTED, ""
    )
    assert screen.getvalue() == printed
    assert (receiver.name, receiver.service.markup) == ("terminal", Markup.TERMINAL)


async def test_nothing_printed_can_act_on_a_terminal() -> None:
    screen = Screen()
    await TerminalReceiver(screen, {"NO_COLOR": "1"}).send(EVIL, EVIL + "\x9b31m\x00\u200b", "k3m9")
    assert not set(screen.getvalue()) & set("\x1b\x07\r\x9b\x00\u202e\u2028")
    assert "\\x1b[31m" in screen.getvalue()


async def test_a_terminal_that_is_gone_is_tried_again() -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    outcome = await TerminalReceiver(Gone(), {}).send("t", "b", "k3m9")
    assert outcome == Outcome(Verdict.RETRY, "the terminal cannot be written to (Broken pipe)")
