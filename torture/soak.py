"""Soak: a simulated year of polls, at ten times the real rate of change.

Memory and state stay small, every query stays quick, and the state is the truth all the time. There
is no ledger of the year here: it would be what grows.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from statistics import mean
from time import perf_counter
from typing import TYPE_CHECKING

from torture.checkers import ConsistencyChecker, on_sale
from torture.client import InMemoryClient
from torture.daemon import Clock, SimulatedDaemon
from torture.inboxes import Answer, MemoryInbox
from torture.machine import resident_memory, temporary_directory
from torture.state_checks import check_integrity
from torture.trial import BrokenPromise, Tally, Trial
from watcher.catalog.record import RecordFilter
from watcher.config.settings import PollSettings, Settings, SourceSettings
from watcher.simulator.catalogue import Catalogue, Insert, Remove, amount, listed_usd
from watcher.simulator.generator import generate
from watcher.simulator.random_edits import random_edit
from watcher.store.retention import retention_of
from watcher.store.store import open_store
from watcher.store.values import PollOutcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from torture.trial import Budget
    from watcher.kie.completeness import Page
    from watcher.observer import PollReport
    from watcher.store.store import Store

__all__ = ["SOAK", "YEAR", "Scale", "soak"]

# A year of polls, five minutes apart.
POLLS = 105_120
SAMPLES = 500
# The interval of a year with fewer polls.
LONG_INTERVAL = timedelta(minutes=30)
PRUNE_EVERY = 12
CHECK_EVERY = 5000
# The bounds: growth of memory in MiB, size of the state in MB, duration of a query in seconds.
MOST_GROWTH, LARGEST_STATE, SLOWEST_QUERY = 24.0, 24.0, 0.050
# The best of so many counts: a busy machine must not look like a slow query.
TRIES = 20
PATIENCE = timedelta(days=3)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Scale:
    """The size of the market, how often it changes, and how often it is polled.

    The real listing has some 570 models, and some 230 changes a month.
    """

    models: int = 570
    change_interval: timedelta = timedelta(days=30) / (10 * 230)
    poll: PollSettings = field(default_factory=PollSettings)


class _CountingInbox(MemoryInbox):
    """Receives nearly everything, and keeps only the number of messages and the last id."""

    def __init__(self, name: str, rng: Random) -> None:
        super().__init__(name)
        self.count = 0
        self._rng = rng
        self._last = ""

    def _receive(self, alert_id: str, text: str) -> Answer:  # noqa: ARG002 - only counted
        if self._rng.random() < 0.02:
            return Answer.FAILS
        if alert_id == self._last:
            raise BrokenPromise(f"{alert_id} came twice, and was acknowledged")
        self._last = alert_id
        self.count += 1
        return Answer.ACCEPTS


class _CachingClient(InMemoryClient):
    """Parses a page again only where its bytes changed, which halves the duration of the trial.

    The cached page is the watcher's own, and is never changed.
    """

    def __init__(self, catalogue: Catalogue, source: SourceSettings, rng: Random) -> None:
        super().__init__(catalogue, source, rng)
        self._cached_pages: dict[tuple[int, int], tuple[bytes, Page]] = {}

    async def _page(self, number: int, size: int) -> Page:
        body = self.page_body(number, size)
        kept = self._cached_pages.get((number, size))
        if kept is not None and kept[0] == body:
            self.traffic.requests += 1
            return kept[1]
        page = await super()._page(number, size)
        self._cached_pages[number, size] = body, page
        return page


class _SoakWorld:
    """A market as large as the real one, two receivers, and one long run of the daemon."""

    def __init__(self, seed: int, store: Store, scale: Scale) -> None:
        self.rng = Random(seed)
        self.store = store
        self.scale = scale
        self.catalogue = Catalogue(generate(seed, size=scale.models))
        self.checker = ConsistencyChecker()
        self.clock = Clock()
        self.inboxes = [_CountingInbox(name, self.rng) for name in ("team", "mail")]
        client = _CachingClient(self.catalogue, SourceSettings(), self.rng)
        settings = Settings(poll=scale.poll)
        self.daemon = SimulatedDaemon(
            store, client, self.inboxes, clock=self.clock, rng=self.rng, settings=settings
        )
        self.daemon.on_poll = self._on_poll
        self.polls = 0
        self.edits = 0
        self.memory = array("d")
        self.took = array("d")
        self._next_edit = timedelta(0)
        self._new_models = 0
        self._report: PollReport | None = None
        self.times_checked = 0

    async def begin(self) -> None:
        await self.daemon.poll()
        self.checker.begin(await on_sale(self.store))

    async def run(self, polls: int, budget: Budget) -> None:
        """Run for so many polls, or as many as there is time for."""
        sample_every = max(polls // SAMPLES, 1)
        while self.polls < polls and not budget.over:
            self._edit()
            if await self.daemon.step() is None:
                continue
            self.polls += 1
            if self.polls % PRUNE_EVERY == 0:
                await self.store.prune(retention_of(Settings()), self.clock())
            if self.polls % sample_every == 0:
                self.memory.append(resident_memory())
                budget.progress(self.polls)
            if self.polls % CHECK_EVERY == 0:
                await self.rest_and_check()

    async def rest_and_check(self) -> None:
        """Let time pass without edits until nothing waits, and check the state."""
        since, until = self.clock(), self.clock.passed + PATIENCE
        await self.daemon.run(HOUR)
        while await self._something_waits(since):
            if self.clock.passed > until:
                raise BrokenPromise(f"after three days without edits: {await self.store.status()}")
            await self.daemon.run(HOUR)
        self.checker.check_end(await on_sale(self.store), self.catalogue)
        self.times_checked += 1
        self._next_edit = self.clock.passed

    async def _something_waits(self, since: datetime) -> bool:
        status = await self.store.status()
        good = self._report is not None and self._report.outcome.is_good
        swept = status.swept_at is not None and status.swept_at > since
        waiting = any(it.waiting or it.open or it.dead for it in status.receivers)
        return not good or not swept or bool(status.holds) or waiting

    def _edit(self) -> None:
        while self._next_edit <= self.clock.passed:
            self._next_edit += self.scale.change_interval * self.rng.expovariate(1)
            edit = random_edit(self.rng, self.catalogue).edit
            if isinstance(edit, Insert):
                edit = self._with_new_name(edit)
            if len(self.catalogue) > self.scale.models * 1.02:
                edit = Remove(self.rng.choice(self.catalogue.rows)["modelDescription"])
            edit.apply(self.catalogue)
            self.edits += 1

    def _with_new_name(self, like: Insert) -> Insert:
        """The same with a new name. Names made of names would grow and grow, as no listing's do."""
        self._new_models += 1
        name = f"Nova {1000 + self._new_models}, {self._new_models} steps"
        usd = listed_usd(amount(like.row["creditPrice"]) or Decimal(0))
        return replace(like, row={**like.row, "modelDescription": name, "usdPrice": usd})

    def _on_poll(self, report: PollReport) -> None:
        self._report = report
        self.took.append(report.took.total_seconds())
        if not report.outcome.is_good:
            raise BrokenPromise(f"a poll was {report.outcome}: {report.why}")
        self.checker.check(report.changes)


