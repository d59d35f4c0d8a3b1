"""One poll, from the probe to the commit, and the loop of polls.

probe → sweep → match → diff → confirm → route → record. A poll probes first; it sweeps where the
probe saw something new, a full sweep is due, or a change waits for confirmation. What a complete
sweep means is stored in one transaction at the end.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from itertools import chain
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING

from watcher.catalog.changes import ModelChange, Notice, NoticeKind, RecordedChange
from watcher.catalog.confirm import Before, HoldReason, confirm, hold_credit_value
from watcher.catalog.credit_value import as_before, converted, explains, new_credit_value
from watcher.catalog.diff import Differences, diff
from watcher.catalog.matching import match
from watcher.catalog.pricing import decimal_text, normal
from watcher.catalog.record import DOCUMENTED_USD_PER_CREDIT, Model, Snapshot
from watcher.heavy import collector_paused, run_heavy
from watcher.kie.completeness import Probe
from watcher.kie.freshness import older_than
from watcher.kie.responses import SourceError, SourceReason
from watcher.log import log
from watcher.observer import NOBODY, Observer, PollReport
from watcher.routing.net_effect import subject
from watcher.routing.plan import FLAPPING_LOOKS_BACK, NO_HISTORY, Plan, crossed_marks, plan
from watcher.schedule import backoff, first_of
from watcher.store.connection import ConflictError, StateError
from watcher.store.values import Commit, PollCost, PollOutcome, snapshot_after

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from random import Random

    from watcher.catalog.changes import Change
    from watcher.catalog.confirm import Confirmation, ConfirmRules, Hold
    from watcher.catalog.credit_value import NewCreditValue
    from watcher.catalog.record import Record
    from watcher.config.settings import PollSettings
    from watcher.kie.client import KieClient, Sweep
    from watcher.kie.freshness import Freshness
    from watcher.routing.rules import RoutingRules, Silence
    from watcher.store.store import Store
    from watcher.store.values import PollStatus, Recorded, StoredSilence, StoredSnapshot

# A hold that is due the next moment must not make the poller spin.
SHORTEST_WAIT = timedelta(seconds=0.05)
# Less is a clock that is kept right, a little at a time.
SMALLEST_JUMP = timedelta(minutes=2)
# How the state says that the listing contradicts itself; whatever is unreadable says how.
_DISAGREES = "disagreement"
# A service whose clock was set back must not be disbelieved for ever.
MOST_STALE_SWEEPS = 3
# How a poll ended where the service works, but what it says proves nothing.
_OUTCOMES = MappingProxyType(
    {SourceReason.TORN: PollOutcome.INCONCLUSIVE, SourceReason.STALE: PollOutcome.STALE}
)
# Whoever accepts holds faster than a sweep is recorded is no person.
_TRIES_TO_RECORD = 5


@dataclass(frozen=True, slots=True)
class PollRules:
    """What the configuration says about confirming and routing changes.

    `parse_silence` reads a stored silence, whose matcher is written as in a configuration.
    """

    confirm: ConfirmRules
    routing: RoutingRules
    parse_silence: Callable[[StoredSilence], Silence]

    @property
    def receivers(self) -> tuple[str, ...]:
        """All receivers there are."""
        return self.routing.receivers


class Poller:
    """Polls the API and records what changed.

    `now` gives aware UTC times, and `pace` says how many of its seconds pass in a real one.
    `recorded` is called after each poll that left something to be sent, and `jumped` says by how
    much the clock was set since it was last called.
    """

    def __init__(
        self,
        client: KieClient,
        store: Store,
        poll: PollSettings,
        rules: PollRules,
        *,
        now: Callable[[], datetime],
        rng: Random,
        pace: float = 1.0,
        observer: Observer = NOBODY,
        recorded: Callable[[], None] = lambda: None,
        jumped: Callable[[], timedelta] = timedelta,
    ) -> None:
        self._observer = observer
        self._recorded = recorded
        self._jumped = jumped
        # What could not be stored yet.
        self._jump = timedelta(0)
        self._client = client
        self._store = store
        self._settings = poll
        self._intake = _Intake(store, rules, now, observer)
        self._now = now
        self._rng = rng
        self._pace = pace
        # Failed polls in a row, which make the next ones rarer; and those that were not good.
        self._failures = self._not_good = 0
        # What was said of the listing, and still holds.
        self._doubts: frozenset[str] = frozenset()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Poll at once and read the state again, because a request changed it."""
        self._woken.set()

    def go_on_from(self, last: PollStatus | None) -> None:
        """What another process said of the polls so far is not said again."""
        if last is not None:
            self._not_good, self._doubts = last.failures, last.doubts

    async def run(self, stop: asyncio.Event) -> None:
        """Poll until `stop` is set."""
        while not stop.is_set():
            self._observer.check_in("poller", self._client.longest_poll)
            report = await self.poll()
            self._observer.polled(report)
            if report.changes or report.notices:
                self._recorded()
            wait = self.wait_after(report)
            # Changes of a whole catalogue are not kept in memory until the next poll.
            del report
            self._observer.check_in("poller", wait + self._client.longest_poll)
            await first_of(stop, self._woken, within=wait / self._pace)

    async def poll(self) -> PollReport:
        """One poll. Never raises: whatever goes wrong is logged, stored and reported."""
        started, before = perf_counter(), replace(self._client.traffic)
        report = await self._try_to_poll()
        traffic, stored = self._client.traffic, self._intake.cached
        if stored is not None:
            reasons = {hold.reason for hold in stored.holds}
            report = replace(
                report,
                holds=len(stored.holds),
                collapse_held=HoldReason.COLLAPSE in reasons,
                models=len(stored.models),
            )
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
        """How long until the next poll: sooner where something is due, later after errors."""
        poll = self._settings
        wait = backoff(
            poll.interval,
            self._failures,
            report.retry_after,
            limit=poll.max_backoff,
            rng=self._rng,
            jitter=poll.jitter,
        )
        stored = self._intake.cached
        if stored is None or not report.outcome.is_good:
            return wait
        due = [stored.swept_at + poll.full_sweep_every, *(h.until_at for h in stored.holds)]
        return max(SHORTEST_WAIT, min(wait, min(due) - self._now()))

    async def _try_to_poll(self) -> PollReport:
        try:
            return await self._poll()
        except SourceError as error:
            return PollReport(
                _OUTCOMES.get(error.reason, PollOutcome.FAILED),
                str(error),
                error.reason.value,
                error.status,
                retry_after=error.retry_after,
            )
        except StateError as error:
            return PollReport(PollOutcome.FAILED, str(error), "state")
        except Exception as error:  # the one place: a daemon outlives its own mistakes
            log.exception("poll.crashed")
            why = f"an error in the watcher itself: {type(error).__name__}"
            return PollReport(PollOutcome.FAILED, why, "bug")

    async def _poll(self) -> PollReport:
        if self._woken.is_set():
            self._woken.clear()
            self._intake.drop_cache()
        stored = await self._intake.snapshot()
        last = None if stored is None else Probe.from_json(stored.probe)
        why = self._sweep_due(stored) or await self._client.probe(last)
        if why is None:
            return PollReport(PollOutcome.QUIET)
        # A new baseline is not compared with the last sweep, as the first one cannot be.
        is_baseline = stored is None or stored.start_over
        sweep = await self._client.sweep(None if is_baseline else last)
        if stored is not None and last is not None and not is_baseline:
            await self._refuse_stale(sweep, last.freshness, stored.swept_at)
        self._log_doubts(sweep)
        await self._follow_clock()
        with collector_paused():
            result = await self._intake.take(sweep)
        return PollReport(
            _outcome(result),
            why,
            changes=result.changes,
            notices=result.notices,
            unreadable=sweep.not_understood(),
        )

    async def _follow_clock(self) -> None:
        """Where the clock was set, let what is held wait as long as if it had not been."""
        self._jump += self._jumped()
        if abs(self._jump) >= SMALLEST_JUMP:
            await self._store.shift_holds(self._jump)
            self._intake.drop_cache()
        self._jump = timedelta(0)

    async def _refuse_stale(self, sweep: Sweep, known: Freshness, known_at: datetime) -> None:
        """Raise `SourceError` where the replies are older than the last believed ones.

        Not more than three times in a row: `MOST_STALE_SWEEPS`.
        """
        older = older_than(known, known_at, sweep.probe.freshness, self._now())
        if older is not None and await self._store.stale_sweeps() < MOST_STALE_SWEEPS:
            seconds = older.total_seconds()
            what = f"a reply is {seconds:.0f} s older than the last one believed, from a cache?"
            raise SourceError("sweep", what, SourceReason.STALE)

    def _sweep_due(self, stored: StoredSnapshot | None) -> str | None:
        if stored is None:
            return "first poll"
        if stored.start_over:
            return "starting over, as asked"
        if stored.holds:
            return "something waits for confirmation"
        age = self._now() - stored.swept_at
        # A clock that was set back must not delay the sweep.
        if not timedelta(0) <= age < self._settings.full_sweep_every:
            return "full sweep due"
        return None

    async def _note(self, report: PollReport) -> None:
        cost = PollCost(
            report.requests, report.bytes, len(report.changes), report.holds, report.took
        )
        # A quiet poll is not added to the log of polls.
        logged = None if report.outcome is PollOutcome.QUIET else cost
        try:
            await self._store.note_poll(
                self._now(), report.outcome, report.why, logged, doubts=self._doubts
            )
        except StateError as error:
            # The poll itself reports a full disk; that this fails too says nothing new.
            log.debug("poll.note_failed", why=str(error))

    def _log(self, report: PollReport) -> None:
        """Log one line a poll; of an outage only the first failure and the end above debug."""
        log.log(
            _level(report, self._not_good),
            "poll.done",
            outcome=report.outcome.value,
            why=report.why,
            requests=report.requests,
            bytes=report.bytes,
            changes=len(report.changes),
            holds=report.holds,
            took=round(report.took.total_seconds(), 3),
        )
        self._failures = self._failures + 1 if report.outcome is PollOutcome.FAILED else 0
        if not report.outcome.is_good:
            self._not_good += 1
        elif self._not_good:
            log.info("poll.recovered", after=self._not_good)
            self._not_good = 0

    def _log_doubts(self, sweep: Sweep) -> None:
        reasons = frozenset(row.why for row in sweep.unreadable)
        if sweep.disagreement and _DISAGREES not in self._doubts:
            log.warning("sweep.disagreement", what=sweep.disagreement)
        for why in sorted(reasons - self._doubts):
            log.warning("record.not_understood", why=why, count=len(sweep.unreadable))
        self._doubts = reasons | ({_DISAGREES} if sweep.disagreement else set())


