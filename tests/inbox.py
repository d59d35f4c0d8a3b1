"""A receiver at the far end of a real socket, in good days and in bad ones.

What Apprise's `json://` posts to. It outlives the watcher and knows nothing of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import Self

from aiohttp import web

from remembering import look
from watcher.catalog.changes import ANNOUNCED_BY_DEFAULT

SERVICE_UNAVAILABLE = 503


class Mood(Enum):
    """How an inbox answers: well, with an error, not at all, or not at all though it took it."""

    ACCEPTS = auto()
    FAILS = auto()
    HANGS_UP = auto()
    ACCEPTS_AND_HANGS_UP = auto()


class Inbox:
    """An HTTP server on loopback; `accepted` are the messages it took, by alert id, in order.

    `mood` is asked before each message, `posted` is called as soon as one was taken or turned down.
    """

    def __init__(self, mood: Callable[[], Mood] = lambda: Mood.ACCEPTS) -> None:
        self.accepted: list[tuple[str, str]] = []
        self.mood = mood
        self.posted: Callable[[], None] = lambda: None
        self._port = 0

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self._port}/"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/", self._post)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        message = await request.json()
        mood = self.mood()
        if mood in {Mood.ACCEPTS, Mood.ACCEPTS_AND_HANGS_UP}:
            text = f"{message['title']}\n{message['message']}"
            self.accepted.append((request.headers["X-Alert-Id"], text))
        self.posted()
        if mood in {Mood.HANGS_UP, Mood.ACCEPTS_AND_HANGS_UP} and request.transport is not None:
            request.transport.close()
        return web.Response(status=SERVICE_UNAVAILABLE if mood is Mood.FAILS else 200)

    def repeated(self) -> int:
        """How many messages came again."""
        return len(self.accepted) - len(set(self.accepted))


def must_have_been_told_everything(path: Path, name: str, inbox: Inbox, case: str) -> None:
    """All that is announced by default was accepted by a receiver, in order, each under one id.

    A message that came again is the same to the letter.
    """
    due = look(
        path,
        "SELECT deliveries.id, alert_id, state, body FROM deliveries"
        " LEFT JOIN messages ON messages.id = message_id"
        " WHERE deliveries.receiver = ? ORDER BY deliveries.id",
        name,
    )
    queued_changes = look(
        path,
        "SELECT change_id FROM deliveries WHERE receiver = ? AND change_id IS NOT NULL ORDER BY id",
        name,
    )
    announced = [
        (number,)
        for number, kinds in look(path, "SELECT id, kinds FROM changes ORDER BY id")
        if ANNOUNCED_BY_DEFAULT & set(json.loads(kinds))
    ]
    assert queued_changes == announced, f"{case}: not all was queued for {name}"
    texts = dict(inbox.accepted)
    assert set(texts.items()) == set(inbox.accepted), f"{case}: one id for two texts"
    for number, alert_id, state, body in due:
        assert state == "sent", f"{case}: delivery {number} to {name} is {state}"
        assert alert_id in texts, f"{case}: {name} never got {alert_id}"
        assert body in texts[alert_id], f"{case}: {name} got another text for {alert_id}"
    first_told = list(dict.fromkeys(alert_id for alert_id, _ in inbox.accepted))
    queued = list(dict.fromkeys(alert_id for _, alert_id, *_ in due))
    assert first_told == queued, f"{case}: {name} was told out of order"
