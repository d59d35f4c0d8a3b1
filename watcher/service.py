"""`run` as a service: the daemon over one open state, through reloads, and all that watches it.

A composition root. The state, the watchdog, the lookout and the pages live as long as the process;
everything made from the configuration is one generation, replaced whole between two polls. Refuses
to know what any part does.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import SystemRandom
from types import MappingProxyType
from typing import TYPE_CHECKING, TextIO

import structlog

from watcher.config.errors import ConfigError
from watcher.daemon import open_receivers, opened_parts, utc_now, wind_up
from watcher.onlookers import Generation, Onlookers, alarm_policy
from watcher.reload import compare
from watcher.selfwatch.direct import offer
from watcher.selfwatch.last_words import LastWords
from watcher.store import Store, UnusableError, open_store
from watcher.tidying import keep_tidy
from watcher.waiting import first_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from random import Random

    from watcher.alarms import Trouble
    from watcher.config.settings import Settings
    from watcher.daemon import Parts
    from watcher.notify import Receiver

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
    those of the settings. Raises `StateError` where the state cannot be used, and `ListenError`
    where `web.listen` cannot be listened at.
    """
    # Before the state is locked: what is wrong with a receiver must not touch it.
    first = Generation(settings, receivers or open_receivers(settings, terminal))
    world = _World(stop, reloads or Reloads(), terminal, time or Time(), rng or SystemRandom())
    last_words = LastWords(
        settings.state.path,
        alarm_policy(settings),
        lambda name, notice: offer(first.receivers, name, notice, world.rng),
    )
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(open_store(settings.state.path))
        except UnusableError as error:
            await last_words.say(error, world.now())
            raise
        service = _Service(store, world, first, environment)
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
        first: Generation,
        environment: Mapping[str, str],
    ) -> None:
        self._store = store
        self._world = world
        self._onlookers = Onlookers(store, first, environment, clock=world.now, rng=world.rng)

    async def run(self, stack: AsyncExitStack, told: Trouble | None) -> None:
        """Generation after generation, until stopped; `told` is a trouble known from before."""
        await self._onlookers.lookout.restore()
        if told is not None:
            self._onlookers.lookout.recall(told)
        await self._onlookers.open_pages(stack)
        stop, settings = self._world.stop, self._onlookers.generation.settings
        lasting = [
            asyncio.create_task(self._onlookers.watchdog.run(stop)),
            asyncio.create_task(self._onlookers.lookout.run(stop)),
            asyncio.create_task(
                keep_tidy(self._store, self._onlookers.keep, self._world.now, stop)
            ),
        ]
        log.info("watcher.started", source=settings.source.url, state=str(settings.state.path))
        self._onlookers.supervisor.ready()
        try:
            following: Generation | None = self._onlookers.generation
            while following is not None:
                self._onlookers.generation = following
                following = await self._generation(following)
        finally:
            stop.set()
            self._onlookers.supervisor.stopping()
            await wind_up(lasting)
        log.info("watcher.stopped")

    async def _generation(self, now: Generation) -> Generation | None:
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
                    listeners=self._onlookers.listeners,
                )
            )
            now.works = [
                asyncio.create_task(self._polling(now.parts, ended)),
                asyncio.create_task(now.parts.outbox.run(ended)),
            ]
            await self._onlookers.open_heartbeat(stack, ended)
            try:
                return await self._until_told(now)
            finally:
                ended.set()
                await wind_up(now.works)
                self._onlookers.rest(now)

    async def _polling(self, parts: Parts, ended: asyncio.Event) -> None:
        onlookers = self._onlookers
        await parts.poller.run(ended, onlookers.polled, onlookers.sign_poller)

    async def _until_told(self, now: Generation) -> Generation | None:
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

    async def _reloaded(self, now: Generation) -> Generation | None:
        """The next generation, where the new configuration is good; says so either way."""
        self._onlookers.supervisor.reloading()
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
            self._onlookers.configured(problem)
            return None
        finally:
            self._onlookers.supervisor.ready()
        self._world.reloads.relog(change.settings)
        log.info("config.reloaded", changed=change.changed, waiting=change.waiting)
        self._onlookers.configured(None)
        self._onlookers.lookout.follow(alarm_policy(change.settings))
        return Generation(change.settings, receivers)
