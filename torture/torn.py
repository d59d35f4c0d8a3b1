"""Torn: sweeps of a catalogue that is edited between any two replies.

The real client, poller and store, in simulated time. No change is announced that did not happen,
and every change that happened is found at the end.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from torture.checkers import LedgerChecker, on_sale
from torture.client import InMemoryClient
from torture.ledger import Ledger
from torture.machine import temporary_directory
from torture.market import Market
from torture.trial import BrokenPromise, Tally, Trial
from watcher.catalog.changes import Kind, RecordedChange
from watcher.catalog.confirm import ConfirmRules
from watcher.config.rules import parse_silence
from watcher.config.settings import PollSettings, SourceSettings
from watcher.poller import Poller, PollRules
from watcher.routing.rules import RoutingRules
from watcher.simulator.catalogue import Catalogue
from watcher.simulator.generator import generate
from watcher.store.store import open_store
from watcher.store.values import PollOutcome

if TYPE_CHECKING:
    from torture.trial import Budget
    from watcher.observer import PollReport
    from watcher.store.store import Store

__all__ = ["TORN", "TornWorld"]

TORN_SWEEPS_EACH = 50
START = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
RECEIVER = "team"
# A removal is always held: a torn sweep can look like one.
CONFIRM_RULES = (
    ConfirmRules(),
    ConfirmRules(collapse=timedelta(0)),
    ConfirmRules(implausible=timedelta(0), collapse=timedelta(0)),
)


class TornClient(InMemoryClient):
    """Counts the sweeps during which the catalogue was edited."""

    def __init__(self, ledger: Ledger, source: SourceSettings, rng: Random) -> None:
        super().__init__(ledger.catalogue, source, rng)
        self.torn = 0
        self._ledger = ledger

    async def _read_all(self, size: int) -> Any:
        before = self._ledger.tick
        try:
            return await super()._read_all(size)
        finally:
            self.torn += self._ledger.tick > before


class TornWorld:
    """One catalogue, one poller, one clock; everything follows from the seed."""

    def __init__(self, seed: int, store: Store) -> None:
        self.rng = rng = Random(seed)
        self.store = store
        rows = generate(seed=seed, size=rng.randint(12, 40), duplicates=rng.choice([0, 0, 1]))
        self.ledger = Ledger(Catalogue(rows))
        self.checker = LedgerChecker(self.ledger)
        self.market = Market(self.ledger, rng)
        size = rng.randint(3, 5)
        source = SourceSettings(page_size=size, probe_size=size, concurrency=rng.randint(1, 3))
        self.client = TornClient(self.ledger, source, rng)
        self.confirm_rules = rng.choice(CONFIRM_RULES)
        self.minutes = 0.0
        self.poller = self._new_poller()

    async def poll(self) -> PollReport:
        """One poll, checked at once; sometimes after a restart."""
        if self.rng.random() < 0.1:
            self.poller = self._new_poller()
        since = self.ledger.tick
        report = await self.poller.poll()
        if report.outcome is PollOutcome.FAILED:
            raise BrokenPromise(f"a poll failed: {report.why}")
        if report.outcome is PollOutcome.BASELINE:
            self.checker.begin(await on_sale(self.store))
        self.checker.check(report.changes, since)
        self.minutes += self.poller.wait_after(report) / timedelta(minutes=1)
        return report

    async def poll_torn(self, sweeps: int) -> None:
        """Poll until so many sweeps were torn, from the first one on; some are not."""
        while self.client.torn < sweeps:
            probability = self.rng.choice([0.06, 0.1, 0.15])
            self.client.before_reply = partial(self.market.edit_at_random, probability)
            self.market.edit_at_random(0.5)
            await self.poll()

    async def poll_to_rest(self) -> None:
        """Poll without edits until nothing is held, and for a full sweep after that."""
        self.client.before_reply = lambda: None
        until = self.minutes + 45
        report = await self.poll()
        while report.holds or self.minutes < until or not report.outcome.is_good:
            report = await self.poll()

    def _new_poller(self) -> Poller:
        routing = RoutingRules((RECEIVER,), announce=frozenset(Kind))
        rules = PollRules(self.confirm_rules, routing, parse_silence)
        return Poller(self.client, self.store, PollSettings(), rules, now=self._now, rng=self.rng)

    def _now(self) -> datetime:
        return START + timedelta(minutes=self.minutes)


async def _run_seed(seed: int, _: Budget) -> Tally:
    with temporary_directory() as place:
        async with open_store(place / "state.db") as store:
            world = TornWorld(seed, store)
            await world.poll_torn(TORN_SWEEPS_EACH)
            await world.poll_to_rest()
            models = await on_sale(store)
            changes = await store.changes(newest_first=False)
            queued = [item.content for item in await store.queued(RECEIVER)]
    world.checker.check_end(models, world.ledger.catalogue)
    announced = [content for content in queued if isinstance(content, RecordedChange)]
    if announced != list(changes) or world.checker.checked != len(changes):
        raise BrokenPromise("what was announced, recorded and queued is not the same")
    return Tally(world.client.torn, {"edits": world.ledger.tick, "changes announced": len(changes)})


TORN = Trial("torn", "torn sweeps", 10_000, 2.5, _run_seed)
