"""What a complete sweep becomes: from records to what is believed, told and kept.

match → diff → confirm → route → record, in one transaction at the end. Refuses to know how a sweep
was made, and when the next one is.

One poll, and the loop of polls: when to look, what a look came to, when to look again.

probe → sweep → intake. Refuses to know how any of these is done, and how what is recorded gets
told.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from itertools import chain
from time import perf_counter
from typing import TYPE_CHECKING

import structlog

from watcher.catalog.changes import ModelChange, Notice, NoticeKind, RecordedChange
from watcher.catalog.confirm import judge
from watcher.catalog.diff import Differences, KnownRecord, diff
from watcher.catalog.matching import match
from watcher.catalog.record import DOCUMENTED_USD_PER_CREDIT, Snapshot
from watcher.kie.completeness import Sighting
from watcher.kie.responses import SourceError, SourceReason
from watcher.routing.plan import NOTHING_KNOWN, Past, Plan, plan
from watcher.schedule import backoff, first_of
from watcher.store.connection import ConflictError, StateError
from watcher.store.values import Commit, PollCost, believed_after

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime
    from random import Random

    from watcher.catalog.changes import Change
    from watcher.catalog.confirm import Policy
    from watcher.config.settings import PollSettings
    from watcher.kie.client import KieClient, Sweep
    from watcher.routing.rules import RoutingRules, Silence
    from watcher.store.store import Store
    from watcher.store.values import Believed, KnownModel, Recorded, StoredSilence


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


log = structlog.get_logger()

# A hold that is due the next moment must not make the poller spin.
SHORTEST_WAIT = timedelta(seconds=0.05)


class PollOutcome(StrEnum):
    """How a poll ended."""

    QUIET = "quiet"  # the probe saw nothing new: two small requests
    UNCHANGED = "unchanged"  # a sweep that shows nothing new
    CHANGED = "changed"
    BASELINE = "baseline"
    INCONCLUSIVE = "inconclusive"  # the catalogue moved while it was read
    FAILED = "failed"

    @property
    def is_good(self) -> bool:
        """Whether the catalogue is known to be what the store says."""
        return self not in {PollOutcome.INCONCLUSIVE, PollOutcome.FAILED}


@dataclass(frozen=True, slots=True)
class PollReport:
    """What one poll did. `why` is what called for a sweep, or what went wrong.

    `reason` is the sort of failure, for counting; `bytes` are those of the bodies as they came.
    """

    outcome: PollOutcome
    why: str | None = None
    reason: str | None = None
    changes: tuple[RecordedChange, ...] = ()
    notices: tuple[Notice, ...] = ()
    holds: int = 0
    retry_after: timedelta | None = None
    suppressed: int = 0
    requests: int = 0
    bytes: int = 0
    took: timedelta = timedelta(0)


class Poller:
    """Polls the API and records what it means.

    `now` gives aware UTC times, and `pace` says how many of its seconds pass in one of ours.
    """

    def __init__(
        self,
        client: KieClient,
        store: Store,
        poll: PollSettings,
        rules: Rules,
        *,
        now: Callable[[], datetime],
        rng: Random,
        pace: float = 1.0,
    ) -> None:
        self._client = client
        self._store = store
        self._settings = poll
        self._intake = Intake(store, rules, now)
        self._now = now
        self._rng = rng
        self._pace = pace
        self._failures = 0
        self._disagreement: str | None = None
        self._unreadable: frozenset[str] = frozenset()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Say that the store was told something from outside: look at it anew, and poll at once."""
        self._woken.set()

    async def run(
        self,
        stop: asyncio.Event,
        after: Callable[[PollReport], None],
        sign: Callable[[timedelta], None] = lambda _: None,
    ) -> None:
        """Poll until `stop` is set; `after` hears of every poll.

        `sign` hears in how long the next poll begins, each time that is known: a sign of life.
        """
        while not stop.is_set():
            sign(timedelta(0))
            report = await self.poll()
            after(report)
            wait = self.wait_after(report)
            sign(wait)
            await first_of(stop, self._woken, within=wait / self._pace)

    async def poll(self) -> PollReport:
        """One poll. Never raises: whatever goes wrong is logged, noted and reported."""
        started, before = perf_counter(), replace(self._client.traffic)
        report = await self._try_to_poll()
        traffic = self._client.traffic
        report = replace(
            report,
            requests=traffic.requests - before.requests,
            bytes=traffic.bytes - before.bytes,
            took=timedelta(seconds=perf_counter() - started),
        )
        await self._note(report)
        self._log(report)
        return report

    def wait_after(self, report: PollReport) -> timedelta:
        """How long until the next poll: early for what is due, polite after errors."""
        poll = self._settings
        wait = backoff(
            poll.interval,
            self._failures,
            report.retry_after,
            limit=poll.max_backoff,
            rng=self._rng,
            jitter=poll.jitter,
        )
        believed = self._intake.at_hand
        if believed is None or not report.outcome.is_good:
            return wait
        due = [believed.swept_at + poll.full_sweep_every, *(h.until_at for h in believed.holds)]
        return max(SHORTEST_WAIT, min(wait, min(due) - self._now()))

    async def _try_to_poll(self) -> PollReport:
        try:
            return await self._poll()
        except SourceError as error:
            if error.reason is SourceReason.TORN:
                return PollReport(
                    PollOutcome.INCONCLUSIVE, str(error), "torn", holds=self._open_holds()
                )
            return self._failed(str(error), error.reason.value, error.retry_after)
        except StateError as error:
            return self._failed(str(error), "state")
        except Exception as error:  # the one place: a daemon outlives its own mistakes
            log.exception("poll.crashed")
            return self._failed(f"an error in the watcher itself: {type(error).__name__}", "bug")

    async def _poll(self) -> PollReport:
        if self._woken.is_set():
            self._woken.clear()
            self._intake.forget()
        believed = await self._intake.believed()
        last = None if believed is None else Sighting.from_json(believed.sighting)
        why = self._sweep_due(believed) or await self._client.probe(last)
        if why is None:
            return PollReport(PollOutcome.QUIET, holds=self._open_holds())
        # Whoever starts over has nothing to hold a sweep against, as at the first.
        begins = believed is None or believed.start_over
        sweep = await self._client.sweep(None if begins else last)
        self._log_doubts(sweep)
        taken = await self._intake.take(sweep)
        return PollReport(
            _outcome(taken),
            why,
            changes=taken.changes,
            notices=taken.notices,
            holds=self._open_holds(),
            suppressed=taken.suppressed,
        )

    def _sweep_due(self, believed: Believed | None) -> str | None:
        if believed is None:
            return "first poll"
        if believed.start_over:
            return "starting over, as asked"
        if believed.holds:
            return "something waits for confirmation"
        age = self._now() - believed.swept_at
        # A clock that was set back must not put off the sweep.
        if not timedelta(0) <= age < self._settings.full_sweep_every:
            return "full sweep due"
        return None

    async def _note(self, report: PollReport) -> None:
        try:
            await self._store.note_poll(
                self._now(), report.outcome.value, report.why, _cost(report)
            )
        except StateError as error:
            # A disk that is full is reported by the poll; that the note fails too adds nothing.
            log.debug("poll.note_failed", why=str(error))

    def _failed(self, why: str, reason: str, retry_after: timedelta | None = None) -> PollReport:
        holds = self._open_holds()
        return PollReport(PollOutcome.FAILED, why, reason, holds=holds, retry_after=retry_after)

    def _open_holds(self) -> int:
        believed = self._intake.at_hand
        return len(believed.holds) if believed else 0

    def _log(self, report: PollReport) -> None:
        """One line a poll; of an outage its first failure and its end are loud, the rest is not."""
        log.log(
            _level(report, self._failures),
            "poll.done",
            outcome=report.outcome.value,
            why=report.why,
            requests=report.requests,
            bytes=report.bytes,
            changes=len(report.changes),
            holds=report.holds,
            took=round(report.took.total_seconds(), 3),
        )
        if report.outcome is PollOutcome.FAILED:
            self._failures += 1
        elif self._failures:
            log.info("poll.recovered", after=self._failures)
            self._failures = 0

    def _log_doubts(self, sweep: Sweep) -> None:
        if sweep.disagreement and not self._disagreement:
            log.warning("sweep.disagreement", what=sweep.disagreement)
        self._disagreement = sweep.disagreement
        complaints = frozenset(row.why for row in sweep.unreadable)
        for why in sorted(complaints - self._unreadable):
            log.warning("record.not_understood", why=why, count=len(sweep.unreadable))
        self._unreadable = complaints


def _outcome(taken: Beliefs) -> PollOutcome:
    if taken.is_baseline:
        return PollOutcome.BASELINE
    return PollOutcome.CHANGED if taken.changes else PollOutcome.UNCHANGED


def _cost(report: PollReport) -> PollCost | None:
    """What goes on record; a quiet poll leaves no trace."""
    if report.outcome is PollOutcome.QUIET:
        return None
    changes = len(report.changes)
    return PollCost(report.requests, report.bytes, changes, report.holds, report.took)


def _level(report: PollReport, failures_before: int) -> int:
    """First failure loud, repeats quiet: a night without the API is two lines."""
    if report.outcome is PollOutcome.FAILED:
        return _DEBUG if failures_before else _WARNING
    return _WARNING if report.outcome is PollOutcome.INCONCLUSIVE else _INFO


_DEBUG, _INFO, _WARNING = 10, 20, 30
