"""Alarms for operators: what each observation begins, raises and ends. Pure.

A problem is noted at its first sign. Once it has lasted long enough its alarm is raised and the
operators are notified, once; when it is over they are notified again, if it had been raised. The
state has a JSON form, so that a restart neither repeats nor forgets an alarm.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, assert_never

from watcher.catalog.changes import Notice, NoticeKind, utc_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# A single odd answer may come from a proxy in between; the next poll shows.
POLLS_TO_BE_SURE = 2
# A full disk has room now and then; the alarm is over when it has had room for so long.
STATE_RECOVERED_AFTER = timedelta(minutes=10)
# Operators who left a dead message where it is are notified of more of them, but not of each.
DEAD_LETTERS_AGAIN_AFTER = timedelta(days=1)
# Then the new time counts as right, and a later jump is another alarm.
CLOCK_ACCEPTED_AFTER = timedelta(days=1)

# HTTP statuses that refuse whoever asks. The codes of envelopes are these, or finer ones of the
# first two, such as 4030: "Not supported in the current region".
_REFUSALS = frozenset({401, 403, 407, 451, 511})
_FINER_REFUSALS = frozenset({401, 403})


class AlarmKind(StrEnum):
    """What an alarm is about."""

    BLIND = "blind"  # the catalogue could not be read for long
    SHAPE = "shape"  # the API's answers are not built as they were
    REFUSED = "refused"  # the API does not serve us: the region, or credentials
    COLLAPSE = "collapse"  # much of the catalogue is missing, and that waits for confirmation
    RECEIVER = "receiver"  # a receiver has accepted nothing for long
    DEAD_LETTER = "dead_letter"
    STATE = "state"  # the disk is full, or the state is damaged
    RELOAD = "reload"  # a changed configuration was refused
    CLOCK = "clock"  # the wall clock jumped


Key = tuple[AlarmKind, str | None]


@dataclass(frozen=True, slots=True)
class Alarm:
    """One problem from its first sign on; raised from `raised_at` on (`None`: not yet).

    `about` is the receiver it is about, if any. `last_at` is its last sign. `count`, by kind:
    shape and refused, failed polls in a row; dead_letter, dead messages when last raised; clock,
    seconds that the clock is off; otherwise 0.
    """

    kind: AlarmKind
    since_at: datetime
    last_at: datetime
    why: str = ""
    about: str | None = None
    count: int = 0
    raised_at: datetime | None = None

    @property
    def key(self) -> Key:
        """There is at most one alarm of a kind about a receiver."""
        return self.kind, self.about

    def shifted(self, by: timedelta) -> Alarm:
        """The same by a clock that was moved: it has lasted as long as before."""
        return replace(
            self,
            since_at=self.since_at + by,
            last_at=self.last_at + by,
            raised_at=self.raised_at and self.raised_at + by,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind.value,
            "about": self.about,
            "since_at": self.since_at.isoformat(),
            "last_at": self.last_at.isoformat(),
            "why": self.why,
            "count": self.count,
            # The name that existing states have it under.
            "told_at": self.raised_at and self.raised_at.isoformat(),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Alarm:
        return cls(
            kind=AlarmKind(fields["kind"]),
            since_at=datetime.fromisoformat(fields["since_at"]),
            last_at=datetime.fromisoformat(fields["last_at"]),
            why=fields["why"],
            about=fields["about"],
            count=fields["count"],
            raised_at=fields["told_at"] and datetime.fromisoformat(fields["told_at"]),
        )


@dataclass(frozen=True, slots=True)
class AlarmState:
    """All alarms, raised or not yet. `good_at` is the last good poll, `polled_at` the last one.

    Neither is older than the process, so a watcher that was switched off is not blind at once.
    """

    good_at: datetime
    polled_at: datetime
    alarms: Mapping[Key, Alarm] = field(default_factory=dict)

    @classmethod
    def restore(cls, kept: Mapping[str, Any], now: datetime) -> AlarmState:
        """The state that a process begins with, from what an earlier one kept.

        What cannot be read (a later version wrote it) is left out: the worst that follows is a
        message sent twice.
        """
        alarms = {}
        for fields in kept.get("troubles", ()):
            try:
                alarm = Alarm.from_json(fields)
            except (KeyError, TypeError, ValueError):
                continue
            alarms[alarm.key] = alarm
        return cls(good_at=now, polled_at=now, alarms=alarms)

    def to_json(self) -> dict[str, Any]:
        """What must outlive a restart, under the name that existing states have it."""
        return {"troubles": [alarm.to_json() for alarm in self.alarms.values()]}

    @property
    def raised(self) -> tuple[Alarm, ...]:
        """The alarms that were raised and are not over."""
        return tuple(alarm for alarm in self.alarms.values() if alarm.raised_at)

    def find(self, kind: AlarmKind, about: str | None = None) -> Alarm | None:
        return self.alarms.get((kind, about))

    def with_alarm(self, alarm: Alarm) -> AlarmState:
        return replace(self, alarms={**self.alarms, alarm.key: alarm})

    def without(self, alarms: Iterable[Alarm]) -> AlarmState:
        gone = {alarm.key for alarm in alarms}
        kept = {key: alarm for key, alarm in self.alarms.items() if key not in gone}
        return replace(self, alarms=kept)


@dataclass(frozen=True, slots=True)
class AlarmRules:
    """Who is notified, and how long a problem lasts before its alarm is raised.

    `blind_after` is the time without a good poll. It should be no less than two poll intervals,
    or one failed poll of a slow watcher is an alarm. A clock that is off by less than
    `clock_bound` is no problem.
    """

    operators: tuple[str, ...]
    receivers: tuple[str, ...]
    blind_after: timedelta = timedelta(minutes=30)
    failing_after: timedelta = timedelta(hours=1)
    clock_bound: timedelta = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Polled:
    """A poll ended. `reason` is the sort of its failure, `why` the failure in words.

    `status` is the HTTP status or the envelope's code that made it one.

    `held` says whether a collapse of the catalogue waits for confirmation (`None`: not known),
    `recovered` whether this poll ended it and notified every receiver of that; `models` are those
    on sale.
    """

    good: bool
    reason: str | None = None
    why: str | None = None
    status: int | None = None
    held: bool | None = None
    recovered: bool = False
    models: int = 0

    @property
    def kind(self) -> AlarmKind | None:
        """The alarm that a failed poll of this sort leads to, beside `BLIND`."""
        if self.good:
            return None
        if self.reason in {"schema", "shape"}:
            return AlarmKind.SHAPE
        if self.status is not None and (
            self.status in _REFUSALS or self.status // 10 in _FINER_REFUSALS
        ):
            return AlarmKind.REFUSED
        return None


@dataclass(frozen=True, slots=True)
class SendTried:
    """A message was offered to a receiver.

    `accepted` is `None` where it was refused for good: the receiver works, and does not want
    this message.
    """

    receiver: str
    accepted: bool | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for a receiver (changes, notices and messages), and how many messages died."""

    receiver: str
    waiting: int
    dead: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class BacklogsRead:
    """The backlog of every receiver; one that is missing has nothing waiting or dead."""

    backlogs: tuple[Backlog, ...]