@dataclass(frozen=True, slots=True)
class _SweepResult:
    """What one sweep came to. `is_baseline`: taken as it is, and announced as a whole."""

    changes: tuple[RecordedChange, ...] = ()
    notices: tuple[Notice, ...] = ()
    is_baseline: bool = False


@dataclass(slots=True)
class _Intake:
    """Takes complete sweeps into the store, and caches the snapshot that is stored."""

    store: Store
    rules: PollRules
    now: Callable[[], datetime]
    observer: Observer
    cached: StoredSnapshot | None = field(default=None, init=False)

    async def snapshot(self) -> StoredSnapshot | None:
        """The snapshot as stored; `None` before the first sweep."""
        if self.cached is None:
            self.cached = await self.store.snapshot()
        return self.cached

    def drop_cache(self) -> None:
        """Read the store again next time, because somebody else changed it."""
        self.cached = None

    async def take(self, sweep: Sweep) -> _SweepResult:
        """Confirm, hold or drop what a sweep shows, and record it. Raises `StateError`."""
        for _ in range(_TRIES_TO_RECORD - 1):
            with suppress(ConflictError):
                return await self._take_once(sweep)
            # A person accepted a hold meanwhile: the same sweep may confirm it.
            self.drop_cache()
        return await self._take_once(sweep)

    async def _take_once(self, sweep: Sweep) -> _SweepResult:
        stored = await self.snapshot()
        if stored is None:
            return await self._take_baseline(sweep)
        if stored.start_over:
            return await self._start_over(stored, sweep)
        return await self._take_sweep(stored, sweep)

    async def _take_baseline(self, sweep: Sweep) -> _SweepResult:
        now = self.now()
        snapshot = await _snapshot(sweep, DOCUMENTED_USD_PER_CREDIT)
        notice = _baseline_notice(snapshot, now)
        commit = Commit(
            at=now,
            usd_per_credit=snapshot.usd_per_credit,
            probe=sweep.probe.to_json(),
            baseline=snapshot.records,
            notices=((notice, self.rules.receivers),),
        )
        await self._record(None, commit)
        return _SweepResult(notices=(notice,), is_baseline=True)

    async def _start_over(self, stored: StoredSnapshot, sweep: Sweep) -> _SweepResult:
        """Take a sweep as it is, as a person asked: store every change, announce none."""
        now = self.now()
        snapshot = await _snapshot(sweep, stored.usd_per_credit)
        differences = await self._compare(stored, sweep, snapshot)
        notice = _baseline_notice(snapshot, now)
        commit = Commit(
            at=now,
            usd_per_credit=snapshot.usd_per_credit,
            probe=sweep.probe.to_json(),
            changes=tuple((change, ()) for change in differences.changes),
            updates=differences.updates,
            notices=((notice, self.rules.receivers),),
            starts_over=True,
        )
        await self._record(stored, commit)
        return _SweepResult(notices=(notice,), is_baseline=True)

    async def _take_sweep(self, stored: StoredSnapshot, sweep: Sweep) -> _SweepResult:
        now, rules = self.now(), self.rules.confirm
        known, records = [model.record for model in stored.models], sweep.records
        value, count = stored.usd_per_credit, len(sweep.records)
        new = await run_heavy(count, new_credit_value, known, records, value)
        hold = None if new is None else hold_credit_value(new, stored.holds, rules, now)
        if new is not None and hold is not None:
            records = tuple(await run_heavy(count, as_before, new, known, records))
        elif new is not None and new.factor is not None:
            return await self._redenominate(stored, sweep, new, new.factor)
        elif new is not None:
            value = new.after
        snapshot = await run_heavy(count, Snapshot.at, records, value)
        differences = await self._compare(stored, sweep, snapshot)
        last = Probe.from_json(stored.probe)
        nameless = sweep.probe.nameless
        hidden = max(nameless - last.nameless, 0) + sweep.probe.doubled
        before = Before(len(stored.models), stored.holds, hidden)
        changed = len(differences.changes)
        confirmation = await run_heavy(changed, confirm, differences, before, rules, now)
        if value != stored.usd_per_credit:
            confirmation = await run_heavy(
                count, _with_crossings, confirmation, stored, value, self.rules.routing
            )
        if confirmation.doubted:
            # The rows that may hide these models go on counting as such.
            nameless = min(nameless, last.nameless)
        plans = await self._plan(confirmation.changes, now)
        commit = Commit(
            at=now,
            usd_per_credit=snapshot.usd_per_credit,
            probe=replace(sweep.probe, nameless=nameless).to_json(),
            changes=tuple(
                (change, it.dispatches)
                for change, it in zip(confirmation.changes, plans, strict=True)
            ),
            updates=confirmation.updates,
            holds=confirmation.holds if hold is None else (*confirmation.holds, hold),
            notices=tuple((notice, self.rules.receivers) for notice in confirmation.notices),
            anchors=tuple(anchor for it in plans for anchor in it.anchors),
            caught=_caught(plans),
            expected_holds=stored.holds,
        )
        recorded = await self._record(stored, commit)
        self.observer.suppressed("silence", sum(len(it.suppressed) for it in plans))
        return _SweepResult(recorded.changes, confirmation.notices)

    async def _redenominate(
        self, stored: StoredSnapshot, sweep: Sweep, new: NewCreditValue, factor: Decimal
    ) -> _SweepResult:
        """Convert the state to the new unit of account, say so, and take the sweep by it.

        The conversion is a transaction of its own: the sweep is compared with what it leaves.
        """
        now = self.now()
        detail = {"factor": factor, "before": new.before, "after": new.after}
        notice = Notice(
            NoticeKind.REDENOMINATED, now, {key: decimal_text(it) for key, it in detail.items()}
        )
        commit = Commit(
            at=now,
            usd_per_credit=new.after,
            probe=stored.probe,
            updates=await run_heavy(len(sweep.records), _rounded, stored, sweep, factor),
            holds=tuple(_converted_holds(stored.holds, factor)),
            notices=((notice, self.rules.receivers),),
            expected_holds=stored.holds,
            factor=factor,
        )
        self.drop_cache()
        await self.store.record(commit)
        converted_state = await self.snapshot()
        assert converted_state is not None, "it was just recorded"  # noqa: S101
        result = await self._take_sweep(converted_state, sweep)
        return replace(result, notices=(notice, *result.notices))

    async def _compare(
        self, stored: StoredSnapshot, sweep: Sweep, snapshot: Snapshot
    ) -> Differences:
        """What differs from the stored snapshot. Nothing is concluded from unreadable rows."""
        count = len(snapshot.records)
        keys = await run_heavy(count, _additional_keys, stored, snapshot)
        removed = await self.store.removed_models(keys)
        matching = await run_heavy(
            count,
            match,
            [model.record for model in stored.models],
            snapshot.records,
            departed=[model.record for model in removed],
            unreadable={row.identity_key for row in sweep.unreadable},
        )
        value = stored.usd_per_credit
        return await run_heavy(count, diff, stored.models, removed, snapshot, matching, value)

    async def _plan(self, changes: Sequence[Change], now: datetime) -> list[Plan]:
        """Decide which deliveries each change makes."""
        since = now - FLAPPING_LOOKS_BACK * self.rules.routing.flap.within
        histories = await self.store.histories(set(map(subject, changes)), since)
        silences = [self.rules.parse_silence(it) for it in await self.store.silences()]
        active = [silence for silence in silences if silence.is_active(now)]

        def plan_all() -> list[Plan]:
            return [
                plan(
                    change,
                    self.rules.routing,
                    now=now,
                    history=histories.get(subject(change), NO_HISTORY),
                    silences=active,
                )
                for change in changes
            ]

        return await run_heavy(len(changes), plan_all)

    async def _record(self, before: StoredSnapshot | None, commit: Commit) -> Recorded:
        # Should anything fail from here on, the next poll reads from the store what was recorded.
        self.drop_cache()
        recorded = await self.store.record(commit)
        count = len(recorded.models)
        self.cached = await run_heavy(count, snapshot_after, before, commit, recorded)
        return recorded


