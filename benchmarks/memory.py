"""The daemon's resident memory with Apprise loaded, and its growth with polls.

In an environment without test tools: Apprise loads optional libraries that it finds, and the test
tools install some of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

from benchmarks.environments import operator_environment
from benchmarks.figures import Figure, Unit
from benchmarks.processes import python, running
from benchmarks.world import MODELS, open_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["measure"]

NAME = "memory"
POLLS = 10_000
FEW_POLLS = 200
SAMPLE_EVERY = 50
# Memory is flat where the first and the last tenth of the samples differ by less.
FLAT = 1.0


@dataclass(frozen=True, slots=True)
class _Resident:
    """Resident memory in MiB: samples from the first message on, and the most of all time."""

    samples: list[float]
    peak: float

    @property
    def growth(self) -> float:
        """The mean of the last tenth of the samples less that of the first."""
        tenth = len(self.samples) // 10
        return mean(self.samples[-tenth:]) - mean(self.samples[:tenth])


async def measure() -> AsyncIterator[Figure]:
    """Resident memory over ten thousand polls, and for comparison with the test tools."""
    programs = operator_environment()
    here = await _resident(python("benchmarks.free_running"), FEW_POLLS)
    beside = "resident, in this environment with its test tools"
    if programs is None:
        why = "kie-watcher could not be installed without its test tools"
        yield Figure(NAME, "resident, Apprise loaded", None, Unit.MIB, 80, why)
    else:
        command = python("benchmarks.free_running", interpreter=programs / "python")
        there = await _resident(command, POLLS)
        what = f"resident, Apprise loaded, {MODELS} models: most over {POLLS:,} quiet polls"
        sweep = f"with the first sweep and message: {there.peak:.1f} MiB"
        yield Figure(NAME, what, max(there.samples), Unit.MIB, 80, sweep)
        over = f"growth of the same, from the first {POLLS // 10:,} polls to the last"
        shown = f"{there.growth:+.2f} MiB"
        yield Figure(NAME, over, max(there.growth, 0.0), Unit.MIB, FLAT, shown)
    yield Figure(NAME, beside, max(here.samples), Unit.MIB)


async def _resident(daemon_command: list[str], polls: int) -> _Resident:
    async with open_world() as world:
        config = world.configured(interval="0.001s", jitter="0%")
        async with running(
            [*daemon_command, "--config", str(config), "run"], world.place
        ) as daemon:
            await world.receiver.arrivals.get()  # the baseline, sent by a loaded Apprise
            first, samples = world.api.polls, list[float]()
            for done in range(0, polls + 1, SAMPLE_EVERY):
                await world.api.wait_for_polls(first + done)
                samples.append(daemon.resident())
            return _Resident(samples, daemon.peak())
