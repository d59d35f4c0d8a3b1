"""A notice offered past the outbox, for when the state is what is wrong.

Knows how a notice becomes a message that is sent at once. Refuses to know when that is needed.

What operators are told of a state that cannot be opened, before the process ends.

There is no state to remember that in, and whoever starts the process again may do so every minute:
a small file beside the state says who was told of what, until the state can be used again. Refuses
to know what is wrong with it.

The order of things around alarms: facts come in, are judged, kept, and told to operators.

What is decided is kept together with the messages due, in one transaction, so that a restart
repeats nothing and loses nothing. Where the state itself is the trouble, messages go out directly.
Refuses to know what an alarm is and how a message is made.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import deque
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from watcher.catalog.changes import NoticeKind
from watcher.catalog.confirm import HoldReason
from watcher.monitor.alarms import (
    AlarmKind,
    Book,
    ClockJumped,
    Configured,
    Looked,
    Pending,
    Polled,
    StateFailed,
    StateWorked,
    Ticked,
    Tried,
    Trouble,
    judge,
)
from watcher.notify.receiver import Verdict
from watcher.outbox import Attempt, new_alert_id
from watcher.render.message import render
from watcher.schedule import first_of
from watcher.store.connection import StateError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path
    from random import Random

    from watcher.catalog.changes import Notice
    from watcher.monitor.alarms import Fact, Policy
    from watcher.notify.receiver import Receiver
    from watcher.poller import PollReport
    from watcher.store.values import Status


async def offer(receivers: Sequence[Receiver], name: str, notice: Notice, rng: Random) -> bool:
    """Send it to the receiver of that name; whether there is one and it accepted."""
    for receiver in receivers:
        if receiver.name == name:
            alert_id = new_alert_id(rng)
            message = render([notice], receiver.service, alert_id)
            markup = receiver.service.markup.value
            outcome = await receiver.send(message.title, message.body, alert_id, markup)
            return outcome.verdict is Verdict.ACCEPTED
    return False


log = structlog.get_logger()

# Where nobody looks for a day, they are reminded.
AGAIN_AFTER = timedelta(days=1)
# A receiver that hangs must not keep the process from ending.
PATIENCE = timedelta(seconds=45)
_LONGEST = 64 * 1024
_SUFFIX = ".told"


class LastWords:
    """Says once that the state at `state` cannot be used, and remembers that it was said.

    `send` offers a notice to one receiver and says whether it was accepted.
    """

    def __init__(
        self, state: Path, policy: Policy, send: Callable[[str, Notice], Awaitable[bool]]
    ) -> None:
        self._file = state.with_name(state.name + _SUFFIX)
        self._policy = policy
        self._send = send

    async def say(self, error: StateError, now: datetime) -> None:
        """Tell the operators, unless they were told the same of late. Never raises."""
        before = self._read()
        since_at = now if before is None else before.since_at
        if before is not None and before.why == str(error) and now - before.last_at < AGAIN_AFTER:
            return
        judgement = judge(Book.opened({}, now), StateFailed(str(error)), self._policy, now)
        offers = [self._offer(who, it) for it, whom in judgement.notices for who in whom]
        if any(await asyncio.gather(*offers)):
            self._write(Trouble(AlarmKind.STATE, since_at, now, str(error), told_at=now))

    def take_back(self) -> Trouble | None:
        """The state can be used: what was said of it, once, for its end to be told."""
        trouble = self._read()
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
        return trouble

    async def _offer(self, name: str, notice: Notice) -> bool:
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                return await self._send(name, notice)
        except Exception:
            log.exception("last_words.failed", receiver=name)
            return False

    def _read(self) -> Trouble | None:
        try:
            with self._file.open("rb") as file:
                return Trouble.from_json(json.loads(file.read(_LONGEST)))
        except (OSError, KeyError, TypeError, ValueError, RecursionError):
            return None

    def _write(self, trouble: Trouble) -> None:
        """Where it cannot be written they may be told again: better than not at all."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with suppress(OSError), os.fdopen(os.open(self._file, flags, 0o600), "w") as file:
            json.dump(trouble.to_json(), file)


# How often to look at what only time brings about.
TICK = timedelta(seconds=30)
# Facts come a few a minute; where nobody takes them, the newest say what matters.
MOST_FACTS = 1000
_ACCEPTED = {Verdict.ACCEPTED: True, Verdict.RETRY: False, Verdict.REFUSED: None}

Due = tuple["Notice", tuple[str, ...]]


class AlarmStore(Protocol):
    """What of the memory is needed here."""

    async def status(self) -> Status:
        """How things stand."""

    async def alarms(self) -> Mapping[str, Any]:
        """What was kept last; empty where nothing was."""

    async def keep_alarms(
        self, alarms: Mapping[str, Any], notices: Sequence[Due], at: datetime
    ) -> None:
        """Keep the alarms in place of the last, and queue the notices, in one transaction."""


