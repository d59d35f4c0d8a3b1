"""Sweeps of a catalogue that moves while it is read: nothing false is ever announced.

The real client, poller and store; only the wire is gone, and between any two calls the catalogue
may be edited. Chance decides, by seed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from watcher.catalog.changes import Kind, RecordedChange
from watcher.catalog.confirm import Policy
from watcher.config.settings import PollSettings, SourceSettings
from watcher.poller import Poller, PollOutcome, PollReport, Rules
from watcher.routing.match import Matcher
from watcher.routing.rules import FlapRule, RoutingRules, Silence
from watcher.simulator.catalogue import (
    Catalogue,
    Edit,
    Insert,
    Remove,
    Row,
    amount,
    identity,
    listed_usd,
    plain,
)
from watcher.simulator.chance import random_edit
from watcher.simulator.generator import generate
from watcher.store.store import Store, open_store
from worlds import Judge, Ledger, Shelf

# How often in all a catalogue is read that is edited meanwhile: so many worlds, so often in each.
WORLDS = 34
TORN_READINGS = 60
FIRST_SNAPSHOTS = 20
START = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
# Here nothing waits but what is gone: a removal is what a torn reading can make look like the truth.
RULES = Rules(
    Policy(implausible=timedelta(0), collapse=timedelta(0)),
    RoutingRules(("team",), announce=frozenset(Kind), flap=FlapRule(within=timedelta(0))),
    silence=lambda _: Silence(1, Matcher(), START, START),
)


class TornShelf(Shelf):
    """Counts how often the catalogue was edited while it was read."""

    def __init__(self, ledger: Ledger, source: SourceSettings, rng: Random) -> None:
        super().__init__(ledger.catalogue, source, rng)
        self.torn = 0
        self._ledger = ledger

    async def _attempt(self) -> Any:
        before = self._ledger.tick
        try:
            return await super()._attempt()
        finally:
            self.torn += self._ledger.tick > before


class Market:
    """Whoever edits the listing while it is read: comings, goings, both at once, moves and edits."""

    def __init__(self, ledger: Ledger, rng: Random) -> None:
        self._ledger = ledger
        self._rng = rng
        self._size = len(ledger.catalogue)
        self._attic: list[Row] = []
        self._names = 0

    def stir(self, often: float) -> None:
        """Perhaps do something, and perhaps several things, where nobody looks in between."""
        while self._rng.random() < often:
            edits = self._rng.choices(
                [self._any, self._swap, self._trade, self._move, self._go, self._come],
                [30, 15, 15, 12, 14, 14],
            )[0]()
            if edits:
                self._ledger.play(*edits)

    def trade(self, often: float) -> None:
        """Perhaps let one go and another come, and nothing else."""
        if self._rng.random() < often:
            self._ledger.play(*self._trade())

    def _any(self) -> tuple[Edit, ...]:
        return (random_edit(self._rng, self._ledger.catalogue).edit,)

    def _swap(self) -> tuple[Edit, ...]:
        """One comes and one goes in the same category: no number that the API gives moves."""
        gone = self._row()
        return (*self._go(gone), Insert(self._fresh(gone), self._place()))

    def _trade(self) -> tuple[Edit, ...]:
        """The same, one at the top and the other at the end: all that is between moves up.

        Whoever reads meanwhile misses a row, and nothing that the API says gives it away.
        """
        rows = self._ledger.catalogue.rows
        gone = self._rng.choice(rows[: len(rows) // 3])
        return (*self._go(gone), Insert(self._fresh(gone), len(rows)))

    def _move(self) -> tuple[Edit, ...]:
        """One goes elsewhere, often at another price: it may be read twice, and another not at all."""
        row = self._row()
        name, price = row["modelDescription"], amount(row["creditPrice"])
        moved = (Remove(name), Insert(row, self._place()))
        if not price or self._ledger.catalogue.identities()[identity(name)] > 1:
            return moved
        dearer = round(price * self._rng.randint(3, 8) / 5, 3) or price
        edited = {**row, "creditPrice": plain(dearer), "usdPrice": listed_usd(dearer)}
        return (Remove(name), Insert(edited, self._place()))

    def _go(self, row: Row | None = None) -> tuple[Edit, ...]:
        if row is None and len(self._ledger.catalogue) < self._size * 3 // 4:
            return ()
        row = row or self._row()
        self._attic.append(row)
        return (Remove(row["modelDescription"]),)

    def _come(self) -> tuple[Edit, ...]:
        """Something comes, half of the time something that was there before."""
        if len(self._ledger.catalogue) > self._size * 5 // 4:
            return ()
        listed = self._ledger.catalogue.identities()
        back = [row for row in self._attic if not listed[identity(row["modelDescription"])]]
        if not back or self._rng.random() < 0.5:
            return (Insert(self._fresh(self._row()), self._place()),)
        row = self._rng.choice(back)
        self._attic.remove(row)
        return (Insert(row, self._place()),)

    def _row(self) -> Row:
        return self._rng.choice(self._ledger.catalogue.rows)

    def _place(self) -> int:
        """Mostly on top, where new things are listed."""
        top = self._rng.random() < 0.4
        return 0 if top else self._rng.randint(0, len(self._ledger.catalogue))

    def _fresh(self, like: Row) -> Row:
        """A model of its own: no name like any other, and no slip in its listed USD."""
        self._names += 1
        usd = listed_usd(amount(like["creditPrice"]) or Decimal(0))
        name = f"Nova {1000 + self._names}, {self._names} steps"
        return {**like, "modelDescription": name, "usdPrice": usd}


class World:
    """One catalogue, one watcher, one clock; everything follows from the seed."""

    def __init__(self, seed: int, store: Store) -> None:
        self.rng = rng = Random(seed)
        self.store = store
        size = min(rng.randint(12, 40), rng.randint(12, 40))
        rows = generate(seed=seed, size=size, duplicates=rng.choice([0, 0, 1]))
        self.ledger = Ledger(Catalogue(rows))
        self.judge = Judge(self.ledger, f"seed {seed}")
        self.market = Market(self.ledger, rng)
        page = rng.randint(3, 5)
        source = SourceSettings(page_size=page, probe_size=page, concurrency=rng.randint(1, 3))
        self.shelf = TornShelf(self.ledger, source, rng)
        self.minutes = 0.0
        self.poller = self._started()

    async def poll(self) -> PollReport:
        """One poll, weighed as soon as it is over; now and then after a restart."""
        if self.rng.random() < 0.1:
            self.poller = self._started()
        since = self.ledger.tick
        report = await self.poller.poll()
        assert report.outcome is not PollOutcome.FAILED, report.why
        if report.outcome is PollOutcome.BASELINE:
            known = await self.store.believed()
            assert known is not None
            self.judge.begin(known.models)
        self.judge.hear(report.changes, since)
        self.minutes += self.poller.wait_after(report) / timedelta(minutes=1)
        return report

    async def storm(self) -> None:
        """Readings of which most are torn, once there is a first snapshot."""
        await self.poll()
        while self.shelf.torn < TORN_READINGS:
            often = self.rng.choice([0.06, 0.12, 0.2])
            self.shelf.move = partial(self.market.stir, often)
            self.market.stir(0.5)
            await self.poll()

    async def calm(self) -> None:
        """Nothing moves any more: a full sweep, and what it takes to settle what waits."""
        self.shelf.move = lambda: None
        self.minutes += 30
        while (await self.poll()).holds:
            pass

    def _started(self) -> Poller:
        return Poller(self.shelf, self.store, PollSettings(), RULES, now=self._now, rng=self.rng)

    def _now(self) -> datetime:
        return START + timedelta(minutes=self.minutes)


@pytest.mark.parametrize("seed", range(WORLDS))
async def test_nothing_false_is_announced_and_nothing_true_is_missed_in_a_moving_catalogue(
    tmp_path: Path, seed: int
) -> None:
    with capture_logs():
        async with open_store(tmp_path / "state.db") as store:
            # The power stays on in this test, and the disk need not be waited for.
            await store._database._connection.execute("PRAGMA synchronous = OFF")
            world = World(seed, store)

            await world.storm()
            await world.calm()

            believed = await store.believed()
            changes = await store.changes(newest_first=False)
            waiting = [item.content for item in await store.gathered("team")]
            queued = [it.id for it in waiting if isinstance(it, RecordedChange)]
    assert believed is not None
    world.judge.settle(model.record for model in believed.models)
    assert queued == [it.id for it in changes], f"seed {seed}: not all is queued"
    assert world.judge.heard == len(changes) > 0, f"seed {seed}: nothing was at stake"


@pytest.mark.parametrize("seed", range(FIRST_SNAPSHOTS))
async def test_a_first_snapshot_of_a_moving_catalogue_misses_nothing(
    tmp_path: Path, seed: int
) -> None:
    with capture_logs():
        async with open_store(tmp_path / "state.db") as store:
            await store._database._connection.execute("PRAGMA synchronous = OFF")
            world = World(seed, store)
            world.shelf.move = partial(world.market.trade, 0.08)
            while (await world.poll()).outcome is not PollOutcome.BASELINE:
                pass
            world.shelf.move = lambda: None

            # What was missed would now be announced as new.
            world.minutes += 45
            assert (await world.poll()).outcome.is_good
