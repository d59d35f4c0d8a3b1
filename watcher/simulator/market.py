"""A script of edits and faults, played in time on a running simulator.

Knows when; the edits know what. Refuses to know what anybody makes of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from watcher.simulator.edits import Edit
from watcher.simulator.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from watcher.simulator.server import Simulator

__all__ = ["ClearFaults", "Lasting", "Market", "Script", "Step"]


@dataclass(frozen=True, slots=True)
class Lasting:
    """A fault that befalls every request it fits, until `ClearFaults`."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class ClearFaults:
    """All faults end, the one-shot ones still waiting included."""


Step: TypeAlias = Edit | Fault | Lasting | ClearFaults
# Each step at so many seconds from the start, at speed 1; a bare fault is one-shot.
Script: TypeAlias = tuple[tuple[float, Step], ...]


class Market:
    """Plays a script once. `tell` gets one line for humans as each step is played.

    `pause` and `clock` (seconds) stand in for time; without them the market waits on the stop
    event and so ends with it.
    """

    def __init__(
        self,
        simulator: Simulator,
        script: Sequence[tuple[float, Step]],
        speed: float = 1.0,
        *,
        tell: Callable[[str], None] | None = None,
        pause: Callable[[timedelta], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if speed <= 0:
            raise ValueError("speed must be more than 0")
        self._simulator = simulator
        self._script = sorted(script, key=lambda step: step[0])
        self._speed = speed
        self._tell = tell
        self._pause = pause
        self._clock = clock

    @property
    def length(self) -> timedelta:
        """How long the script takes at this speed."""
        last = self._script[-1][0] if self._script else 0
        return timedelta(seconds=last / self._speed)

    async def play(self, stop: asyncio.Event) -> None:
        """Play the script to its end, or until `stop` is set."""
        start = self._clock()
        for at, step in self._script:
            # Counted from the start, so that slow steps do not add up.
            await self._wait(start + at / self._speed - self._clock(), stop)
            if stop.is_set():
                return
            self._step(step)

    async def _wait(self, seconds: float, stop: asyncio.Event) -> None:
        if seconds <= 0:
            return
        if self._pause is not None:
            await self._pause(timedelta(seconds=seconds))
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)

    def _step(self, step: Step) -> None:
        line = self._play(step)
        if self._tell is not None:
            self._tell(line)

    def _play(self, step: Step) -> str:
        """Do it, and say in one line what was done."""
        match step:
            case ClearFaults():
                self._simulator.faults.clear()
                return "the API is well again"
            case Lasting(fault=fault):
                self._simulator.faults.always(fault)
                return f"{fault.line}, until further notice"
            case _ if isinstance(step, Fault):
                self._simulator.faults.next(step)
                return step.line
            case _:
                line = step.line(self._simulator.catalogue)
                step.apply(self._simulator.catalogue)
                return line
