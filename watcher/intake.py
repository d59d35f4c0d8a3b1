"""What a complete sweep becomes: from records to what is believed, told and kept.

match → diff → confirm → route → record, in one transaction at the end. Refuses to know how a sweep
was made, and when the next one is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from watcher.catalog import DOCUMENTED_USD_PER_CREDIT, Snapshot
from watcher.changes import ModelChange, Notice, NoticeKind, RecordedChange
from watcher.confirm import judge
from watcher.diff import Differences, KnownRecord, diff
from watcher.matching import match
from watcher.routing import NOTHING_KNOWN, Past, Plan, plan
from watcher.store import Commit, ConflictError, believed_after

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from watcher.changes import Change
    from watcher.confirm import Policy
    from watcher.kie import Sweep
    from watcher.routing import RoutingRules, Silence
    from watcher.store import Believed, KnownModel, Recorded, Store, StoredSilence

__all__ = ["Beliefs", "Intake", "Rules", "compare"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says about believing and telling.

    `silence` reads a stored silence's matcher, which is written as a configuration writes one.
    """

    policy: Policy
    routing: RoutingRules
    silence: Callable[[StoredSilence], Silence]

    @property
    def receivers(self) -> tuple[str, ...]:
        """Everybody there is to tell."""
        return self.routing.receivers


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What one sweep came to. `is_baseline`: taken as it is, and told of as a whole.

    `suppressed` counts the deliveries that a silence dropped.
    """

    changes: tuple[RecordedChange, ...] = ()
    notices: tuple[Notice, ...] = ()
    is_baseline: bool = False
    suppressed: int = 0


@dataclass(slots=True)
class Intake:
    """Takes sweeps into the store. `now` gives aware UTC times."""

    store: Store
    rules: Rules
    now: Callable[[], datetime]
    _believed: Believed | None = field(default=None, init=False)

    async def believed(self) -> Believed | None:
        """The catalogue as last believed; `None` before the first sweep."""
        if self._believed is None:
            self._believed = await self.store.believed()
        return self._believed

    @property
    def at_hand(self) -> Believed | None:
        """What is believed, where that need not be asked of the store."""
        return self._believed

    def forget(self) -> None:
        """Ask the store again next time: somebody else told it something."""
        self._believed = None

    async def take(self, sweep: Sweep) -> Beliefs:
        """Believe, hold or drop what a sweep shows, and record it. Raises `StateError`."""
        believed = await self.believed()
        if believed is None:
            return await self._take_baseline(sweep)
        if believed.start_over:
            return await self._start_over(believed, sweep)
        try:
            return await self._take_sweep(believed, sweep)
        except ConflictError:
            # Somebody accepted a hold meanwhile: the same sweep may settle it.
            self.forget()
            return await self.take(sweep)

    async def _take_baseline(self, sweep: Sweep) -> Beliefs:
        now = self.now()
        snapshot = Snapshot.of(sweep.records, DOCUMENTED_USD_PER_CREDIT)
        notice = _baseline_notice(snapshot, now)
        commit = Commit(
            at=now,
            usd_per_credit=snapshot.usd_per_credit,
            sighting=sweep.sighting.to_json(),
            baseline=snapshot.records,
            notices=((notice, self.rules.receivers),),
        )
        await self._record(None, commit)
        return Beliefs(notices=(notice,), is_baseline=True)

    async def _start_over(self, believed: Believed, sweep: Sweep) -> Beliefs:
        """Take a sweep as it is, as a person asked: remembered in full, told to nobody."""
        now = self.now()
        snapshot = Snapshot.of(sweep.records, believed.usd_per_credit)
        differences = await self._compare(believed, sweep, snapshot)
        notice = _baseline_notice(snapshot, now)
        commit = Commit(
            at=now,
            usd_per_credit=snapshot.usd_per_credit,
            sighting=sweep.sighting.to_json(),
            changes=tuple((change, ()) for change in differences.changes),
            updates=differences.updates,
            notices=((notice, self.rules.receivers),),
            starts_over=True,
        )
        await self._record(believed, commit)
        return Beliefs(notices=(notice,), is_baseline=True)

    async def _take_sweep(self, believed: Believed, sweep: Sweep) -> Beliefs:
        now = self.now()
        snapshot = Snapshot.of(sweep.records, believed.usd_per_credit)
        differences = await self._compare(believed, sweep, snapshot)
        models = len(believed.models)
        verdict = judge(differences, believed.holds, models, self.rules.policy, now)
        plans = await self._plan(verdict.changes, now)
        commit = Commit(
            at=now,
            usd_per_credit=snapshot.usd_per_credit,
            sighting=sweep.sighting.to_json(),
            changes=tuple(
                (change, it.dispatches) for change, it in zip(verdict.changes, plans, strict=True)
            ),
            updates=verdict.updates,
            holds=verdict.holds,
            notices=tuple((notice, self.rules.receivers) for notice in verdict.notices),
            anchors=tuple(anchor for it in plans for anchor in it.anchors),
            caught=_caught(plans),
            judged=believed.holds,
        )
        recorded = await self._record(believed, commit)
        suppressed = sum(len(it.suppressed) for it in plans)
        return Beliefs(recorded.changes, verdict.notices, suppressed=suppressed)

    async def _compare(self, believed: Believed, sweep: Sweep, snapshot: Snapshot) -> Differences:
        departed = await self.store.gone(_more_than_known(believed, snapshot))
        unreadable = {row.folded for row in sweep.unreadable if row.folded}
        return compare(believed, departed, snapshot, unreadable)

    async def _record(self, before: Believed | None, commit: Commit) -> Recorded:
        # Should anything fail from here on, the next poll asks the store what was recorded.
        self._believed = None
        recorded = await self.store.record(commit)
        self._believed = believed_after(before, commit, recorded)
        return recorded

    async def _plan(self, changes: Sequence[Change], now: datetime) -> list[Plan]:
        """Decide who is to hear of each change."""
        moved = {
            change.model_id
            for change in changes
            if isinstance(change, ModelChange) and change.model_id is not None
        }
        pasts = await self.store.pasts(moved)
        silences = [self.rules.silence(it) for it in await self.store.silences()]
        active = [silence for silence in silences if silence.is_active(now)]
        return [
            plan(
                change,
                self.rules.routing,
                now=now,
                past=_past(change, pasts),
                silences=active,
            )
            for change in changes
        ]


def _baseline_notice(snapshot: Snapshot, now: datetime) -> Notice:
    categories = Counter(record.interface for record in snapshot.records)
    detail = {"models": len(snapshot.records), "categories": dict(categories.most_common())}
    return Notice(NoticeKind.BASELINE, now, detail)


def compare(
    believed: Believed,
    departed: Sequence[KnownModel],
    snapshot: Snapshot,
    unreadable: Collection[str],
) -> Differences:
    """From what was believed to what a snapshot shows; pure.

    `departed` are models removed earlier that may be back, `unreadable` the identities of rows
    that had no safe reading: of those nothing is concluded.
    """
    known = [KnownRecord(model.id, model.record) for model in believed.models]
    gone = [KnownRecord(model.id, model.record) for model in departed]
    matching = match(
        [model.record for model in known],
        snapshot.records,
        departed=[model.record for model in gone],
        unreadable=unreadable,
    )
    return diff(known, gone, snapshot, matching, believed.usd_per_credit)


def _more_than_known(believed: Believed, snapshot: Snapshot) -> Collection[str]:
    """Identities the snapshot has more of than are believed: new, or back from long ago."""
    surplus = Counter(record.folded for record in snapshot.records)
    surplus.subtract(model.record.folded for model in believed.models)
    return {folded for folded, count in surplus.items() if count > 0}


def _past(change: Change, pasts: Mapping[int, Past]) -> Past:
    if not isinstance(change, ModelChange) or change.model_id is None:
        return NOTHING_KNOWN
    return pasts.get(change.model_id, NOTHING_KNOWN)


def _caught(plans: Sequence[Plan]) -> Mapping[int, int]:
    """How many deliveries each silence held back or dropped."""
    dispatches = chain.from_iterable((*it.dispatches, *it.suppressed) for it in plans)
    return Counter(it.silence_id for it in dispatches if it.silence_id is not None)
