"""The start of the commands: their CPU time, and that of the daemon to its first request.

Compared with one check by urlwatch of the same catalogue, all in turn.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks import urlwatch
from benchmarks.figures import Figure, Unit
from benchmarks.processes import kie_watcher, run_to_end, running
from benchmarks.world import MODELS, World, open_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

__all__ = ["measure"]

NAME = "start"
ROUNDS = 7
# The most that each may cost, in checks by urlwatch.
COMMANDS = {"check": 1.5, "status": 1.0, "models": 1.0}


async def measure() -> AsyncIterator[Figure]:
    """CPU of commands, alone and in checks by urlwatch; CPU and time to the first request."""
    spent = defaultdict[str, list[float]](list)
    async with open_world() as world:
        program, config = kie_watcher() / "kie-watcher", world.configured()
        compared = await urlwatch.prepare(world)
        await run_to_end(program, "--config", config, "check")
        await world.arrivals.get()
        for _ in range(ROUNDS):
            spent["urlwatch"].append(await compared.check())
            spent["--help"].append((await run_to_end(program, "--help")).cpu)
            for command in COMMANDS:
                used = await run_to_end(program, "--config", config, command)
                spent[command].append(used.cpu)
        starts = [await _start(world, program, config) for _ in range(ROUNDS)]
    cpu = median(spent["--help"])
    yield Figure(NAME, "CPU of `kie-watcher --help`", cpu, Unit.SECONDS, 0.3)
    for command, most in COMMANDS.items():
        pairs = zip(spent[command], spent["urlwatch"], strict=True)
        ratio = median(ours / theirs for ours, theirs in pairs)
        note = f"{median(spent[command]) * 1e3:.0f} of {median(spent['urlwatch']) * 1e3:.0f} ms"
        what = f"CPU of `kie-watcher {command}` with nothing new, in urlwatch checks"
        yield Figure(NAME, what, ratio, Unit.TIMES, most, note)
    what = f"CPU of `kie-watcher run` and its sender to the first request, {MODELS} models known"
    cpu, wall = (median(each) for each in zip(*starts, strict=True))
    yield Figure(NAME, what, cpu, Unit.SECONDS, 1, f"{wall:.2f} s by the clock")


async def _start(world: World, program: Path, config: Path) -> tuple[float, float]:
    """CPU and wall time from the start of the daemon to its first request."""
    started_at = perf_counter()
    first = world.api.polls + 1
    async with running(program, "--config", config, "run", place=world.place) as daemon:
        await world.api.wait_for_polls(first)
        sender = sum(each.cpu() for each in daemon.started())
        return daemon.cpu() + sender, world.api.asked_at - started_at
