"""Torn: sweeps of a catalogue that is edited between any two replies.

The real client, poller, intake and store, by a clock of its own. No `new`, `removed`, `renamed`,
price or discount may be announced that was not so; whatever was so is found in the end.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from torture.judge import Judge
from torture.market import Market
from torture.place import scratch
from torture.shelf import Shelf
from torture.trial import Objection, Trial, World
from torture.truth import Ledger
from watcher.app import silence_meant
from watcher.catalog.changes import Kind, RecordedChange
from watcher.catalog.confirm import Policy
from watcher.config.settings import PollSettings, SourceSettings
from watcher.poller import Poller, PollOutcome, PollReport, Rules
from watcher.routing.rules import RoutingRules
from watcher.simulator.catalogue import Catalogue
from watcher.simulator.generator import generate
from watcher.store.store import open_store

if TYPE_CHECKING:
    from torture.trial import Limits
    from watcher.store.store import Store

__all__ = ["TORN"]

READINGS_EACH = 50
START = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
RECEIVER = "team"
# A removal always waits: it is what a torn reading can make look like the truth.
POLICIES = (
    Policy(),
    Policy(collapse=timedelta(0)),
    Policy(implausible=timedelta(0), collapse=timedelta(0)),
)


class TornShelf(Shelf):
    """Counts the readings during which the catalogue was edited."""

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


class _World:
    """One catalogue, one watcher, one clock; everything follows from the seed."""

    def __init__(self, seed: int, store: Store) -> None:
        self.rng = rng = Random(seed)
        self.store = store
        rows = generate(seed=seed, size=rng.randint(12, 40), duplicates=rng.choice([0, 0, 1]))
        self.ledger = Ledger(Catalogue(rows))
        self.judge = Judge(self.ledger)
        self.market = Market(self.ledger, rng)
        size = rng.randint(3, 5)
        source = SourceSettings(page_size=size, probe_size=size, concurrency=rng.randint(1, 3))
        self.shelf = TornShelf(self.ledger, source, rng)
        self.policy = rng.choice(POLICIES)
        self.minutes = 0.0
        self.poller = self._started()

    async def poll(self) -> PollReport:
        """One poll, weighed as soon as it is over; now and then after a restart."""
        if self.rng.random() < 0.1:
            self.poller = self._started()
        since = self.ledger.tick
        report = await self.poller.poll()
        if report.outcome is PollOutcome.FAILED:
            raise Objection(f"a poll failed: {report.why}")
        if report.outcome is PollOutcome.BASELINE:
            known = await self.store.believed()
            self.judge.begin(known.models if known else ())
        self.judge.hear(report.changes, since)
        self.minutes += self.poller.wait_after(report) / timedelta(minutes=1)
        return report

    async def storm(self, readings: int) -> None:
        """Readings that are torn, in a first sweep too, and some that are not."""
        while self.shelf.torn < readings:
            often = self.rng.choice([0.06, 0.1, 0.15])
            self.shelf.move = partial(self.market.stir, often)
            self.market.stir(0.5)
            await self.poll()

    async def calm(self) -> None:
        """Nothing moves any more; polls go on until nothing is waited for, and once around."""
        self.shelf.move = lambda: None
        until = self.minutes + 45
        report = await self.poll()
        while report.holds or self.minutes < until or not report.outcome.is_good:
            report = await self.poll()

    def _started(self) -> Poller:
        routing = RoutingRules((RECEIVER,), announce=frozenset(Kind))
        rules = Rules(self.policy, routing, silence_meant)
        return Poller(self.shelf, self.store, PollSettings(), rules, now=self._now, rng=self.rng)

    def _now(self) -> datetime:
        return START + timedelta(minutes=self.minutes)


async def _world(seed: int, _: Limits) -> World:
    with scratch() as place:
        async with open_store(place / "state.db") as store:
            world = _World(seed, store)
            await world.storm(READINGS_EACH)
            await world.calm()
            believed = await store.believed()
            changes = await store.changes(newest_first=False)
            queued = [item.content for item in await store.gathered(RECEIVER)]
    models = believed.models if believed else ()
    world.judge.settle((model.record for model in models), world.ledger.catalogue)
    told = [content for content in queued if isinstance(content, RecordedChange)]
    if told != list(changes) or world.judge.heard != len(changes):
        raise Objection("what was announced, recorded and queued is not the same")
    if not changes:
        raise Objection("nothing was at stake")
    return World(world.shelf.torn, {"edits": world.ledger.tick, "changes announced": len(changes)})


TORN = Trial("torn", "torn readings", 10_000, 2.5, _world)
