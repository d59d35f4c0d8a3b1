"""The time from the first reply that shows a change to the message at the receiver.

The real daemon, 574 records. Changes are made between requests: an edit during a sweep makes it
inconclusive, and it is read again only after `poll.settle_delay`.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from itertools import cycle, islice
from random import Random
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, Unit
from benchmarks.processes import kie_watcher, running
from benchmarks.world import MODELS, World, open_world
from watcher.simulator.catalogue import Insert, Reprice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from watcher.simulator.catalogue import Edit, Row

__all__ = ["measure"]

NAME = "latency"
CHANGES = 40
INTERVAL = 0.2
# Seconds without a request, after which none is being answered.
IDLE = 0.03
RISE = Decimal("1.25")


async def measure() -> AsyncIterator[Figure]:
    """The median and the longest time of all changes."""
    rng = Random(1)
    async with open_world() as world:
        config = world.configured(interval=f"{INTERVAL}s", full_sweep_every="1s")
        command = kie_watcher() / "kie-watcher"
        async with running(command, "--config", config, "run", place=world.place):
            await world.arrivals.get()  # the baseline
            edits = islice(_edits(world), CHANGES)
            waits = [await _latency(world, edit, rng) for edit in edits]
    what = f"change shown to message received, {MODELS} models, {CHANGES} changes"
    yield Figure(NAME, f"{what}: median", median(waits) * 1e3, Unit.MILLISECONDS, 150)
    yield Figure(NAME, f"{what}: worst", max(waits) * 1e3, Unit.MILLISECONDS)


async def _latency(world: World, edit: Edit, rng: Random) -> float:
    await asyncio.sleep(rng.uniform(0, INTERVAL))
    while (busy := world.api.asked_at + IDLE - perf_counter()) > 0:  # noqa: ASYNC110
        await asyncio.sleep(busy)
    world.api.make(edit)
    received_at = await world.arrivals.get()
    if world.api.shown_at is None:
        raise RuntimeError("a message came for a change that no reply had shown")
    return received_at - world.api.shown_at


def _edits(world: World) -> Iterator[Edit]:
    """In turn: a new model (in the counts), a price at the top (page 1), a price further down."""
    plain = [row for row in world.api.catalogue.rows if _is_plain(row)]
    top, deep = iter(plain[:15]), iter(plain[100:])
    for number, how in enumerate(cycle(("new", "top", "deep"))):
        if how == "new":
            name = f"Benchmark {number}, text-to-video, 720p"
            yield Insert({**plain[0], "modelDescription": name})
        else:
            row = next(top if how == "top" else deep)
            yield Reprice(row["modelDescription"], Decimal(row["creditPrice"].strip()) * RISE)


def _is_plain(row: Row) -> bool:
    """Whether the price is a plain number above 0."""
    price = row["creditPrice"].strip()
    return price.replace(".", "", 1).isdigit() and Decimal(price) > 0
