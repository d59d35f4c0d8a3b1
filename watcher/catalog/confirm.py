"""Believe now, or wait to see it again: which changes need a later sweep to show them too.

Refuses to know how a change was found and who hears of it. Time comes in as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from watcher.catalog.changes import Change, Kind, ModelChange, Notice, NoticeKind
from watcher.catalog.diff import diff_model
from watcher.catalog.pricing import decimal_text
from watcher.catalog.record import Model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from watcher.catalog.diff import Differences
    from watcher.catalog.record import Record

# A share of fewer models than this says nothing; an empty catalogue always does.
FEWEST_MODELS_TO_COLLAPSE = 20


class HoldReason(StrEnum):
    """Why a change waits."""

    REMOVAL = "removal"
    RENAME = "rename"
    PRICE = "price"
    COLLAPSE = "collapse"


@dataclass(frozen=True, slots=True)
class Hold:
    """One change that waits to be seen again.

    `model_id` is the model it is about (`None` for `collapse`, which is about the catalogue);
    `subject` is what was seen and must be seen again (the new description of a rename, the new
    price), empty where there is nothing to compare. `until_at` is when a sweep may settle it.
    """

    reason: HoldReason
    model_id: int | None
    subject: str
    since_at: datetime
    until_at: datetime


@dataclass(frozen=True, slots=True)
class Policy:
    """How long each sort of change waits; zero turns that waiting off. Shares are 0 to 1."""

    removals: timedelta = timedelta(minutes=10)
    implausible: timedelta = timedelta(minutes=30)
    implausible_factor: Decimal = Decimal(5)
    collapse: timedelta = timedelta(hours=6)
    collapse_share: Decimal = Decimal("0.2")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a sweep leaves: changes believed, records mended, holds open, notices to give."""

    changes: tuple[Change, ...]
    updates: tuple[tuple[int, Record], ...]
    holds: tuple[Hold, ...]
    notices: tuple[Notice, ...]


def judge(
    differences: Differences, open_holds: Sequence[Hold], models: int, policy: Policy, now: datetime
) -> Verdict:
    """Decide about every difference of one complete sweep, made at `now`.

    `models` is how many were believed to be on sale before it. Holds that are not in the verdict
    have ended: settled, or contradicted by this sweep.
    """
    court = _Court(policy, now, {(hold.reason, hold.model_id): hold for hold in open_holds})
    removals = [change for change in differences.changes if _is_removal(change)]
    collapsed = court.hear_collapse(len(removals), models)
    for change in differences.changes:
        if not isinstance(change, ModelChange):
            court.believe(change)
        elif _is_removal(change):
            court.hear_removal(change, collapsed)
        elif Kind.RENAMED in change.kinds:
            court.hear_rename(change)
        elif _may_be_a_mistake(change, policy.implausible_factor):
            court.hear_price(change)
        else:
            court.believe(change)
    return court.verdict(differences.updates)


def is_implausible(change: ModelChange, factor: Decimal) -> bool:
    """Whether a price moved by more than `factor`, to or from zero, or to or from nothing."""
    if not {Kind.PRICE_UP, Kind.PRICE_DOWN} & set(change.kinds):
        return False
    if change.before is None or change.after is None:
        return False
    before, after = change.before.price, change.after.price
    if not before or not after:
        return True
    return after > before * factor or before > after * factor


