"""The composition root: builds every part from the settings and hands the parts to each other.

`run` is the daemon, `check` one poll and one round of sending. The state, the watchdog, the alarm
service and the pages live as long as the process. Everything made from the configuration is one
generation, replaced whole between two polls when a new configuration is taken into use.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from random import SystemRandom
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, TextIO

import structlog

from watcher.catalog.changes import Notice, NoticeKind, RecordedChange
from watcher.config.errors import ConfigError
from watcher.config.reload import compare
from watcher.config.rules import alarm_rules, confirm_rules, parse_silence, routing_rules
from watcher.kie.client import open_client
from watcher.monitor.alarms import AlarmKind
from watcher.monitor.direct import say_last_words, withdraw_last_words
from watcher.monitor.heartbeat import open_heartbeat
from watcher.monitor.monitor import Monitor
from watcher.notify.receiver import Outcome, TerminalReceiver, Verdict, open_receiver
from watcher.observer import NOBODY, Observer
from watcher.outbox import Batcher, MessageRules, Outbox, new_alert_id
from watcher.poller import Poller, PollRules
from watcher.routing.release import Batch
from watcher.schedule import first_of
from watcher.store.connection import UnusableError
from watcher.store.requests import AcceptHolds, StartOver
from watcher.store.retention import prune_once, prune_regularly, retention_of
from watcher.store.store import Store, open_store
from watcher.worker import forbid_core_dumps

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
    from random import Random

    from watcher.config.settings import Settings
    from watcher.notify.receiver import Receiver
    from watcher.observer import PollReport
    from watcher.routing.rules import RoutingRules
    from watcher.store.requests import Request
    from watcher.store.values import Retention

log = structlog.get_logger()

# What is under way when asked to stop gets this long: a transaction needs milliseconds, a message
# that is being accepted a second or two. Whatever takes longer is done again at the next start.
GRACE = timedelta(seconds=3)


# Run


def utc_now() -> datetime:
    """The time, aware and in UTC: the clock that everything gets unless a test brings its own."""
    return datetime.now(UTC)


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
    clock: Clock | None = None,
    rng: Random | None = None,
) -> None:
    """Poll, record and send until `stop` is set; what is under way then is finished or undone.

    `environment` says who supervises (`NOTIFY_SOCKET`, `WATCHDOG_USEC`); `receivers` stand in for
    those of the settings. Raises `StateError` where the state cannot be used, and `ListenError`
    where it cannot listen on `web.listen`.
    """
    clock, rng = clock or Clock(), rng or SystemRandom()
    path = settings.state.path
    # Before the state is locked: what is wrong with a receiver must not affect it.
    first = Generation(settings, receivers or open_receivers(settings, terminal))
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(open_store(path))
        except UnusableError as error:
            rules, now = alarm_rules(settings), clock.now()
            await say_last_words(error, path, first.receivers, rules=rules, now=now, rng=rng)
            raise
        monitor = Monitor(
            store, settings, first.receivers, now=clock.now, rng=rng, environment=environment
        )
        await monitor.restore(withdraw_last_words(path))
        await _open_pages(stack, monitor)
        daemon = _Daemon(store, monitor, stop, reloads or Reloads(), terminal, clock, rng)
        await daemon.run(first)


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

    def _retention(self) -> Retention | None:
        """How long things are kept; nothing counts as old by a clock that jumped."""
        if any(alarm.kind is AlarmKind.CLOCK for alarm in self.monitor.raised):
            return None
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
            running = [parts.poller.run(ended), parts.outbox.run(ended)]
            if settings.heartbeat is not None:
                every = settings.heartbeat.every
                monitor.heartbeat = await stack.enter_async_context(
                    open_heartbeat(
                        settings.heartbeat.address.get_secret_value(),
                        every=every if isinstance(every, timedelta) else None,
                        observer=monitor,
                    )
                )
                running.append(monitor.heartbeat.run(ended))
            monitor.wake_outbox = parts.outbox.wake
            tasks = [asyncio.create_task(each) for each in running]
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
            # Reading, checking and opening receivers takes a moment that the loop need not wait.
            loaded = await asyncio.to_thread(self.reloads.load)
            change = compare(current.settings, loaded)
            receivers = await asyncio.to_thread(open_receivers, change.settings, self.terminal)
        except ConfigError as error:
            problem = f"{len(error.problems)} in the configuration: {error.problems[0]}"
            log.warning("config.refused", problems=[str(each) for each in error.problems])
            self.monitor.configured(problem)
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


# Check


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What one `check` did: the poll, and per receiver what came of each message tried."""

    poll: PollReport
    deliveries: dict[str, tuple[Outcome, ...]]

    @property
    def changes(self) -> tuple[RecordedChange, ...]:
        """What the poll found."""
        return self.poll.changes

    @property
    def ok(self) -> bool:
        """Whether the poll was good and every message was accepted."""
        outcomes = chain.from_iterable(self.deliveries.values())
        accepted = all(outcome.verdict is Verdict.ACCEPTED for outcome in outcomes)
        return self.poll.outcome.is_good and accepted


