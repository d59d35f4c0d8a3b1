"""Which changes count at once, and which are held until a later sweep shows them too.

Removals, renames, implausible prices and a collapse of the catalogue are often mistakes of the
listing that are gone minutes later. Each waits for its time, and counts if it is still there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from watcher.catalog.changes import (
    PRICE_KINDS,
    Change,
    Kind,
    ModelChange,
    Notice,
    NoticeKind,
    utc_text,
)
from watcher.catalog.diff import diff_model
from watcher.catalog.pricing import decimal_text
from watcher.catalog.record import Model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from watcher.catalog.diff import Differences
    from watcher.catalog.record import Record

# With fewer models than this a share of them proves nothing, unless all of them are missing.
MIN_MODELS_FOR_COLLAPSE = 20


class HoldReason(StrEnum):
    """Why a change is held."""

    REMOVAL = "removal"
    RENAME = "rename"
    PRICE = "price"
    COLLAPSE = "collapse"


@dataclass(frozen=True, slots=True)
class Hold:
    """One change that waits for confirmation.

    `model_id` is the model it is about (`None` for `collapse`, which is about the catalogue);
    `subject` is what a later sweep must show too (the new description of a rename, the new price),
    empty where there is nothing to compare. From `until_at` on such a sweep confirms the change.
    """

    reason: HoldReason
    model_id: int | None
    subject: str
    since_at: datetime
    until_at: datetime


@dataclass(frozen=True, slots=True)
class ConfirmRules:
    """How long each sort of change is held; zero turns that hold off. Shares are 0 to 1."""

    removals: timedelta = timedelta(minutes=10)
    implausible: timedelta = timedelta(minutes=30)
    implausible_factor: Decimal = Decimal(5)
    collapse: timedelta = timedelta(hours=6)
    collapse_share: Decimal = Decimal("0.2")


@dataclass(frozen=True, slots=True)
class Before:
    """What was known before a sweep: how many models were on sale, and what was on hold.

    `hidden` models may be listed in that sweep although it does not show them: their rows have lost
    a description that can be read, or others stand twice in their place.
    """

    models: int
    holds: Sequence[Hold] = ()
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a sweep comes to: confirmed changes, updated records, open holds, notices to send.

    `doubted`: some of the models that it does not show may be hidden in it.
    """

    changes: tuple[Change, ...]
    updates: tuple[tuple[int, Record], ...]
    holds: tuple[Hold, ...]
    notices: tuple[Notice, ...]
    doubted: bool = False


def confirm(
    differences: Differences, before: Before, rules: ConfirmRules, now: datetime
) -> Confirmation:
    """Decide about every difference of one complete sweep, made at `now`.

    Holds that are not in the result have ended: confirmed, or contradicted by this sweep.
    """
    decisions = _Decisions(rules, now, before)
    removals = [change for change in differences.changes if _is_removal(change)]
    collapse = decisions.check_collapse(len(removals), before.models)
    for change in differences.changes:
        if not isinstance(change, ModelChange):
            decisions.changes.append(change)
        elif _is_removal(change):
            decisions.decide_removal(change, collapse)
        elif Kind.RENAMED in change.kinds:
            decisions.decide_rename(change)
        # A model that returned may well have a new price: it is not compared with the old one.
        elif Kind.RETURNED not in change.kinds and _is_implausible(
            change, rules.implausible_factor
        ):
            decisions.decide_price(change)
        else:
            decisions.changes.append(change)
    return Confirmation(
        tuple(decisions.changes),
        (*differences.updates, *decisions.updates),
        tuple(decisions.holds),
        tuple(decisions.notices),
        decisions.doubted,
    )


