"""The watch watched: takes what the daemon reports, and informs everybody who should know.

Metrics, the heartbeat, systemd and operators. An alarm and the messages due for it are stored in
one transaction, so that a restart repeats nothing and loses nothing; where nothing can be stored,
operators are notified past the outbox.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from watcher.catalog.changes import NoticeKind
from watcher.clock import ClockJumps, time_since_boot
from watcher.config.rules import alarm_rules
from watcher.log import log
from watcher.monitor.alarms import AlarmKind, Alarms
from watcher.monitor.direct import notify_directly
from watcher.monitor.systemd import Supervisor, Watchdog
from watcher.notify.outcome import Verdict
from watcher.observer import NOBODY, Observer
from watcher.schedule import UNANSWERED_IN_A_ROW, first_of
from watcher.store.connection import StateError, UnusableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from random import Random

    from watcher.catalog.changes import Notice
    from watcher.config.settings import Settings
    from watcher.monitor.alarms import Alarm, DueNotice
    from watcher.monitor.heartbeat import Heartbeat
    from watcher.notify.receiver import Receiver
    from watcher.observer import PollReport, SendAttempt
    from watcher.store.values import Status

# How often to check for what only time brings about.
CHECK_EVERY = timedelta(seconds=30)
# Reports come a few a minute; where nobody takes them, the newest say what matters.
MOST_REPORTS = 1000


class MonitorStore(Protocol):
    """What is needed of the state here."""

    async def status(self) -> Status:
        """How things stand."""

    async def alarms(self) -> Mapping[str, Any]:
        """What was kept last; empty where nothing was."""

    async def keep_alarms(
        self, alarms: Mapping[str, Any], notices: Sequence[DueNotice], at: datetime
    ) -> None:
        """Keep the alarms in place of the last, and queue the notices, in one transaction."""


class Monitor(Observer):
    """One for the whole process; `follow` makes it go by another generation of settings.

    `metrics` counts, and is set where somebody reads the counts. `heartbeat` is the current one,
    if any; `wake_outbox` is called when notices were queued.
    """

    def __init__(
        self,
        store: MonitorStore,
        settings: Settings,
        receivers: Sequence[Receiver],
        *,
        now: Callable[[], datetime],
        rng: Random,
        environment: Mapping[str, str] = MappingProxyType({}),
        uptime: Callable[[], float] = time_since_boot,
    ) -> None:
        """`environment` names who supervises; `now` gives aware UTC times, `uptime` seconds."""
        self.metrics: Observer = NOBODY
        self.heartbeat: Heartbeat | None = None
        self.wake_outbox: Callable[[], None] = lambda: None
        self.supervisor = Supervisor.from_environment(environment)
        self.watchdog = Watchdog.from_environment(self.supervisor, environment)
        self.store = store
        self.settings = settings
        self.now = now
        self.receivers = receivers
        self._rng = rng
        self._jumped = ClockJumps(now, uptime)
        self._alarms = Alarms(alarm_rules(settings), now)
        self._reports: deque[Callable[[], None]] = deque(maxlen=MOST_REPORTS)
        self._news = asyncio.Event()
        self._unsent: list[DueNotice] = []
        self._kept: Mapping[str, Any] = {}
        self._deferring: dict[str, bool] = {}

    def follow(self, settings: Settings, receivers: Sequence[Receiver]) -> None:
        """Go by other settings and receivers from now on."""
        self.settings, self.receivers = settings, receivers
        self._alarms.rules = alarm_rules(settings)

    @property
    def raised(self) -> tuple[Alarm, ...]:
        """The alarms that are raised and not over."""
        return self._alarms.raised

    @property
    def deferring(self) -> frozenset[str]:
        """The receivers for which something is deferred on purpose."""
        return frozenset(name for name, some in self._deferring.items() if some)

    # Reports. What becomes of alarms by them follows in the next update.

    def polled(self, report: PollReport) -> None:
        self.metrics.polled(report)
        if self.heartbeat is not None:
            self.heartbeat.polled(report)
        at = self.now().strftime("%H:%M UTC")
        self.supervisor.status(f"Last poll {at}: {report.outcome.value}, {report.holds} holds")
        if report.outcome.is_good:
            self._later(self._alarms.poll_succeeded)
        else:
            why, reason, status = report.why or "", report.reason, report.status
            self._later(partial(self._alarms.poll_failed, why, reason, status))
        if report.unreadable is not None:
            self._later(partial(self._alarms.follow_unreadable, report.unreadable))
        recovered = any(notice.kind is NoticeKind.RECOVERED for notice in report.notices)
        held, models = report.collapse_held, report.models
        self._later(partial(self._alarms.follow_collapse, held, recovered=recovered, models=models))

    def attempted(self, attempt: SendAttempt) -> None:
        self.metrics.attempted(attempt)
        receiver, outcome = attempt.receiver, attempt.outcome
        # A receiver that refuses a message for good works: it does not want this one.
        if outcome.verdict is Verdict.ACCEPTED:
            self._later(partial(self._alarms.send_accepted, receiver))
        elif outcome.verdict is Verdict.RETRY and attempt.unanswered >= UNANSWERED_IN_A_ROW:
            self._later(partial(self._alarms.send_unanswered, receiver, outcome.reason))
        elif outcome.verdict is Verdict.RETRY:
            self._later(partial(self._alarms.send_failed, receiver, outcome.reason))

    def deferred(self, receiver: str, reasons: Mapping[int, str]) -> None:
        self.metrics.deferred(receiver, reasons)
        self._deferring[receiver] = bool(reasons)

    def suppressed(self, reason: str, count: int) -> None:
        self.metrics.suppressed(reason, count)

    def check_in(self, who: str, within: timedelta | None) -> None:
        self.watchdog.check_in(who, within)

    def configured(self, problem: str | None) -> None:
        self.metrics.configured(problem)
        if problem is not None:
            self.supervisor.status(f"Reload refused: {problem}")
        self._later(partial(self._alarms.configured, problem))

    def pinged(self, outcome: str) -> None:
        self.metrics.pinged(outcome)

    def _later(self, change: Callable[[], None]) -> None:
        self._reports.append(change)
        self._news.set()

    # Alarms

    async def restore(self, known: Alarm | None = None) -> None:
        """Take up what an earlier process kept; before anything else. Raises `StateError`.

        `known` is an alarm that was raised while there was no state to keep it in.
        """
        self._kept = await self.store.alarms()
        self._alarms.restore(self._kept)
        if known is not None:
            self._alarms.adopt(known)
        # A process that runs has read a configuration that is good.
        self.configured(None)

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
        """Go once through the state, the clock and the reports; store and send what follows."""
        self._news.clear()
        problem, receivers = None, None
        try:
            receivers = (await self.store.status()).receivers
        except UnusableError:
            # It ends the process, which then says so itself.
            return
        except StateError as error:
            problem = str(error)
        # Before anything that is judged by the clock, with no pause between.
        self._check_clock()
        if problem is not None:
            self._alarms.state_failed(problem)
        while self._reports:
            self._reports.popleft()()
        if receivers is not None:
            self._alarms.follow_receivers(receivers)
        self._alarms.time_passed()
        self._take_notices()
        await self._store_changes()
        await self._send_unsent()

    def _check_clock(self) -> None:
        jump = self._jumped()
        if abs(jump) >= self._alarms.rules.clock_bound:
            self._alarms.clock_jumped(jump)

    def _take_notices(self) -> None:
        for notice, receivers in self._alarms.take_notices():
            _log(notice, receivers)
            if self.heartbeat is not None:
                self.heartbeat.alarmed(notice)
            if receivers:
                self._unsent.append((notice, receivers))

    async def _store_changes(self) -> None:
        """Store what changed; while the state is the problem, try whether it works again."""
        kept, due = self._alarms.to_json(), tuple(self._unsent)
        if kept == self._kept and not due and self._alarms.find(AlarmKind.STATE) is None:
            return
        try:
            await self.store.keep_alarms(kept, due, self.now())
        except UnusableError:
            return
        except StateError as error:
            self._alarms.state_failed(str(error))
            self._take_notices()
            return
        self._kept = kept
        if due:
            del self._unsent[: len(due)]
            self.wake_outbox()
        if self._alarms.find(AlarmKind.STATE) is not None:
            self._alarms.state_written()
            self._take_notices()
            if self._alarms.find(AlarmKind.STATE) is None:
                await self._store_changes()

    async def _send_unsent(self) -> None:
        """Send what could not be put into the outbox; what is not accepted stays due."""
        for notice, names in tuple(self._unsent):
            accepted = await notify_directly(
                self.receivers, names, notice, zone=self._alarms.rules.zone, rng=self._rng
            )
            self._unsent.remove((notice, names))
            if left := tuple(name for name in names if name not in accepted):
                self._unsent.append((notice, left))


def _log(notice: Notice, receivers: tuple[str, ...]) -> None:
    detail = notice.detail
    fields = {key: detail[key] for key in ("alarm", "about", "why") if detail[key]}
    if notice.kind is NoticeKind.ALARM_OVER:
        log.info("alarm.over", receivers=list(receivers), **fields)
    else:
        log.warning("alarm.raised", receivers=list(receivers), **fields)
