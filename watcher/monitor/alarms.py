"""Alarms for operators: what begins a problem, when its alarm is raised, and what ends it. Pure.

A problem is noted at its first sign. Once it has lasted long enough its alarm is raised and the
operators are notified, once; when it is over they are notified again, if it had been raised. The
state has a JSON form, so that a restart neither repeats nor forgets an alarm.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import Notice, NoticeKind, utc_text
from watcher.store.values import ReceiverStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

# A single odd answer may come from a proxy in between; the next poll shows.
POLLS_TO_BE_SURE = 2
# Without operators nobody learns of a watcher that sees nothing; after so long everybody does.
UNSEEN_AFTER = timedelta(hours=48)
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
    UNSEEN = "unseen"  # it could not for days, and there are no operators to be told
    SHAPE = "shape"  # the API's answers are not built as they were
    REFUSED = "refused"  # the API does not serve us: the region, or credentials
    UNREADABLE = "unreadable"  # rows or prices of the listing could not be read for long
    COLLAPSE = "collapse"  # much of the catalogue is missing, and that waits for confirmation
    RECEIVER = "receiver"  # a receiver has accepted nothing for long
    DEAD_LETTER = "dead_letter"
    STATE = "state"  # the disk is full, or the state is damaged
    RELOAD = "reload"  # a changed configuration was refused
    CLOCK = "clock"  # the wall clock jumped


_SEES_NOTHING = (AlarmKind.BLIND, AlarmKind.UNSEEN)

# A kind, and the receiver it is about: there is at most one alarm for each.
Key = tuple[AlarmKind, str | None]
# A notice, and the receivers that it is due to.
DueNotice = tuple[Notice, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Alarm:
    """One problem from its first sign on; raised from `raised_at` on (`None`: not yet).

    `about` is the receiver it is about, if any. `last_at` is its last sign. `count`, by kind:
    shape and refused, failed polls in a row; unreadable, rows; receiver, 1 where it gives no
    answers; dead_letter, dead messages when last raised; clock, seconds that the clock is off;
    otherwise 0.
    """

    kind: AlarmKind
    since_at: datetime
    last_at: datetime
    why: str = ""
    about: str | None = None
    count: int = 0
    raised_at: datetime | None = None

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
            "raised_at": self.raised_at and self.raised_at.isoformat(),
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
            raised_at=fields["raised_at"] and datetime.fromisoformat(fields["raised_at"]),
        )


@dataclass(frozen=True, slots=True)
class AlarmRules:
    """Who is notified, and how long a problem lasts before its alarm is raised.

    `blind_after` is the time without a good poll. It should be no less than two poll intervals,
    or one failed poll of a slow watcher is an alarm. A clock that is off by less than
    `clock_bound` is no problem. `zone` is that in which operators read times.
    """

    operators: tuple[str, ...]
    receivers: tuple[str, ...]
    blind_after: timedelta = timedelta(minutes=30)
    failing_after: timedelta = timedelta(hours=1)
    unreadable_after: timedelta = timedelta(hours=1)
    clock_bound: timedelta = timedelta(minutes=2)
    zone: tzinfo = UTC


class Alarms:
    """All alarms, raised or not yet; a method for each thing that begins or ends a problem.

    `now` gives aware UTC times. Nothing is raised until `take_notices` is called.
    """

    def __init__(self, rules: AlarmRules, now: Callable[[], datetime]) -> None:
        self.rules = rules
        self._now = now
        # The last good poll, and the last poll. Neither is older than the process, so a watcher
        # that was switched off is not blind at once.
        self._good_at = self._polled_at = now()
        self._alarms: dict[Key, Alarm] = {}
        self._notices: list[DueNotice] = []

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Take up what an earlier process kept.

        What cannot be read (a later version wrote it) is left out: the worst that follows is a
        message sent twice. What was kept by a clock that was ahead has lasted as long as it had.
        """
        for fields in kept.get("alarms", ()):
            with suppress(KeyError, TypeError, ValueError):
                alarm = Alarm.from_json(fields)
                self.adopt(alarm.shifted(min(self._now() - alarm.last_at, timedelta())))

    def to_json(self) -> dict[str, Any]:
        """What must outlive a restart."""
        return {"alarms": [alarm.to_json() for alarm in self._alarms.values()]}

    def adopt(self, alarm: Alarm) -> None:
        """Take up an alarm as it is, in place of the one that is about the same."""
        self._alarms[alarm.kind, alarm.about] = alarm

    def find(self, kind: AlarmKind, about: str | None = None) -> Alarm | None:
        """The alarm, raised or not yet; there is at most one of a kind about a receiver."""
        return self._alarms.get((kind, about))

    @property
    def raised(self) -> tuple[Alarm, ...]:
        """The alarms that were raised and are not over."""
        return tuple(alarm for alarm in self._alarms.values() if alarm.raised_at)

    def take_notices(self) -> list[DueNotice]:
        """Raise what has lasted long enough; give what was raised and ended since the last time.

        A notice that is due to nobody is given all the same: for the log.
        """
        for alarm in tuple(self._alarms.values()):
            if alarm.raised_at is None and self._is_due(alarm):
                self.adopt(replace(alarm, raised_at=self._now()))
                # Every receiver was notified of a collapse by the poll that found it.
                if alarm.kind is not AlarmKind.COLLAPSE:
                    self._notify(NoticeKind.ALARM, alarm)
        notices, self._notices = self._notices, []
        return notices

    # Polls

    def poll_succeeded(self) -> None:
        """A poll ended well."""
        self._polled_at = self._good_at = self._now()
        for kind in (*_SEES_NOTHING, AlarmKind.SHAPE, AlarmKind.REFUSED):
            self._end(kind)

    def poll_failed(self, why: str, reason: str | None = None, status: int | None = None) -> None:
        """A poll failed; `reason` is the sort of failure, `status` the HTTP status or code."""
        self._polled_at = self._now()
        for kind in _SEES_NOTHING:
            self._note(kind, why, since=self._good_at)
        cause = _cause(reason, status)
        for kind in (AlarmKind.SHAPE, AlarmKind.REFUSED):
            known = self.find(kind)
            if kind is cause:
                count = min((known.count if known else 0) + 1, POLLS_TO_BE_SURE)
                self._note(kind, why, count=count)
            elif known is not None and known.raised_at is None:
                # In a row, but another sort of failure ends no raised alarm.
                self._remove(known)
        if cause is AlarmKind.STATE:
            self._note(AlarmKind.STATE, why)

    def follow_collapse(
        self, held: bool | None, *, recovered: bool = False, models: int = 0
    ) -> None:
        """After a poll: whether a collapse waits for confirmation, or was announced as recovered.

        The polls that find a collapse and its recovery notify every receiver. Only that it was
        confirmed in the end, with so many models left, is for operators alone.
        """
        known = self.find(AlarmKind.COLLAPSE)
        if held:
            if known is None:
                self._note(AlarmKind.COLLAPSE, "")
        elif known is not None and recovered:
            self._remove(known)
        elif known is not None and held is False:
            self.adopt(replace(known, count=models))
            self._end(AlarmKind.COLLAPSE)

    def follow_unreadable(self, problems: Sequence[str]) -> None:
        """After a sweep: what of it could not be read, one text for each row.

        More rows than were told of are another problem, which must last as long.
        """
        known = self.find(AlarmKind.UNREADABLE)
        if not problems:
            self._end(AlarmKind.UNREADABLE)
            return
        if known is not None and known.raised_at is not None and len(problems) > known.count:
            self._remove(known)
        self._note(AlarmKind.UNREADABLE, problems[0], count=len(problems))

    # Receivers

    def send_failed(self, receiver: str, why: str) -> None:
        """A receiver did not accept a message, which is tried again."""
        self._note(AlarmKind.RECEIVER, why, about=receiver)

    def send_unanswered(self, receiver: str, why: str) -> None:
        """A receiver gave no answer so often that it is tried only rarely from now on."""
        self._note(AlarmKind.RECEIVER, why, about=receiver, count=1)

    def send_accepted(self, receiver: str) -> None:
        """A receiver accepted a message."""
        self._end(AlarmKind.RECEIVER, receiver)

    def follow_receivers(self, statuses: Iterable[ReceiverStatus]) -> None:
        """Compare with what waits and what died; one that is missing has neither."""
        found = {status.receiver: status for status in statuses}
        for name in self.rules.receivers:
            status = found.get(name, ReceiverStatus(name, 0, 0, 0, None, None, None))
            self._follow_dead_letters(name, status.dead, status.last_error or "")
            # Where messages were given up, that nothing waits does not mean that it works again.
            if not (status.waiting or status.open or status.dead):
                self._end(AlarmKind.RECEIVER, name, "nothing waits for it any more")
        for alarm in tuple(self._alarms.values()):
            if alarm.about is not None and alarm.about not in self.rules.receivers:
                self._remove(alarm)

    def _follow_dead_letters(self, receiver: str, dead: int, why: str) -> None:
        known = self.find(AlarmKind.DEAD_LETTER, receiver)
        if not dead:
            self._end(AlarmKind.DEAD_LETTER, receiver)
        elif known is None:
            self._note(AlarmKind.DEAD_LETTER, why, about=receiver, count=dead)
        elif dead < known.count:
            self.adopt(replace(known, count=dead))
        elif dead > known.count and (
            known.raised_at is None or self._now() - known.raised_at >= DEAD_LETTERS_AGAIN_AFTER
        ):
            self.adopt(replace(known, count=dead, why=why, raised_at=None))

    # The configuration, the state and the clock

    def configured(self, problem: str | None) -> None:
        """A configuration was taken into use (`None`), or refused and why."""
        known = self.find(AlarmKind.RELOAD)
        if problem is None:
            self._end(AlarmKind.RELOAD)
            return
        if known is not None and known.why != problem:
            # Somebody fixed something and it is still wrong: they wait for an answer.
            self._remove(known)
        self._note(AlarmKind.RELOAD, problem)

    def state_failed(self, why: str) -> None:
        """The state could not be read or written: the disk is full, or the file is damaged."""
        self._note(AlarmKind.STATE, why)

    def state_written(self) -> None:
        """Something was written to the state."""
        known = self.find(AlarmKind.STATE)
        if known is not None and self._now() - known.last_at >= STATE_RECOVERED_AFTER:
            self._end(AlarmKind.STATE)

    def clock_jumped(self, by: timedelta) -> None:
        """The wall clock moved by so much more (or less) than time went by.

        Every problem has lasted as long as before; the jump itself is one.
        """
        known = self.find(AlarmKind.CLOCK)
        self._good_at += by
        self._polled_at += by
        for alarm in tuple(self._alarms.values()):
            self.adopt(alarm.shifted(by))
        off = by + timedelta(seconds=known.count if known else 0)
        if known is not None and abs(off) < self.rules.clock_bound:
            self._end(AlarmKind.CLOCK)
        else:
            self._note(AlarmKind.CLOCK, "", count=round(off.total_seconds()))

    def time_passed(self) -> None:
        """Notice what nobody reports: that no poll ends, that the clock stays as it is."""
        now = self._now()
        overdue = now - self._polled_at >= self.rules.blind_after
        for kind in _SEES_NOTHING:
            if overdue and self.find(kind) is None:
                self._note(kind, "no poll has ended since", since=self._polled_at)
        clock = self.find(AlarmKind.CLOCK)
        if clock is not None and now - clock.last_at >= CLOCK_ACCEPTED_AFTER:
            self._remove(clock)

    def _note(
        self,
        kind: AlarmKind,
        why: str,
        *,
        about: str | None = None,
        since: datetime | None = None,
        count: int = 0,
    ) -> None:
        """Note a problem's first sign, or another one."""
        now = self._now()
        known = self.find(kind, about) or Alarm(kind, since or now, now, about=about)
        self.adopt(replace(known, last_at=now, why=why, count=count))

    def _end(self, kind: AlarmKind, about: str | None = None, why: str = "") -> None:
        """Remove an alarm, and notify of its end where it was raised."""
        alarm = self.find(kind, about)
        if alarm is not None:
            self._remove(alarm)
            if alarm.raised_at is not None:
                self._notify(NoticeKind.ALARM_OVER, replace(alarm, why=why))

    def _remove(self, alarm: Alarm) -> None:
        del self._alarms[alarm.kind, alarm.about]

    def _is_due(self, alarm: Alarm) -> bool:
        lasted = self._now() - alarm.since_at
        match alarm.kind:
            case AlarmKind.BLIND:
                return lasted >= self.rules.blind_after
            case AlarmKind.UNSEEN:
                return lasted >= UNSEEN_AFTER and not self.rules.operators
            case AlarmKind.RECEIVER:
                return bool(alarm.count) or lasted >= self.rules.failing_after
            case AlarmKind.UNREADABLE:
                return lasted >= self.rules.unreadable_after
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
        operators = self.rules.operators
        if alarm.kind is AlarmKind.UNSEEN:
            operators = self.rules.receivers
        due_to = recipients(alarm.about, operators, self.rules.receivers)
        self._notices.append((Notice(kind, self._now(), detail), due_to))


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


def _cause(reason: str | None, status: int | None) -> AlarmKind | None:
    """The alarm that a failed poll of this sort leads to, beside `BLIND`."""
    if reason in {"schema", "shape"}:
        return AlarmKind.SHAPE
    if status in _REFUSALS or (status is not None and status // 10 in _FINER_REFUSALS):
        return AlarmKind.REFUSED
    return AlarmKind.STATE if reason == "state" else None
