"""The composition root: builds every part from the settings and hands them to each other.

Knows who needs whom and how all of it stops. Refuses to know what any part does.

Everybody who hears of what the daemon does: metrics, alarms, a monitor, systemd, three pages.

Refuses to know what any of them makes of it, and what is done with the configuration.

`run` as a service: the daemon over one open state, through reloads, and all that watches it.

A composition root. The state, the watchdog, the lookout and the pages live as long as the process;
everything made from the configuration is one generation, replaced whole between two polls. Refuses
to know what any part does.
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
from watcher.catalog.confirm import Policy
from watcher.config.errors import ConfigError
from watcher.config.reload import compare
from watcher.config.routes import MatchSettings
from watcher.config.rules import matcher, receiver_names, routing_rules
from watcher.kie.client import open_client
from watcher.monitor.alarms import AlarmKind
from watcher.monitor.alarms import Policy as AlarmPolicy
from watcher.monitor.alerting import LastWords, Lookout, offer
from watcher.monitor.heartbeat import open_heartbeat
from watcher.monitor.systemd import LONGEST_ROUND, Supervisor, Watchdog, longest_poll
from watcher.notify.receiver import Outcome, TerminalReceiver, Verdict, open_receiver
from watcher.outbox import Gatherer, Outbox, TellingRules, new_alert_id
from watcher.poller import Poller, PollReport, Rules
from watcher.render.message import render
from watcher.routing.match import Matcher
from watcher.routing.rules import RoutingRules, Silence
from watcher.schedule import first_of
from watcher.store.connection import UnusableError
from watcher.store.requests import AcceptHolds, StartOver
from watcher.store.retention import keep_tidy, kept_for, tidy
from watcher.store.store import Store, open_store
from watcher.worker import forbid_core_dumps

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
    from random import Random

    from watcher.config.settings import Settings
    from watcher.monitor.alarms import Trouble
    from watcher.monitor.heartbeat import Heartbeat
    from watcher.monitor.metrics import Metrics
    from watcher.notify.receiver import Receiver
    from watcher.outbox import Attempt
    from watcher.store.requests import Request
    from watcher.store.values import Keep, StoredSilence

log = structlog.get_logger()

# What is in hand when asked to stop gets this long: a transaction needs milliseconds, a message
# that is being accepted a second or two. Whatever takes longer is done again at the next start.
GRACE = timedelta(seconds=3)


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
        """Whether the poll was good and nothing was turned down."""
        outcomes = chain.from_iterable(self.deliveries.values())
        accepted = all(outcome.verdict is Verdict.ACCEPTED for outcome in outcomes)
        return self.poll.outcome.is_good and accepted


@dataclass(frozen=True, slots=True)
class Parts:
    """What polls and what sends, over one state."""

    store: Store
    poller: Poller
    gatherer: Gatherer
    outbox: Outbox


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who hears of what happens at the outbox: see there, and at the gatherer, for each."""

    tried: Callable[[Attempt], None] = lambda _: None
    sign: Callable[[str, timedelta | None], None] = lambda _who, _within: None
    deferred: Callable[[str, int], None] = lambda _why, _count: None
    netted: Callable[[int], None] = lambda _: None


def utc_now() -> datetime:
    """The time, aware and in UTC: the clock that everything gets unless a test brings its own."""
    return datetime.now(UTC)


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
        opened_parts(settings, store, receivers, now=now, rng=rng) as parts,
    ):
        # Left while another command held the state; nobody else may come to take it.
        await parts.outbox.take_requests()
        report = await parts.poller.poll()
        delivered = await parts.outbox.deliver_all()
        await tidy(store, kept_for(settings), now())
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

    async def attempt(receiver: Receiver) -> tuple[str, Outcome, timedelta]:
        message = render([sample], receiver.service, alert_id)
        started = perf_counter()
        outcome = await receiver.send(
            message.title, message.body, alert_id, receiver.service.markup.value
        )
        return receiver.name, outcome, timedelta(seconds=perf_counter() - started)

    return list(await asyncio.gather(*map(attempt, wanted)))


@asynccontextmanager
async def opened_parts(
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
        rules = Rules(_policy(settings), routing, silence_meant)
        poller = Poller(client, store, settings.poll, rules, now=now, rng=rng, pace=pace)

        def asked(requests: Sequence[Request]) -> None:
            if any(isinstance(request, AcceptHolds | StartOver) for request in requests):
                poller.wake()

        gatherer = Gatherer(
            store,
            _telling_rules(settings, routing),
            now=now,
            rng=rng,
            deferred=listeners.deferred,
            netted=listeners.netted,
        )
        outbox = Outbox(
            store,
            receivers,
            gatherer,
            give_up_after=settings.delivery.give_up_after,
            now=now,
            rng=rng,
            pace=pace,
            asked=asked,
            after=listeners.tried,
            sign=listeners.sign,
        )
        yield Parts(store, poller, gatherer, outbox)


def open_receivers(settings: Settings, terminal: TextIO) -> tuple[Receiver, ...]:
    """The receivers configured; with none, the terminal."""
    # From here on their secrets are in memory.
    forbid_core_dumps()
    if not settings.receivers:
        return (TerminalReceiver(terminal),)
    return tuple(
        open_receiver(name, receiver.url.get_secret_value(), receiver.format)
        for name, receiver in settings.receivers.items()
    )


def _telling_rules(settings: Settings, routing: RoutingRules) -> TellingRules:
    return TellingRules(
        routing,
        silence_meant,
        templates={
            name: receiver.template_text
            for name, receiver in settings.receivers.items()
            if receiver.template_text is not None
        },
        charts=frozenset(name for name, it in settings.receivers.items() if it.charts),
    )


def silence_meant(stored: StoredSilence) -> Silence:
    """A silence with its matcher understood; one that cannot be understood holds nothing back."""
    try:
        matched, until_at = _matcher(json.dumps(stored.spec)), stored.until_at
    except ValidationError:
        # Checked when it was asked for; written by another version of the program, then.
        matched, until_at = Matcher(), stored.since_at
    return Silence(
        id=stored.id,
        matcher=matched,
        since_at=stored.since_at,
        until_at=until_at,
        reason=stored.reason,
        drop=stored.dropping,
        ended_at=stored.ended_at,
    )


# A regular expression is tried on nasty texts each time it is read.
@lru_cache(maxsize=512)
def _matcher(spec: str) -> Matcher:
    return matcher(MatchSettings.model_validate(json.loads(spec)))


def _policy(settings: Settings) -> Policy:
    confirm = settings.confirm
    return Policy(
        removals=confirm.removals,
        implausible=confirm.implausible,
        implausible_factor=confirm.implausible_factor,
        collapse=confirm.collapse,
        collapse_share=confirm.collapse_share,
    )


async def wind_up(works: Sequence[asyncio.Task[None]]) -> None:
    """Let works that were told to stop end, within `GRACE`; raises what ended one of them."""
    if works:
        await asyncio.wait(works, timeout=GRACE.total_seconds())
    for work in works:
        # Never in the middle of a transaction: the store finishes those, cancelled or not.
        work.cancel()
    for result in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


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
        from watcher.monitor.metrics import Metrics  # noqa: PLC0415
        from watcher.monitor.web import Limits, Sources, pages, serve  # noqa: PLC0415

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
            serve(web.listen, pages(sources), allow_remote=web.allow_remote)
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
