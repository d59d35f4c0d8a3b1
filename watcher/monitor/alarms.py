"""The troubles known of at one moment, and their JSON form, in which they outlive a restart.

Knows what a trouble is. Refuses to know what causes and what ends one.

What an alarm can follow from, as values: polls, tries, how things stand, clocks, the state.

Knows what sort of trouble a failed poll is. Refuses to know how a fact was learned.

Who is told of a trouble: the operators, and never only the receiver that it is about.

Refuses to know what the trouble is.

What each fact means for the troubles: which begin, which are told, which are over.

Every trouble is told once, and its end once if it was told. Refuses to know words, clocks and
what is done with the messages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, assert_never

from watcher.catalog.changes import Notice, NoticeKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class AlarmKind(StrEnum):
    """What an operator is told of."""

    BLIND = "blind"  # the catalogue could not be read for long
    SHAPE = "shape"  # the API's answers are not built as they were
    REFUSED = "refused"  # the API does not serve us: the region, or credentials
    COLLAPSE = "collapse"  # much of the catalogue is missing, and is not believed yet
    RECEIVER = "receiver"  # a receiver has accepted nothing for long
    DEAD_LETTER = "dead_letter"
    STATE = "state"  # the disk is full, or the state is damaged
    RELOAD = "reload"  # a changed configuration was refused
    CLOCK = "clock"  # the wall clock jumped


Key = tuple[AlarmKind, str | None]


@dataclass(frozen=True, slots=True)
class Trouble:
    """One trouble, from its first sign on; an alarm once it was told (`told_at`).

    `about` is the receiver it is about, if any. `last_at` is its last sign. `count`, by kind:
    shape and refused, failed polls in a row; dead_letter, dead messages when last told; clock,
    seconds that the clock is off; else 0.
    """

    kind: AlarmKind
    since_at: datetime
    last_at: datetime
    why: str = ""
    about: str | None = None
    count: int = 0
    told_at: datetime | None = None

    @property
    def key(self) -> Key:
        """There is at most one trouble of a kind about a receiver."""
        return self.kind, self.about

    def shifted(self, by: timedelta) -> Trouble:
        """The same by a clock that was moved: it has lasted as long as before."""
        return replace(
            self,
            since_at=self.since_at + by,
            last_at=self.last_at + by,
            told_at=self.told_at and self.told_at + by,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind.value,
            "about": self.about,
            "since_at": self.since_at.isoformat(),
            "last_at": self.last_at.isoformat(),
            "why": self.why,
            "count": self.count,
            "told_at": self.told_at and self.told_at.isoformat(),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Trouble:
        return cls(
            kind=AlarmKind(fields["kind"]),
            since_at=datetime.fromisoformat(fields["since_at"]),
            last_at=datetime.fromisoformat(fields["last_at"]),
            why=fields["why"],
            about=fields["about"],
            count=fields["count"],
            told_at=fields["told_at"] and datetime.fromisoformat(fields["told_at"]),
        )


@dataclass(frozen=True, slots=True)
class Book:
    """All troubles. `good_at` is the last good poll, `polled_at` the last of any sort.

    Neither is older than the process, so a watcher that was switched off is not blind at once.
    """

    good_at: datetime
    polled_at: datetime
    troubles: Mapping[Key, Trouble] = field(default_factory=dict)

    @classmethod
    def opened(cls, kept: Mapping[str, Any], now: datetime) -> Book:
        """The book as a process begins it, with what an earlier one kept.

        What cannot be read (a later version wrote it) is left out: the worst that follows is a
        message told twice.
        """
        troubles = {}
        for fields in kept.get("troubles", ()):
            try:
                trouble = Trouble.from_json(fields)
            except (KeyError, TypeError, ValueError):
                continue
            troubles[trouble.key] = trouble
        return cls(good_at=now, polled_at=now, troubles=troubles)

    def to_json(self) -> dict[str, Any]:
        """What must outlive a restart."""
        return {"troubles": [trouble.to_json() for trouble in self.troubles.values()]}

    @property
    def alarms(self) -> tuple[Trouble, ...]:
        """The troubles that were told and have not ended."""
        return tuple(trouble for trouble in self.troubles.values() if trouble.told_at)

    def find(self, kind: AlarmKind, about: str | None = None) -> Trouble | None:
        return self.troubles.get((kind, about))

    def having(self, trouble: Trouble) -> Book:
        return replace(self, troubles={**self.troubles, trouble.key: trouble})

    def without(self, troubles: Iterable[Trouble]) -> Book:
        gone = {trouble.key for trouble in troubles}
        kept = {key: trouble for key, trouble in self.troubles.items() if key not in gone}
        return replace(self, troubles=kept)


# Beside the statuses 401, 403, 407, 451 and 511, codes of an envelope such as 4030: "Not
# supported in the current region".
_REFUSAL = re.compile(r": (?:code|status) (?:401\d?|403\d?|407|451|511)\b")


@dataclass(frozen=True, slots=True)
class Polled:
    """A poll ended. `reason` is the sort of its failure, `why` the failure in words.

    `held` says whether a collapse of the catalogue waits to be believed (`None`: not known),
    `recovered` whether this poll ended it and said so to everybody; `models` are those on sale.
    """

    good: bool
    reason: str | None = None
    why: str | None = None
    held: bool | None = None
    recovered: bool = False
    models: int = 0

    @property
    def sort(self) -> AlarmKind | None:
        """What sort of trouble a failed poll is, beside being a failed one."""
        if self.good:
            return None
        if self.reason in {"schema", "shape"}:
            return AlarmKind.SHAPE
        if self.reason in {"envelope", "status"} and _REFUSAL.search(self.why or ""):
            return AlarmKind.REFUSED
        return None


@dataclass(frozen=True, slots=True)
class Tried:
    """A message was offered to a receiver.

    `accepted` is `None` where it was turned down for good: the receiver works, and does not want
    this message.
    """

    receiver: str
    accepted: bool | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """What waits for a receiver (changes, notices and messages), and how many messages died."""

    receiver: str
    waiting: int
    dead: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Looked:
    """How things stand at every receiver; one that is missing has nothing waiting or dead."""

    receivers: tuple[Pending, ...]


@dataclass(frozen=True, slots=True)
class Configured:
    """A configuration was read: taken into use (`problem` is `None`), or refused for `problem`."""

    problem: str | None = None


@dataclass(frozen=True, slots=True)
class StateFailed:
    """The state could not be read or written: the disk is full, or the file is damaged."""

    why: str


@dataclass(frozen=True, slots=True)
class StateWorked:
    """Something was written to the state."""


@dataclass(frozen=True, slots=True)
class ClockJumped:
    """The wall clock moved by so much more (or less) than time went by."""

    by: timedelta


@dataclass(frozen=True, slots=True)
class Ticked:
    """Some time went by."""


Fact = Polled | Tried | Looked | Configured | StateFailed | StateWorked | ClockJumped | Ticked


def audience(
    about: str | None, operators: Sequence[str], receivers: Sequence[str]
) -> tuple[str, ...]:
    """The receivers of a message about `about` (`None`: about no receiver), in their order.

    A receiver in trouble would learn of it too late, so it is not told of itself. Where it is the
    only operator, all other receivers are told instead: whoever reads them can pass it on. With
    no other receiver nobody can be told, and with no operators nobody is to be.
    """
    if not operators:
        return ()
    others = tuple(name for name in operators if name != about)
    return others or tuple(name for name in receivers if name != about)


# One odd answer is a hiccup of something in between; the next poll shows.
POLLS_TO_BE_SURE = 2
# A full disk has room now and then; it is over when it has had room for so long.
STATE_IS_WELL_AFTER = timedelta(minutes=10)
# Whoever was told of a dead message and left it there is told again of more, but not of each.
DEAD_AGAIN_AFTER = timedelta(days=1)
# Then the new time is the time, and a later jump is another one.
CLOCK_SETTLES_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Policy:
    """Who is told, and how long what lasts before it is.

    `blind_after` is the time without a good poll. It should be no less than two poll intervals,
    or one failed poll of a slow watcher is an alarm. A clock that is off by less than
    `clock_bound` is none of our business.
    """

    operators: tuple[str, ...]
    receivers: tuple[str, ...]
    blind_after: timedelta = timedelta(minutes=30)
    failing_after: timedelta = timedelta(hours=1)
    clock_bound: timedelta = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a fact leaves: the book, and notices with the receivers that each is due to.

    A notice that is due to nobody is there all the same: for the log.
    """

    book: Book
    notices: tuple[tuple[Notice, tuple[str, ...]], ...] = ()


