"""A quiet poll of the running daemon, compared with one check by urlwatch.

Each as it is used: the daemon runs and polls, urlwatch is a process that cron starts. So is
`kie-watcher check`, which is measured too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import urlwatch
from benchmarks.figures import Figure, Unit
from benchmarks.processes import cpu_of, kie_watcher, python, run_to_end, running
from benchmarks.world import World, open_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["measure"]

NAME = "quiet"
# The database's log reaches its size in the first polls; later ones must not add to it.
WARM_UP_POLLS = 10
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
    """One check of all pages by a process, with a cache, nothing changed."""

    bytes: float
    cpu: float
    version: str


async def measure() -> AsyncIterator[Figure]:
    """Every figure about a quiet poll."""
    async with open_world() as world:
        config = world.configured(interval="0.001s", jitter="0%")
        await run_to_end(kie_watcher("--config", config, "check"), world.place)
        poll = await _poll(world, python("benchmarks.free_running", "--config", config, "run"))
        check_cpu = await cpu_of(kie_watcher("--config", config, "check"), world.place, CHECKS)
        compared = await _check_by_urlwatch(world)
    yield Figure(NAME, "requests of a quiet poll", poll.requests, Unit.REQUESTS, 2)
    growth = f"growth of database and log over {POLLS:,} quiet polls"
    yield Figure(NAME, growth, poll.growth, Unit.BYTES, 0)
    yield Figure(NAME, "CPU of a quiet poll, daemon running", poll.cpu * 1e3, Unit.MILLISECONDS)
    for figure in _comparison(poll, compared, check_cpu):
        yield figure


async def _poll(world: World, command: list[str]) -> _Poll:
    api = world.api
    async with running(command, world.place) as daemon:
        first = api.polls + WARM_UP_POLLS
        await api.wait_for_polls(first)
        asked, sent = api.calls.total(), api.body_bytes
        stored, used = world.stored_bytes(), daemon.cpu()
        await api.wait_for_polls(first + POLLS)
        return _Poll(
            (api.calls.total() - asked) / POLLS,
            (api.body_bytes - sent) / POLLS,
            (daemon.cpu() - used) / POLLS,
            world.stored_bytes() - stored,
        )


async def _check_by_urlwatch(world: World) -> _Check | None:
    ready = await urlwatch.prepare(world)
    if ready is None:
        return None
    sent = world.api.body_bytes
    cpu = await ready.check_cpu(CHECKS)
    return _Check((world.api.body_bytes - sent) / CHECKS, cpu, ready.version)


def _comparison(poll: _Poll, compared: _Check | None, check_cpu: float) -> list[Figure]:
    ours = Figure(NAME, "CPU of `kie-watcher check`, a process", check_cpu * 1e3, Unit.MILLISECONDS)
    cpu = "CPU of a quiet poll, as a share of an urlwatch check"
    wire = "bytes of a quiet poll, as a share of an urlwatch check"
    if compared is None:
        why = "urlwatch could not be installed"
        return [
            ours,
            Figure(NAME, cpu, None, Unit.ONE_IN, 1 / 50, why),
            Figure(NAME, wire, None, Unit.ONE_IN, 1 / 10, why),
        ]
    theirs = f"CPU of an urlwatch check, a process of {compared.version}"
    sizes = f"{poll.bytes:,.0f} of {compared.bytes:,.0f} B"
    return [
        Figure(NAME, theirs, compared.cpu * 1e3, Unit.MILLISECONDS),
        ours,
        Figure(NAME, cpu, poll.cpu / compared.cpu, Unit.ONE_IN, 1 / 50),
        Figure(NAME, wire, poll.bytes / compared.bytes, Unit.ONE_IN, 1 / 10, sizes),
    ]
