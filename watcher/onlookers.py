"""Everybody who hears of what the daemon does: metrics, alarms, a monitor, systemd, three pages.

Refuses to know what any of them makes of it, and what is done with the configuration.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from watcher.alarms import AlarmKind
from watcher.alarms import Policy as AlarmPolicy
from watcher.config.rules import receiver_names
from watcher.daemon import Listeners
from watcher.selfwatch.direct import offer
from watcher.selfwatch.heartbeat import open_heartbeat
from watcher.selfwatch.lookout import Lookout
from watcher.systemd import LONGEST_ROUND, Supervisor, Watchdog, longest_poll
from watcher.tidying import kept_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AsyncExitStack
    from datetime import datetime
    from random import Random

    from watcher.changes import Notice
    from watcher.config.settings import Settings
    from watcher.daemon import Parts
    from watcher.notify import Receiver
    from watcher.outbox import Attempt
    from watcher.poller import PollReport
    from watcher.selfwatch.heartbeat import Heartbeat
    from watcher.selfwatch.metrics import Metrics
    from watcher.store import Keep, Store

__all__ = ["Generation", "Onlookers", "alarm_policy"]

log = structlog.get_logger()


@dataclass(slots=True)
class Generation:
    """What holds until the next reload."""

    settings: Settings
    receivers: tuple[Receiver, ...]
    parts: Parts | None = None
    heartbeat: Heartbeat | None = None
    works: list[asyncio.Task[None]] = field(default_factory=list)


class Onlookers:
    """Those of one process. `generation` is what they ask of the moment; a reload replaces it."""

    def __init__(
        self,
        store: Store,
        first: Generation,
        environment: Mapping[str, str],
        *,
        clock: Callable[[], datetime],
        rng: Random,
    ) -> None:
        """`environment` names who supervises; `clock` gives aware UTC times."""
        self.generation = first
        self.supervisor = Supervisor.of(environment)
        self.watchdog = Watchdog.of(self.supervisor, environment)
        self._store = store
        self._clock = clock
        self._rng = rng
        self._metrics: Metrics | None = None
        self.lookout = self._new_lookout()

    @property
    def listeners(self) -> Listeners:
        """What hears of the outbox."""
        return Listeners(self._tried, self._sign_outbox, self._deferred, self._netted)

    def polled(self, report: PollReport) -> None:
        """Everybody who is to hear of a poll."""
        now = self.generation
        if now.parts is not None and (report.changes or report.notices):
            now.parts.outbox.wake()
        if self._metrics is not None:
            self._metrics.polled(report)
            self._metrics.suppressed("silence", report.suppressed)
        if now.heartbeat is not None:
            now.heartbeat.polled(report)
        self.lookout.polled(report)
        at = self._clock().strftime("%H:%M UTC")
        self.supervisor.status(f"Last poll {at}: {report.outcome.value}, {report.holds} holds")

    def configured(self, problem: str | None) -> None:
        """Hear that a new configuration was taken (`None`), or refused and why."""
        self.lookout.reloaded(problem)
        if self._metrics is not None:
            self._metrics.configured(problem is None, self._clock())
        if problem is not None:
            self.supervisor.status(f"Reload refused: {problem}")

    def rest(self, generation: Generation) -> None:
        """Expect nothing more of a generation that has ended."""
        for receiver in generation.receivers:
            self.watchdog.sign(f"outbox:{receiver.name}", None)

    def keep(self) -> Keep | None:
        """How long things are kept; nothing is old by a clock that jumped."""
        if any(alarm.kind is AlarmKind.CLOCK for alarm in self.lookout.alarms):
            return None
        return kept_for(self.generation.settings)

    def sign_poller(self, wait: timedelta) -> None:
        """Hear in how long the next poll begins."""
        settings = self.generation.settings
        self.watchdog.sign("poller", wait + longest_poll(settings.source, settings.poll))

    def _sign_outbox(self, who: str, wait: timedelta | None) -> None:
        within = None if wait is None else wait + LONGEST_ROUND
        self.watchdog.sign(f"outbox:{who}", within)

    async def open_heartbeat(self, stack: AsyncExitStack, ended: asyncio.Event) -> None:
        """Tell a monitor, where one is wanted, until `ended` is set."""
        now = self.generation
        wanted = now.settings.heartbeat
        if wanted is None:
            return
        every = wanted.every if isinstance(wanted.every, timedelta) else None
        metrics = self._metrics
        now.heartbeat = await stack.enter_async_context(
            open_heartbeat(
                wanted.url.get_secret_value(),
                every=every,
                after=(lambda _: None) if metrics is None else metrics.beat,
            )
        )
        now.works.append(asyncio.create_task(now.heartbeat.run(ended)))

    async def open_pages(self, stack: AsyncExitStack) -> None:
        """Serve the pages, where that is wanted; what they need is loaded only then."""
        web = self.generation.settings.web
        if web.listen is None:
            return
        from watcher.selfwatch.metrics import Metrics  # noqa: PLC0415
        from watcher.selfwatch.pages import Sources, pages  # noqa: PLC0415
        from watcher.selfwatch.readiness import Limits  # noqa: PLC0415
        from watcher.selfwatch.web import serve as serve_pages  # noqa: PLC0415

        self._metrics = Metrics(receiver_names(self.generation.settings))
        self._metrics.configured(ok=True, at=self._clock())

        def limits() -> Limits:
            settings = self.generation.settings
            return Limits(settings.poll.full_sweep_every, receiver_names(settings))

        def deferring() -> frozenset[str]:
            parts = self.generation.parts
            return frozenset() if parts is None else parts.gatherer.deferring

        sources = Sources(
            self._store.status,
            self._metrics,
            limits,
            self._clock,
            alarms=lambda: self.lookout.alarms,
            silent=lambda: self.watchdog.silent,
            deferring=deferring,
        )
        where = await stack.enter_async_context(
            serve_pages(web.listen, pages(sources), allow_remote=web.allow_remote)
        )
        log.info("web.listening", address=where)

    def _tried(self, attempt: Attempt) -> None:
        """Everybody who is to hear of a try at a receiver."""
        if self._metrics is not None:
            self._metrics.attempted(attempt)
            if attempt.waited is not None:
                self._metrics.told(attempt.receiver, attempt.waited)
        self.lookout.attempted(attempt)

    def _deferred(self, why: str, count: int) -> None:
        if self._metrics is not None:
            self._metrics.deferred(why, count)

    def _netted(self, count: int) -> None:
        if self._metrics is not None:
            self._metrics.suppressed("netted", count)

    def _new_lookout(self) -> Lookout:
        def heard(notice: Notice) -> None:
            if self.generation.heartbeat is not None:
                self.generation.heartbeat.heard(notice)

        def queued() -> None:
            if self.generation.parts is not None:
                self.generation.parts.outbox.wake()

        return Lookout(
            self._store,
            alarm_policy(self.generation.settings),
            send=self._send_directly,
            now=self._clock,
            heard=heard,
            queued=queued,
        )

    async def _send_directly(self, name: str, notice: Notice) -> bool:
        """Offer a notice past the outbox: the state may be what is wrong."""
        return await offer(self.generation.receivers, name, notice, self._rng)


def alarm_policy(settings: Settings) -> AlarmPolicy:
    """Who is told of troubles, and after how long."""
    return AlarmPolicy(
        operators=settings.operator,
        receivers=receiver_names(settings),
        # One failed poll of a slow watcher is no blindness.
        blind_after=max(settings.operator_after, 2 * settings.poll.interval),
    )
