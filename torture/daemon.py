"""The daemon in simulated time: poller, batcher and outbox, without its loops and without waiting.

Whatever is due next is done next: the clock is set to the time at which it is due.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from watcher.catalog.confirm import ConfirmRules
from watcher.clock import ClockJumps
from watcher.config.rules import parse_silence, routing_rules
from watcher.config.settings import Settings
from watcher.outbox import Batcher, MessageRules, Outbox
from watcher.poller import Poller, PollRules
from watcher.routing.rules import RoutingRules
from watcher.store.connection import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from watcher.kie.client import KieClient
    from watcher.notify.receiver import Receiver
    from watcher.observer import PollReport
    from watcher.store.store import Store

__all__ = ["Clock", "SimulatedDaemon"]

START = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
NEVER = timedelta.max
# The pause of the outbox when the state fails.
PAUSE = timedelta(seconds=30)


@dataclass(slots=True)
class Clock:
    """Simulated wall time: `passed` since the start, and `ahead` by which it was set wrong."""

    passed: timedelta = timedelta(0)
    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return START + self.passed + self.ahead

    def uptime(self) -> float:
        """Seconds that pass whatever the wall clock is set to."""
        return self.passed.total_seconds()


class SimulatedDaemon:
    """One process of the daemon, with an open store.

    `on_poll` is called with the report of every poll.
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
        self.on_poll: Callable[[PollReport], None] = lambda _: None
        configured = routing_rules(self.settings)
        routing = RoutingRules(
            receivers=tuple(receiver.name for receiver in receivers),
            announce=configured.announce,
            flap=configured.flap,
        )
        rules = PollRules(ConfirmRules(), routing, parse_silence)
        self.poller = Poller(
            *(client, store, self.settings.poll, rules),
            now=clock,
            rng=rng,
            jumped=ClockJumps(clock, clock.uptime),
        )
        batcher = Batcher(store, MessageRules(routing, parse_silence), now=clock, rng=rng)
        self.outbox = Outbox(
            store,
            receivers,
            batcher,
            give_up_after=self.settings.delivery.give_up_after,
            now=clock,
            rng=rng,
        )
        self._poll_at = clock.passed
        self._due = dict.fromkeys(receivers, clock.passed)

    async def step(self) -> PollReport | None:
        """Do what is due next, whenever that is. Returns the report where that was a poll."""
        self.clock.passed = max(self.clock.passed, min(self._poll_at, *self._due.values()))
        report = await self.poll() if self._poll_at <= self.clock.passed else None
        for receiver, at in self._due.items():
            if at <= self.clock.passed:
                self._due[receiver] = await self._deliver(receiver)
        return report

    async def run(self, time: timedelta) -> None:
        """Let `time` pass."""
        until = self.clock.passed + time
        while self.clock.passed < until:
            await self.step()

    async def poll(self) -> PollReport:
        """Poll now."""
        report = await self.poller.poll()
        self.on_poll(report)
        if report.changes or report.notices:
            self.wake()
        self._poll_at = self.clock.passed + self.poller.wait_after(report)
        return report

    def wake(self) -> None:
        """Let the outbox look for something to send."""
        self._due = dict.fromkeys(self._due, self.clock.passed)

    async def _deliver(self, receiver: Receiver) -> timedelta:
        """Send what is due; returns when something will be due again."""
        wait: timedelta | None = timedelta(0)
        while wait == timedelta(0):
            try:
                _, wait = await self.outbox.deliver(receiver)
            except StateError:
                wait = PAUSE
        return NEVER if wait is None else self.clock.passed + wait
