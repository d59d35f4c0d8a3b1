"""Whether the wall clock was set: it is compared with the time since boot."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


def time_since_boot() -> float:
    """Seconds since boot, sleep included; not affected when the wall clock is set."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class ClockJumps:
    """By how much the wall clock was set, each time this is called, since the last time.

    `now` gives aware UTC times, and `uptime` seconds that pass as they do.
    """

    def __init__(
        self, now: Callable[[], datetime], uptime: Callable[[], float] = time_since_boot
    ) -> None:
        self._now = now
        self._uptime = uptime
        self._offset = self._measure_offset()

    def __call__(self) -> timedelta:
        before, self._offset = self._offset, self._measure_offset()
        return timedelta(seconds=self._offset - before)

    def _measure_offset(self) -> float:
        """How far the wall clock is ahead of the time since boot."""
        return self._now().timestamp() - self._uptime()
