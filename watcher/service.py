"""`run` as a service: the daemon over one open state, through reloads, and all that watches it.

A composition root. The state, the watchdog, the lookout and the pages live as long as the process;
everything made from the configuration is one generation, replaced whole between two polls. Refuses
to know what any part does.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from random import SystemRandom
from types import MappingProxyType
from typing import TYPE_CHECKING, TextIO

import structlog

from watcher.alarms import AlarmKind
from watcher.alarms import Policy as AlarmPolicy
from watcher.config.errors import ConfigError
from watcher.config.rules import receiver_names
from watcher.cores import forbid_core_dumps
from watcher.daemon import Listeners, open_receivers, opened_parts, utc_now, wind_up
from watcher.reload import compare
from watcher.selfwatch.direct import offer
from watcher.selfwatch.heartbeat import open_heartbeat
from watcher.selfwatch.last_words import LastWords
from watcher.selfwatch.lookout import Lookout
from watcher.store import Store, UnusableError, open_store
from watcher.systemd import LONGEST_ROUND, Supervisor, Watchdog, longest_poll
from watcher.tidying import keep_tidy, kept_for
from watcher.waiting import first_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from random import Random

    from watcher.alarms import Trouble
    from watcher.changes import Notice
    from watcher.config.settings import Settings
    from watcher.daemon import Parts
    from watcher.notify import Receiver
    from watcher.outbox import Attempt
    from watcher.poller import PollReport
    from watcher.selfwatch.heartbeat import Heartbeat
    from watcher.selfwatch.metrics import Metrics
    from watcher.store import Keep

__all__ = ["Reloads", "Time", "run"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Time:
    """What time it is, and how many of its seconds pass in one of ours: one, but for a demo."""

    now: Callable[[], datetime] = utc_now
    pace: float = 1.0


def _nothing_new() -> Settings:
    raise ConfigError(())


@dataclass(frozen=True, slots=True)
class Reloads:
    """When a new configuration is asked for, and how it is had.

    `load` reads and checks it and raises `ConfigError`; `relog` makes the log follow.
    """

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    load: Callable[[], Settings] = _nothing_new
    relog: Callable[[Settings], None] = lambda _: None


@dataclass(slots=True)
class _Now:
    """What holds until the next reload."""

    settings: Settings
    receivers: tuple[Receiver, ...]
    parts: Parts | None = None
    heartbeat: Heartbeat | None = None
    works: list[asyncio.Task[None]] = field(default_factory=list)


async def run(
    settings: Settings,
    *,
    stop: asyncio.Event,
    terminal: TextIO,
    reloads: Reloads | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
    receivers: tuple[Receiver, ...] | None = None,
    time: Time | None = None,
    rng: Random | None = None,
) -> None:
    """Poll, remember and tell until `stop` is set; what is in hand then is finished or undone.

    `environment` says who supervises (`NOTIFY_SOCKET`, `WATCHDOG_USEC`); `receivers` stand in for
    those of the settings. Raises `StateError` where
    the state cannot be used, and `ListenError` where `web.listen` cannot be listened at.
    """
    forbid_core_dumps()
    # Before the state is locked: what is wrong with a receiver must not touch it.
    first = _Now(settings, receivers or open_receivers(settings, terminal))
    world = _World(stop, reloads or Reloads(), terminal, time or Time(), rng or SystemRandom())
    last_words = LastWords(
        settings.state.path,
        _alarm_policy(settings),
        lambda name, notice: offer(first.receivers, name, notice, world.rng),
    )
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(open_store(settings.state.path))
        except UnusableError as error:
            await last_words.say(error, world.now())
            raise
        service = _Service(store, world, first, Supervisor.of(environment), environment)
        await service.run(stack, last_words.take_back())


@dataclass(frozen=True, slots=True)
class _World:
    """What comes from outside."""

    stop: asyncio.Event
    reloads: Reloads
    terminal: TextIO
    time: Time
    rng: Random

    def now(self) -> datetime:
        return self.time.now()


class _Service:
    """One process: what lives as long as it does, and the generation of the moment."""

    def __init__(
        self,
        store: Store,
        world: _World,
        first: _Now,
        supervisor: Supervisor,
        environment: Mapping[str, str],
    ) -> None:
        self._store = store
        self._world = world
        self._now = first
        self._supervisor = supervisor
        self._watchdog = Watchdog.of(supervisor, environment)
        self._metrics: Metrics | None = None
        self._lookout = self._new_lookout()

    async def run(self, stack: AsyncExitStack, told: Trouble | None) -> None:
        """Generation after generation, until stopped; `told` is a trouble known from before."""
        await self._lookout.restore()
        if told is not None:
            self._lookout.recall(told)
        await self._open_pages(stack)
        stop, settings = self._world.stop, self._now.settings
        lasting = [
            asyncio.create_task(self._watchdog.run(stop)),
            asyncio.create_task(self._lookout.run(stop)),
            asyncio.create_task(keep_tidy(self._store, self._keep, self._world.now, stop)),
        ]
        log.info("watcher.started", source=settings.source.url, state=str(settings.state.path))
        self._supervisor.ready()
        try:
            following: _Now | None = self._now
            while following is not None:
                self._now = following
                following = await self._generation(following)
        finally:
            stop.set()
            self._supervisor.stopping()
            await wind_up(lasting)
        log.info("watcher.stopped")

    async def _generation(self, now: _Now) -> _Now | None:
        """Run until stopped (`None`) or until a new configuration was taken: the next one."""
        ended = asyncio.Event()
        async with AsyncExitStack() as stack:
            now.parts = await stack.enter_async_context(
                opened_parts(
                    now.settings,
                    self._store,
                    now.receivers,
                    stop=ended,
                    now=self._world.now,
                    rng=self._world.rng,
                    pace=self._world.time.pace,
                    listeners=Listeners(
                        self._tried, self._sign_outbox, self._deferred, self._netted
                    ),
                )
            )
            now.works = [
                asyncio.create_task(now.parts.poller.run(ended, self._polled, self._sign_poller)),
                asyncio.create_task(now.parts.outbox.run(ended)),
            ]
            await self._open_heartbeat(now, stack, ended)
            try:
                return await self._until_told(now)
            finally:
                ended.set()
                await wind_up(now.works)
                self._rest(now)

    async def _until_told(self, now: _Now) -> _Now | None:
        """Wait for a stop, a reload that is good, or a work that ended, which only errors do."""
        stop, reload = self._world.stop, self._world.reloads.asked
        broken = asyncio.Event()
        for work in now.works:
            work.add_done_callback(lambda _: broken.set())
        while not stop.is_set():
            await first_of(stop, reload, broken, within=None)
            if broken.is_set():
                return None
            if reload.is_set() and not stop.is_set():
                reload.clear()
                if (following := await self._reloaded(now)) is not None:
                    return following
        return None

    async def _reloaded(self, now: _Now) -> _Now | None:
        """The next generation, where the new configuration is good; says so either way."""
        self._supervisor.reloading()
        try:
            # Reading, checking and opening receivers takes a moment that the loop need not wait.
            loaded = await asyncio.to_thread(self._world.reloads.load)
            change = compare(now.settings, loaded)
            receivers = await asyncio.to_thread(
                open_receivers, change.settings, self._world.terminal
            )
        except ConfigError as error:
            problem = f"{len(error.problems)} in the configuration: {error.problems[0]}"
            log.warning("config.refused", problems=[str(each) for each in error.problems])
            self._configured(problem)
            return None
        finally:
            self._supervisor.ready()
        self._world.reloads.relog(change.settings)
        log.info("config.reloaded", changed=change.changed, waiting=change.waiting)
        self._configured(None)
        self._lookout.follow(_alarm_policy(change.settings))
        return _Now(change.settings, receivers)

    def _configured(self, problem: str | None) -> None:
        self._lookout.reloaded(problem)
        if self._metrics is not None:
            self._metrics.configured(problem is None, self._world.now())
        if problem is not None:
            self._supervisor.status(f"Reload refused: {problem}")

    def _polled(self, report: PollReport) -> None:
        """Everybody who is to hear of a poll."""
        now = self._now
        if now.parts is not None and (report.changes or report.notices):
            now.parts.outbox.wake()
        if self._metrics is not None:
            self._metrics.polled(report)
            self._metrics.suppressed("silence", report.suppressed)
        if now.heartbeat is not None:
            now.heartbeat.polled(report)
        self._lookout.polled(report)
        at = self._world.now().strftime("%H:%M UTC")
        self._supervisor.status(f"Last poll {at}: {report.outcome.value}, {report.holds} holds")

    def _tried(self, attempt: Attempt) -> None:
        """Everybody who is to hear of a try at a receiver."""
        if self._metrics is not None:
            self._metrics.attempted(attempt)
            if attempt.waited is not None:
                self._metrics.told(attempt.receiver, attempt.waited)
        self._lookout.attempted(attempt)

    def _deferred(self, why: str, count: int) -> None:
        if self._metrics is not None:
            self._metrics.deferred(why, count)

    def _netted(self, count: int) -> None:
        if self._metrics is not None:
            self._metrics.suppressed("netted", count)

    def _keep(self) -> Keep | None:
        """How long things are kept; nothing is old by a clock that jumped."""
        if any(alarm.kind is AlarmKind.CLOCK for alarm in self._lookout.alarms):
            return None
        return kept_for(self._now.settings)

    def _sign_poller(self, wait: timedelta) -> None:
        settings = self._now.settings
        self._watchdog.sign("poller", wait + longest_poll(settings.source, settings.poll))

    def _sign_outbox(self, who: str, wait: timedelta | None) -> None:
        within = None if wait is None else wait + LONGEST_ROUND
        self._watchdog.sign(f"outbox:{who}", within)

    def _rest(self, now: _Now) -> None:
        """Expect nothing more of a generation that has ended."""
        for receiver in now.receivers:
            self._watchdog.sign(f"outbox:{receiver.name}", None)

    def _new_lookout(self) -> Lookout:
        def heard(notice: Notice) -> None:
            if self._now.heartbeat is not None:
                self._now.heartbeat.heard(notice)

        def queued() -> None:
            if self._now.parts is not None:
                self._now.parts.outbox.wake()

        return Lookout(
            self._store,
            _alarm_policy(self._now.settings),
            send=self._send_directly,
            now=self._world.now,
            heard=heard,
            queued=queued,
        )

    async def _send_directly(self, name: str, notice: Notice) -> bool:
        """Offer a notice past the outbox: the state may be what is wrong."""
        return await offer(self._now.receivers, name, notice, self._world.rng)

    async def _open_heartbeat(self, now: _Now, stack: AsyncExitStack, ended: asyncio.Event) -> None:
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

    async def _open_pages(self, stack: AsyncExitStack) -> None:
        """Serve the pages, where that is wanted; what they need is loaded only then."""
        web = self._now.settings.web
        if web.listen is None:
            return
        from watcher.selfwatch.metrics import Metrics  # noqa: PLC0415
        from watcher.selfwatch.pages import Sources, pages  # noqa: PLC0415
        from watcher.selfwatch.readiness import Limits  # noqa: PLC0415
        from watcher.selfwatch.web import serve as serve_pages  # noqa: PLC0415

        self._metrics = Metrics(receiver_names(self._now.settings))
        self._metrics.configured(ok=True, at=self._world.now())

        def limits() -> Limits:
            settings = self._now.settings
            return Limits(settings.poll.full_sweep_every, receiver_names(settings))

        def deferring() -> frozenset[str]:
            parts = self._now.parts
            return frozenset() if parts is None else parts.gatherer.deferring

        sources = Sources(
            self._store.status,
            self._metrics,
            limits,
            self._world.now,
            alarms=lambda: self._lookout.alarms,
            silent=lambda: self._watchdog.silent,
            deferring=deferring,
        )
        where = await stack.enter_async_context(
            serve_pages(web.listen, pages(sources), allow_remote=web.allow_remote)
        )
        log.info("web.listening", address=where)


def _alarm_policy(settings: Settings) -> AlarmPolicy:
    return AlarmPolicy(
        operators=settings.operator,
        receivers=receiver_names(settings),
        # One failed poll of a slow watcher is no blindness.
        blind_after=max(settings.operator_after, 2 * settings.poll.interval),
    )
