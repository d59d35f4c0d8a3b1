"""One poll, and the loop of polls: the order in which things happen between the API and the store.

probe → sweep → match → diff → confirm → route → record. Refuses to know how any of these is done,
and how what is recorded gets told.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from itertools import chain
from time import perf_counter
from typing import TYPE_CHECKING

import structlog

from watcher.catalog import DOCUMENTED_USD_PER_CREDIT, Snapshot
from watcher.changes import ModelChange, Notice, NoticeKind, RecordedChange
from watcher.confirm import judge
from watcher.diff import Differences, KnownRecord, diff
from watcher.kie import Sighting, SourceError, SourceReason
from watcher.matching import match
from watcher.routing import NOTHING_KNOWN, Past, Plan, plan
from watcher.schedule import backoff
from watcher.store import Commit, ConflictError, StateError, believed_after

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime
    from random import Random

    from watcher.changes import Change
    from watcher.config.settings import PollSettings
    from watcher.confirm import Policy
    from watcher.kie import KieClient, Sweep
    from watcher.routing import RoutingRules, Silence
    from watcher.store import Believed, KnownModel, Recorded, Store, StoredSilence

__all__ = ["PollOutcome", "PollReport", "Poller", "Rules", "compare"]

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
    requests: int = 0
    bytes: int = 0
    took: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says about polling, believing and announcing.

    `silence` reads a stored silence's matcher, which is written as a configuration writes one.
    """

    poll: PollSettings
    policy: Policy
    routing: RoutingRules
    silence: Callable[[StoredSilence], Silence]

    @property
    def receivers(self) -> tuple[str, ...]:
        """Everybody there is to tell."""
        return self.routing.receivers


