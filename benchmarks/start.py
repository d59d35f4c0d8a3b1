"""The start of the command: CPU of its help, and time to the first request of a daemon."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, Unit
from benchmarks.processes import cpu_of, kie_watcher, run_to_end, running
from benchmarks.world import MODELS, World, open_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["measure"]

NAME = "start"
TIMES = 5


async def measure() -> AsyncIterator[Figure]:
    """CPU time of `--help`, and wall time to the first request, with a state and a receiver."""
    async with open_world() as world:
        help_cpu = await cpu_of(kie_watcher("--help"), world.place, TIMES)
        config = world.configured()
        command = kie_watcher("--config", config)
        await run_to_end([*command, "check"], world.place)
        waits = [await _time_to_first_request(world, [*command, "run"]) for _ in range(TIMES)]
    yield Figure(NAME, "CPU of `kie-watcher --help`", help_cpu, Unit.SECONDS, 0.3)
    what = f"`kie-watcher run`, {MODELS} models known and Apprise loaded: start to first request"
    yield Figure(NAME, what, median(waits), Unit.SECONDS, 1.5, f"worst {max(waits):.2f} s")


async def _time_to_first_request(world: World, command: list[str]) -> float:
    started_at = perf_counter()
    first = world.api.polls + 1
    async with running(command, world.place):
        await world.api.wait_for_polls(first)
        return world.api.asked_at - started_at
