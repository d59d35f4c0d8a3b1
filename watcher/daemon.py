"""The daemon: runs until it is stopped, and takes new configurations into use.

The state, the monitor and the web server live as long as the process. Everything made from the
configuration is one generation, replaced whole between two polls.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import SystemRandom
from types import MappingProxyType
from typing import TYPE_CHECKING, TextIO

from watcher.app import open_parts, open_receivers, utc_now
from watcher.config.errors import ConfigError
from watcher.config.reload import compare
from watcher.config.rules import alarm_rules
from watcher.log import log
from watcher.monitor.direct import say_last_words, withdraw_last_words
from watcher.monitor.heartbeat import open_heartbeat
from watcher.monitor.monitor import Monitor
from watcher.notify.client import Sender, SenderError
from watcher.render.figures import counted
from watcher.schedule import first_of
from watcher.store.connection import UnusableError
from watcher.store.retention import prune_regularly, retention_of
from watcher.store.store import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from watcher.config.settings import Settings
    from watcher.notify.receiver import Receiver
    from watcher.store.values import Retention

# What is under way when asked to stop gets this long: a transaction needs milliseconds, a message
# that is being accepted a second or two. Whatever takes longer is done again at the next start.
GRACE = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class Clock:
    """What time it is, and how many of its seconds pass in one of ours: one, except in the demo."""

    now: Callable[[], datetime] = utc_now
    pace: float = 1.0


def _no_new_settings() -> Settings:
    raise ConfigError(())


@dataclass(frozen=True, slots=True)
class Reloads:
    """When a new configuration is asked for, and where it comes from.

    `load` reads and checks it and raises `ConfigError`; `configure_log` makes the log follow it.
    """

    requested: asyncio.Event = field(default_factory=asyncio.Event)
    load: Callable[[], Settings] = _no_new_settings
    configure_log: Callable[[Settings], None] = lambda _: None


async def run(
    settings: Settings,
    *,
    stop: asyncio.Event,
    terminal: TextIO,
    reloads: Reloads | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
    receivers: tuple[Receiver, ...] | None = None,
    sender: Sender | None = None,
    clock: Clock | None = None,
    rng: Random | None = None,
) -> None:
    """Poll, record and send until `stop` is set; what is under way then is finished or undone.

    `environment` says who supervises (`NOTIFY_SOCKET`, `WATCHDOG_USEC`); `receivers` stand in for
    those of the settings, and `sender` is one that is open. Raises `StateError` where the state
    cannot be used, `SenderError` where no receiver can be opened, and `ListenError` where it cannot
    listen on `web.listen`.
    """
    clock, rng = clock or Clock(), rng or SystemRandom()
    path = settings.state.path
    async with AsyncExitStack() as stack:
        if sender is None:
            sender = await stack.enter_async_context(Sender())
        # Before the state is locked: what is wrong with a receiver must not affect it.
        opened = receivers or await open_receivers(settings, terminal, sender)
        first, monitor = Generation(settings, opened), None
        try:
            async with open_store(path) as store, AsyncExitStack() as pages:
                monitor = Monitor(
                    store,
                    settings,
                    first.receivers,
                    now=clock.now,
                    rng=rng,
                    environment=environment,
                )
                await monitor.restore(withdraw_last_words(path))
                await _open_pages(pages, monitor)
                daemon = _Daemon(
                    store, monitor, stop, reloads or Reloads(), terminal, sender, clock, rng
                )
                await daemon.run(first)
        except UnusableError as error:
            # Whoever is configured now: that may be another generation than the first.
            current, now = monitor or first, clock.now()
            rules = alarm_rules(current.settings)
            await say_last_words(error, path, current.receivers, rules=rules, now=now, rng=rng)
            raise


async def _open_pages(stack: AsyncExitStack, monitor: Monitor) -> None:
    """Serve the pages, where that is wanted; what they need is loaded only then."""
    web = monitor.settings.web
    if web.listen is None:
        return
    from watcher.monitor.health import health_routes  # noqa: PLC0415
    from watcher.monitor.metrics import Metrics  # noqa: PLC0415
    from watcher.monitor.web import serve  # noqa: PLC0415

    metrics = Metrics(monitor.settings.receiver_names(), monitor.now)
    metrics.configured(None)
    monitor.metrics = metrics
    routes = health_routes(monitor, metrics)
    address = await stack.enter_async_context(
        serve(web.listen, routes, allow_remote=web.allow_remote)
    )
    log.info("web.listening", address=address)


@dataclass(frozen=True, slots=True)
class Generation:
    """What is made from one configuration, and replaced as a whole by a reload."""

    settings: Settings
    receivers: tuple[Receiver, ...]


@dataclass(frozen=True, slots=True)
class _Daemon:
    """One process: what lives as long as it does, whatever the configuration."""

    store: Store
    monitor: Monitor
    stop: asyncio.Event
    reloads: Reloads
    terminal: TextIO
    sender: Sender
    clock: Clock
    rng: Random

    async def run(self, first: Generation) -> None:
        """Run one generation after another until stopped."""
        monitor, stop = self.monitor, self.stop
        lasting = [
            asyncio.create_task(monitor.watchdog.run(stop)),
            asyncio.create_task(monitor.run(stop)),
            asyncio.create_task(prune_regularly(self.store, self._retention, self.clock.now, stop)),
        ]
        source, path = first.settings.source, first.settings.state.path
        log.info("watcher.started", source=source.url, state=str(path))
        monitor.supervisor.ready()
        try:
            following: Generation | None = first
            while following is not None:
                following = await self._run_generation(following)
        finally:
            stop.set()
            monitor.supervisor.stopping()
            await _end(lasting)
        log.info("watcher.stopped")

    def _retention(self) -> Retention:
        return retention_of(self.monitor.settings)

    async def _run_generation(self, current: Generation) -> Generation | None:
        """Run until stopped (`None`) or reloaded, which gives the next generation."""
        settings, monitor, ended = current.settings, self.monitor, asyncio.Event()
        monitor.follow(settings, current.receivers)
        async with AsyncExitStack() as stack:
            parts = await stack.enter_async_context(
                open_parts(
                    settings,
                    self.store,
                    current.receivers,
                    stop=ended,
                    now=self.clock.now,
                    rng=self.rng,
                    pace=self.clock.pace,
                    observer=monitor,
                )
            )
            monitor.wake_outbox = parts.outbox.wake
            loops = [parts.poller.run, parts.outbox.run, self.store.watch]
            if settings.heartbeat is not None:
                every = settings.heartbeat.every
                monitor.heartbeat = await stack.enter_async_context(
                    open_heartbeat(
                        settings.heartbeat.address.get_secret_value(),
                        every=every if isinstance(every, timedelta) else None,
                        observer=monitor,
                    )
                )
                loops.append(monitor.heartbeat.run)
            tasks = [asyncio.create_task(loop(ended)) for loop in loops]
            try:
                return await self._next_generation(current, tasks)
            finally:
                monitor.heartbeat = None
                ended.set()
                await _end(tasks)

    async def _next_generation(
        self, current: Generation, tasks: Sequence[asyncio.Task[None]]
    ) -> Generation | None:
        """Wait for a stop, a reload that is good, or a task that ended, which only errors do."""
        stop, reload, broken = self.stop, self.reloads.requested, asyncio.Event()
        for task in tasks:
            task.add_done_callback(lambda _: broken.set())
        while not stop.is_set():
            await first_of(stop, reload, broken, within=None)
            if broken.is_set():
                return None
            if reload.is_set() and not stop.is_set():
                reload.clear()
                following = await self._reload(current)
                if following is not None:
                    return following
        return None

    async def _reload(self, current: Generation) -> Generation | None:
        """The next generation; `None` where the new configuration is refused."""
        self.monitor.supervisor.reloading()
        try:
            # Reading and checking takes a moment that the loop need not wait.
            loaded = await asyncio.to_thread(self.reloads.load)
            change = compare(current.settings, loaded)
            receivers = await open_receivers(change.settings, self.terminal, self.sender)
        except ConfigError as error:
            mistakes = counted(len(error.problems), "mistake", "mistakes")
            problem = f"{mistakes}, the first: {error.problems[0]}"
            log.warning("config.refused", problems=[str(each) for each in error.problems])
            self.monitor.configured(problem)
            return None
        except SenderError as error:
            log.warning("config.refused", problems=[str(error)])
            self.monitor.configured(str(error))
            return None
        finally:
            self.monitor.supervisor.ready()
        self.reloads.configure_log(change.settings)
        log.info("config.reloaded", changed=change.changed, waiting=change.waiting)
        self.monitor.configured(None)
        return Generation(change.settings, receivers)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Let tasks that were told to stop end, within `GRACE`; raises what ended one of them."""
    if tasks:
        await asyncio.wait(tasks, timeout=GRACE.total_seconds())
    for task in tasks:
        # Never in the middle of a transaction: the store finishes those, cancelled or not.
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