async def _snapshot(sweep: Sweep, usd_per_credit: Decimal) -> Snapshot:
    return await run_heavy(len(sweep.records), Snapshot.of, sweep.records, usd_per_credit)


def _rounded(
    stored: StoredSnapshot, sweep: Sweep, factor: Decimal
) -> tuple[tuple[int, Record], ...]:
    """Converted records whose credits are listed a little different, as rounding makes them."""
    times = Counter(record.identity_key for record in sweep.records)
    listed = {it.identity_key: it for it in sweep.records if times[it.identity_key] == 1}
    rounded: list[tuple[int, Record]] = []
    for model in stored.models:
        row, record = listed.get(model.record.identity_key), converted(model.record, factor)
        if row is None or row.credits == record.credits or record.unit != row.unit:
            continue
        if explains(factor, model.record, row):
            rounded.append((model.id, replace(record, credits=row.credits)))
    return tuple(rounded)


def _converted_holds(holds: Iterable[Hold], factor: Decimal) -> Iterator[Hold]:
    """The holds but the one that ends here; the prices that are held are in credits."""
    for hold in holds:
        if hold.reason is HoldReason.PRICE and hold.subject:
            price = decimal_text(normal(Decimal(hold.subject) * factor)) or ""
            yield replace(hold, subject=price)
        elif hold.reason is not HoldReason.CREDIT_VALUE:
            yield hold


