"""A quiet poll of the running daemon: its cost and its memory, over ten thousand polls.

Compared with one check by urlwatch, each as it is used: the daemon runs and polls, urlwatch is a
process that cron starts. Both in turn, the daemon paused meanwhile: other work on the machine slows
both down.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import urlwatch
from benchmarks.figures import Figure, Unit
from benchmarks.processes import Daemon, kie_watcher, running
from benchmarks.world import MODELS, World, open_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["measure"]

ROUNDS = 10
POLLS = 1000
# The database's log reaches its size in the first polls; later ones must not add to it.
WARM_UP_POLLS = 10


@dataclass(frozen=True, slots=True)
class _Round:
    """A thousand quiet polls and a check by urlwatch: bytes and CPU seconds are those of one."""

    requests: float
    bytes: float
    cpu: float
    growth: int
    resident: float
    urlwatch_bytes: int
    urlwatch_cpu: float


async def measure() -> AsyncIterator[Figure]:
    """Every figure about a quiet poll, and the daemon's memory."""
    async with open_world() as world:
        config = world.configured(interval="0.001s", jitter="0%")
        compared = await urlwatch.prepare(world)
        command = (kie_watcher() / "python", "-m", "benchmarks.free_running")
        async with running(*command, "--config", config, "run", place=world.place) as daemon:
            await world.arrivals.get()  # the baseline
            sender = sum(each.resident() for each in daemon.started())
            rounds = [await _round(world, daemon, compared) for _ in range(ROUNDS)]
            peak = daemon.peak()
    for figure in (*_cost(rounds), *_comparison(rounds, compared.version), *_memory(rounds, peak)):
        yield figure
    what = "resident of the sender, a process that is there for a minute after a message"
    yield Figure("memory", what, sender, Unit.MIB)


async def _round(world: World, daemon: Daemon, compared: urlwatch.Urlwatch) -> _Round:
    api = world.api
    first = api.polls + WARM_UP_POLLS
    await api.wait_for_polls(first)
    asked, sent = api.calls.total(), api.body_bytes
    stored, used = world.stored_bytes(), daemon.cpu()
    await api.wait_for_polls(first + POLLS)
    poll = (
        (api.calls.total() - asked) / POLLS,
        (api.body_bytes - sent) / POLLS,
        (daemon.cpu() - used) / POLLS,
    )
    growth = world.stored_bytes() - stored
    with daemon.paused():
        sent = api.body_bytes
        cpu = await compared.check()
        return _Round(*poll, growth, daemon.resident(), api.body_bytes - sent, cpu)


def _cost(rounds: list[_Round]) -> list[Figure]:
    cpu = median(each.cpu for each in rounds) * 1e3
    requests = max(each.requests for each in rounds)
    growth = sum(each.growth for each in rounds)
    grown = f"growth of database and log over {ROUNDS * POLLS:,} quiet polls"
    return [
        Figure("quiet", "requests of a quiet poll", requests, Unit.REQUESTS, 2),
        Figure("quiet", grown, growth, Unit.BYTES, 0),
        Figure("quiet", "CPU of a quiet poll, daemon running", cpu, Unit.MILLISECONDS),
    ]


def _comparison(rounds: list[_Round], version: str) -> list[Figure]:
    theirs = median(each.urlwatch_cpu for each in rounds)
    share = median(each.cpu / each.urlwatch_cpu for each in rounds)
    ours_sent, sent = rounds[0].bytes, median(each.urlwatch_bytes for each in rounds)
    cpu = f"CPU of an urlwatch check, a process of {version}"
    of_cpu = "CPU of a quiet poll, as a share of an urlwatch check"
    of_bytes = "bytes of a quiet poll, as a share of an urlwatch check"
    sizes = f"{ours_sent:,.0f} of {sent:,.0f} B"
    return [
        Figure("quiet", cpu, theirs * 1e3, Unit.MILLISECONDS),
        Figure("quiet", of_cpu, share, Unit.ONE_IN, 1 / 55),
        Figure("quiet", of_bytes, ours_sent / sent, Unit.ONE_IN, 1 / 10, sizes),
    ]


def _memory(rounds: list[_Round], peak: float) -> list[Figure]:
    most, growth = max(each.resident for each in rounds), rounds[-1].resident - rounds[0].resident
    resident = f"resident, {MODELS} models: most over {ROUNDS * POLLS:,} quiet polls"
    sweep = f"with the first sweep and message: {peak:.1f} MiB"
    grown = f"growth of the same, from the first {POLLS:,} polls to the last"
    return [
        Figure("memory", resident, most, Unit.MIB, 73, sweep),
        Figure("memory", grown, max(growth, 0.0), Unit.MIB, 1, f"{growth:+.2f} MiB"),
    ]
