"""The order of things around alarms: facts come in, are judged, kept, and told to operators.

What is decided is kept together with the messages due, in one transaction, so that a restart
repeats nothing and loses nothing. Where the state itself is the trouble, messages go out directly.
Refuses to know what an alarm is and how a message is made.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from watcher.alarms import (
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
    judge,
)
from watcher.changes import NoticeKind
from watcher.confirm import HoldReason
from watcher.notify import Verdict
from watcher.outbox import Attempt
from watcher.store import StateError
from watcher.waiting import first_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from watcher.alarms import Fact, Policy, Trouble
    from watcher.changes import Notice
    from watcher.poller import PollReport
    from watcher.store import Status

__all__ = ["AlarmStore", "Lookout", "time_since_boot"]

log = structlog.get_logger()

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
