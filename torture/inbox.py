"""Receivers at the far end, which outlive the watcher and remember what they took.

One over a real socket, for Apprise to post to, and one in memory. Both have good days and bad ones.
Refuses to know what a message says.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Self

from aiohttp import web

from watcher.notify.receiver import Outcome, Verdict
from watcher.render.markup import Markup, Service

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HttpInbox", "Inbox", "MemoryInbox", "Mood", "Taken"]


class Mood(Enum):
    """How an inbox answers a message."""

    ACCEPTS = auto()
    FAILS = auto()
    LIMITS = auto()  # 429, and when to come back
    REFUSES = auto()  # 401: a dead letter, until somebody retries it
    HANGS_UP = auto()
    TAKES_AND_HANGS_UP = auto()
    TAKES_AND_FAILS = auto()

    @property
    def takes(self) -> bool:
        """Whether the message is there, whatever the answer was."""
        return self in {Mood.ACCEPTS, Mood.TAKES_AND_HANGS_UP, Mood.TAKES_AND_FAILS}


_STATUS = {Mood.FAILS: 503, Mood.TAKES_AND_FAILS: 500, Mood.LIMITS: 429, Mood.REFUSES: 401}


@dataclass(frozen=True, slots=True)
class Taken:
    """One message as it came. `answered`: the sender was told that it is here; `life`: to whom."""

    alert_id: str
    text: str
    answered: bool
    life: int


class Inbox:
    """What every inbox has: a mood for each message, and the messages it took.

    `life` counts the senders that there have been; `posted` is called after each message.
    """

    def __init__(self, name: str = "team") -> None:
        self.name = name
        self.taken: list[Taken] = []
        self.life = 0
        self.mood: Callable[[], Mood] = lambda: Mood.ACCEPTS
        self.posted: Callable[[], None] = lambda: None

    @property
    def repeated(self) -> int:
        """How many messages came again."""
        return len(self.taken) - len({it.alert_id for it in self.taken})

    def unexcused(self) -> str | None:
        """A message that came again without need, or as another; `None` where there is none.

        It may come again where the sender was not told that it is here. Else only the very last
        may, and only to a sender that died meanwhile.
        """
        known: dict[str, Taken] = {}
        before: Taken | None = None
        for it in self.taken:
            earlier = known.get(it.alert_id)
            if earlier is not None and earlier.text != it.text:
                return f"{self.name}: one id for two texts: {it.alert_id}"
            if earlier is not None and earlier.answered:
                if earlier.life == it.life:
                    return f"{self.name}: {it.alert_id} came again though it was acknowledged"
                if before is not earlier:
                    return f"{self.name}: {it.alert_id} came again and was not in flight"
            known[it.alert_id] = before = it
        return None

    def _take(self, alert_id: str, text: str) -> Mood:
        mood = self.mood()
        if mood.takes:
            self.taken.append(Taken(alert_id, text, mood is Mood.ACCEPTS, self.life))
        self.posted()
        return mood


class MemoryInbox(Inbox):
    """A receiver without a wire."""

    service = Service("memory", Markup.TEXT, 10_000, 200, None)

    async def send(
        self,
        title: str,
        body: str,
        alert_id: str,
        markup: str | None = None,  # noqa: ARG002 - it is in one markup only
        picture: bytes | None = None,  # noqa: ARG002 - nor are there any
    ) -> Outcome:
        """Take a message, or not."""
        await asyncio.sleep(0)
        match self._take(alert_id, f"{title}\n{body}"):
            case Mood.ACCEPTS:
                return Outcome(Verdict.ACCEPTED, "")
            case Mood.REFUSES:
                return Outcome(Verdict.REFUSED, "refused with 401: the credentials are wrong")
            case Mood.LIMITS:
                return Outcome(Verdict.RETRY, "told to slow down (429)", timedelta(hours=1))
            case _:
                return Outcome(Verdict.RETRY, "the service failed (503)")


class HttpInbox(Inbox):
    """An HTTP server on loopback, for as long as the `async with` lasts."""

    def __init__(self, name: str = "team") -> None:
        super().__init__(name)
        self._port = 0

    @property
    def url(self) -> str:
        """Where Apprise posts to."""
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
        text = await request.text()
        mood = self._take(request.headers["X-Alert-Id"], text)
        if mood in {Mood.HANGS_UP, Mood.TAKES_AND_HANGS_UP} and request.transport is not None:
            request.transport.close()
        headers = {"Retry-After": "3600"} if mood is Mood.LIMITS else None
        return web.Response(status=_STATUS.get(mood, 200), headers=headers)
