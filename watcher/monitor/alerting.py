"""Notifying operators of alarms: through the outbox, or past it where the state is the problem.

An alarm and the messages due for it are stored in one transaction, so that a restart repeats
nothing and loses nothing. Where nothing can be stored, notices are sent directly. Where the state
cannot even be opened the process ends, and may be started again every minute: `LastWords` then
keeps a small file beside the state that says what operators were notified of.
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
    Alarm,
    AlarmKind,
    AlarmState,
    Backlog,
    BacklogsRead,
    ClockJumped,
    ConfigRead,
    Polled,
    SendTried,
    StateFailed,
    StateWritten,
    TimePassed,
    update_alarms,
)
from watcher.notify.receiver import Verdict
from watcher.outbox import SendAttempt, new_alert_id
from watcher.render.message import render
from watcher.schedule import first_of
from watcher.store.connection import StateError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path
    from random import Random

    from watcher.catalog.changes import Notice
    from watcher.monitor.alarms import AlarmRules, Observation
    from watcher.notify.receiver import Receiver
    from watcher.poller import PollReport
    from watcher.store.values import Status

log = structlog.get_logger()

# How often to check for what only time brings about.
CHECK_EVERY = timedelta(seconds=30)
# Reports come a few a minute; where nobody takes them, the newest say what matters.
MOST_REPORTS = 1000
# How often operators are reminded of a state that cannot be opened.
REMIND_AFTER = timedelta(days=1)
# A receiver that hangs must not keep the process from ending.
LAST_WORDS_TIMEOUT = timedelta(seconds=45)

_LONGEST_NOTE = 64 * 1024
_NOTE_SUFFIX = ".told"
_ACCEPTED = {Verdict.ACCEPTED: True, Verdict.RETRY: False, Verdict.REFUSED: None}

Due = tuple["Notice", tuple[str, ...]]


class AlarmStore(Protocol):
    """What is needed of the state here."""

    async def status(self) -> Status:
        """How things stand."""

    async def alarms(self) -> Mapping[str, Any]:
        """What was kept last; empty where nothing was."""

    async def keep_alarms(
        self, alarms: Mapping[str, Any], notices: Sequence[Due], at: datetime
    ) -> None:
        """Keep the alarms in place of the last, and queue the notices, in one transaction."""


def time_since_boot() -> float:
    """Seconds since boot, sleep included; not affected when the wall clock is set."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class AlarmService:
    """Takes reports of everything that can be a problem, and notifies operators of alarms.

    `send` offers a notice to one receiver at once, past the outbox, and says whether it was
    accepted; `on_notice` is called with each notice when it is decided, `on_queued` when notices
    were put into the outbox.
    """

    def __init__(
        self,
        store: AlarmStore,
        rules: AlarmRules,
        *,
        send: Callable[[str, Notice], Awaitable[bool]],
        now: Callable[[], datetime],
        clock: Callable[[], float] = time_since_boot,
        on_notice: Callable[[Notice], None] = lambda _: None,
        on_queued: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._rules = rules
        self._send = send
        self._now = now
        self._clock = clock
        self._on_notice = on_notice
        self._on_queued = on_queued
        self._news = asyncio.Event()
        # A process that runs has read a configuration that is good.
        self._reports: deque[PollReport | SendAttempt | ConfigRead] = deque(
            [ConfigRead()], maxlen=MOST_REPORTS
        )
        self._state = AlarmState.restore({}, now())
        self._kept: Mapping[str, Any] = {}
        self._unsent: list[Due] = []
        self._clock_offset = self._measure_clock_offset()

    @property
    def raised(self) -> tuple[Alarm, ...]:
        """The alarms that are raised and not over."""
        return self._state.raised

    async def restore(self) -> None:
        """Take up what an earlier process kept; before anything else. Raises `StateError`."""
        self._kept = await self._store.alarms()
        self._state = AlarmState.restore(self._kept, self._now())

    def adopt(self, alarm: Alarm) -> None:
        """Take up an alarm that was raised while there was no state to keep it in."""
        self._state = self._state.with_alarm(alarm)

    def use_rules(self, rules: AlarmRules) -> None:
        """Go by other rules from now on."""
        self._rules = rules

    def polled(self, report: PollReport) -> None:
        """Take the report of a poll."""
        self._add_report(report)

    def attempted(self, attempt: SendAttempt) -> None:
        """Take the report of a try at a receiver."""
        self._add_report(attempt)

    def configured(self, problem: str | None) -> None:
        """Take the report that a new configuration is in use (`None`), or was refused and why."""
        self._add_report(ConfigRead(problem))

    def _add_report(self, report: PollReport | SendAttempt | ConfigRead) -> None:
        self._reports.append(report)
        self._news.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Update until `stop` is set, and once more then. Never raises."""
        while not stop.is_set():
            await self._update_safely()
            await first_of(stop, self._news, within=CHECK_EVERY)
        await self._update_safely()

    async def _update_safely(self) -> None:
        try:
            await self.update()
        except Exception:  # whatever is wrong here, polling and sending go on
            log.exception("alarms.crashed")

    async def update(self) -> None:
        """Go once through the clock, the reports and the state; store and send what follows."""
        self._news.clear()
        self._check_clock()
        status = await self._status()
        while self._reports:
            self._apply(_observation(self._reports.popleft(), status))
        if status is not None:
            self._apply(_backlogs(status))
        self._apply(TimePassed())
        await self._store_changes()
        await self._send_unsent()

    def _check_clock(self) -> None:
        before, self._clock_offset = self._clock_offset, self._measure_clock_offset()
        jump = timedelta(seconds=self._clock_offset - before)
        if abs(jump) >= self._rules.clock_bound:
            self._apply(ClockJumped(jump))

    def _measure_clock_offset(self) -> float:
        """How far the wall clock is ahead of the time since boot."""
        return self._now().timestamp() - self._clock()

    async def _status(self) -> Status | None:
        try:
            return await self._store.status()
        except StateError as error:
            self._apply(StateFailed(str(error)))
            return None

    def _apply(self, observation: Observation) -> None:
        update = update_alarms(self._state, observation, self._rules, self._now())
        self._state = update.state
        for notice, receivers in update.notices:
            _log(notice, receivers)
            self._on_notice(notice)
            if receivers:
                self._unsent.append((notice, receivers))

    async def _store_changes(self) -> None:
        """Store what changed; while the state is the problem, try whether it works again."""
        kept, due = self._state.to_json(), tuple(self._unsent)
        if kept == self._kept and not due and self._state.find(AlarmKind.STATE) is None:
            return
        try:
            await self._store.keep_alarms(kept, due, self._now())
        except StateError as error:
            self._apply(StateFailed(str(error)))
            return
        self._kept = kept
        if due:
            del self._unsent[: len(due)]
            self._on_queued()
        if self._state.find(AlarmKind.STATE) is not None:
            self._apply(StateWritten())
            if self._state.find(AlarmKind.STATE) is None:
                await self._store_changes()

    async def _send_unsent(self) -> None:
        """Send what could not be put into the outbox; what is not accepted stays due."""
        for notice, receivers in tuple(self._unsent):
            accepted = await asyncio.gather(*(self._send(name, notice) for name in receivers))
            left = tuple(name for name, ok in zip(receivers, accepted, strict=True) if not ok)
            self._unsent.remove((notice, receivers))
            if left:
                self._unsent.append((notice, left))


def _observation(
    report: PollReport | SendAttempt | ConfigRead, status: Status | None
) -> Observation:
    if isinstance(report, ConfigRead):
        return report
    if isinstance(report, SendAttempt):
        outcome = report.outcome
        return SendTried(report.receiver, _ACCEPTED[outcome.verdict], outcome.reason)
    good = report.outcome.is_good
    return Polled(
        good=good,
        reason=report.reason,
        why=None if good else report.why,
        status=report.status,
        held=None if status is None else _is_collapse_held(status),
        recovered=any(notice.kind is NoticeKind.RECOVERED for notice in report.notices),
        models=0 if status is None else sum(status.models.values()),
    )


def _is_collapse_held(status: Status) -> bool:
    return any(waiting.hold.reason is HoldReason.COLLAPSE for waiting in status.holds)


def _backlogs(status: Status) -> BacklogsRead:
    return BacklogsRead(
        tuple(
            Backlog(each.receiver, each.waiting + each.open, each.dead, each.last_error or "")
            for each in status.receivers
        )
    )


def _log(notice: Notice, receivers: tuple[str, ...]) -> None:
    detail = notice.detail
    fields = {key: detail[key] for key in ("alarm", "about", "why") if detail[key]}
    if notice.kind is NoticeKind.ALARM_OVER:
        log.info("alarm.over", receivers=list(receivers), **fields)
    else:
        log.warning("alarm.raised", receivers=list(receivers), **fields)


class LastWords:
    """Says once that the state at `state` cannot be used, and keeps a note of that beside it.

    `send` offers a notice to one receiver and says whether it was accepted.
    """

    def __init__(
        self, state: Path, rules: AlarmRules, send: Callable[[str, Notice], Awaitable[bool]]
    ) -> None:
        self._note = state.with_name(state.name + _NOTE_SUFFIX)
        self._rules = rules
        self._send = send

    async def say(self, error: StateError, now: datetime) -> None:
        """Notify the operators, unless they were notified of the same recently. Never raises."""
        before, why = self._read_note(), str(error)
        since_at = now if before is None else before.since_at
        if before is not None and before.why == why and now - before.last_at < REMIND_AFTER:
            return
        update = update_alarms(AlarmState.restore({}, now), StateFailed(why), self._rules, now)
        sends = [self._send_safely(name, it) for it, names in update.notices for name in names]
        if any(await asyncio.gather(*sends)):
            self._write_note(Alarm(AlarmKind.STATE, since_at, now, why, raised_at=now))

    def withdraw(self) -> Alarm | None:
        """The state can be used: remove the note and give its alarm, which is to be ended."""
        alarm = self._read_note()
        with suppress(OSError):
            self._note.unlink(missing_ok=True)
        return alarm

    async def _send_safely(self, name: str, notice: Notice) -> bool:
        try:
            async with asyncio.timeout(LAST_WORDS_TIMEOUT.total_seconds()):
                return await self._send(name, notice)
        except Exception:
            log.exception("alarm.send_failed", receiver=name)
            return False

    def _read_note(self) -> Alarm | None:
        try:
            with self._note.open("rb") as file:
                return Alarm.from_json(json.loads(file.read(_LONGEST_NOTE)))
        except (OSError, KeyError, TypeError, ValueError, RecursionError):
            return None

    def _write_note(self, alarm: Alarm) -> None:
        """Write the note; where that fails, operators may be notified again."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with suppress(OSError), os.fdopen(os.open(self._note, flags, 0o600), "w") as file:
            json.dump(alarm.to_json(), file)


async def send_directly(
    receivers: Sequence[Receiver], name: str, notice: Notice, rng: Random
) -> bool:
    """Send a notice past the outbox; whether there is a receiver `name` and it accepted."""
    for receiver in receivers:
        if receiver.name == name:
            alert_id = new_alert_id(rng)
            message = render([notice], receiver.service, alert_id)
            markup = receiver.service.markup.value
            outcome = await receiver.send(message.title, message.body, alert_id, markup)
            return outcome.verdict is Verdict.ACCEPTED
    return False
