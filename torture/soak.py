"""Soak: a simulated year of polls, at ten times the real rate of change, by a clock of its own.

Memory stays flat, the state small, every query quick, and what is believed is the truth all along.
Refuses to keep a ledger of the year: that would be what grows.
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

from torture.inbox import MemoryInbox, Mood
from torture.judge import Follower
from torture.place import resident, scratch
from torture.reckoning import must_be_sound
from torture.shelf import Shelf
from torture.trial import Objection, Trial, World
from torture.watch import Clock, Watch
from watcher.config.settings import PollSettings, Settings, SourceSettings
from watcher.simulator.catalogue import Catalogue, Insert, Remove, amount, listed_usd
from watcher.simulator.chance import random_edit
from watcher.simulator.generator import generate
from watcher.store.retention import kept_for
from watcher.store.store import open_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from torture.trial import Limits
    from watcher.kie.completeness import Page
    from watcher.poller import PollReport
    from watcher.store.store import Store

__all__ = ["SOAK", "YEAR", "Scale", "soak"]

# A year of polls, five minutes apart.
POLLS = 105_120
SAMPLES = 500
# As often in a year that is to be over soon.
SELDOM = timedelta(minutes=30)
TIDY_EVERY = 12
CHECK_EVERY = 5000
# What may be reached: memory grown in MiB, state in MB, a query in seconds.
FLAT, SMALL, QUICK = 24.0, 20.0, 0.050
# The best counts: a machine that is busy must not look like a slow query.
TRIES = 20
PATIENCE = timedelta(days=3)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Scale:
    """How large a market, how often it moves, and how often one looks.

    The real listing has some 570 models, and sees some 230 changes a month.
    """

    models: int = 570
    a_change_every: timedelta = timedelta(days=30) / (10 * 230)
    poll: PollSettings = field(default_factory=PollSettings)


class _Sink(MemoryInbox):
    """Takes everything but on bad moments, and remembers only how much, and the last."""

    def __init__(self, name: str, rng: Random) -> None:
        super().__init__(name)
        self.count = 0
        self._rng = rng
        self._last = ""

    def _take(self, alert_id: str, text: str) -> Mood:  # noqa: ARG002 - only counted
        if self._rng.random() < 0.02:
            return Mood.FAILS
        if alert_id == self._last:
            raise Objection(f"{alert_id} came twice, and was acknowledged")
        self._last = alert_id
        self.count += 1
        return Mood.ACCEPTS


class _SoakedShelf(Shelf):
    """Understands a page anew only where its bytes are not those of the last time: half the year.

    What is understood is the watcher's own work all the same, and never changes once it is made.
    """

    def __init__(self, catalogue: Catalogue, source: SourceSettings, rng: Random) -> None:
        super().__init__(catalogue, source, rng)
        self._read: dict[tuple[int, int], tuple[bytes, Page]] = {}

    async def _page(self, number: int, size: int) -> Page:
        body = self.good_page(number, size)
        kept = self._read.get((number, size))
        if kept is not None and kept[0] == body:
            self.traffic.requests += 1
            return kept[1]
        page = await super()._page(number, size)
        self._read[number, size] = body, page
        return page


class _World:
    """A market of a real one's size, two receivers, and a watcher over one long life."""

    def __init__(self, seed: int, store: Store, scale: Scale) -> None:
        self.rng = Random(seed)
        self.store = store
        self.scale = scale
        self.catalogue = Catalogue(generate(seed, size=scale.models))
        self.follower = Follower()
        self.clock = Clock()
        self.sinks = [_Sink(name, self.rng) for name in ("team", "mail")]
        shelf = _SoakedShelf(self.catalogue, SourceSettings(), self.rng)
        settings = Settings(poll=scale.poll)
        self.watch = Watch(
            store, shelf, self.sinks, clock=self.clock, rng=self.rng, settings=settings
        )
        self.watch.heard = self._heard
        self.polls = 0
        self.edits = 0
        self.memory = array("d")
        self.took = array("d")
        self._next_edit = timedelta(0)
        self._names = 0
        self._report: PollReport | None = None
        self.settled = 0

    async def begin(self) -> None:
        await self.watch.poll()
        believed = await self.store.believed()
        self.follower.begin(believed.models if believed else ())

    async def live(self, polls: int, limits: Limits) -> None:
        """So many polls, or as many as there is time for."""
        sample_every = max(polls // SAMPLES, 1)
        while self.polls < polls and not limits.over:
            self._trade()
            if await self.watch.step() is None:
                continue
            self.polls += 1
            if self.polls % TIDY_EVERY == 0:
                await self.store.prune(kept_for(Settings()), self.clock())
            if self.polls % sample_every == 0:
                self.memory.append(resident())
                limits.progress(self.polls)
            if self.polls % CHECK_EVERY == 0:
                await self.rest()

    async def rest(self) -> None:
        """Let nothing move until nothing is waited for, and weigh what is believed."""
        since, until = self.clock(), self.clock.passed + PATIENCE
        await self.watch.run(HOUR)
        while await self._waits(since):
            if self.clock.passed > until:
                raise Objection(f"after three quiet days: {await self.store.status()}")
            await self.watch.run(HOUR)
        believed = await self.store.believed()
        models = believed.models if believed else ()
        self.follower.settle((model.record for model in models), self.catalogue)
        self.settled += 1
        self._next_edit = self.clock.passed

    async def _waits(self, since: datetime) -> bool:
        status = await self.store.status()
        good = self._report is not None and self._report.outcome.is_good
        swept = status.swept_at is not None and status.swept_at > since
        waiting = any(it.waiting or it.open or it.dead for it in status.receivers)
        return not good or not swept or bool(status.holds) or waiting

    def _trade(self) -> None:
        while self._next_edit <= self.clock.passed:
            self._next_edit += self.scale.a_change_every * self.rng.expovariate(1)
            edit = random_edit(self.rng, self.catalogue).edit
            if isinstance(edit, Insert):
                edit = self._launch(edit)
            if len(self.catalogue) > self.scale.models * 1.02:
                edit = Remove(self.rng.choice(self.catalogue.rows)["modelDescription"])
            edit.apply(self.catalogue)
            self.edits += 1

    def _launch(self, like: Insert) -> Insert:
        """A model of its own. Names made of names grow longer and longer, and no listing's do."""
        self._names += 1
        name = f"Nova {1000 + self._names}, {self._names} steps"
        usd = listed_usd(amount(like.row["creditPrice"]) or Decimal(0))
        return replace(like, row={**like.row, "modelDescription": name, "usdPrice": usd})

    def _heard(self, report: PollReport) -> None:
        self._report = report
        self.took.append(report.took.total_seconds())
        if not report.outcome.is_good:
            raise Objection(f"a poll was {report.outcome}: {report.why}")
        self.follower.hear(report.changes)


async def soak(seed: int, limits: Limits, scale: Scale) -> World:
    """One life of so many polls; `wrong` says which bound was missed."""
    with scratch() as place:
        path = place / "state.db"
        async with open_store(path) as store:
            world = _World(seed, store, scale)
            await world.begin()
            await world.live(limits.runs, limits)
            await world.rest()
            must_be_sound(path)
            queries = await _timed(_asked_often(store, world.clock))
            history = await _timed({"all changes": store.changes})
            size = sum(file.stat().st_size for file in place.glob("state.db*")) / 1e6
    slowest = max(queries, key=lambda name: queries[name])
    grown = _grown(world.memory)
    figures = {
        "simulated days": world.clock.passed / DAY,
        "edits": world.edits,
        "changes": world.follower.heard,
        "messages": sum(sink.count for sink in world.sinks),
        "times weighed at rest": world.settled,
        "state, MB": size,
        "memory grew by, MiB": grown,
        f"slowest query ({slowest}), ms": queries[slowest] * 1000,
        "all changes there ever were, ms": history["all changes"] * 1000,
        "a poll in the first tenth, ms": mean(_tenth(world.took, 0)) * 1000,
        "a poll in the last tenth, ms": mean(_tenth(world.took, 9)) * 1000,
    }
    return World(world.polls, figures, tuple(_too_much(grown, size, queries)))


async def _world(seed: int, limits: Limits) -> World:
    return await soak(seed, limits, Scale())


def _asked_often(store: Store, clock: Clock) -> dict[str, Callable[[], Awaitable[object]]]:
    """What the loops ask at every poll and message, and what the commands ask."""
    week = clock() - 7 * DAY
    return {
        "believed": store.believed,
        "on sale": store.on_sale,
        "departed": lambda: store.gone(["nova 1", "nova 2"]),
        "pasts": lambda: store.pasts(range(1, 21)),
        "silences": store.silences,
        "waiting": lambda: store.gathered("team"),
        "digests": lambda: store.digests("team"),
        "open message": lambda: store.open_message("team"),
        "receivers": store.waiting_receivers,
        "note of a poll": lambda: store.note_poll(clock(), "quiet"),
        "a step of pruning": lambda: store.prune(kept_for(Settings()), clock()),
        "status": store.status,
        "outbox": store.outbox,
        "models": store.models,
        "models searched": lambda: store.models(search="video 1080p"),
        "changes of a week": lambda: store.changes(since=week),
        "notices of a week": lambda: store.notices(week),
        "polls of a week": lambda: store.polls(week),
        "a week ago": lambda: store.on_sale_at(week),
    }


async def _timed(queries: Mapping[str, Callable[[], Awaitable[object]]]) -> dict[str, float]:
    """How long each took at its best, in seconds."""
    took: dict[str, float] = {}
    for name, query in queries.items():
        took[name] = QUICK + 1
        for _ in range(TRIES):
            started = perf_counter()
            await query()
            took[name] = min(took[name], perf_counter() - started)
            if took[name] < QUICK / 2:
                break
    return took


def _grown(samples: Sequence[float]) -> float:
    """From the second tenth of the samples, when all is loaded and warm, to the last."""
    return mean(_tenth(samples, 9)) - mean(_tenth(samples, 1))


def _tenth(samples: Sequence[float], number: int) -> Sequence[float]:
    size = len(samples) // 10
    return samples[number * size : (number + 1) * size] or (0.0,)


def _too_much(grown: float, size: float, queries: Mapping[str, float]) -> Iterator[str]:
    if grown > FLAT:
        yield f"memory grew by {grown:.1f} MiB, more than {FLAT:.0f}"
    if size > SMALL:
        yield f"the state is of {size:.1f} MB, more than {SMALL:.0f}"
    for name, seconds in queries.items():
        if seconds > QUICK:
            yield f"{name} took {seconds * 1000:.0f} ms, more than {QUICK * 1000:.0f}"


async def _seldom(seed: int, limits: Limits) -> World:
    poll = PollSettings(interval=SELDOM, full_sweep_every=4 * SELDOM)
    return await soak(seed, limits, Scale(poll=poll))


SOAK = Trial("soak", "polls of a simulated year", POLLS, 5, _world)
YEAR = Trial("year", "polls of a simulated year", round(365 * DAY / SELDOM), 5, _seldom)