def _with_crossings(
    confirmation: Confirmation, stored: StoredSnapshot, value: Decimal, rules: RoutingRules
) -> Confirmation:
    """With a change for each model whose USD price crosses a mark only because of the value."""
    changed = {it.model_id for it in confirmation.changes if isinstance(it, ModelChange)}
    held = {hold.model_id for hold in confirmation.holds}
    updates = dict(confirmation.updates)
    before = stored.usd_per_credit
    crossings = crossed_marks(
        [
            (
                model.id,
                Model(model.record, before),
                Model(updates.get(model.id, model.record), value),
            )
            for model in stored.models
            if model.id not in changed and model.id not in held
        ],
        rules,
    )
    for change in crossings:
        updates.pop(change.model_id or 0, None)
    changes = (*confirmation.changes, *crossings)
    return replace(confirmation, changes=changes, updates=tuple(updates.items()))


def _baseline_notice(snapshot: Snapshot, now: datetime) -> Notice:
    categories = Counter(record.interface for record in snapshot.records)
    detail = {"models": len(snapshot.records), "categories": dict(categories.most_common())}
    return Notice(NoticeKind.BASELINE, now, detail)


def _additional_keys(stored: StoredSnapshot, snapshot: Snapshot) -> Collection[str]:
    """Identity keys that the snapshot has more often than the store: new, or back on sale."""
    before = Counter(model.record.identity_key for model in stored.models)
    now = Counter(record.identity_key for record in snapshot.records)
    return {key for key, count in now.items() if count > before.get(key, 0)}


def _caught(plans: Sequence[Plan]) -> Mapping[int, int]:
    """How many deliveries each silence held back or dropped."""
    dispatches = chain.from_iterable((*it.dispatches, *it.suppressed) for it in plans)
    return Counter(it.silence_id for it in dispatches if it.silence_id is not None)


def _outcome(result: _SweepResult) -> PollOutcome:
    if result.is_baseline:
        return PollOutcome.BASELINE
    return PollOutcome.CHANGED if result.changes else PollOutcome.UNCHANGED


def _level(report: PollReport, not_good_before: int) -> int:
    """A warning for the first in a row that is not good, debug for the next ones."""
    if report.outcome.is_good:
        return logging.INFO
    return logging.DEBUG if not_good_before else logging.WARNING
