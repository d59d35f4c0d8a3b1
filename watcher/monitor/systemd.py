"""systemd: sd_notify's datagrams about the state of this process, and its watchdog.

The watchdog is pinged only while every loop checks in as often as it said it would. Nothing that
goes wrong with sending ends the program or holds it up for longer than a moment.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING

from watcher.log import log
from watcher.safe_text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# systemd takes messages of at most a page. Of a status only the beginning is of use anyway.
LONGEST_STATUS = 500
# A supervisor that does not read must not block the event loop.
SEND_TIMEOUT_SECONDS = 0.2

_MICROSECONDS = re.compile("[1-9][0-9]{0,14}")


@dataclass(frozen=True, slots=True)
class Supervisor:
    """Whoever takes sd_notify's messages: systemd, or (with no address) nobody."""

    address: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Supervisor:
        """The one that `NOTIFY_SOCKET` names: a path, or `@` and an abstract name."""
        named = environment.get("NOTIFY_SOCKET", "")
        return cls(named if named[:1] in {"/", "@"} else None)

    def ready(self) -> None:
        """Say that the work has begun, or (after `reloading`) goes on."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Set the status line. Anybody on the machine can read it: no secrets."""
        # A line break would begin another assignment, and the text may be a stranger's.
        self._send(f"STATUS={one_line(text)[:LONGEST_STATUS]}")

    def reloading(self) -> None:
        """Say that the configuration is being read; `ready` ends it, whatever came of it."""
        # systemd ignores a READY=1 from before the reload: hence the time, by its own clock.
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """Say that the process is about to end, on purpose."""
        self._send("STOPPING=1")

    def ping_watchdog(self) -> None:
        """Say that the process still works."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if self.address is None:
            return
        address = f"\0{self.address[1:]}" if self.address[0] == "@" else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
                connection.settimeout(SEND_TIMEOUT_SECONDS)
                # Connected, so that waiting for a full queue is waiting and not spinning.
                connection.connect(address)
                connection.send(message.encode("utf-8", "replace"))
        except (OSError, ValueError) as error:
            log.debug("supervisor.unreachable", why=type(error).__name__)


class Watchdog:
    """Pings the supervisor from the event loop, as long as no loop is overdue.

    Each loop checks in with the time within which it will check in again: the wait before it, and
    what its work may take at the longest. So an API that asks for a day's pause is no problem, and
    a send that never returns is found in minutes.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        every: timedelta | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`every` is how often to ping; `None`: the supervisor wants no pings."""
        self._supervisor = supervisor
        self._every = every
        self._clock = clock
        # When each loop last checked in, and by when it must again.
        self._loops: dict[str, tuple[float, float]] = {}
        self._stalled = False

    @classmethod
    def from_environment(cls, supervisor: Supervisor, environment: Mapping[str, str]) -> Watchdog:
        """The one that `WATCHDOG_USEC` asks for, pinged twice in that time."""
        period = environment.get("WATCHDOG_USEC", "")
        is_for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if not (is_for_us and _MICROSECONDS.fullmatch(period)):
            return cls(supervisor, None)
        return cls(supervisor, timedelta(microseconds=int(period)) / 2)

    @property
    def overdue(self) -> dict[str, timedelta]:
        """Who is overdue at this moment, and how long ago it last checked in."""
        now = self._clock()
        return {
            who: timedelta(seconds=round(now - last, 3))
            for who, (last, due) in self._loops.items()
            if now > due
        }

    def check_in(self, who: str, within: timedelta | None) -> None:
        """`who` works, and checks in again `within` that time.

        `None`: it rests until it is woken, or is gone for good; nothing is expected of it.
        """
        now = self._clock()
        self._loops[who] = (now, inf if within is None else now + within.total_seconds())

    def ping(self) -> bool:
        """Ping, unless a loop is overdue, which is logged once. Whether it pinged."""
        if overdue := self.overdue:
            if not self._stalled:
                log.error("watchdog.stalled", overdue=overdue)
            self._stalled = True
            return False
        if self._stalled:
            log.info("watchdog.recovered")
        self._stalled = False
        self._supervisor.ping_watchdog()
        return True

    async def run(self, stop: asyncio.Event) -> None:
        """Ping until `stop` is set; where no pings are wanted, only wait."""
        wait = None if self._every is None else self._every.total_seconds()
        while not stop.is_set():
            if wait is not None:
                self.ping()
            try:
                async with asyncio.timeout(wait):
                    await stop.wait()
            except TimeoutError:
                continue
