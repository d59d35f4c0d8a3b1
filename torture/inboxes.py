"""Receivers outside the watcher, which keep every message they get over its restarts.

One is an HTTP server to which Apprise posts, the other is in memory. Each can answer with an error,
disconnect, or receive a message and then fail.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Self

from aiohttp import web

from torture.loopback import serve_http
from watcher.notify.outcome import Outcome, Verdict
from watcher.render.markup import Markup, Service

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Answer", "HttpInbox", "Inbox", "MemoryInbox", "ReceivedMessage"]


class Answer(Enum):
    """How an inbox answers a message."""

    ACCEPTS = auto()
    FAILS = auto()
    LIMITS = auto()  # 429, with a Retry-After
    REFUSES = auto()  # 401: the message is dead until a person retries it
    HANGS_UP = auto()
    RECEIVES_AND_HANGS_UP = auto()
    RECEIVES_AND_FAILS = auto()

    @property
    def receives(self) -> bool:
        """Whether the message was received, whatever the answer was."""
        return self in {Answer.ACCEPTS, Answer.RECEIVES_AND_HANGS_UP, Answer.RECEIVES_AND_FAILS}

    @property
    def is_ambiguous(self) -> bool:
        """Whether the sender cannot know if the message was received."""
        return self in {Answer.HANGS_UP, Answer.RECEIVES_AND_HANGS_UP}


_STATUSES = {
    Answer.FAILS: 503,
    Answer.RECEIVES_AND_FAILS: 500,
    Answer.LIMITS: 429,
    Answer.REFUSES: 401,
}


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """One message as it came. `acknowledged`: to its sender, the process with number `sender`."""

    alert_id: str
    text: str
    acknowledged: bool
    sender: int


class Inbox:
    """What every inbox has: an answer to each message, and the messages that it received.

    `sender` is the number of the process that sends now; `on_message` is called after each message.
    """

    def __init__(self, name: str = "team") -> None:
        self.name = name
        self.received: list[ReceivedMessage] = []
        self.sender = 0
        self.next_answer: Callable[[], Answer] = lambda: Answer.ACCEPTS
        self.on_message: Callable[[], None] = lambda: None

    @property
    def repeated(self) -> int:
        """How many messages were repeats of one that came before."""
        return len(self.received) - len({it.alert_id for it in self.received})

    @property
    def most_copies(self) -> int:
        """How often the message came that came most often."""
        return max(Counter(it.alert_id for it in self.received).values(), default=0)

    def unjustified_repeat(self) -> str | None:
        """A message that came again without need, or changed; `None` where there is none.

        A message may come again where it was not acknowledged. Otherwise only the very last one
        may, and only from a new process: the one that sent it first was killed meanwhile.
        """
        known: dict[str, ReceivedMessage] = {}
        before: ReceivedMessage | None = None
        for it in self.received:
            earlier = known.get(it.alert_id)
            if earlier is not None and earlier.text != it.text:
                return f"{self.name}: one id for two texts: {it.alert_id}"
            if earlier is not None and earlier.acknowledged:
                if earlier.sender == it.sender:
                    return f"{self.name}: {it.alert_id} came again though it was acknowledged"
                if before is not earlier:
                    return f"{self.name}: {it.alert_id} came again and was not the last one"
            known[it.alert_id] = before = it
        return None

    def _receive(self, alert_id: str, text: str) -> Answer:
        answer = self.next_answer()
        if answer.receives:
            acknowledged = answer is Answer.ACCEPTS
            self.received.append(ReceivedMessage(alert_id, text, acknowledged, self.sender))
        self.on_message()
        return answer


class MemoryInbox(Inbox):
    """A receiver in memory."""

    service = Service("memory", Markup.TEXT, 10_000, 200, None)

    async def send(
        self,
        title: str,
        body: str,
        alert_id: str,
        markup: str | None = None,  # noqa: ARG002 - there is one markup
        picture: bytes | None = None,  # noqa: ARG002 - there are no pictures
    ) -> Outcome:
        """Receive a message, or not."""
        await asyncio.sleep(0)
        match self._receive(alert_id, f"{title}\n{body}"):
            case Answer.ACCEPTS:
                return Outcome(Verdict.ACCEPTED, "")
            case Answer.REFUSES:
                return Outcome(Verdict.REFUSED, "refused with 401: the credentials are wrong")
            case Answer.LIMITS:
                return Outcome(Verdict.RETRY, "told to slow down (429)", timedelta(hours=1))
            case answer if answer.is_ambiguous:
                return Outcome(Verdict.RETRY, "broke off before an answer", ambiguous=True)
            case _:
                return Outcome(Verdict.RETRY, "the service failed (503)")


class HttpInbox(Inbox):
    """An HTTP server on loopback, for as long as the `async with` lasts."""

    def __init__(self, name: str = "team") -> None:
        super().__init__(name)
        self._host = ""

    @property
    def url(self) -> str:
        """Where Apprise posts to."""
        return f"json://{self._host}/"

    async def __aenter__(self) -> Self:
        self._server = serve_http(self._post)
        self._host = await self._server.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.__aexit__(*error)

    async def _post(self, request: web.Request) -> web.Response:
        text = await request.text()
        answer = self._receive(request.headers["X-Alert-Id"], text)
        if (
            answer in {Answer.HANGS_UP, Answer.RECEIVES_AND_HANGS_UP}
            and request.transport is not None
        ):
            request.transport.close()
        headers = {"Retry-After": "3600"} if answer is Answer.LIMITS else None
        return web.Response(status=_STATUSES.get(answer, 200), headers=headers)
