"""A picture goes with a message where the service takes one, and decides nothing."""

from __future__ import annotations

import io
import json
import re
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path

import pytest

from build import row
from command_line import Place
from logs import capture_logs
from sending import courier, open_receiver
from test_notify import DISCORD, Mailbox, a_mail_server
from torture.internet import WebAnswer, WebRequest
from watcher import app
from watcher.config.settings import Settings
from watcher.notify.client import Sender
from watcher.notify.outcome import Verdict
from watcher.render.markup import CHART_PLACE, Markup
from watcher.simulator.server import Simulator

PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)


@dataclass
class Chat:
    """A chat service that keeps what it got and answers as told."""

    bodies: list[bytes] = field(default_factory=list)
    answers: deque[int] = field(default_factory=deque)

    def answer(self, request: WebRequest) -> WebAnswer:
        self.bodies.append(request.body)
        return WebAnswer(status=self.answers.popleft() if self.answers else 200)


@pytest.fixture
def chat() -> Chat:
    chat = Chat()
    courier().answer(chat.answer)
    return chat


async def test_a_chat_gets_the_text_and_then_the_picture(chat: Chat) -> None:
    outcome = await open_receiver("team", DISCORD).send("", "Reel 2: 40 → 60", "k3m9", "text", PNG)

    assert outcome.verdict is Verdict.ACCEPTED
    text, picture = chat.bodies
    assert b"Reel 2" in text
    assert PNG in picture
    assert b"Reel 2" not in picture


async def test_a_picture_that_fails_does_not_have_the_text_said_twice(chat: Chat) -> None:
    chat.answers.extend([200, 500])

    with capture_logs() as logs:
        outcome = await open_receiver("team", DISCORD).send(
            "", "Reel 2: 40 → 60", "k3m9", "text", PNG
        )

    assert outcome.verdict is Verdict.ACCEPTED
    assert [it["event"] for it in logs] == ["picture.failed"]


async def test_a_text_that_fails_shows_no_picture(chat: Chat) -> None:
    chat.answers.append(503)

    outcome = await open_receiver("team", DISCORD).send("", "Reel 2: 40 → 60", "k3m9", "text", PNG)

    assert outcome.verdict is Verdict.RETRY
    assert len(chat.bodies) == 1


@pytest.mark.parametrize("markup", [Markup.TEXT, Markup.EMAIL], ids=str)
async def test_a_letter_encloses_its_picture(markup: Markup) -> None:
    body = (
        "Reel 2: 40 → 60"
        if markup is Markup.TEXT
        else '{"html": "<p>Reel 2</p>", "text": "Reel 2"}'
    )
    mailbox = Mailbox()
    with a_mail_server(mailbox) as address:
        outcome = await open_receiver("me", address).send("Moved", body, "k3m9", markup.value, PNG)

    assert outcome.verdict is Verdict.ACCEPTED
    (letter,) = mailbox.mails
    parts = {
        part.get_content_type(): part.get_content()
        for part in letter.walk()
        if not part.is_multipart()
    }
    assert parts["image/png"] == PNG
    assert "Reel 2" in parts["text/plain"]


async def test_a_letter_shows_its_picture_in_its_place() -> None:
    body = json.dumps({"html": f"<p>Reel 2</p>{CHART_PLACE}<p>end</p>", "text": "Reel 2"})
    mailbox = Mailbox()
    with a_mail_server(mailbox) as address:
        await open_receiver("me", address).send("Moved", body, "k3m9", Markup.EMAIL, PNG)

    (letter,) = mailbox.mails
    parts = {part.get_content_type(): part for part in letter.walk()}
    assert list(parts) == [
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
    ]
    picture = parts["image/png"]
    page = parts["text/html"].get_content()
    shown = re.search(r'</p><tr><td [^>]*><img src="cid:([^"]+)"', page)
    assert shown is not None
    assert picture["Content-ID"] == f"<{shown[1]}>"
    assert picture.get_content_disposition() == "inline"
    assert picture.get_content() == PNG


async def test_a_price_move_comes_with_its_chart_where_one_is_wanted(tmp_path: Path) -> None:
    mailbox, hour = Mailbox(), [0]

    def now() -> datetime:
        return datetime(2026, 11, 22, 7, tzinfo=UTC) + timedelta(hours=hour[0])

    with a_mail_server(mailbox) as address:
        async with Simulator([row(f"Reel {n}") for n in range(8)]) as simulator:
            settings = Settings.model_validate(
                {
                    "source": {"url": simulator.url},
                    "state": {"path": tmp_path / "state.db"},
                    "poll": {"settle_delay": "0.01s"},
                    "receivers": {"me": {"url": address, "charts": True}},
                }
            )
            await app.check(settings, terminal=None, now=now)  # type: ignore[arg-type]
            simulator.catalogue.edit("Reel 3", creditPrice="55", usdPrice="0.275")
            hour[0] = 30
            await app.check(settings, terminal=None, now=now)  # type: ignore[arg-type]

    baseline, moved = mailbox.mails
    kinds = [[part.get_content_type() for part in it.walk()] for it in (baseline, moved)]
    assert "image/png" not in kinds[0]
    assert "image/png" in kinds[1]


async def test_a_sample_comes_with_a_chart_too(tmp_path: Path) -> None:
    mailbox = Mailbox()
    with a_mail_server(mailbox) as address:
        settings = Settings.model_validate(
            {
                "state": {"path": tmp_path / "state.db"},
                "receivers": {"me": {"url": address, "charts": True}},
            }
        )
        async with Sender() as sender:
            await app.try_receivers(settings, (), terminal=io.StringIO(), sender=sender)

    (letter,) = mailbox.mails
    parts = {part.get_content_type(): part for part in letter.walk()}
    assert "cid:" in parts["text/html"].get_content()
    assert parts["image/png"].get_content().startswith(b"\x89PNG")


def test_a_preview_shows_the_letter_with_its_chart(place: Place) -> None:
    url = "mailtos://user:pass@example.org"
    place.configure(f'receivers: {{me: {{url: "{url}", charts: true}}}}')
    place.run_ok("preview", "--receiver", "me", "--sample", "--out", str(place.path / "out"))

    (letter,) = (place.path / "out").glob("*.eml")
    parts = {part.get_content_type() for part in message_from_bytes(letter.read_bytes()).walk()}
    assert "image/png" in parts
    (page,) = (place.path / "out").glob("*.html")
    (chart,) = (place.path / "out").glob("*.png")
    # A browser finds the picture beside the page.
    assert f'src="{chart.name}"' in page.read_text("utf-8")