class _Decisions:
    """Decides about the differences of one sweep, and collects what follows from them."""

    def __init__(self, rules: ConfirmRules, now: datetime, before: Before) -> None:
        self.rules = rules
        self.now = now
        self.open = {(hold.reason, hold.model_id): hold for hold in before.holds}
        self.hidden = before.hidden if rules.collapse else 0
        # Removals that were in doubt already; only where there are fewer are others in doubt.
        self.doubts_before = sum(map(self._was_doubted, before.holds))
        self.doubted = False
        self.collapse_ended = False
        self.changes: list[Change] = []
        self.updates: list[tuple[int, Record]] = []
        self.holds: list[Hold] = []
        self.notices: list[Notice] = []

    def check_collapse(self, missing: int, models: int) -> Hold | None:
        """Open, keep or end the hold on the whole catalogue; returns it while it is open."""
        earlier = self.open.get((HoldReason.COLLAPSE, None))
        if not self._is_collapse(missing, models):
            if earlier is not None:
                self.collapse_ended = True
                self._add_notice(NoticeKind.RECOVERED, models=models - missing)
            return None
        hold = self._hold(HoldReason.COLLAPSE, None, "", self.rules.collapse)
        if self._has_ended(hold):
            return None
        self.holds.append(hold)
        if earlier is None:
            until = utc_text(hold.until_at)
            self._add_notice(NoticeKind.COLLAPSE, missing=missing, models=models, until=until)
        return hold

    def decide_removal(self, change: ModelChange, collapse: Hold | None) -> None:
        hold = self._hold(HoldReason.REMOVAL, change.model_id, "", self.rules.removals)
        hold = self._doubt(hold)
        if collapse is not None and not self._is_accepted(hold):
            hold = replace(hold, until_at=max(hold.until_at, collapse.until_at))
        self._confirm_or_hold(change, hold)

    def decide_rename(self, change: ModelChange) -> None:
        wait = self.rules.removals
        if _is_implausible(change, self.rules.implausible_factor):
            wait = max(wait, self.rules.implausible)
        subject = change.model.record.identity_key
        hold = self._hold(HoldReason.RENAME, change.model_id, subject, wait)
        self._confirm_or_hold(change, self._doubt(hold))

    def decide_price(self, change: ModelChange) -> None:
        """Hold only the price: what else is different about the model is a change at once."""
        assert change.before is not None, "a price moved from something"  # noqa: S101
        assert change.after is not None, "a price moved to something"  # noqa: S101
        subject = decimal_text(change.after.price) or ""
        hold = self._hold(HoldReason.PRICE, change.model_id, subject, self.rules.implausible)
        if self._confirm_or_hold(change, hold):
            return
        rest = _at_the_old_price(change.before.record, change.after.record)
        after = Model(rest, change.after.usd_per_credit)
        rest_change = diff_model(change.before, after, change.model_id)
        if rest_change is not None:
            self.changes.append(rest_change)
        elif rest != change.before.record and change.model_id is not None:
            self.updates.append((change.model_id, rest))

    def _confirm_or_hold(self, change: ModelChange, hold: Hold) -> bool:
        """Confirm a change whose hold has ended, or go on holding it; whether it is confirmed."""
        if not self._has_ended(hold):
            self.holds.append(hold)
            return False
        waited = hold.since_at < self.now
        self.changes.append(replace(change, first_seen_at=hold.since_at) if waited else change)
        return True

    def _is_collapse(self, missing: int, models: int) -> bool:
        if not missing or not self.rules.collapse:
            return False
        if missing == models:
            return True
        share = Decimal(missing) / models
        return models >= MIN_MODELS_FOR_COLLAPSE and share > self.rules.collapse_share

    def _hold(
        self, reason: HoldReason, model_id: int | None, subject: str, wait: timedelta
    ) -> Hold:
        """The hold on this: the one of an earlier sweep where that showed the same.

        One that a person accepted has been given an earlier end, and keeps it.
        """
        since = self._first_seen_at(reason, model_id, subject)
        hold = Hold(reason, model_id, subject, since, since + wait)
        earlier = self._earlier(hold)
        return (
            hold
            if earlier is None
            else replace(hold, until_at=min(hold.until_at, earlier.until_at))
        )

    def _doubt(self, hold: Hold) -> Hold:
        """The same hold, lasting as long as a collapse where the model may only be hidden.

        As many disappearances as there are hidden models prove nothing: those in doubt before
        come first. Of those that begin together it cannot be known which are true.
        """
        missing = (HoldReason.REMOVAL, HoldReason.RENAME)
        earlier = next(
            (it for reason in missing if (it := self.open.get((reason, hold.model_id)))), None
        )
        in_doubt = (
            self.hidden > self.doubts_before
            if earlier is None
            else self.hidden and self._was_doubted(earlier)
        )
        if not in_doubt:
            return hold
        until = hold.since_at + self.rules.collapse
        self.doubted = self.doubted or until > self.now
        return replace(hold, until_at=until)

    def _was_doubted(self, hold: Hold) -> bool:
        """Whether the last sweep doubted this disappearance, and no person has accepted it."""
        if hold.reason not in {HoldReason.REMOVAL, HoldReason.RENAME}:
            return False
        return hold.until_at == hold.since_at + self.rules.collapse

    def _earlier(self, hold: Hold) -> Hold | None:
        """The hold that an earlier sweep left, where this one is its continuation."""
        earlier = self.open.get((hold.reason, hold.model_id))
        if earlier is None or earlier.subject != hold.subject:
            return None
        starts_again = hold.reason is HoldReason.REMOVAL and self.collapse_ended
        return None if starts_again else earlier

    def _is_accepted(self, removal: Hold) -> bool:
        """Whether a person accepted a removal separately from the collapse that holds it.

        The last sweep gave all removals at least the end of its collapse, so one that ends earlier
        was given its end by a person.
        """
        collapse = self.open.get((HoldReason.COLLAPSE, None))
        earlier = self._earlier(removal)
        if collapse is None or earlier is None:
            return False
        return earlier.until_at < collapse.until_at

    def _first_seen_at(self, reason: HoldReason, model_id: int | None, subject: str) -> datetime:
        earlier = self.open.get((reason, model_id))
        if reason is HoldReason.REMOVAL:
            if self.collapse_ended:
                # What is still missing after a collapse starts to wait again: the catalogue may be
                # coming back piece by piece.
                return self.now
            # A model that seemed to be renamed has been missing for just as long.
            earlier = earlier or self.open.get((HoldReason.RENAME, model_id))
        elif earlier is not None and earlier.subject != subject:
            earlier = None
        # A clock set back must not make a hold last longer than it would from now.
        return self.now if earlier is None else min(earlier.since_at, self.now)

    def _has_ended(self, hold: Hold) -> bool:
        return hold.until_at <= self.now

    def _add_notice(self, kind: NoticeKind, **detail: object) -> None:
        self.notices.append(Notice(kind, self.now, detail))


def _is_removal(change: Change) -> bool:
    return isinstance(change, ModelChange) and Kind.REMOVED in change.kinds


def _is_implausible(change: ModelChange, factor: Decimal) -> bool:
    """Whether a price moved by more than `factor`, to or from zero, or to or from no price."""
    if PRICE_KINDS.isdisjoint(change.kinds):
        return False
    if change.before is None or change.after is None:
        return False
    before, after = change.before.price, change.after.price
    if not before or not after:
        return True
    return after > before * factor or before > after * factor


def _at_the_old_price(before: Record, after: Record) -> Record:
    return replace(
        after,
        credits=before.credits,
        unit=before.unit,
        usd_listed=before.usd_listed,
        rate=before.rate,
    )
