"""A real sender for many tests, and the services that it reaches, by name, over TLS.

It runs in the event loop of a thread: the loop of a test ends with the test, and starting a sender
for each of them would take a third of a second.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from torture.internet import Internet, WebAnswer, WebRequest
from watcher.notify import receiver
from watcher.notify.client import Sender
from watcher.notify.formats import Preview
from watcher.notify.outcome import Outcome
from watcher.render.markup import Service

Result = TypeVar("Result")


class Courier:
    """The thread: its sender, and the internet as far as that asks for it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._place = TemporaryDirectory(prefix="kie-watcher-tests-")
        self.internet = Internet(Path(self._place.name), lambda _: WebAnswer())
        self.call(self.internet.__aenter__())
        self.sender = Sender({**os.environ, **self.internet.environment})
        self.call(self.sender.__aenter__())

    def call(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def answer(self, answer: Callable[[WebRequest], WebAnswer]) -> None:
        """From now on every service answers like this."""
        self.internet.answer = answer

    def close(self) -> None:
        self.call(self.sender.__aexit__())
        self.call(self.internet.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._place.cleanup()


@cache
def courier() -> Courier:
    return Courier()


@dataclass(frozen=True)
class SentReceiver:
    """A receiver of the courier's sender, for the loop of a test."""

    real: receiver.ServiceReceiver

    @property
    def service(self) -> Service:
        return self.real.service

    async def send(
        self,
        title: str,
        body: str,
        alert_id: str,
        markup: str | None = None,
        picture: bytes | None = None,
    ) -> Outcome:
        return await courier().do(self.real.send(title, body, alert_id, markup, picture))

    async def preview(self, title: str, body: str, alert_id: str) -> Preview:
        return await courier().do(self.real.preview(title, body, alert_id))


def open_receiver(name: str, url: str, format: str = "auto") -> SentReceiver:  # noqa: A002
    opened = receiver.open_receiver(courier().sender, name, url, format)
    return SentReceiver(courier().call(opened))