async def soak(seed: int, budget: Budget, scale: Scale) -> Tally:
    """Run as many polls as the budget has; `wrong` in the result says which bounds were missed."""
    with temporary_directory() as place:
        path = place / "state.db"
        async with open_store(path) as store:
            world = _SoakWorld(seed, store, scale)
            await world.begin()
            await world.run(budget.runs, budget)
            await world.rest_and_check()
            check_integrity(path)
            queries = await _best_times(_frequent_queries(store, world.clock))
            history = await _best_times({"all changes": store.changes})
            size = sum(file.stat().st_size for file in place.glob("state.db*")) / 1e6
    slowest = max(queries, key=lambda name: queries[name])
    growth = _growth(world.memory)
    figures = {
        "simulated days": world.clock.passed / DAY,
        "edits": world.edits,
        "changes": world.checker.checked,
        "messages": sum(inbox.count for inbox in world.inboxes),
        "times checked at rest": world.times_checked,
        "state, MB": size,
        "memory grew by, MiB": growth,
        f"slowest query ({slowest}), ms": queries[slowest] * 1000,
        "all changes there ever were, ms": history["all changes"] * 1000,
        "a poll in the first tenth, ms": mean(_tenth(world.took, 0)) * 1000,
        "a poll in the last tenth, ms": mean(_tenth(world.took, 9)) * 1000,
    }
    return Tally(world.polls, figures, tuple(_missed_bounds(growth, size, queries)))


