"""Where an outage is played: a market, a clock, a state, two receivers, and lives of a watcher.

Refuses to know what breaks.
"""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from torture.failing import FailingShelf
from torture.inbox import Inbox, MemoryInbox
from torture.judge import Judge
from torture.market import Market
from torture.reckoning import must_be_sound, must_have_been_told
from torture.trial import Objection
from torture.truth import Ledger
from torture.watch import Clock, Watch
from watcher.config.settings import Settings, SourceSettings
from watcher.store.store import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from watcher.kie.client import KieClient
    from watcher.notify.receiver import Receiver
    from watcher.poller import PollReport
    from watcher.simulator.catalogue import Catalogue
    from watcher.store.store import Store

__all__ = ["DAY", "HOUR", "Stage"]

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# Every tenth poll or so finds that something moved.
OFTEN = 0.1
# What flaps is told when it has stood still for a day; whatever else waits then is stuck.
PATIENCE = timedelta(days=2)


class Stage:
    """A market, a clock, a state and two receivers; `rng` decides whatever chance decides."""

    def __init__(self, seed: int, path: Path, catalogue: Catalogue) -> None:
        self.rng = Random(seed)
        self.path = path
        self.clock = Clock()
        self.ledger = Ledger(catalogue)
        self.judge = Judge(self.ledger)
        self.market = Market(self.ledger, self.rng)
        source = SourceSettings(page_size=20, probe_size=10)
        self.shelf = FailingShelf(catalogue, source, self.rng)
        self.client: KieClient = self.shelf
        receivers = (MemoryInbox("team"), MemoryInbox("rough"))
        self.receivers: Sequence[Receiver] = receivers
        self.inboxes: Sequence[Inbox] = receivers
        self.settings = Settings()
        self.last: PollReport | None = None
        self.felt: Counter[str] = Counter()
        self.retried = 0

    @asynccontextmanager
    async def life(self) -> AsyncIterator[tuple[Store, Watch]]:
        """One process: it opens the state, and lets go of it at the end."""
        for inbox in self.inboxes:
            inbox.life += 1
        async with open_store(self.path) as store:
            watch = Watch(
                store,
                self.client,
                self.receivers,
                clock=self.clock,
                rng=self.rng,
                settings=self.settings,
            )
            watch.heard = self._heard
            if (believed := await store.believed()) is None:
                await watch.poll()
                believed = await store.believed()
                self.judge.begin(believed.models if believed else ())
            yield store, watch

    async def pass_time(self, watch: Watch, time: timedelta) -> None:
        """Let the market move and the watcher watch."""
        until = self.clock.passed + time
        while self.clock.passed < until:
            self.market.stir(OFTEN)
            await watch.step()

    async def come_to_rest(self, store: Store, watch: Watch) -> None:
        """All is well and nothing moves any more: soon there is nothing left to wait for."""
        until = self.clock.passed + PATIENCE
        for _ in range(2):
            await watch.run(HOUR)
        while await self._restless(store):
            if self.clock.passed > until:
                raise Objection(f"after two good days {await self._restless(store)}")
            await watch.run(HOUR)

    async def reckon(self, store: Store) -> None:
        """Weigh everything, once it has come to rest."""
        believed = await store.believed()
        models = believed.models if believed else ()
        self.judge.settle((model.record for model in models), self.ledger.catalogue)
        must_be_sound(self.path)
        must_have_been_told(self.path, self.inboxes)

    def must_have_felt(self, reason: str) -> None:
        """Whether what was broken was missed at all."""
        if not self.felt[reason]:
            raise Objection(f"nothing failed for “{reason}”: {dict(self.felt)}")

    async def retry_the_dead(self, store: Store, watch: Watch) -> None:
        """As a person does who reads of dead letters, as often as there are any."""
        while retried := await store.retry(self.clock()):
            self.retried += retried
            watch.wake()
            await watch.run(HOUR)

    async def _restless(self, store: Store) -> str | None:
        status = await store.status()
        if self.last is None or not self.last.outcome.is_good or status.holds:
            return f"the last poll is {self.last}, with {len(status.holds)} holds"
        waiting = [it for it in status.receivers if it.waiting or it.open or it.dead]
        return f"something waits: {waiting}" if waiting else None

    def _heard(self, report: PollReport) -> None:
        self.last = report
        self.felt[report.reason or "nothing"] += 1
        if report.reason == "bug":
            raise Objection(f"a poll crashed: {report.why}")
        self.judge.hear(report.changes, self.ledger.tick)