class Poller:
    """Polls the API and records what it means. `now` gives aware UTC times."""

    def __init__(
        self,
        client: KieClient,
        store: Store,
        rules: Rules,
        *,
        now: Callable[[], datetime],
        rng: Random,
    ) -> None:
        self._client = client
        self._store = store
        self._rules = rules
        self._now = now
        self._rng = rng
        self._believed: Believed | None = None
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
            await _first_of(stop, self._woken, wait)

    async def poll(self) -> PollReport:
        """One poll. Never raises: whatever goes wrong is logged, noted and reported."""
        started, before = perf_counter(), replace(self._client.traffic)
        report = await self._try_to_poll()
        await self._note(report)
        traffic = self._client.traffic
        report = replace(
            report,
            requests=traffic.requests - before.requests,
            bytes=traffic.bytes - before.bytes,
            took=timedelta(seconds=perf_counter() - started),
        )
        self._log(report)
        return report

    def wait_after(self, report: PollReport) -> timedelta:
        """How long until the next poll: early for what is due, polite after errors."""
        poll = self._rules.poll
        wait = backoff(
            poll.interval,
            self._failures,
            report.retry_after,
            limit=poll.max_backoff,
            rng=self._rng,
            jitter=poll.jitter,
        )
        believed = self._believed
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
        believed = await self._ask_what_is_believed()
        last = None if believed is None else Sighting.from_json(believed.sighting)
        why = self._sweep_due(believed) or await self._client.probe(last)
        if why is None:
            return PollReport(PollOutcome.QUIET, holds=self._open_holds())
        sweep = await self._client.sweep(last)
        self._log_doubts(sweep)
        if believed is None:
            return await self._take_baseline(sweep, why)
        if believed.start_over:
            return await self._start_over(believed, sweep, why)
        return await self._take_sweep(believed, sweep, why)

    async def _ask_what_is_believed(self) -> Believed | None:
        if self._woken.is_set():
            self._woken.clear()
            self._believed = None
        if self._believed is None:
            self._believed = await self._store.believed()
        return self._believed

    def _sweep_due(self, believed: Believed | None) -> str | None:
        if believed is None:
            return "first poll"
        if believed.start_over:
            return "starting over, as asked"
        if believed.holds:
            return "something waits for confirmation"
        age = self._now() - believed.swept_at
        # A clock that was set back must not put off the sweep.
        if not timedelta(0) <= age < self._rules.poll.full_sweep_every:
            return "full sweep due"
        return None

    async def _take_baseline(self, sweep: Sweep, why: str) -> PollReport:
        now = self._now()
        snapshot = Snapshot.of(sweep.records, DOCUMENTED_USD_PER_CREDIT)
        notice = _baseline_notice(snapshot, now)
        commit = Commit(
            at=now,
            usd_per_credit=snapshot.usd_per_credit,
            sighting=sweep.sighting.to_json(),
            baseline=snapshot.records,
            notices=((notice, self._rules.receivers),),
        )
        await self._record(None, commit)
        return PollReport(PollOutcome.BASELINE, why, notices=(notice,))

    async def _start_over(self, believed: Believed, sweep: Sweep, why: str) -> PollReport:
        """Take a sweep as it is, as a person asked: remembered in full, told to nobody."""
        now = self._now()
        snapshot = Snapshot.of(sweep.records, believed.usd_per_credit)
        differences = await self._compare(believed, sweep, snapshot)
        notice = _baseline_notice(snapshot, now)
        commit = Commit(
            at=now,
            usd_per_credit=snapshot.usd_per_credit,
            sighting=sweep.sighting.to_json(),
            changes=tuple((change, ()) for change in differences.changes),
            updates=differences.updates,
            notices=((notice, self._rules.receivers),),
            starts_over=True,
        )
        await self._record(believed, commit)
        return PollReport(PollOutcome.BASELINE, why, notices=(notice,))

    async def _take_sweep(self, believed: Believed, sweep: Sweep, why: str) -> PollReport:
        now = self._now()
        snapshot = Snapshot.of(sweep.records, believed.usd_per_credit)
        differences = await self._compare(believed, sweep, snapshot)
        models = len(believed.models)
        verdict = judge(differences, believed.holds, models, self._rules.policy, now)
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
            notices=tuple((notice, self._rules.receivers) for notice in verdict.notices),
            anchors=tuple(anchor for it in plans for anchor in it.anchors),
            caught=_caught(plans),
            judged=believed.holds,
        )
        try:
            recorded = await self._record(believed, commit)
        except ConflictError:
            # Somebody accepted a hold meanwhile: the same sweep may settle it.
            return await self._judge_again(sweep, why)
        return PollReport(
            PollOutcome.CHANGED if recorded.changes else PollOutcome.UNCHANGED,
            why,
            changes=recorded.changes,
            notices=verdict.notices,
            holds=len(verdict.holds),
        )

    async def _judge_again(self, sweep: Sweep, why: str) -> PollReport:
        self._believed = await self._store.believed()
        assert self._believed is not None, "nothing unlearns a baseline"  # noqa: S101
        return await self._take_sweep(self._believed, sweep, why)

    async def _compare(self, believed: Believed, sweep: Sweep, snapshot: Snapshot) -> Differences:
        departed = await self._store.gone(_more_than_known(believed, snapshot))
        unreadable = {row.folded for row in sweep.unreadable if row.folded}
        return compare(believed, departed, snapshot, unreadable)

    async def _record(self, before: Believed | None, commit: Commit) -> Recorded:
        # Should anything fail from here on, the next poll asks the store what was recorded.
        self._believed = None
        recorded = await self._store.record(commit)
        self._believed = believed_after(before, commit, recorded)
        return recorded

    async def _plan(self, changes: Sequence[Change], now: datetime) -> list[Plan]:
        """Decide who is to hear of each change."""
        moved = {
            change.model_id
            for change in changes
            if isinstance(change, ModelChange) and change.model_id is not None
        }
        pasts = await self._store.pasts(moved)
        silences = [self._rules.silence(it) for it in await self._store.silences()]
        active = [silence for silence in silences if silence.is_active(now)]
        return [
            plan(
                change,
                self._rules.routing,
                now=now,
                past=_past(change, pasts),
                silences=active,
            )
            for change in changes
        ]

    async def _note(self, report: PollReport) -> None:
        try:
            await self._store.note_poll(self._now(), report.outcome.value, report.why)
        except StateError as error:
            # A disk that is full is reported by the poll; that the note fails too adds nothing.
            log.debug("poll.note_failed", why=str(error))

    def _failed(self, why: str, reason: str, retry_after: timedelta | None = None) -> PollReport:
        holds = self._open_holds()
        return PollReport(PollOutcome.FAILED, why, reason, holds=holds, retry_after=retry_after)

    def _open_holds(self) -> int:
        return len(self._believed.holds) if self._believed else 0

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


def _level(report: PollReport, failures_before: int) -> int:
    """First failure loud, repeats quiet: a night without the API is two lines."""
    if report.outcome is PollOutcome.FAILED:
        return _DEBUG if failures_before else _WARNING
    return _WARNING if report.outcome is PollOutcome.INCONCLUSIVE else _INFO


_DEBUG, _INFO, _WARNING = 10, 20, 30


async def _first_of(stop: asyncio.Event, woken: asyncio.Event, wait: timedelta) -> None:
    """Return when stopped, when woken, or after `wait`."""
    waiters = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(woken.wait())]
    try:
        await asyncio.wait(
            waiters, timeout=wait.total_seconds(), return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        for waiter in waiters:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