class _Court:
    """One sweep's hearing: collects what is believed, held and said."""

    def __init__(
        self,
        policy: Policy,
        now: datetime,
        open_holds: dict[tuple[HoldReason, int | None], Hold],
    ) -> None:
        self.policy = policy
        self.now = now
        self.open = open_holds
        self.collapse_ended = False
        self.believed: list[Change] = []
        self.mended: list[tuple[int, Record]] = []
        self.holds: list[Hold] = []
        self.notices: list[Notice] = []

    def believe(self, change: Change) -> None:
        self.believed.append(change)

    def hear_collapse(self, missing: int, models: int) -> Hold | None:
        """Open, keep or end the hold on the whole catalogue; returns it while it is open."""
        earlier = self.open.get((HoldReason.COLLAPSE, None))
        if not self._is_collapse(missing, models):
            if earlier is not None:
                self.collapse_ended = True
                self._say(NoticeKind.RECOVERED, models=models - missing)
            return None
        hold = self._hold(HoldReason.COLLAPSE, None, "", self.policy.collapse)
        if self._is_settled(hold):
            return None
        self.holds.append(hold)
        if earlier is None:
            until = hold.until_at.strftime("%Y-%m-%dT%H:%M:%SZ")
            self._say(NoticeKind.COLLAPSE, missing=missing, models=models, until=until)
        return hold

    def hear_removal(self, change: ModelChange, collapsed: Hold | None) -> None:
        hold = self._hold(HoldReason.REMOVAL, change.model_id, "", self.policy.removals)
        if collapsed is not None and not self._is_accepted(hold):
            hold = replace(hold, until_at=max(hold.until_at, collapsed.until_at))
        if self._is_settled(hold):
            self._believe_at_last(change, hold)
        else:
            self.holds.append(hold)

    def hear_rename(self, change: ModelChange) -> None:
        wait = self.policy.removals
        if is_implausible(change, self.policy.implausible_factor):
            wait = max(wait, self.policy.implausible)
        subject = change.model.record.folded
        hold = self._hold(HoldReason.RENAME, change.model_id, subject, wait)
        if self._is_settled(hold):
            self._believe_at_last(change, hold)
        else:
            self.holds.append(hold)

    def hear_price(self, change: ModelChange) -> None:
        """Hold the price alone: what else is different about the model is told now."""
        assert change.before is not None, "a price moved from something"  # noqa: S101
        assert change.after is not None, "a price moved to something"  # noqa: S101
        subject = decimal_text(change.after.price) or ""
        hold = self._hold(HoldReason.PRICE, change.model_id, subject, self.policy.implausible)
        if self._is_settled(hold):
            self._believe_at_last(change, hold)
            return
        self.holds.append(hold)
        rest = _at_the_old_price(change.before.record, change.after.record)
        after = Model(rest, change.after.usd_per_credit)
        told_now = diff_model(change.before, after, change.model_id)
        if told_now is not None:
            self.believe(told_now)
        elif rest != change.before.record and change.model_id is not None:
            self.mended.append((change.model_id, rest))

    def verdict(self, updates: Sequence[tuple[int, Record]]) -> Verdict:
        return Verdict(
            tuple(self.believed),
            (*updates, *self.mended),
            tuple(self.holds),
            tuple(self.notices),
        )

    def _believe_at_last(self, change: ModelChange, hold: Hold) -> None:
        waited = hold.since_at < self.now
        self.believe(replace(change, first_seen_at=hold.since_at) if waited else change)

    def _is_collapse(self, missing: int, models: int) -> bool:
        if not missing or not self.policy.collapse:
            return False
        if missing == models:
            return True
        share = Decimal(missing) / models
        return models >= FEWEST_MODELS_TO_COLLAPSE and share > self.policy.collapse_share

    def _hold(
        self, reason: HoldReason, model_id: int | None, subject: str, wait: timedelta
    ) -> Hold:
        """The hold on this, going on from an earlier sweep where that showed the same.

        One that a person accepted has been given an earlier end, and keeps it.
        """
        since = self._first_seen_at(reason, model_id, subject)
        hold = Hold(reason, model_id, subject, since, since + wait)
        earlier = self._going_on(hold)
        return (
            hold
            if earlier is None
            else replace(hold, until_at=min(hold.until_at, earlier.until_at))
        )

    def _going_on(self, hold: Hold) -> Hold | None:
        """The same hold as an earlier sweep left it, where this sweep only goes on with it."""
        earlier = self.open.get((hold.reason, hold.model_id))
        if earlier is None or earlier.subject != hold.subject:
            return None
        begins_anew = hold.reason is HoldReason.REMOVAL and self.collapse_ended
        return None if begins_anew else earlier

    def _is_accepted(self, removal: Hold) -> bool:
        """Whether a person accepted a removal apart from the collapse that holds it.

        The last sweep gave all removals at least the end of its collapse, so one that ends before
        that was given its end by hand.
        """
        collapse = self.open.get((HoldReason.COLLAPSE, None))
        earlier = self._going_on(removal)
        if collapse is None or earlier is None:
            return False
        return earlier.until_at < collapse.until_at

    def _first_seen_at(self, reason: HoldReason, model_id: int | None, subject: str) -> datetime:
        earlier = self.open.get((reason, model_id))
        if reason is HoldReason.REMOVAL:
            if self.collapse_ended:
                # What is still missing after a collapse must be missed anew: the catalogue may be
                # coming back piece by piece.
                return self.now
            # Whoever was thought to be renamed has been missing just as long.
            earlier = earlier or self.open.get((HoldReason.RENAME, model_id))
            return self._not_later(earlier)
        return self._not_later(earlier if earlier and earlier.subject == subject else None)

    def _not_later(self, earlier: Hold | None) -> datetime:
        # A clock set back must not make a hold last longer than it would from now.
        return self.now if earlier is None else min(earlier.since_at, self.now)

    def _is_settled(self, hold: Hold) -> bool:
        return hold.until_at <= self.now

    def _say(self, kind: NoticeKind, **detail: object) -> None:
        self.notices.append(Notice(kind, self.now, detail))


def _is_removal(change: Change) -> bool:
    return isinstance(change, ModelChange) and Kind.REMOVED in change.kinds


def _may_be_a_mistake(change: ModelChange, factor: Decimal) -> bool:
    # What was away may well cost something else now; there is no yesterday to compare with.
    return Kind.RETURNED not in change.kinds and is_implausible(change, factor)


def _at_the_old_price(before: Record, after: Record) -> Record:
    return replace(
        after,
        credits=before.credits,
        unit=before.unit,
        usd_listed=before.usd_listed,
        rate=before.rate,
    )