def judge(book: Book, fact: Fact, policy: Policy, now: datetime) -> Judgement:
    """What becomes of the troubles by one fact, learned at `now`."""
    bench = _Bench(book, policy, now)
    match fact:
        case Polled():
            bench.hear_poll(fact)
        case Tried():
            bench.hear_try(fact)
        case Looked():
            bench.hear_look(fact)
        case Configured():
            bench.hear_configuration(fact.problem)
        case StateFailed():
            bench.hear_state_failed(fact.why)
        case StateWorked():
            bench.hear_state_worked()
        case ClockJumped():
            bench.hear_clock(fact.by)
        case Ticked():
            bench.hear_silence()
        case _:
            assert_never(fact)
    bench.tell_what_lasted()
    return Judgement(bench.book, tuple(bench.notices))


class _Bench:
    """One fact's hearing: carries the book from what it was to what it is."""

    def __init__(self, book: Book, policy: Policy, now: datetime) -> None:
        self.book = book
        self.policy = policy
        self.now = now
        self.notices: list[tuple[Notice, tuple[str, ...]]] = []

    def hear_poll(self, poll: Polled) -> None:
        self.book = replace(self.book, polled_at=self.now)
        if poll.good:
            self.book = replace(self.book, good_at=self.now)
            for kind in (AlarmKind.BLIND, AlarmKind.SHAPE, AlarmKind.REFUSED):
                self.end(self.book.find(kind))
        else:
            self.suffer(AlarmKind.BLIND, poll.why or "", since=self.book.good_at)
            self._hear_sort(poll)
        if poll.reason == "state":
            self.hear_state_failed(poll.why or "")
        self._hear_collapse(poll)

    def hear_try(self, tried: Tried) -> None:
        if tried.accepted is False:
            self.suffer(AlarmKind.RECEIVER, tried.why, about=tried.receiver)
        if tried.accepted:
            self.end(self.book.find(AlarmKind.RECEIVER, tried.receiver))

    def hear_look(self, look: Looked) -> None:
        """Compare what is known of each receiver with what there is at it now."""
        standing = {pending.receiver: pending for pending in look.receivers}
        for name in self.policy.receivers:
            pending = standing.get(name, Pending(name, waiting=0, dead=0))
            self._hear_dead(pending)
            # Where messages were given up, that nothing waits does not mean that it works again.
            if not pending.waiting and not pending.dead:
                self.end(self.book.find(AlarmKind.RECEIVER, name), "nothing waits for it any more")
        strangers = [
            trouble
            for trouble in self.book.troubles.values()
            if trouble.about is not None and trouble.about not in self.policy.receivers
        ]
        self.book = self.book.without(strangers)

    def hear_configuration(self, problem: str | None) -> None:
        known = self.book.find(AlarmKind.RELOAD)
        if problem is None:
            self.end(known)
            return
        if known is not None and known.why != problem:
            # Somebody mended something and it is still wrong: they wait for an answer.
            self.book = self.book.without([known])
        self.suffer(AlarmKind.RELOAD, problem)

    def hear_state_failed(self, why: str) -> None:
        self.suffer(AlarmKind.STATE, why)

    def hear_state_worked(self) -> None:
        known = self.book.find(AlarmKind.STATE)
        if known is not None and self.now - known.last_at >= STATE_IS_WELL_AFTER:
            self.end(known)

    def hear_clock(self, by: timedelta) -> None:
        """Let every trouble have lasted as long as before, and tell of the jump itself."""
        known = self.book.find(AlarmKind.CLOCK)
        self.book = replace(
            self.book,
            good_at=self.book.good_at + by,
            polled_at=self.book.polled_at + by,
            troubles={key: trouble.shifted(by) for key, trouble in self.book.troubles.items()},
        )
        off = by + timedelta(seconds=known.count if known else 0)
        if known is not None and abs(off) < self.policy.clock_bound:
            self.end(self.book.find(AlarmKind.CLOCK))
        else:
            self.suffer(AlarmKind.CLOCK, "", count=round(off.total_seconds()))

    def hear_silence(self) -> None:
        if self.now - self.book.polled_at >= self.policy.blind_after:
            known = self.book.find(AlarmKind.BLIND)
            if known is None:
                self.suffer(AlarmKind.BLIND, "no poll has ended since", since=self.book.polled_at)
        clock = self.book.find(AlarmKind.CLOCK)
        if clock is not None and self.now - clock.last_at >= CLOCK_SETTLES_AFTER:
            self.book = self.book.without([clock])

    def suffer(
        self,
        kind: AlarmKind,
        why: str,
        *,
        about: str | None = None,
        since: datetime | None = None,
        count: int = 0,
    ) -> None:
        """Note another sign of a trouble, or its first."""
        known = self.book.find(kind, about)
        if known is None:
            self.book = self.book.having(
                Trouble(kind, since or self.now, self.now, why, about, count)
            )
        else:
            self.book = self.book.having(replace(known, last_at=self.now, why=why, count=count))

    def end(self, trouble: Trouble | None, why: str = "") -> None:
        """Forget a trouble, and say so where it was told."""
        if trouble is None:
            return
        self.book = self.book.without([trouble])
        if trouble.told_at is not None:
            self._say(NoticeKind.ALARM_OVER, replace(trouble, why=why))

    def tell_what_lasted(self) -> None:
        for trouble in tuple(self.book.troubles.values()):
            if trouble.told_at is None and self._is_ripe(trouble):
                self.book = self.book.having(replace(trouble, told_at=self.now))
                if trouble.kind is not AlarmKind.COLLAPSE:
                    self._say(NoticeKind.ALARM, trouble)

    def _is_ripe(self, trouble: Trouble) -> bool:
        lasted = self.now - trouble.since_at
        match trouble.kind:
            case AlarmKind.BLIND:
                return lasted >= self.policy.blind_after
            case AlarmKind.RECEIVER:
                return lasted >= self.policy.failing_after
            case AlarmKind.SHAPE | AlarmKind.REFUSED:
                return trouble.count >= POLLS_TO_BE_SURE
            case _:
                return True

    def _hear_sort(self, poll: Polled) -> None:
        """Count failed polls of one sort in a row; another sort ends no alarm."""
        for kind in (AlarmKind.SHAPE, AlarmKind.REFUSED):
            known = self.book.find(kind)
            if poll.sort is kind:
                count = min((known.count if known else 0) + 1, POLLS_TO_BE_SURE)
                self.suffer(kind, poll.why or "", count=count)
            elif known is not None and known.told_at is None:
                self.book = self.book.without([known])

    def _hear_collapse(self, poll: Polled) -> None:
        """Follow a collapse, of which every receiver is told at once by the poll that found it.

        So is its recovery. What only operators are told is that it was held to its end.
        """
        known = self.book.find(AlarmKind.COLLAPSE)
        if poll.held:
            if known is None:
                self.suffer(AlarmKind.COLLAPSE, "")
        elif known is not None and poll.recovered:
            self.book = self.book.without([known])
        elif known is not None and poll.held is False:
            self.end(replace(known, count=poll.models))

    def _hear_dead(self, pending: Pending) -> None:
        known = self.book.find(AlarmKind.DEAD_LETTER, pending.receiver)
        if not pending.dead:
            self.end(known)
        elif known is None:
            about = pending.receiver
            self.suffer(AlarmKind.DEAD_LETTER, pending.why, about=about, count=pending.dead)
        elif pending.dead < known.count:
            self.book = self.book.having(replace(known, count=pending.dead))
        elif pending.dead > known.count and self._was_told_long_ago(known):
            more = replace(known, count=pending.dead, why=pending.why, told_at=None)
            self.book = self.book.having(more)

    def _was_told_long_ago(self, trouble: Trouble) -> bool:
        return trouble.told_at is None or self.now - trouble.told_at >= DEAD_AGAIN_AFTER

    def _say(self, kind: NoticeKind, trouble: Trouble) -> None:
        detail: dict[str, Any] = {
            "alarm": trouble.kind.value,
            "about": trouble.about,
            "since": trouble.since_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "why": trouble.why,
            "count": trouble.count,
        }
        told = audience(trouble.about, self.policy.operators, self.policy.receivers)
        self.notices.append((Notice(kind, self.now, detail), told))
