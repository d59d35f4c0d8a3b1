"""What systemd is told of this process: its state, and that its loops still get somewhere.

Knows sd_notify's datagrams and the watchdog's rule. Refuses to know what the loops do; and nothing
that goes wrong with telling ends the program or holds it up for longer than a moment.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING

import structlog

from watcher.safe_text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from watcher.config.settings import PollSettings, SourceSettings

log = structlog.get_logger()

# systemd takes messages of at most a page. Of a status only the beginning is of use anyway.
LONGEST_STATUS = 500
# A supervisor that does not read must not keep the loop from turning.
PATIENCE_IN_SECONDS = 0.2

# A catalogue about ten times today's is read in peace, however slow each reply; what takes longer
# than that is stuck.
ROOM_FOR_ROWS = 5_000
# One round of the outbox: gather, word, wait for a free thread of Apprise's pool, send (30 s at
# most), mark.
LONGEST_ROUND = timedelta(minutes=5)

_MICROSECONDS = re.compile("[1-9][0-9]{0,14}")


@dataclass(frozen=True, slots=True)
class Supervisor:
    """Whoever takes sd_notify's messages: systemd, or (with no address) nobody."""

    address: str | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Supervisor:
        """The one that `NOTIFY_SOCKET` names: a path, or `@` and an abstract name."""
        named = environment.get("NOTIFY_SOCKET", "")
        return cls(named if named[:1] in {"/", "@"} else None)

    def ready(self) -> None:
        """Say that the work has begun, or (after `reloading`) goes on."""
        self._tell("READY=1")

    def status(self, text: str) -> None:
        """Say in one line how it goes. Anybody on the machine can read it: no secrets."""
        # A line break would begin another assignment, and the text may be a stranger's.
        self._tell(f"STATUS={one_line(text)[:LONGEST_STATUS]}")

    def reloading(self) -> None:
        """Say that the configuration is being read; `ready` ends it, whatever came of it."""
        # systemd ignores a READY=1 from before the reload: hence the time, by its own clock.
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """Say that the end is near, and meant."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._tell("WATCHDOG=1")

    def _tell(self, message: str) -> None:
        if self.address is None:
            return
        address = f"\0{self.address[1:]}" if self.address[0] == "@" else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
                connection.settimeout(PATIENCE_IN_SECONDS)
                # Connected, so that waiting for a full queue is waiting and not spinning.
                connection.connect(address)
                connection.send(message.encode("utf-8", "replace"))
        except (OSError, ValueError) as error:
            log.debug("supervisor.deaf", why=type(error).__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """Who got somewhere last, when, and by when each must have got somewhere again.

    Times are seconds of a clock that nobody sets. Whoever never signed or rests is not awaited.
    """

    last: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    due: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def made(self, who: str, now: float, within: timedelta | None) -> Progress:
        """As it is after `who` got somewhere and will again `within` that time.

        `None`: it rests until it is woken, or is gone for good; nothing is expected of it.
        """
        due = inf if within is None else now + within.total_seconds()
        return replace(self, last={**self.last, who: now}, due={**self.due, who: due})

    def silent(self, now: float) -> dict[str, timedelta]:
        """Who is overdue, and for how long nothing was heard of it."""
        return {
            who: timedelta(seconds=round(now - self.last[who], 3))
            for who, due in self.due.items()
            if now > due
        }


def longest_poll(source: SourceSettings, poll: PollSettings) -> timedelta:
    """How long one poll may take with every reply as slow as allowed; half an hour by default."""
    pages = ROOM_FOR_ROWS / source.page_size / source.concurrency
    # Beside its pages an attempt asks for the counts twice and for page 1 alone.
    attempt = (pages + 3) * source.timeout + poll.settle_delay
    # The client makes two whatever is configured; and before them comes the probe, two requests.
    return max(poll.sweep_attempts, 2) * attempt + 2 * source.timeout


class Watchdog:
    """Pings the supervisor from the event loop, as long as everyone who signed got somewhere.

    Each loop signs with the time within which it will be heard of again: the wait before it, and
    what its work may take at the longest. So an API that asks for a day's pause starves nobody,
    and a send that never returns is found in minutes.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        every: timedelta | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`every` is how often to ping; `None`: nobody waits for it."""
        self._supervisor = supervisor
        self._every = every
        self._clock = clock
        self._progress = Progress()
        self._starved = False

    @classmethod
    def of(cls, supervisor: Supervisor, environment: Mapping[str, str]) -> Watchdog:
        """The one that `WATCHDOG_USEC` asks for, pinged twice in that time."""
        asked = environment.get("WATCHDOG_USEC", "")
        meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if not (meant and _MICROSECONDS.fullmatch(asked)):
            return cls(supervisor, None)
        return cls(supervisor, timedelta(microseconds=int(asked)) / 2)

    @property
    def silent(self) -> tuple[str, ...]:
        """Who is overdue at this moment."""
        return tuple(self._progress.silent(self._clock()))

    def sign(self, who: str, within: timedelta | None) -> None:
        """`who` got somewhere, and will again `within` that time (`None`: it rests or is gone)."""
        self._progress = self._progress.made(who, self._clock(), within)

    def beat(self) -> bool:
        """Ping, unless someone has been silent for too long; say so once. Whether it pinged."""
        if silent := self._progress.silent(self._clock()):
            if not self._starved:
                log.error("watchdog.starved", silent=silent)
            self._starved = True
            return False
        if self._starved:
            log.info("watchdog.fed")
        self._starved = False
        self._supervisor.alive()
        return True

    async def run(self, stop: asyncio.Event) -> None:
        """Beat until `stop` is set; where nobody waits for it, only wait."""
        wait = None if self._every is None else self._every.total_seconds()
        while not stop.is_set():
            if wait is not None:
                self.beat()
            try:
                async with asyncio.timeout(wait):
                    await stop.wait()
            except TimeoutError:
                continue