@dataclass(frozen=True, slots=True)
class ConfigRead:
    """A configuration was read: taken into use (`problem` is `None`), or refused for `problem`."""

    problem: str | None = None


@dataclass(frozen=True, slots=True)
class StateFailed:
    """The state could not be read or written: the disk is full, or the file is damaged."""

    why: str


@dataclass(frozen=True, slots=True)
class StateWritten:
    """Something was written to the state."""


@dataclass(frozen=True, slots=True)
class ClockJumped:
    """The wall clock moved by so much more (or less) than time went by."""

    by: timedelta


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Some time went by."""


Observation = (
    Polled
    | SendTried
    | BacklogsRead
    | ConfigRead
    | StateFailed
    | StateWritten
    | ClockJumped
    | TimePassed
)


@dataclass(frozen=True, slots=True)
class AlarmUpdate:
    """What an observation leaves: the state, and notices with the receivers that each is due to.

    A notice that is due to nobody is there all the same: for the log.
    """

    state: AlarmState
    notices: tuple[tuple[Notice, tuple[str, ...]], ...] = ()


def update_alarms(
    state: AlarmState, observation: Observation, rules: AlarmRules, now: datetime
) -> AlarmUpdate:
    """What becomes of the alarms by one observation, made at `now`."""
    update = _Update(state, rules, now)
    match observation:
        case Polled():
            update.apply_poll(observation)
        case SendTried():
            update.apply_send(observation)
        case BacklogsRead():
            update.apply_backlogs(observation)
        case ConfigRead():
            update.apply_config(observation.problem)
        case StateFailed():
            update.note(AlarmKind.STATE, observation.why)
        case StateWritten():
            update.apply_state_written()
        case ClockJumped():
            update.apply_clock(observation.by)
        case TimePassed():
            update.apply_time()
        case _:
            assert_never(observation)
    update.raise_due()
    return AlarmUpdate(update.state, tuple(update.notices))


def recipients(
    about: str | None, operators: Sequence[str], receivers: Sequence[str]
) -> tuple[str, ...]:
    """The receivers of a message about `about` (`None`: about no receiver), in their order.

    A receiver that fails would get it too late, so it gets no message about itself. Where it is
    the only operator, all other receivers get it instead: whoever reads them can pass it on. With
    no other receiver nobody can be notified; without operators nobody is.
    """
    if not operators:
        return ()
    others = tuple(name for name in operators if name != about)
    return others or tuple(name for name in receivers if name != about)


class _Update:
    """One observation being applied: `state` goes from what it was to what it is."""

    def __init__(self, state: AlarmState, rules: AlarmRules, now: datetime) -> None:
        self.state = state
        self.rules = rules
        self.now = now
        self.notices: list[tuple[Notice, tuple[str, ...]]] = []

    def note(
        self,
        kind: AlarmKind,
        why: str,
        *,
        about: str | None = None,
        since: datetime | None = None,
        count: int = 0,
    ) -> None:
        """Note a problem's first sign, or another one."""
        known = self.state.find(kind, about)
        if known is None:
            alarm = Alarm(kind, since or self.now, self.now, why, about, count)
        else:
            alarm = replace(known, last_at=self.now, why=why, count=count)
        self.state = self.state.with_alarm(alarm)

    def end(self, alarm: Alarm | None, why: str = "") -> None:
        """Remove an alarm, and notify of its end where it was raised."""
        if alarm is None:
            return
        self.state = self.state.without([alarm])
        if alarm.raised_at is not None:
            self._notify(NoticeKind.ALARM_OVER, replace(alarm, why=why))

    def raise_due(self) -> None:
        """Raise every alarm whose problem has lasted long enough."""
        for alarm in tuple(self.state.alarms.values()):
            if alarm.raised_at is None and self._is_due(alarm):
                self.state = self.state.with_alarm(replace(alarm, raised_at=self.now))
                # Every receiver was notified of a collapse by the poll that found it.
                if alarm.kind is not AlarmKind.COLLAPSE:
                    self._notify(NoticeKind.ALARM, alarm)

    def _is_due(self, alarm: Alarm) -> bool:
        lasted = self.now - alarm.since_at
        match alarm.kind:
            case AlarmKind.BLIND:
                return lasted >= self.rules.blind_after
            case AlarmKind.RECEIVER:
                return lasted >= self.rules.failing_after
            case AlarmKind.SHAPE | AlarmKind.REFUSED:
                return alarm.count >= POLLS_TO_BE_SURE
            case _:
                return True

    def _notify(self, kind: NoticeKind, alarm: Alarm) -> None:
        detail: dict[str, Any] = {
            "alarm": alarm.kind.value,
            "about": alarm.about,
            "since": utc_text(alarm.since_at),
            "why": alarm.why,
            "count": alarm.count,
        }
        due_to = recipients(alarm.about, self.rules.operators, self.rules.receivers)
        self.notices.append((Notice(kind, self.now, detail), due_to))

    def apply_poll(self, poll: Polled) -> None:
        self.state = replace(self.state, polled_at=self.now)
        if poll.good:
            self.state = replace(self.state, good_at=self.now)
            for kind in (AlarmKind.BLIND, AlarmKind.SHAPE, AlarmKind.REFUSED):
                self.end(self.state.find(kind))
        else:
            self.note(AlarmKind.BLIND, poll.why or "", since=self.state.good_at)
            self._count_failure(poll)
        if poll.reason == "state":
            self.note(AlarmKind.STATE, poll.why or "")
        self._follow_collapse(poll)

    def _count_failure(self, poll: Polled) -> None:
        """Count failed polls of one kind in a row; one of another kind ends no raised alarm."""
        for kind in (AlarmKind.SHAPE, AlarmKind.REFUSED):
            known = self.state.find(kind)
            if poll.kind is kind:
                count = min((known.count if known else 0) + 1, POLLS_TO_BE_SURE)
                self.note(kind, poll.why or "", count=count)
            elif known is not None and known.raised_at is None:
                self.state = self.state.without([known])

    def _follow_collapse(self, poll: Polled) -> None:
        """Follow a collapse: the polls that find it and its recovery notify every receiver.

        Only that it was confirmed in the end is for operators alone.
        """
        known = self.state.find(AlarmKind.COLLAPSE)
        if poll.held:
            if known is None:
                self.note(AlarmKind.COLLAPSE, "")
        elif known is not None and poll.recovered:
            self.state = self.state.without([known])
        elif known is not None and poll.held is False:
            self.end(replace(known, count=poll.models))

    def apply_send(self, send: SendTried) -> None:
        if send.accepted is False:
            self.note(AlarmKind.RECEIVER, send.why, about=send.receiver)
        if send.accepted:
            self.end(self.state.find(AlarmKind.RECEIVER, send.receiver))

    def apply_backlogs(self, read: BacklogsRead) -> None:
        """Compare what is known of each receiver with its backlog now."""
        backlogs = {backlog.receiver: backlog for backlog in read.backlogs}
        for name in self.rules.receivers:
            backlog = backlogs.get(name, Backlog(name, waiting=0, dead=0))
            self._follow_dead_letters(backlog)
            # Where messages were given up, that nothing waits does not mean that it works again.
            if not backlog.waiting and not backlog.dead:
                self.end(self.state.find(AlarmKind.RECEIVER, name), "nothing waits for it any more")
        self.state = self.state.without(
            alarm
            for alarm in self.state.alarms.values()
            if alarm.about is not None and alarm.about not in self.rules.receivers
        )

    def _follow_dead_letters(self, backlog: Backlog) -> None:
        known = self.state.find(AlarmKind.DEAD_LETTER, backlog.receiver)
        if not backlog.dead:
            self.end(known)
        elif known is None:
            about = backlog.receiver
            self.note(AlarmKind.DEAD_LETTER, backlog.why, about=about, count=backlog.dead)
        elif backlog.dead < known.count:
            self.state = self.state.with_alarm(replace(known, count=backlog.dead))
        elif backlog.dead > known.count and (
            known.raised_at is None or self.now - known.raised_at >= DEAD_LETTERS_AGAIN_AFTER
        ):
            more = replace(known, count=backlog.dead, why=backlog.why, raised_at=None)
            self.state = self.state.with_alarm(more)

    def apply_config(self, problem: str | None) -> None:
        known = self.state.find(AlarmKind.RELOAD)
        if problem is None:
            self.end(known)
            return
        if known is not None and known.why != problem:
            # Somebody fixed something and it is still wrong: they wait for an answer.
            self.state = self.state.without([known])
        self.note(AlarmKind.RELOAD, problem)

    def apply_state_written(self) -> None:
        known = self.state.find(AlarmKind.STATE)
        if known is not None and self.now - known.last_at >= STATE_RECOVERED_AFTER:
            self.end(known)

    def apply_clock(self, by: timedelta) -> None:
        """Let every problem have lasted as long as before, and note the jump itself."""
        known = self.state.find(AlarmKind.CLOCK)
        self.state = replace(
            self.state,
            good_at=self.state.good_at + by,
            polled_at=self.state.polled_at + by,
            alarms={key: alarm.shifted(by) for key, alarm in self.state.alarms.items()},
        )
        off = by + timedelta(seconds=known.count if known else 0)
        if known is not None and abs(off) < self.rules.clock_bound:
            self.end(self.state.find(AlarmKind.CLOCK))
        else:
            self.note(AlarmKind.CLOCK, "", count=round(off.total_seconds()))

    def apply_time(self) -> None:
        """Notice what no observation reports: that no poll ends, that the clock stays as it is."""
        if self.now - self.state.polled_at >= self.rules.blind_after:
            known = self.state.find(AlarmKind.BLIND)
            if known is None:
                self.note(AlarmKind.BLIND, "no poll has ended since", since=self.state.polled_at)
        clock = self.state.find(AlarmKind.CLOCK)
        if clock is not None and self.now - clock.last_at >= CLOCK_ACCEPTED_AFTER:
            self.state = self.state.without([clock])
