"""The composition root: builds every part from the settings and hands the parts to each other.

`run` is the daemon, `check` one poll and one round of sending. The state, the watchdog, the alarm
service and the pages live as long as the process. Everything made from the configuration is one
generation, replaced whole between two polls when a new configuration is taken into use.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from random import SystemRandom
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, TextIO

import structlog
from pydantic import ValidationError

from watcher.catalog.changes import Notice, NoticeKind, RecordedChange
from watcher.catalog.confirm import ConfirmRules
from watcher.config.errors import ConfigError
from watcher.config.reload import compare
from watcher.config.routes import MatchSettings
from watcher.config.routing_rules import matcher, routing_rules
from watcher.kie.client import open_client
from watcher.monitor.alarms import AlarmKind, AlarmRules
from watcher.monitor.alerting import AlarmService, LastWords, send_directly
from watcher.monitor.heartbeat import open_heartbeat
from watcher.monitor.systemd import LONGEST_ROUND, Supervisor, Watchdog, longest_poll
from watcher.notify.receiver import Outcome, TerminalReceiver, Verdict, open_receiver
from watcher.outbox import Batcher, MessageRules, Outbox, new_alert_id
from watcher.poller import Poller, PollReport, PollRules
from watcher.render.message import render
from watcher.routing.match import Matcher
from watcher.routing.rules import RoutingRules, Silence
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
    from watcher.monitor.alarms import Alarm
    from watcher.monitor.heartbeat import Heartbeat
    from watcher.monitor.metrics import Metrics
    from watcher.notify.receiver import Receiver
    from watcher.outbox import SendAttempt
    from watcher.store.requests import Request
    from watcher.store.values import Retention, StoredSilence

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
    # Before the state is locked: what is wrong with a receiver must not affect it.
    first = Generation(settings, receivers or open_receivers(settings, terminal))
    context = _Context(
        stop, reloads or Reloads(), terminal, clock or Clock(), rng or SystemRandom()
    )
    last_words = LastWords(
        settings.state.path,
        _alarm_rules(settings),
        lambda name, notice: send_directly(first.receivers, name, notice, context.rng),
    )
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(open_store(settings.state.path))
        except UnusableError as error:
            await last_words.say(error, context.clock.now())
            raise
        daemon = _Daemon(store, context, first, environment)
        await daemon.run(stack, last_words.withdraw())


@dataclass(frozen=True, slots=True)
class _Context:
    """What the daemon gets from outside, for as long as it runs."""

    stop: asyncio.Event
    reloads: Reloads
    terminal: TextIO
    clock: Clock
    rng: Random


@dataclass(slots=True)
class Generation:
    """What is made from one configuration, and ends with the next reload."""

    settings: Settings
    receivers: tuple[Receiver, ...]
    parts: Parts | None = None
    heartbeat: Heartbeat | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class _Daemon:
    """One process: what lives as long as it does, and the current generation."""

    def __init__(
        self,
        store: Store,
        context: _Context,
        first: Generation,
        environment: Mapping[str, str],
    ) -> None:
        self._store = store
        self._context = context
        self._observers = Observers(
            store, first, environment, now=context.clock.now, rng=context.rng
        )

    async def run(self, stack: AsyncExitStack, known: Alarm | None) -> None:
        """Run one generation after another until stopped; `known` was raised before this start."""
        observers, stop = self._observers, self._context.stop
        await observers.alarm_service.restore()
        if known is not None:
            observers.alarm_service.adopt(known)
        await observers.open_pages(stack)
        lasting = [
            asyncio.create_task(observers.watchdog.run(stop)),
            asyncio.create_task(observers.alarm_service.run(stop)),
            asyncio.create_task(
                prune_regularly(self._store, observers.retention, self._context.clock.now, stop)
            ),
        ]
        settings = observers.generation.settings
        log.info("watcher.started", source=settings.source.url, state=str(settings.state.path))
        observers.supervisor.ready()
        try:
            following: Generation | None = observers.generation
            while following is not None:
                observers.generation = following
                following = await self._run_generation(following)
        finally:
            stop.set()
            observers.supervisor.stopping()
            await _end(lasting)
        log.info("watcher.stopped")

    async def _run_generation(self, current: Generation) -> Generation | None:
        """Run until stopped (`None`) or reloaded, which gives the next generation."""
        ended, observers = asyncio.Event(), self._observers
        async with AsyncExitStack() as stack:
            current.parts = await stack.enter_async_context(
                open_parts(
                    current.settings,
                    self._store,
                    current.receivers,
                    stop=ended,
                    now=self._context.clock.now,
                    rng=self._context.rng,
                    pace=self._context.clock.pace,
                    listeners=observers.listeners,
                )
            )
            current.tasks = [
                asyncio.create_task(
                    current.parts.poller.run(ended, observers.polled, observers.check_in_poller)
                ),
                asyncio.create_task(current.parts.outbox.run(ended)),
            ]
            await observers.open_heartbeat(stack, ended)
            try:
                return await self._next_generation(current)
            finally:
                ended.set()
                await _end(current.tasks)
                observers.ended(current)

    async def _next_generation(self, current: Generation) -> Generation | None:
        """Wait for a stop, a reload that is good, or a task that ended, which only errors do."""
        stop, reload = self._context.stop, self._context.reloads.requested
        broken = asyncio.Event()
        for task in current.tasks:
            task.add_done_callback(lambda _: broken.set())
        while not stop.is_set():
            await first_of(stop, reload, broken, within=None)
            if broken.is_set():
                return None
            if reload.is_set() and not stop.is_set():
                reload.clear()
                following = await _reload(current, self._context, self._observers)
                if following is not None:
                    return following
        return None


class Observers:
    """All that is informed of what the daemon does: metrics, alarms, monitor, systemd, pages.

    `generation` is the current one; a reload replaces it.
    """

    def __init__(
        self,
        store: Store,
        first: Generation,
        environment: Mapping[str, str],
        *,
        now: Callable[[], datetime],
        rng: Random,
    ) -> None:
        """`environment` names who supervises; `now` gives aware UTC times."""
        self.generation = first
        self.supervisor = Supervisor.from_environment(environment)
        self.watchdog = Watchdog.from_environment(self.supervisor, environment)
        self._store = store
        self._now = now
        self._rng = rng
        self._metrics: Metrics | None = None
        self.alarm_service = AlarmService(
            store,
            _alarm_rules(first.settings),
            send=self._send_directly,
            now=now,
            on_notice=self._on_alarm_notice,
            on_queued=self._wake_outbox,
        )

    @property
    def listeners(self) -> Listeners:
        """What is called by the batcher and the outbox."""
        return Listeners(self._attempted, self._check_in_outbox, self._deferred, self._netted)

    def polled(self, report: PollReport) -> None:
        """Inform everybody of a poll."""
        if report.changes or report.notices:
            self._wake_outbox()
        if self._metrics is not None:
            self._metrics.polled(report)
            self._metrics.suppressed("silence", report.suppressed)
        if self.generation.heartbeat is not None:
            self.generation.heartbeat.polled(report)
        self.alarm_service.polled(report)
        at = self._now().strftime("%H:%M UTC")
        self.supervisor.status(f"Last poll {at}: {report.outcome.value}, {report.holds} holds")

    def configured(self, problem: str | None) -> None:
        """Inform everybody that a new configuration is in use (`None`), or was refused and why."""
        self.alarm_service.configured(problem)
        if self._metrics is not None:
            self._metrics.configured(problem is None, self._now())
        if problem is not None:
            self.supervisor.status(f"Reload refused: {problem}")

    def ended(self, generation: Generation) -> None:
        """Expect nothing more of a generation."""
        for receiver in generation.receivers:
            self.watchdog.check_in(f"outbox:{receiver.name}", None)

    def retention(self) -> Retention | None:
        """How long things are kept; nothing counts as old by a clock that jumped."""
        if any(alarm.kind is AlarmKind.CLOCK for alarm in self.alarm_service.raised):
            return None
        return retention_of(self.generation.settings)

    def check_in_poller(self, wait: timedelta) -> None:
        """Tell the watchdog in how long the next poll begins."""
        settings = self.generation.settings
        self.watchdog.check_in("poller", wait + longest_poll(settings.source, settings.poll))

    def _check_in_outbox(self, who: str, wait: timedelta | None) -> None:
        within = None if wait is None else wait + LONGEST_ROUND
        self.watchdog.check_in(f"outbox:{who}", within)

    async def open_heartbeat(self, stack: AsyncExitStack, ended: asyncio.Event) -> None:
        """Ping a monitor, where one is configured, until `ended` is set."""
        current, metrics = self.generation, self._metrics
        wanted = current.settings.heartbeat
        if wanted is None:
            return
        current.heartbeat = await stack.enter_async_context(
            open_heartbeat(
                wanted.address.get_secret_value(),
                every=wanted.every if isinstance(wanted.every, timedelta) else None,
                after=(lambda _: None) if metrics is None else metrics.pinged,
            )
        )
        current.tasks.append(asyncio.create_task(current.heartbeat.run(ended)))

    async def open_pages(self, stack: AsyncExitStack) -> None:
        """Serve the pages, where that is wanted; what they need is loaded only then."""
        web = self.generation.settings.web
        if web.listen is None:
            return
        from watcher.monitor.metrics import Metrics  # noqa: PLC0415
        from watcher.monitor.web import ReadinessLimits, Sources, pages, serve  # noqa: PLC0415

        self._metrics = Metrics(self.generation.settings.receiver_names())
        self._metrics.configured(ok=True, at=self._now())

        def limits() -> ReadinessLimits:
            settings = self.generation.settings
            return ReadinessLimits(settings.poll.full_sweep_every, settings.receiver_names())

        def deferring() -> frozenset[str]:
            parts = self.generation.parts
            return frozenset() if parts is None else parts.batcher.deferring

        sources = Sources(
            self._store.status,
            self._metrics,
            limits,
            self._now,
            alarms=lambda: self.alarm_service.raised,
            overdue=lambda: self.watchdog.overdue,
            deferring=deferring,
        )
        address = await stack.enter_async_context(
            serve(web.listen, pages(sources), allow_remote=web.allow_remote)
        )
        log.info("web.listening", address=address)

    def _attempted(self, attempt: SendAttempt) -> None:
        if self._metrics is not None:
            self._metrics.attempted(attempt)
        self.alarm_service.attempted(attempt)

    def _deferred(self, why: str, count: int) -> None:
        if self._metrics is not None:
            self._metrics.deferred(why, count)

    def _netted(self, count: int) -> None:
        if self._metrics is not None:
            self._metrics.suppressed("netted", count)

    def _wake_outbox(self) -> None:
        if self.generation.parts is not None:
            self.generation.parts.outbox.wake()

    def _on_alarm_notice(self, notice: Notice) -> None:
        if self.generation.heartbeat is not None:
            self.generation.heartbeat.alarmed(notice)

    async def _send_directly(self, name: str, notice: Notice) -> bool:
        return await send_directly(self.generation.receivers, name, notice, self._rng)


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
    wanted = [r for r in open_receivers(settings, terminal) if not names or r.name in names]
    alert_id = new_alert_id(rng or SystemRandom())
    sample = Notice(NoticeKind.SAMPLE, now(), {})

    async def send(receiver: Receiver) -> tuple[str, Outcome, timedelta]:
        message = render([sample], receiver.service, alert_id)
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

    store: Store
    poller: Poller
    batcher: Batcher
    outbox: Outbox


@dataclass(frozen=True, slots=True)
class Listeners:
    """What the batcher and the outbox call; see there for each."""

    attempted: Callable[[SendAttempt], None] = lambda _: None
    check_in: Callable[[str, timedelta | None], None] = lambda _who, _within: None
    deferred: Callable[[str, int], None] = lambda _why, _count: None
    netted: Callable[[int], None] = lambda _: None


@asynccontextmanager
async def open_parts(
    settings: Settings,
    store: Store,
    receivers: Sequence[Receiver],
    *,
    now: Callable[[], datetime],
    rng: Random,
    stop: asyncio.Event | None = None,
    listeners: Listeners | None = None,
    pace: float = 1.0,
) -> AsyncIterator[Parts]:
    """Build what polls and what sends; a pause between two tries to read ends with `stop`.

    `pace` says how many seconds of `now` pass in one of ours.
    """
    ended = stop or asyncio.Event()
    listeners = listeners or Listeners()

    async def pause(wait: timedelta) -> None:
        await first_of(ended, within=wait / pace)

    async with open_client(settings.source, settings.poll, pause) as client:
        routing = routing_rules(settings)
        rules = PollRules(_confirm_rules(settings), routing, parse_silence)
        poller = Poller(client, store, settings.poll, rules, now=now, rng=rng, pace=pace)

        def wake_poller(requests: Sequence[Request]) -> None:
            if any(isinstance(request, AcceptHolds | StartOver) for request in requests):
                poller.wake()

        batcher = Batcher(
            store,
            _message_rules(settings, routing),
            now=now,
            rng=rng,
            deferred=listeners.deferred,
            netted=listeners.netted,
        )
        outbox = Outbox(
            store,
            receivers,
            batcher,
            give_up_after=settings.delivery.give_up_after,
            now=now,
            rng=rng,
            pace=pace,
            requested=wake_poller,
            attempted=listeners.attempted,
            check_in=listeners.check_in,
        )
        yield Parts(store, poller, batcher, outbox)


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


def parse_silence(stored: StoredSilence) -> Silence:
    """A silence with its matcher parsed; one that cannot be parsed holds nothing back."""
    try:
        parsed, until_at = _parse_matcher(json.dumps(stored.spec)), stored.until_at
    except ValidationError:
        # It was checked when it was requested, so another version of the program wrote it.
        parsed, until_at = Matcher(), stored.since_at
    return Silence(
        id=stored.id,
        matcher=parsed,
        since_at=stored.since_at,
        until_at=until_at,
        reason=stored.reason,
        drop=stored.dropping,
        ended_at=stored.ended_at,
    )


# Cached, because a regular expression is tried on hard texts each time it is parsed.
@lru_cache(maxsize=512)
def _parse_matcher(spec: str) -> Matcher:
    return matcher(MatchSettings.model_validate(json.loads(spec)))


def _message_rules(settings: Settings, routing: RoutingRules) -> MessageRules:
    return MessageRules(
        routing,
        parse_silence,
        templates={
            name: receiver.template.text
            for name, receiver in settings.receivers.items()
            if receiver.template is not None
        },
        charts=frozenset(name for name, it in settings.receivers.items() if it.charts),
    )


def _confirm_rules(settings: Settings) -> ConfirmRules:
    confirm = settings.confirm
    return ConfirmRules(
        removals=confirm.removals,
        implausible=confirm.implausible,
        implausible_factor=confirm.implausible_factor,
        collapse=confirm.collapse,
        collapse_share=confirm.collapse_share,
    )


def _alarm_rules(settings: Settings) -> AlarmRules:
    return AlarmRules(
        operators=settings.operator,
        receivers=settings.receiver_names(),
        # One failed poll of a slow watcher does not make it blind.
        blind_after=max(settings.operator_after, 2 * settings.poll.interval),
    )


# Reload


async def _reload(
    current: Generation, context: _Context, observers: Observers
) -> Generation | None:
    """The next generation; `None` where the new configuration is refused. Informs observers."""
    observers.supervisor.reloading()
    try:
        # Reading, checking and opening receivers takes a moment that the loop need not wait.
        loaded = await asyncio.to_thread(context.reloads.load)
        change = compare(current.settings, loaded)
        receivers = await asyncio.to_thread(open_receivers, change.settings, context.terminal)
    except ConfigError as error:
        problem = f"{len(error.problems)} in the configuration: {error.problems[0]}"
        log.warning("config.refused", problems=[str(each) for each in error.problems])
        observers.configured(problem)
        return None
    finally:
        observers.supervisor.ready()
    context.reloads.configure_log(change.settings)
    log.info("config.reloaded", changed=change.changed, waiting=change.waiting)
    observers.configured(None)
    observers.alarm_service.use_rules(_alarm_rules(change.settings))
    return Generation(change.settings, receivers)


# Stop


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
