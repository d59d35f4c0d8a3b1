"""The watcher without its wires and without waiting: poller, gatherer and outbox by a set clock.

What the loops do between two polls and two tries is done here, in simulated time: whatever is due
next happens next. Refuses to know what is watched and who is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from watcher.app import silence_meant
from watcher.catalog.confirm import Policy
from watcher.config.rules import routing_rules
from watcher.config.settings import Settings
from watcher.outbox import Gatherer, Outbox, TellingRules
from watcher.poller import Poller, Rules
from watcher.routing.rules import RoutingRules
from watcher.store.connection import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from watcher.kie.client import KieClient
    from watcher.notify.receiver import Receiver
    from watcher.poller import PollReport
    from watcher.store.store import Store

__all__ = ["Clock", "Watch"]

START = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
NEVER = timedelta.max
# As long as a worker of the outbox pauses when the state fails.
PAUSE = timedelta(seconds=30)


@dataclass(slots=True)
class Clock:
    """Time as it passes, and what the wall clock makes of it."""

    passed: timedelta = timedelta(0)
    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return START + self.passed + self.ahead


class Watch:
    """One process's life over an open store.

    `heard` is called with every poll, as soon as it is over.
    """

    def __init__(
        self,
        store: Store,
        client: KieClient,
        receivers: Sequence[Receiver],
        *,
        clock: Clock,
        rng: Random,
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.clock = clock
        self.heard: Callable[[PollReport], None] = lambda _: None
        routing = RoutingRules(
            receivers=tuple(receiver.name for receiver in receivers),
            flap=routing_rules(self.settings).flap,
        )
        rules = Rules(Policy(), routing, silence_meant)
        self.poller = Poller(client, store, self.settings.poll, rules, now=clock, rng=rng)
        gatherer = Gatherer(store, TellingRules(routing, silence_meant), now=clock, rng=rng)
        self.outbox = Outbox(
            store,
            receivers,
            gatherer,
            give_up_after=self.settings.delivery.give_up_after,
            now=clock,
            rng=rng,
        )
        self._poll_at = clock.passed
        self._due = dict.fromkeys(receivers, clock.passed)

    async def step(self) -> PollReport | None:
        """Do what is due next, whenever that is; the poll's report where that was a poll."""
        self.clock.passed = max(self.clock.passed, min(self._poll_at, *self._due.values()))
        report = await self.poll() if self._poll_at <= self.clock.passed else None
        for receiver, at in self._due.items():
            if at <= self.clock.passed:
                self._due[receiver] = await self._serve(receiver)
        return report

    async def run(self, time: timedelta) -> None:
        """Let so much time pass."""
        until = self.clock.passed + time
        while self.clock.passed < until:
            await self.step()

    async def poll(self) -> PollReport:
        """Poll now."""
        report = await self.poller.poll()
        self.heard(report)
        if report.changes or report.notices:
            self.wake()
        self._poll_at = self.clock.passed + self.poller.wait_after(report)
        return report

    def wake(self) -> None:
        """Say that there is something new to send."""
        self._due = dict.fromkeys(self._due, self.clock.passed)

    async def _serve(self, receiver: Receiver) -> timedelta:
        """Send what is due; when to look again."""
        wait: timedelta | None = timedelta(0)
        while wait == timedelta(0):
            try:
                _, wait = await self.outbox.deliver(receiver)
            except StateError:
                wait = PAUSE
        return NEVER if wait is None else self.clock.passed + wait
