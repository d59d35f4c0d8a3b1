"""The composition root: builds every part from the settings and hands the parts to each other.

What uses them once stands here, too: a poll with a round of sending, a sample to each receiver.
`daemon` uses them until it is stopped.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from random import SystemRandom
from time import perf_counter
from typing import TYPE_CHECKING, TextIO

from watcher.catalog.changes import Notice, NoticeKind, RecordedChange
from watcher.clock import ClockJumps, time_since_boot
from watcher.config.rules import confirm_rules, parse_silence, routing_rules
from watcher.kie.client import open_client
from watcher.notify.client import Sender
from watcher.notify.outcome import Outcome, Verdict
from watcher.notify.receiver import TerminalReceiver, open_receiver
from watcher.observer import NOBODY, Observer
from watcher.outbox import Batcher, MessageRules, Outbox, new_alert_id
from watcher.poller import Poller, PollRules
from watcher.schedule import first_of
from watcher.store.retention import prune_once, retention_of
from watcher.store.store import Store, open_store
from watcher.worker import forbid_core_dumps

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sequence
    from random import Random

    from watcher.config.settings import Settings
    from watcher.notify.receiver import Receiver
    from watcher.observer import PollReport
    from watcher.store.requests import Request
    from watcher.store.values import Status


def utc_now() -> datetime:
    """The time, aware and in UTC: the clock that everything gets unless a test brings its own."""
    return datetime.now(UTC)


# Check


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What one `check` did: the poll, and per receiver what came of each message tried.

    `before` is how things stood when it began.
    """

    poll: PollReport
    deliveries: dict[str, tuple[Outcome, ...]]
    before: Status

    @property
    def changes(self) -> tuple[RecordedChange, ...]:
        """What the poll found."""
        return self.poll.changes

    @property
    def not_good_before(self) -> int:
        """How many polls in a row had not been good before this one."""
        return 0 if self.before.poll is None else self.before.poll.failures

    @property
    def failing_before(self) -> frozenset[str]:
        """The receivers that had not accepted a message that is to be tried again."""
        return _failing(self.before)

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
    sender: Sender | None = None,
    now: Callable[[], datetime] = utc_now,
    rng: Random | None = None,
) -> CheckReport:
    """One poll and one round of delivery.

    `sender` is one that is open. Raises `StateError` where the state cannot be used, and
    `SenderError` where no receiver can be opened.
    """
    rng = rng or SystemRandom()
    async with AsyncExitStack() as stack:
        if sender is None:
            sender = await stack.enter_async_context(Sender())
        receivers = await open_receivers(settings, terminal, sender)
        store = await stack.enter_async_context(open_store(settings.state.path))
        parts = await stack.enter_async_context(
            open_parts(settings, store, receivers, now=now, rng=rng)
        )
        before = await store.status()
        # What lasts was said by the run that met it first.
        parts.poller.go_on_from(before.poll)
        parts.outbox.go_on_from(_failing(before))
        # Left while another command held the state; no daemon may come to take them.
        await parts.outbox.take_requests()
        report = await parts.poller.poll()
        delivered = await parts.outbox.deliver_all()
        await prune_once(store, retention_of(settings), now())
        return CheckReport(report, delivered, before)


def _failing(status: Status) -> frozenset[str]:
    return frozenset(it.receiver for it in status.receivers if it.open and it.last_error)


async def try_receivers(
    settings: Settings,
    names: Collection[str],
    *,
    terminal: TextIO,
    sender: Sender,
    now: Callable[[], datetime] = utc_now,
    rng: Random | None = None,
) -> list[tuple[str, Outcome, timedelta]]:
    """Send a sample alert to each of `names` (to all where there are none), side by side.

    Gives name, outcome and time taken, in the order of the configuration.
    """
    from watcher.routing.release import Batch  # noqa: PLC0415 - loads what only messages need
    from watcher.wording import Known, draw, word  # noqa: PLC0415 - likewise

    opened = await open_receivers(settings, terminal, sender)
    wanted = [receiver for receiver in opened if not names or receiver.name in names]
    alert_id = new_alert_id(rng or SystemRandom())
    rules, at = message_rules(settings), now()
    sample = Batch((), (Notice(NoticeKind.SAMPLE, at, {}),))

    async def send(receiver: Receiver) -> tuple[str, Outcome, timedelta]:
        form = rules.form(receiver.name, receiver.service)
        message = await word(sample, form, Known({}), alert_id=alert_id, now=at)
        chart = await draw(sample, form, Known({}), at)
        started = perf_counter()
        outcome = await receiver.send(
            message.title, message.body, alert_id, receiver.service.markup.value, chart
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
        from watcher.store.requests import AcceptHolds, StartOver  # noqa: PLC0415 - rare

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
            jumped=ClockJumps(now, lambda: time_since_boot() * pace),
        )
        yield Parts(poller, outbox)


async def open_receivers(
    settings: Settings, terminal: TextIO, sender: Sender
) -> tuple[Receiver, ...]:
    """The receivers configured; with none, the terminal. Raises `SenderError`."""
    # From here on their secrets are in memory.
    forbid_core_dumps()
    if not settings.receivers:
        return (TerminalReceiver(terminal),)
    return tuple(
        [
            await open_receiver(sender, name, receiver.address.get_secret_value(), receiver.format)
            for name, receiver in settings.receivers.items()
        ]
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
        in_credits=frozenset(
            name for name, it in settings.receivers.items() if it.prices == "credits"
        ),
    )
