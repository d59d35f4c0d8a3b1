"""Many prices that move at once: what the message costs, and how long the event loop is blocked.

The real daemon, as in `latency`. While its loop is blocked it sends nothing to anybody, answers no
health check and does not tell systemd that it lives.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from decimal import Decimal
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, Unit
from benchmarks.processes import kie_watcher, running
from benchmarks.world import open_world
from watcher.simulator.catalogue import amount, listed_usd, plain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from watcher.simulator.catalogue import Catalogue

__all__ = ["measure"]

NAME = "scale"
# Models, and one in how many of them moves.
TRIALS = ((20_000, 100), (20_000, 10), (20_000, 1), (100_000, 1))
# Seconds to the first message, by models.
MOST_SECONDS = {20_000: 8.0, 100_000: 30.0}
# Milliseconds.
MOST_BLOCKED = 500
RISE = Decimal("1.1")
IDLE = 0.2
AFTERWARDS = 2.0


@dataclass(frozen=True, slots=True)
class RaiseEach:
    """Every so many rows cost a tenth more."""

    one_in: int

    def apply(self, catalogue: Catalogue) -> None:
        for row in catalogue.rows[:: self.one_in]:
            if (price := _price(row["creditPrice"])) is not None:
                risen = price * RISE
                prices = {"creditPrice": plain(risen), "usdPrice": listed_usd(risen)}
                catalogue.edit(row["modelDescription"], **prices)

    def describe(self, _: Catalogue) -> str:
        return f"one in {self.one_in} rows: +10 %"


def _price(text: str) -> Decimal | None:
    try:
        return amount(text) or None
    except ArithmeticError:
        return None


@dataclass(frozen=True, slots=True)
class _Trial:
    """Seconds from the first reply that shows the change, and the daemon's CPU time in them.

    `blocked` is the longest time for which the event loop did not go on, in CPU time.
    """

    waited: float
    cpu: float
    blocked: float


async def measure() -> AsyncIterator[Figure]:
    """Two figures for each trial."""
    for models, one_in in TRIALS:
        trial = await _trial(models, one_in)
        share = f"{models:,} models, {1 / one_in:.0%} of them +10 %"
        first = f"{share}: CPU from the change shown to the message received"
        note = f"{trial.waited:.2f} s by the clock"
        yield Figure(NAME, first, trial.cpu, Unit.SECONDS, MOST_SECONDS[models], note)
        longest = f"{share}: CPU while the event loop did not go on, at most"
        yield Figure(NAME, longest, trial.blocked * 1e3, Unit.MILLISECONDS, MOST_BLOCKED)


async def _trial(models: int, one_in: int) -> _Trial:
    async with open_world(models) as world:
        late = world.place / "late.jsonl"
        config = world.configured(interval="1s", full_sweep_every="1h", settle_delay="0.1s")
        command = (kie_watcher() / "python", "-m", "benchmarks.ticking", config, late)
        async with running(*command, place=world.place) as daemon:
            await world.arrivals.get()  # the baseline
            while (busy := world.api.asked_at + IDLE - perf_counter()) > 0:  # noqa: ASYNC110
                await asyncio.sleep(busy)
            used = daemon.cpu()
            world.api.make(RaiseEach(one_in))
            received_at = await world.arrivals.get()
            cpu = daemon.cpu() - used
            await asyncio.sleep(AFTERWARDS)
        shown_at = world.api.shown_at
        if shown_at is None:
            raise RuntimeError("a message came for a change that no reply had shown")
        noted = [json.loads(line) for line in late.read_text().splitlines()]
    blocked = max((used for at, _, used in noted if at > shown_at), default=0.0)
    return _Trial(received_at - shown_at, cpu, blocked)
