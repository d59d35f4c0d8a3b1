"""How soon a change is told: from the reply that first shows it to the receiver having it.

The real daemon, 574 records. Changes are made while no request is in hand: one that lands in the
middle of a sweep tears it, and is read again after `poll.settle_delay`, which is meant to be long.
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
from benchmarks.processes import kie_watcher, up
from benchmarks.world import MODELS, World, opened
from watcher.simulator.catalogue import Insert, Reprice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from watcher.simulator.catalogue import Edit, Row

__all__ = ["measure"]

NAME = "latency"
CHANGES = 40
INTERVAL = 0.2
# No request for so long: none is in hand.
IDLE = 0.03
DEARER = Decimal("1.25")


async def measure() -> AsyncIterator[Figure]:
    """Median and worst over all changes."""
    rng = Random(1)
    async with opened() as world:
        config = world.configured(interval=f"{INTERVAL}s", full_sweep_every="1s")
        async with up(kie_watcher("--config", config, "run"), world.place):
            await world.receiver.arrivals.get()  # the baseline
            edits = islice(_edits(world), CHANGES)
            waits = [await _told_after(world, edit, rng) for edit in edits]
    what = f"change shown to change told, {MODELS} models, {CHANGES} changes"
    yield Figure(NAME, f"{what}: median", median(waits) * 1e3, Unit.MILLISECONDS, 150)
    yield Figure(NAME, f"{what}: worst", max(waits) * 1e3, Unit.MILLISECONDS)


async def _told_after(world: World, edit: Edit, rng: Random) -> float:
    await asyncio.sleep(rng.uniform(0, INTERVAL))
    while (busy := world.upstream.asked_at + IDLE - perf_counter()) > 0:  # noqa: ASYNC110
        await asyncio.sleep(busy)
    world.upstream.make(edit)
    told_at = await world.receiver.arrivals.get()
    if world.upstream.shown_at is None:
        raise RuntimeError("a message came for a change that no reply had shown")
    return told_at - world.upstream.shown_at


def _edits(world: World) -> Iterator[Edit]:
    """In turn: a release (the counts show it), a price on top (page 1), one deep in the list."""
    plain = [row for row in world.upstream.catalogue.rows if _is_plain(row)]
    top, deep = iter(plain[:15]), iter(plain[100:])
    for number, how in enumerate(cycle(("release", "top", "deep"))):
        if how == "release":
            name = f"Benchmark {number}, text-to-video, 720p"
            yield Insert({**plain[0], "modelDescription": name})
        else:
            row = next(top if how == "top" else deep)
            yield Reprice(row["modelDescription"], Decimal(row["creditPrice"].strip()) * DEARER)


def _is_plain(row: Row) -> bool:
    """Whether the price is a plain one that can be raised."""
    price = row["creditPrice"].strip()
    return price.replace(".", "", 1).isdigit() and Decimal(price) > 0
