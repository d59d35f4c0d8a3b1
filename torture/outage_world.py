"""The world of an outage: a market, a clock, a state, two receivers, processes of the daemon."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from torture.checkers import LedgerChecker, on_sale
from torture.daemon import Clock, SimulatedDaemon
from torture.failures import FailingClient
from torture.inboxes import Inbox, MemoryInbox
from torture.ledger import Ledger
from torture.market import Market
from torture.state_checks import check_deliveries, check_integrity
from torture.trial import BrokenPromise
from watcher.config.settings import Settings, SourceSettings
from watcher.store.requests import RetryMessages
from watcher.store.store import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from watcher.kie.client import KieClient
    from watcher.notify.receiver import Receiver
    from watcher.observer import PollReport
    from watcher.simulator.catalogue import Catalogue
    from watcher.store.store import Store

__all__ = ["DAY", "HOUR", "OutageWorld"]

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# About every tenth poll finds an edit.
EDIT_PROBABILITY = 0.1
# A flapping price is announced after a day without a move; what waits longer is stuck.
PATIENCE = timedelta(days=2)


class OutageWorld:
    """A market, a clock, a state and two receivers; `rng` makes every random choice."""

    def __init__(self, seed: int, path: Path, catalogue: Catalogue) -> None:
        self.rng = Random(seed)
        self.path = path
        self.clock = Clock()
        self.ledger = Ledger(catalogue)
        self.checker = LedgerChecker(self.ledger)
        self.market = Market(self.ledger, self.rng)
        source = SourceSettings(page_size=20, probe_size=10)
        self.api = FailingClient(catalogue, source, self.rng)
        self.client: KieClient = self.api
        receivers = (MemoryInbox("team"), MemoryInbox("rough"))
        self.receivers: Sequence[Receiver] = receivers
        self.inboxes: Sequence[Inbox] = receivers
        self.settings = Settings()
        self.last: PollReport | None = None
        self.failures: Counter[str] = Counter()
        self.retried = 0

    @asynccontextmanager
    async def process(self) -> AsyncIterator[tuple[Store, SimulatedDaemon]]:
        """One process of the daemon: it opens the state, and closes it at the end."""
        for inbox in self.inboxes:
            inbox.sender += 1
        async with open_store(self.path) as store:
            daemon = SimulatedDaemon(
                store,
                self.client,
                self.receivers,
                clock=self.clock,
                rng=self.rng,
                settings=self.settings,
            )
            daemon.on_poll = self._on_poll
            if await store.snapshot() is None:
                await daemon.poll()
                self.checker.begin(await on_sale(store))
            yield store, daemon

    async def pass_time(self, daemon: SimulatedDaemon, time: timedelta) -> None:
        """Let time pass, in which the market moves and the daemon runs."""
        until = self.clock.passed + time
        while self.clock.passed < until:
            self.market.edit_at_random(EDIT_PROBABILITY)
            await daemon.step()

    async def come_to_rest(self, store: Store, daemon: SimulatedDaemon) -> None:
        """Let time pass without failures and edits, until nothing waits any more."""
        until = self.clock.passed + PATIENCE
        for _ in range(2):
            await daemon.run(HOUR)
        while await self._what_waits(store):
            if self.clock.passed > until:
                waits = await self._what_waits(store)
                raise BrokenPromise(f"after two days without failures {waits}")
            await daemon.run(HOUR)

    async def check(self, store: Store) -> None:
        """Check the state and all messages, once the daemon is at rest."""
        self.checker.check_end(await on_sale(store), self.ledger.catalogue)
        check_integrity(self.path)
        check_deliveries(self.path, self.inboxes)

    def check_failed_for(self, reason: str) -> None:
        """Check that the outage made some poll fail."""
        if not self.failures[reason]:
            raise BrokenPromise(f"no poll failed for “{reason}”: {dict(self.failures)}")

    async def retry_dead_messages(self, store: Store, daemon: SimulatedDaemon) -> None:
        """Retry dead messages as a person does, as long as there are any."""
        while retried := await store.apply(RetryMessages(self.clock())):
            self.retried += retried
            daemon.wake()
            await daemon.run(HOUR)

    async def _what_waits(self, store: Store) -> str | None:
        status = await store.status()
        if self.last is None or not self.last.outcome.is_good or status.holds:
            return f"the last poll is {self.last}, with {len(status.holds)} holds"
        waiting = [it for it in status.receivers if it.waiting or it.open or it.dead]
        return f"something waits: {waiting}" if waiting else None

    def _on_poll(self, report: PollReport) -> None:
        self.last = report
        self.failures[report.reason or "nothing"] += 1
        if report.reason == "bug":
            raise BrokenPromise(f"a poll crashed: {report.why}")
        self.checker.check(report.changes, self.ledger.tick)
