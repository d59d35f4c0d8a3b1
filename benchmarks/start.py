"""How soon the command is there: its help, and the first request of a daemon."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, Unit
from benchmarks.processes import cpu_of, kie_watcher, to_the_end, up
from benchmarks.world import MODELS, World, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["measure"]

NAME = "start"
TIMES = 5


async def measure() -> AsyncIterator[Figure]:
    """CPU time of `--help`, and wall time to the first request, with a state and a receiver."""
    async with opened() as world:
        help_cpu = await cpu_of(kie_watcher("--help"), world.place, TIMES)
        config = world.configured()
        command = kie_watcher("--config", config)
        await to_the_end([*command, "check"], world.place)
        waits = [await _ready_after(world, [*command, "run"]) for _ in range(TIMES)]
    yield Figure(NAME, "CPU of `kie-watcher --help`", help_cpu, Unit.SECONDS, 0.3)
    what = f"`kie-watcher run`, {MODELS} models known and Apprise loaded: start to first request"
    yield Figure(NAME, what, median(waits), Unit.SECONDS, 1.5, f"worst {max(waits):.2f} s")


async def _ready_after(world: World, command: list[str]) -> float:
    started_at = perf_counter()
    first = world.upstream.polls + 1
    async with up(command, world.place):
        await world.upstream.polled(first)
        return world.upstream.asked_at - started_at
