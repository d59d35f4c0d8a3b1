"""The composition root: builds every part from the settings and hands them to each other.

Knows who needs whom and how all of it stops. Refuses to know what any part does.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from random import SystemRandom
from time import perf_counter
from typing import TYPE_CHECKING, TextIO

import structlog
from pydantic import ValidationError

from watcher.changes import Notice, NoticeKind, RecordedChange
from watcher.config.routes import MatchSettings
from watcher.config.rules import matcher, routing_rules
from watcher.confirm import Policy
from watcher.cores import forbid_core_dumps
from watcher.gathering import Gatherer, TellingRules, new_alert_id
from watcher.intake import Rules
from watcher.kie import open_client
from watcher.notify import Outcome, TerminalReceiver, Verdict, open_receiver
from watcher.outbox import Outbox
from watcher.poller import Poller, PollReport
from watcher.rendering import render
from watcher.routing import Matcher, RoutingRules, Silence
from watcher.store import AcceptHolds, StartOver, open_store
from watcher.tidying import kept_for, tidy
from watcher.waiting import first_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sequence
    from random import Random

    from watcher.config.settings import Settings
    from watcher.notify import Receiver
    from watcher.outbox import Attempt
    from watcher.store import Request, Store, StoredSilence

__all__ = [
    "CheckReport",
    "Listeners",
    "Parts",
    "check",
    "open_receivers",
    "opened_parts",
    "silence_meant",
    "try_receivers",
    "utc_now",
    "wind_up",
]

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
