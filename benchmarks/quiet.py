"""A quiet poll of the running daemon, beside one check by urlwatch as a process.

Each as it is used: the daemon runs and polls, urlwatch is started by cron. `kie-watcher check`,
which is started by cron too, stands beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import rivals
from benchmarks.figures import Figure, Unit
from benchmarks.processes import cpu_of, kie_watcher, python, to_the_end, up
from benchmarks.world import World, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["measure"]

NAME = "quiet"
# The log of the database reaches its size with the first notes; what follows must not add to it.
WARMING_UP = 10
POLLS = 1000
CHECKS = 5


@dataclass(frozen=True, slots=True)
class _Poll:
    """One quiet poll, on average."""

    requests: float
    bytes: float
    cpu: float
    growth: int


@dataclass(frozen=True, slots=True)
class _Check:
    """One check of everything as a process, cached and unchanged."""

    bytes: float
    cpu: float
    version: str


async def measure() -> AsyncIterator[Figure]:
    """Every figure about a quiet poll."""
    async with opened() as world:
        config = world.configured(interval="0.001s", jitter="0%")
        await to_the_end(kie_watcher("--config", config, "check"), world.place)
        poll = await _poll(world, python("benchmarks.free_running", "--config", config, "run"))
        check_cpu = await cpu_of(kie_watcher("--config", config, "check"), world.place, CHECKS)
        rival = await _rival(world)
    yield Figure(NAME, "requests of a quiet poll", poll.requests, Unit.REQUESTS, 2)
    growth = f"growth of database and log over {POLLS:,} quiet polls"
    yield Figure(NAME, growth, poll.growth, Unit.BYTES, 0)
    yield Figure(NAME, "CPU of a quiet poll, daemon running", poll.cpu * 1e3, Unit.MILLISECONDS)
    for figure in _beside(poll, rival, check_cpu):
        yield figure


async def _poll(world: World, command: list[str]) -> _Poll:
    upstream = world.upstream
    async with up(command, world.place) as daemon:
        first = upstream.polls + WARMING_UP
        await upstream.polled(first)
        asked, sent = upstream.calls.total(), upstream.body_bytes
        stored, used = world.stored_bytes(), daemon.cpu()
        await upstream.polled(first + POLLS)
        return _Poll(
            (upstream.calls.total() - asked) / POLLS,
            (upstream.body_bytes - sent) / POLLS,
            (daemon.cpu() - used) / POLLS,
            world.stored_bytes() - stored,
        )


async def _rival(world: World) -> _Check | None:
    urlwatch = await rivals.ready(world)
    if urlwatch is None:
        return None
    sent = world.upstream.body_bytes
    cpu = await urlwatch.check_cpu(CHECKS)
    return _Check((world.upstream.body_bytes - sent) / CHECKS, cpu, urlwatch.version)


def _beside(poll: _Poll, rival: _Check | None, check_cpu: float) -> list[Figure]:
    ours = Figure(NAME, "CPU of `kie-watcher check`, a process", check_cpu * 1e3, Unit.MILLISECONDS)
    cpu = "CPU of a quiet poll, as a share of an urlwatch check"
    wire = "bytes of a quiet poll, as a share of an urlwatch check"
    if rival is None:
        why = "urlwatch could not be installed"
        return [
            ours,
            Figure(NAME, cpu, None, Unit.ONE_IN, 1 / 50, why),
            Figure(NAME, wire, None, Unit.ONE_IN, 1 / 10, why),
        ]
    theirs = f"CPU of an urlwatch check, a process of {rival.version}"
    sizes = f"{poll.bytes:,.0f} of {rival.bytes:,.0f} B"
    return [
        Figure(NAME, theirs, rival.cpu * 1e3, Unit.MILLISECONDS),
        ours,
        Figure(NAME, cpu, poll.cpu / rival.cpu, Unit.ONE_IN, 1 / 50),
        Figure(NAME, wire, poll.bytes / rival.bytes, Unit.ONE_IN, 1 / 10, sizes),
    ]
