"""Which changes count at once, and which are held until a later sweep shows them too.

Removals, renames, implausible prices and a collapse of the catalogue are often mistakes of the
listing that are gone minutes later. Each waits for its time, and counts if it is still there.
"""

from __future__ import annotations

from collections import Counter
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
from watcher.catalog.floods import Flood, floods_of, without
from watcher.catalog.pricing import decimal_text
from watcher.catalog.record import Model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from watcher.catalog.credit_value import NewCreditValue
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
    FLOOD = "flood"
    CREDIT_VALUE = "credit_value"


@dataclass(frozen=True, slots=True)
class Hold:
    """One change that waits for confirmation.

    `model_id` is the model it is about (`None` for `collapse`, `flood` and `credit_value`, which
    are about the catalogue); `subject` is what a later sweep must show too (the new description of
    a rename, the new price, what a flood changed), empty where there is nothing to compare. From
    `until_at` on such a sweep confirms the change. `quiet_since_at`, of a collapse or a flood, is
    the first sweep since that did not show it.
    """

    reason: HoldReason
    model_id: int | None
    subject: str
    since_at: datetime
    until_at: datetime
    quiet_since_at: datetime | None = None


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
    changes = [it for it in differences.changes if isinstance(it, ModelChange)]
    decisions.find_what_the_catalogue_shows(changes)
    for change in differences.changes:
        if isinstance(change, ModelChange):
            decisions.decide(change)
        else:
            decisions.changes.append(change)
    return Confirmation(
        tuple(decisions.changes),
        (*differences.updates, *decisions.updates),
        tuple(decisions.holds),
        tuple(decisions.notices),
        decisions.doubted,
    )


def hold_credit_value(
    new: NewCreditValue, holds: Sequence[Hold], rules: ConfirmRules, now: datetime
) -> Hold | None:
    """The hold on another value of a credit; `None` where it has lasted long enough."""
    hold = Hold(HoldReason.CREDIT_VALUE, None, new.subject, now, now + rules.implausible)
    for earlier in holds:
        if earlier.reason is HoldReason.CREDIT_VALUE and new.continues(earlier.subject):
            since = min(earlier.since_at, now)
            until = min(earlier.until_at, since + rules.implausible)
            hold = replace(earlier, since_at=since, until_at=until)
    return None if hold.until_at <= now else hold