async def check(
    settings: Settings,
    *,
    terminal: TextIO,
    now: Callable[[], datetime] = utc_now,
    rng: Random | None = None,
) -> CheckReport:
    """One poll and one round of delivery. Raises `StateError` where the state cannot be used."""
    receivers = open_receivers(settings, terminal)
    rng = rng or SystemRandom()
    async with (
        open_store(settings.state.path) as store,
        open_parts(settings, store, receivers, now=now, rng=rng) as parts,
    ):
        # Left while another command held the state; no daemon may come to take them.
        await parts.outbox.take_requests()
        report = await parts.poller.poll()
        delivered = await parts.outbox.deliver_all()
        await prune_once(store, retention_of(settings), now())
        return CheckReport(report, delivered)


async def try_receivers(
    settings: Settings,
    names: Collection[str],
    *,
    terminal: TextIO,
    now: Callable[[], datetime] = utc_now,
    rng: Random | None = None,
) -> list[tuple[str, Outcome, timedelta]]:
    """Send a sample alert to each of `names` (to all where there are none), side by side.

    Gives name, outcome and time taken, in the order of the configuration.
    """
    from watcher.wording import Known, word  # noqa: PLC0415 - loads what only messages need

    wanted = [r for r in open_receivers(settings, terminal) if not names or r.name in names]
    alert_id = new_alert_id(rng or SystemRandom())
    rules, at = message_rules(settings), now()
    sample = Batch((), (Notice(NoticeKind.SAMPLE, at, {}),))

    async def send(receiver: Receiver) -> tuple[str, Outcome, timedelta]:
        form = rules.form(receiver.name, receiver.service)
        message = await word(sample, form, Known({}), alert_id=alert_id, now=at)
        started = perf_counter()
        outcome = await receiver.send(
            message.title, message.body, alert_id, receiver.service.markup.value
        )
        return receiver.name, outcome, timedelta(seconds=perf_counter() - started)

    return list(await asyncio.gather(*map(send, wanted)))


# Build


@dataclass(frozen=True, slots=True)
class Parts:
    """What polls and what sends, over one state."""

    poller: Poller
    outbox: Outbox


@asynccontextmanager
async def open_parts(
    settings: Settings,
    store: Store,
    receivers: Sequence[Receiver],
    *,
    now: Callable[[], datetime],
    rng: Random,
    stop: asyncio.Event | None = None,
    observer: Observer = NOBODY,
    pace: float = 1.0,
) -> AsyncIterator[Parts]:
    """Build what polls and what sends; a pause between two tries to read ends with `stop`.

    `pace` says how many seconds of `now` pass in one of ours.
    """
    ended = stop or asyncio.Event()

    async def pause(wait: timedelta) -> None:
        await first_of(ended, within=wait / pace)

    def wake_poller(requests: Sequence[Request]) -> None:
        if any(isinstance(request, AcceptHolds | StartOver) for request in requests):
            poller.wake()

    messages = message_rules(settings)
    batcher = Batcher(store, messages, now=now, rng=rng, observer=observer)
    outbox = Outbox(
        store,
        receivers,
        batcher,
        give_up_after=settings.delivery.give_up_after,
        now=now,
        rng=rng,
        pace=pace,
        observer=observer,
        requested=wake_poller,
    )
    async with open_client(settings.source, settings.poll, pause) as client:
        poller = Poller(
            client,
            store,
            settings.poll,
            PollRules(confirm_rules(settings), messages.routing, parse_silence),
            now=now,
            rng=rng,
            pace=pace,
            observer=observer,
            recorded=outbox.wake,
        )
        yield Parts(poller, outbox)


def open_receivers(settings: Settings, terminal: TextIO) -> tuple[Receiver, ...]:
    """The receivers configured; with none, the terminal."""
    # From here on their secrets are in memory.
    forbid_core_dumps()
    if not settings.receivers:
        return (TerminalReceiver(terminal),)
    return tuple(
        open_receiver(name, receiver.address.get_secret_value(), receiver.format)
        for name, receiver in settings.receivers.items()
    )


def message_rules(settings: Settings) -> MessageRules:
    """When a receiver gets something, and in which form."""
    return MessageRules(
        routing_rules(settings),
        parse_silence,
        templates={
            name: receiver.template.text
            for name, receiver in settings.receivers.items()
            if receiver.template is not None
        },
        charts=frozenset(name for name, it in settings.receivers.items() if it.charts),
    )