async def _run_seed(seed: int, budget: Budget) -> Tally:
    return await soak(seed, budget, Scale())


def _frequent_queries(store: Store, clock: Clock) -> dict[str, Callable[[], Awaitable[object]]]:
    """The queries of the daemon at every poll and message, and of the commands."""
    week = clock() - 7 * DAY
    return {
        "snapshot": store.snapshot,
        "on sale": store.on_sale,
        "departed": lambda: store.removed_models(["nova 1", "nova 2"]),
        "histories": lambda: store.histories(range(1, 21), clock() - 2 * DAY),
        "prices": lambda: store.prices(range(1, 21)),
        "silences": store.silences,
        "waiting": lambda: store.queued("team"),
        "digests": lambda: store.digests("team"),
        "open message": lambda: store.open_message("team"),
        "note of a poll": lambda: store.note_poll(clock(), PollOutcome.QUIET),
        "a step of pruning": lambda: store.prune(retention_of(Settings()), clock()),
        "status": store.status,
        "outbox": store.outbox,
        "models": store.models,
        "models searched": lambda: store.models(RecordFilter(search="video 1080p")),
        "changes of a week": lambda: store.changes(since=week),
        "notices of a week": lambda: store.notices(week),
        "a week ago": lambda: store.on_sale_at(week),
    }


async def _best_times(queries: Mapping[str, Callable[[], Awaitable[object]]]) -> dict[str, float]:
    """The shortest duration of each query, in seconds."""
    took: dict[str, float] = {}
    for name, query in queries.items():
        took[name] = SLOWEST_QUERY + 1
        for _ in range(TRIES):
            started = perf_counter()
            await query()
            took[name] = min(took[name], perf_counter() - started)
            if took[name] < SLOWEST_QUERY / 2:
                break
    return took


def _growth(samples: Sequence[float]) -> float:
    """The growth from the second tenth of the samples, when all is loaded, to the last."""
    return mean(_tenth(samples, 9)) - mean(_tenth(samples, 1))


def _tenth(samples: Sequence[float], number: int) -> Sequence[float]:
    size = len(samples) // 10
    return samples[number * size : (number + 1) * size] or (0.0,)


def _missed_bounds(growth: float, size: float, queries: Mapping[str, float]) -> Iterator[str]:
    if growth > MOST_GROWTH:
        yield f"memory grew by {growth:.1f} MiB, more than {MOST_GROWTH:.0f}"
    if size > LARGEST_STATE:
        yield f"the state has {size:.1f} MB, more than {LARGEST_STATE:.0f}"
    for name, seconds in queries.items():
        if seconds > SLOWEST_QUERY:
            yield f"{name} took {seconds * 1000:.0f} ms, more than {SLOWEST_QUERY * 1000:.0f}"


async def _run_seed_of_rare_polls(seed: int, budget: Budget) -> Tally:
    poll = PollSettings(interval=LONG_INTERVAL, full_sweep_every=4 * LONG_INTERVAL)
    return await soak(seed, budget, Scale(poll=poll))


SOAK = Trial("soak", "polls of a simulated year", POLLS, 5, _run_seed)
YEAR = Trial(
    "year",
    "polls of a simulated year",
    round(365 * DAY / LONG_INTERVAL),
    5,
    _run_seed_of_rare_polls,
)