def time_since_boot() -> float:
    """Seconds of a clock that nobody sets, and that goes on while the machine sleeps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Lookout:
    """Learns of everything that can be a trouble, and has operators told of what is one.

    `send` offers a notice to one receiver at once, past the outbox, and says whether it was
    accepted; `heard` is called with each notice when it is decided, `queued` when notices were put
    into the outbox.
    """

    def __init__(
        self,
        store: AlarmStore,
        policy: Policy,
        *,
        send: Callable[[str, Notice], Awaitable[bool]],
        now: Callable[[], datetime],
        clock: Callable[[], float] = time_since_boot,
        heard: Callable[[Notice], None] = lambda _: None,
        queued: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._policy = policy
        self._send = send
        self._now = now
        self._clock = clock
        self._heard = heard
        self._queued = queued
        self._news = asyncio.Event()
        # A process that runs has read a configuration that is good.
        self._facts: deque[PollReport | Attempt | Configured] = deque(
            [Configured()], maxlen=MOST_FACTS
        )
        self._book = Book.opened({}, now())
        self._kept: Mapping[str, Any] = {}
        self._untold: list[Due] = []
        self._ahead = self._measure()

    @property
    def alarms(self) -> tuple[Trouble, ...]:
        """The alarms that are open."""
        return self._book.alarms

    async def restore(self) -> None:
        """Take up what an earlier process kept; before anything else. Raises `StateError`."""
        self._kept = await self._store.alarms()
        self._book = Book.opened(self._kept, self._now())

    def recall(self, trouble: Trouble) -> None:
        """Take up what operators were told while there was no state to keep it in."""
        self._book = self._book.having(trouble)

    def polled(self, report: PollReport) -> None:
        """Learn of a poll."""
        self._learn(report)

    def attempted(self, attempt: Attempt) -> None:
        """Learn of a try at a receiver."""
        self._learn(attempt)

    def reloaded(self, problem: str | None) -> None:
        """Learn that a changed configuration was taken (`None`), or refused and why."""
        self._learn(Configured(problem))

    def follow(self, policy: Policy) -> None:
        """Judge by another policy from now on."""
        self._policy = policy

    async def run(self, stop: asyncio.Event) -> None:
        """Look until `stop` is set, and once more then. Never raises."""
        while not stop.is_set():
            await self._look_carefully()
            await first_of(stop, self._news, within=TICK)
        await self._look_carefully()

    async def look(self) -> None:
        """One look: at what was learned, at how things stand, and at the clock."""
        self._news.clear()
        self._hear_clock()
        status = await self._status()
        while self._facts:
            self._judge(_fact(self._facts.popleft(), status))
        if status is not None:
            self._judge(_looked(status))
        self._judge(Ticked())
        await self._keep()
        await self._tell_directly()

    def _learn(self, fact: PollReport | Attempt | Configured) -> None:
        self._facts.append(fact)
        self._news.set()

    async def _look_carefully(self) -> None:
        try:
            await self.look()
        except Exception:  # whatever is wrong here, the watch goes on
            log.exception("lookout.crashed")

    async def _status(self) -> Status | None:
        try:
            return await self._store.status()
        except StateError as error:
            self._judge(StateFailed(str(error)))
            return None

    def _hear_clock(self) -> None:
        ahead = self._measure()
        jump, self._ahead = timedelta(seconds=ahead - self._ahead), ahead
        if abs(jump) >= self._policy.clock_bound:
            self._judge(ClockJumped(jump))

    def _measure(self) -> float:
        """How far the wall clock is ahead of the clock that nobody sets."""
        return self._now().timestamp() - self._clock()

    def _judge(self, fact: Fact) -> None:
        judgement = judge(self._book, fact, self._policy, self._now())
        self._book = judgement.book
        for notice, receivers in judgement.notices:
            _log(notice, receivers)
            self._heard(notice)
            if receivers:
                self._untold.append((notice, receivers))

    async def _keep(self) -> None:
        """Keep what changed; while the state is in trouble, see whether it works again."""
        kept, due = self._book.to_json(), tuple(self._untold)
        if kept == self._kept and not due and self._book.find(AlarmKind.STATE) is None:
            return
        try:
            await self._store.keep_alarms(kept, due, self._now())
        except StateError as error:
            self._judge(StateFailed(str(error)))
            return
        self._kept = kept
        if due:
            del self._untold[: len(due)]
            self._queued()
        if self._book.find(AlarmKind.STATE) is not None:
            self._judge(StateWorked())
            if self._book.find(AlarmKind.STATE) is None:
                await self._keep()

    async def _tell_directly(self) -> None:
        """Offer what could not be put into the outbox to its receivers; the rest stays due."""
        for notice, receivers in tuple(self._untold):
            accepted = await asyncio.gather(*(self._send(name, notice) for name in receivers))
            left = tuple(name for name, ok in zip(receivers, accepted, strict=True) if not ok)
            self._untold.remove((notice, receivers))
            if left:
                self._untold.append((notice, left))


def _fact(learned: PollReport | Attempt | Configured, status: Status | None) -> Fact:
    if isinstance(learned, Configured):
        return learned
    if isinstance(learned, Attempt):
        outcome = learned.outcome
        return Tried(learned.receiver, _ACCEPTED[outcome.verdict], outcome.reason)
    good = learned.outcome.is_good
    return Polled(
        good=good,
        reason=learned.reason,
        why=None if good else learned.why,
        held=None if status is None else _is_collapse_held(status),
        recovered=any(notice.kind is NoticeKind.RECOVERED for notice in learned.notices),
        models=0 if status is None else sum(status.models.values()),
    )


def _is_collapse_held(status: Status) -> bool:
    return any(waiting.hold.reason is HoldReason.COLLAPSE for waiting in status.holds)


def _looked(status: Status) -> Looked:
    return Looked(
        tuple(
            Pending(each.receiver, each.waiting + each.open, each.dead, each.last_error or "")
            for each in status.receivers
        )
    )


def _log(notice: Notice, receivers: tuple[str, ...]) -> None:
    detail = notice.detail
    fields = {key: detail[key] for key in ("alarm", "about", "why") if detail[key]}
    if notice.kind is NoticeKind.ALARM_OVER:
        log.info("alarm.over", told=list(receivers), **fields)
    else:
        log.warning("alarm.raised", told=list(receivers), **fields)
