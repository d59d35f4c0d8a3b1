"""The composition root: builds every part from the settings, hands them to each other, runs them.

Knows who needs whom and how all of it stops. Refuses to know what any part does.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from random import SystemRandom
from time import perf_counter
from typing import TYPE_CHECKING, TextIO

import structlog

from watcher.changes import Notice, NoticeKind, RecordedChange
from watcher.config.routes import MatchSettings
from watcher.config.rules import matcher, routing_rules
from watcher.confirm import Policy
from watcher.kie import open_client
from watcher.notify import Outcome, TerminalReceiver, Verdict, open_receiver
from watcher.outbox import DeliveryRules, Outbox, new_alert_id
from watcher.poller import Poller, PollReport, Rules
from watcher.rendering import render
from watcher.routing import Silence
from watcher.store import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection
    from random import Random

    from watcher.config.settings import Settings
    from watcher.notify import Receiver
    from watcher.store import Store, StoredSilence

__all__ = ["CheckReport", "check", "run", "try_receivers", "utc_now"]

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
class _Parts:
    store: Store
    poller: Poller
    outbox: Outbox


def utc_now() -> datetime:
    """The time, aware and in UTC: the clock that everything gets unless a test brings its own."""
    return datetime.now(UTC)


async def run(
    settings: Settings,
    *,
    stop: asyncio.Event,
    terminal: TextIO,
    now: Callable[[], datetime] = utc_now,
    rng: Random | None = None,
) -> None:
    """Poll, remember and tell until `stop` is set; what is in hand then is finished or undone.

    Raises `StateError` where the state cannot be used.
    """
    async with _assembled(settings, stop, terminal, now, rng or SystemRandom()) as parts:
        log.info("watcher.started", source=settings.source.url, state=str(settings.state.path))

        def after_poll(report: PollReport) -> None:
            if report.changes or report.notices:
                parts.outbox.wake()

        works = [
            asyncio.create_task(parts.poller.run(stop, after_poll)),
            asyncio.create_task(parts.outbox.run(stop)),
        ]
        try:
            await _until_stopped(works, stop)
        finally:
            await _wind_up(works)
    log.info("watcher.stopped")


async def check(
    settings: Settings,
    *,
    terminal: TextIO,
    now: Callable[[], datetime] = utc_now,
    rng: Random | None = None,
) -> CheckReport:
    """One poll and one round of delivery. Raises `StateError` where the state cannot be used."""
    stop = asyncio.Event()
    async with _assembled(settings, stop, terminal, now, rng or SystemRandom()) as parts:
        report = await parts.poller.poll()
        return CheckReport(report, await parts.outbox.deliver_all())


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
    wanted = [r for r in _receivers(settings, terminal) if not names or r.name in names]
    alert_id = new_alert_id(rng or SystemRandom())
    sample = Notice(NoticeKind.SAMPLE, now(), {})

    async def attempt(receiver: Receiver) -> tuple[str, Outcome, timedelta]:
        message = render([sample], receiver.service, alert_id)
        started = perf_counter()
        outcome = await receiver.send(message.title, message.body, alert_id)
        return receiver.name, outcome, timedelta(seconds=perf_counter() - started)

    return list(await asyncio.gather(*map(attempt, wanted)))


@asynccontextmanager
async def _assembled(
    settings: Settings,
    stop: asyncio.Event,
    terminal: TextIO,
    now: Callable[[], datetime],
    rng: Random,
) -> AsyncIterator[_Parts]:
    receivers = _receivers(settings, terminal)

    async def pause(wait: timedelta) -> None:
        await _stopped_within(stop, wait)

    async with (
        open_store(settings.state.path) as store,
        open_client(settings.source, settings.poll, pause) as client,
    ):
        routing = routing_rules(settings)
        rules = Rules(settings.poll, _policy(settings), routing, _silence)
        delivery = DeliveryRules(settings.delivery.give_up_after, routing, _silence)
        outbox = Outbox(store, receivers, delivery, now=now, rng=rng)
        yield _Parts(store, Poller(client, store, rules, now=now, rng=rng), outbox)


def _receivers(settings: Settings, terminal: TextIO) -> list[Receiver]:
    """The receivers configured; with none, the terminal."""
    if not settings.receivers:
        return [TerminalReceiver(terminal)]
    return [
        open_receiver(name, receiver.url.get_secret_value())
        for name, receiver in settings.receivers.items()
    ]


def _silence(stored: StoredSilence) -> Silence:
    return Silence(
        id=stored.id,
        matcher=matcher(MatchSettings.model_validate(stored.spec)),
        since_at=stored.since_at,
        until_at=stored.until_at,
        reason=stored.reason,
        drop=stored.dropping,
        ended_at=stored.ended_at,
    )


def _policy(settings: Settings) -> Policy:
    confirm = settings.confirm
    return Policy(
        removals=confirm.removals,
        implausible=confirm.implausible,
        implausible_factor=confirm.implausible_factor,
        collapse=confirm.collapse,
        collapse_share=confirm.collapse_share,
    )


async def _until_stopped(works: list[asyncio.Task[None]], stop: asyncio.Event) -> None:
    """Wait for `stop`, or for a work that ended by itself, which only an error makes it do."""
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, *works], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await stopped


async def _wind_up(works: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(works, timeout=GRACE.total_seconds())
    for work in works:
        # Never in the middle of a transaction: the store finishes those, cancelled or not.
        work.cancel()
    for result in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


async def _stopped_within(stop: asyncio.Event, wait: timedelta) -> None:
    try:
        async with asyncio.timeout(wait.total_seconds()):
            await stop.wait()
    except TimeoutError:
        return