class _Decisions:
    """Decides about the differences of one sweep, and collects what follows from them."""

    def __init__(self, rules: ConfirmRules, now: datetime, before: Before) -> None:
        self.rules = rules
        self.now = now
        self.models = before.models
        self.open = {(it.reason, it.model_id): it for it in before.holds}
        self.open_of_all = {
            (it.reason, it.subject): it for it in before.holds if it.model_id is None
        }
        self.hidden = before.hidden if rules.collapse else 0
        # How many are still missing that were in doubt: only where there are fewer, others are.
        self.doubts_before = 0
        self.doubted = False
        self.collapse: Hold | None = None
        self.collapse_ended = False
        self.floods: dict[Flood, Hold] = {}
        self.news_wait = False
        self.changes: list[Change] = []
        self.updates: list[tuple[int, Record]] = []
        self.holds: list[Hold] = []
        self.notices: list[Notice] = []

    def find_what_the_catalogue_shows(self, changes: Sequence[ModelChange]) -> None:
        """Open, keep or end the holds on what many models show at once: a collapse, floods."""
        missing = {it.model_id for it in changes if {Kind.REMOVED, Kind.RENAMED} & set(it.kinds)}
        self.doubts_before = sum(
            number in missing and self._was_doubted(hold) for (_, number), hold in self.open.items()
        )
        kinds = Counter(kind for change in changes for kind in change.kinds)
        gone, new = kinds[Kind.REMOVED], kinds[Kind.NEW]
        counts = Counter(flood for change in changes for flood in self._floods_of(change))
        # As many go as come: they have other names.
        replaced = min(gone, new)
        if 2 * replaced >= gone:
            counts[Flood.NAMES] = kinds[Kind.RENAMED] + replaced
        for flood in Flood:
            hold = self._catalogue_hold(
                HoldReason.FLOOD,
                flood.value,
                is_shown=self._is_flood(counts[flood]),
                what=flood.value,
                count=counts[flood],
            )
            if hold is not None:
                self.floods[flood] = hold
        is_collapse = self._is_collapse(gone) and not self._is_flood(counts[Flood.NAMES])
        earlier = self.open_of_all.get((HoldReason.COLLAPSE, ""))
        hold = self._catalogue_hold(HoldReason.COLLAPSE, "", is_shown=is_collapse, missing=gone)
        self.collapse = hold if is_collapse else None
        self.collapse_ended = (
            bool(self.rules.collapse)
            and earlier is not None
            and not is_collapse
            and earlier.quiet_since_at is None
        )
        self.news_wait = Flood.NAMES in self.floods or (
            self.collapse is not None and 2 * replaced >= gone
        )

    def _catalogue_hold(
        self, reason: HoldReason, subject: str, *, is_shown: bool, **detail: object
    ) -> Hold | None:
        """The hold on something that many models show; `None` where it holds nothing.

        It ends when nothing has shown it for as long as a removal must last: two servers that
        disagree, asked by turns, are warned of once. Where the wait was turned off meanwhile it
        ends at once, and nothing is said: the catalogue may still show it.
        """
        if not self.rules.collapse:
            return None
        earlier = self.open_of_all.get((reason, subject))
        if is_shown:
            since = self.now if earlier is None else min(earlier.since_at, self.now)
            until = since + self.rules.collapse
            if earlier is not None:
                until = min(until, earlier.until_at)
            hold = Hold(reason, None, subject, since, until)
            if self._has_ended(hold):
                return None
            self.holds.append(hold)
            if earlier is None:
                until_text = utc_text(hold.until_at)
                detail |= {"models": self.models, "until": until_text}
                self.notices.append(Notice(NoticeKind.COLLAPSE, self.now, detail))
            return hold
        if earlier is None:
            return None
        quiet_since = min(earlier.quiet_since_at or self.now, self.now)
        ends_at = quiet_since + self.rules.removals
        if ends_at <= self.now:
            models = self.models - int(str(detail.get("missing", 0)))
            self.notices.append(Notice(NoticeKind.RECOVERED, self.now, {"models": models}))
            return None
        until = max(earlier.until_at, ends_at)
        hold = replace(earlier, until_at=until, quiet_since_at=quiet_since)
        self.holds.append(hold)
        return hold

    def decide(self, change: ModelChange) -> None:
        """Confirm a change of a model, or hold it, or what of it must wait."""
        if _is_removal(change):
            self.decide_removal(change)
        elif Kind.RENAMED in change.kinds:
            self.decide_rename(change)
        elif Kind.NEW in change.kinds:
            if not self.news_wait:
                self.changes.append(change)
        elif Kind.RETURNED in change.kinds:
            # It may well have a new price: it is not compared with the old one.
            self.changes.append(change)
        else:
            self.decide_difference(change)

    def decide_difference(self, change: ModelChange) -> None:
        """Hold what a flood changes of a model, and its price where that is implausible."""
        assert change.before is not None, "the model was there before"  # noqa: S101
        assert change.after is not None, "the model is there now"  # noqa: S101
        held = self.floods.keys() & set(floods_of(change))
        rest: ModelChange | None = change
        if held:
            record = without(held, change.before.record, change.after.record)
            rest = self._only(change, record)
        if rest is None:
            return
        if _is_implausible(rest, self.rules.implausible_factor):
            self.decide_price(rest)
        else:
            self.changes.append(rest)

    def decide_removal(self, change: ModelChange) -> None:
        hold = self._hold(HoldReason.REMOVAL, change.model_id, "", self.rules.removals)
        hold = self._doubt(hold)
        self._confirm_or_hold(change, self._held_with(hold, self.collapse, Flood.NAMES))

    def decide_rename(self, change: ModelChange) -> None:
        wait = self.rules.removals
        if _is_implausible(change, self.rules.implausible_factor):
            wait = max(wait, self.rules.implausible)
        subject = change.model.record.identity_key
        hold = self._hold(HoldReason.RENAME, change.model_id, subject, wait)
        self._confirm_or_hold(change, self._held_with(self._doubt(hold), None, Flood.NAMES))

    def decide_price(self, change: ModelChange) -> None:
        """Hold only the price: what else is different about the model is a change at once."""
        assert change.before is not None, "a price moved from something"  # noqa: S101
        assert change.after is not None, "a price moved to something"  # noqa: S101
        subject = decimal_text(change.after.price) or ""
        hold = self._hold(HoldReason.PRICE, change.model_id, subject, self.rules.implausible)
        if self._confirm_or_hold(change, self._held_with(hold, None, Flood.PRICE)):
            return
        record = without([Flood.UNIT], change.before.record, change.after.record)
        if (rest := self._only(change, record)) is not None:
            self.changes.append(rest)

    def _only(self, change: ModelChange, record: Record) -> ModelChange | None:
        """What is left of a change where the model is this record now; an update is noted."""
        assert change.before is not None, "the model was there before"  # noqa: S101
        assert change.after is not None, "the model is there now"  # noqa: S101
        after = Model(record, change.after.usd_per_credit)
        rest = diff_model(change.before, after, change.model_id)
        if rest is None and record != change.before.record and change.model_id is not None:
            self.updates.append((change.model_id, record))
        return rest

    def _floods_of(self, change: ModelChange) -> Iterator[Flood]:
        if not {Kind.NEW, Kind.REMOVED, Kind.RENAMED, Kind.RETURNED}.isdisjoint(change.kinds):
            return
        yield from floods_of(change)
        if _is_implausible(change, self.rules.implausible_factor):
            yield Flood.PRICE

    def _held_with(self, hold: Hold, collapse: Hold | None, flood: Flood) -> Hold:
        """The hold on a model, lasting no less than that on the catalogue that it is part of.

        Unless a person accepted it separately: the last sweep that showed this gave each of them at
        least the end of the catalogue's, so one that ends earlier was given its end by a person.
        """
        of_all = collapse or self.floods.get(flood)
        if of_all is None:
            return hold
        before = self.open_of_all.get((of_all.reason, of_all.subject))
        earlier = self._earlier(hold)
        was_shown = before is not None and before.quiet_since_at is None
        if before and was_shown and earlier and earlier.until_at < before.until_at:
            return hold
        return replace(hold, until_at=max(hold.until_at, of_all.until_at))

    def _confirm_or_hold(self, change: ModelChange, hold: Hold) -> bool:
        """Confirm a change whose hold has ended, or go on holding it; whether it is confirmed."""
        if not self._has_ended(hold):
            self.holds.append(hold)
            return False
        waited = hold.since_at < self.now
        self.changes.append(replace(change, first_seen_at=hold.since_at) if waited else change)
        return True

    def _is_collapse(self, missing: int) -> bool:
        if not missing or not self.rules.collapse:
            return False
        if missing == self.models:
            return True
        return self.models >= MIN_MODELS_FOR_COLLAPSE and self._is_large_share(missing)

    def _is_flood(self, count: int) -> bool:
        if not self.rules.collapse or count < MIN_MODELS_FOR_COLLAPSE:
            return False
        return self._is_large_share(count)

    def _is_large_share(self, count: int) -> bool:
        return count > self.rules.collapse_share * self.models

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
