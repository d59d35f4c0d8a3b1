"""Lies: a listing that is wrong for hours, in every way that was seen or feared.

The real client, poller and store, in simulated time. What is listed is the truth, or a lie about a
part of it; elsewhere real edits go on meanwhile. Nothing is announced that the lie alone said, a
lie that becomes the truth is announced in the end, and nothing true is lost.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

from torture.checkers import LedgerChecker, on_sale
from torture.client import InMemoryClient
from torture.ledger import Ledger
from torture.machine import temporary_directory
from torture.trial import BrokenPromise, Tally, Trial
from watcher.catalog.changes import Kind, NoticeKind
from watcher.catalog.confirm import ConfirmRules
from watcher.config.rules import parse_silence
from watcher.config.settings import PollSettings, SourceSettings
from watcher.kie.freshness import Freshness
from watcher.poller import Poller, PollRules
from watcher.routing.rules import RoutingRules
from watcher.simulator.catalogue import Catalogue, Remove, Reprice, amount, plain
from watcher.simulator.faults import PageCap, Shift
from watcher.simulator.generator import generate
from watcher.simulator.replies import PageQuery, Replies
from watcher.store.store import open_store
from watcher.store.values import PollOutcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from torture.trial import Budget
    from watcher.kie.completeness import Probe
    from watcher.observer import PollReport
    from watcher.simulator.catalogue import Row
    from watcher.simulator.faults import Altering
    from watcher.store.store import Store

__all__ = ["LIES", "SCENARIOS", "LyingWorld"]

START = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
MODELS = 150
RECEIVER = "team"
HOUR = timedelta(hours=1)
# Everything that is held ends within this time.
TO_REST = 7 * HOUR
# Of the catalogue; more cannot be read than this only where the API has changed.
FEW, MANY = 0.08, 0.3


@dataclass(frozen=True, slots=True)
class Relist:
    """Another listing, whole."""

    rows: tuple[Row, ...]

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.relist(self.rows)

    def describe(self, _: Catalogue) -> str:
        return "the listing is another"


# What the listing says in place of the rows that are the truth.
Lie = "Callable[[Sequence[Row]], Sequence[Row]]"


@dataclass(slots=True)
class Listing:
    """What is served: the truth with a lie about it, with faults, and as old as it is.

    `by_turns`: every second probe or reading gets the truth, as from another server.
    """

    truth: Catalogue
    lie: Callable[[Sequence[Row]], Sequence[Row]] | None = None
    faults: Callable[[int], list[Altering]] = lambda _: []
    freshness: Freshness = Freshness()  # noqa: RUF009 - frozen
    by_turns: bool = False
    turn: int = 0
    served: Catalogue = field(default_factory=Catalogue)

    def replies(self) -> Replies:
        rows = self.truth.rows
        lies = self.lie is not None and not (self.by_turns and self.turn % 2)
        self.served.relist(self.lie(rows) if lies and self.lie else rows)
        return Replies(self.served)


class LyingClient(InMemoryClient):
    """Reads a listing; the requests are counted, for what goes by turns."""

    def __init__(self, listing: Listing, source: SourceSettings, rng: Random) -> None:
        super().__init__(listing.truth, source, rng)
        self.listing = listing
        self.pages_asked = 0

    async def probe(self, last: Probe | None) -> str | None:
        self.listing.turn += 1
        return await super().probe(last)

    async def _read_all(self, size: int) -> Any:
        self.listing.turn += 1
        return await super()._read_all(size)

    async def _exchange(self, call: Any) -> tuple[str, timedelta | None]:
        self.traffic.requests += 1
        self._ages.append(self.listing.freshness)
        replies = self.listing.replies()
        if call.payload is None:
            return replies.count([]).decode(), None
        self.pages_asked += 1
        query = PageQuery.of(call.payload)
        faults = [
            it
            for it in self.listing.faults(self.pages_asked)
            if it.applies_to("page", query.number)
        ]
        return replies.page(query, faults).decode(), None


class LyingWorld:
    """One listing, one clock, one state; everything follows from the seed."""

    def __init__(self, seed: int, path: Path) -> None:
        self.rng = Random(seed)
        self.path = path
        self.ledger = Ledger(Catalogue(generate(seed, size=MODELS)))
        self.checker = LedgerChecker(self.ledger)
        self.listing = Listing(self.ledger.catalogue)
        self.source = SourceSettings(page_size=20, probe_size=5, concurrency=1)
        self.minutes = 0.0
        self.edits = 0
        names = [row["modelDescription"] for row in self.ledger.catalogue.rows]
        self.rng.shuffle(names)
        # Real edits and lies are of different models, so that what is announced tells them apart.
        self.honest = names[: len(names) // 3]
        self.spoiled = frozenset(names[len(names) // 3 :])
        self.restarts = 0
        self.poller: Poller
        self.store: Store

    @asynccontextmanager
    async def process(self) -> AsyncIterator[None]:
        async with open_store(self.path) as self.store:
            client = LyingClient(self.listing, self.source, self.rng)
            routing = RoutingRules((RECEIVER,), announce=frozenset(Kind))
            rules = PollRules(ConfirmRules(), routing, parse_silence)
            self.poller = Poller(
                client, self.store, PollSettings(), rules, now=self._now, rng=self.rng
            )
            yield

    async def poll(self) -> PollReport:
        """One poll, checked at once."""
        since = self.ledger.tick
        report = await self.poller.poll()
        if report.outcome is PollOutcome.FAILED:
            raise BrokenPromise(f"a poll failed: {report.why}")
        if report.outcome is PollOutcome.BASELINE:
            self.checker.begin(await on_sale(self.store))
        self.checker.check(report.changes, since)
        self.minutes += self.poller.wait_after(report) / timedelta(minutes=1)
        return report

    async def pass_time(self, time: timedelta, *, edits: float = 0.1) -> list[PollReport]:
        """Polls for that long, with real edits, and perhaps a restart in the middle."""
        until = self.minutes + time / timedelta(minutes=1)
        reports: list[PollReport] = []
        while self.minutes < until:
            self.restarts += self.rng.random() < 0.03
            async with self.process():
                while self.minutes < until and self.rng.random() > 0.1:
                    if self.rng.random() < edits:
                        self.edit()
                    reports.append(await self.poll())
        return reports

    def edit(self) -> None:
        """One real edit of a model that no lie is about; a removed one comes back later."""
        self.edits += 1
        catalogue = self.ledger.catalogue
        name = self.rng.choice(self.honest)
        if name not in catalogue or len(self.honest) < 5:
            return
        row = catalogue.find(name)
        price = amount(row["creditPrice"])
        if self.rng.random() < 0.2 or not price:
            self.ledger.play(Remove(name))
            self.honest.remove(name)
        else:
            self.ledger.play(Reprice(name, round(price * self.rng.choice([2, 3]) / 2, 3)))

    def spoil(self, share: float, **fields: Any) -> Callable[[Sequence[Row]], Sequence[Row]]:
        """A lie that sets fields of a share of the catalogue."""
        names = self.some(share)

        def lie(rows: Sequence[Row]) -> Sequence[Row]:
            return [row | fields if row["modelDescription"] in names else row for row in rows]

        return lie

    def some(self, share: float) -> frozenset[str]:
        return frozenset(self.rng.sample(sorted(self.spoiled), round(share * MODELS)))

    async def lie_for(
        self, time: timedelta, lie: Callable[[Sequence[Row]], Sequence[Row]]
    ) -> list[PollReport]:
        """Serve a lie for that long, by all servers or by every second one; then the truth."""
        self.listing.lie, self.listing.by_turns = lie, self.rng.random() < 0.3
        reports = await self.pass_time(time)
        self.listing.lie = None
        return reports

    async def come_to_rest(self) -> None:
        """Poll until nothing can be held any more, without edits."""
        self.listing.lie, self.listing.faults = None, lambda _: []
        await self.pass_time(TO_REST, edits=0)
        async with self.process():
            report = await self.poll()
            while report.holds or report.outcome is PollOutcome.QUIET:
                self.minutes += 31
                report = await self.poll()
            self.checker.check_end(await on_sale(self.store), self.ledger.catalogue)

    def _now(self) -> datetime:
        return START + timedelta(minutes=self.minutes)


FLOODS: tuple[dict[str, Any], ...] = (
    {"falPrice": "", "discountRate": 0},
    {"discountPrice": True},
    {"creditUnit": "per parsec"},
    {"anchor": "", "provider": ""},
    {"creditPrice": "", "usdPrice": ""},
    {"usdPrice": ""},
)


async def _flood(world: LyingWorld) -> None:
    """A field is left out, or set, for a third of the catalogue."""
    await world.lie_for(_hours(world, 5), world.spoil(MANY, **world.rng.choice(FLOODS)))


async def _true_flood(world: LyingWorld) -> None:
    """The same, and it is meant."""
    lie = world.spoil(MANY, **world.rng.choice(FLOODS))
    world.ledger.play(Relist(tuple(lie(world.ledger.catalogue.rows))))


async def _other_names(world: LyingWorld) -> None:
    """A third of the descriptions is rewritten."""
    names = world.some(MANY)

    def lie(rows: Sequence[Row]) -> Sequence[Row]:
        return [
            row | {"modelDescription": f"Zebra {number * number} crossing"}
            if row["modelDescription"] in names
            else row
            for number, row in enumerate(rows)
        ]

    await world.lie_for(_hours(world, 5), lie)


async def _unreadable(world: LyingWorld) -> None:
    """Some descriptions are empty, too long, or no text."""
    spoiled = world.rng.choice(["", None, 7, "x" * 1001, ["Reel"]])
    await world.lie_for(_hours(world, 5), world.spoil(FEW, modelDescription=spoiled))


async def _uneven_pages(world: LyingWorld) -> None:
    """Pages are of two sizes by turns or by number, or one is shifted, whatever is asked for."""
    faults: Callable[[int], list[Altering]] = world.rng.choice(
        [
            lambda turn: [PageCap(size=10)] if turn % 2 else [],
            lambda _: [PageCap(size=10, page=page) for page in range(2, 30, 2)],
            lambda _: [Shift(by=5, page=3)],
            lambda _: [Shift(by=5, page=3)] if world.listing.turn // 3 % 2 else [],
        ]
    )
    world.listing.faults = faults
    await world.pass_time(_hours(world, 5))
    world.listing.faults = lambda _: []


async def _cache(world: LyingWorld) -> None:
    """What was listed an hour ago is served by a cache, now and then."""
    earlier = world.ledger.catalogue.rows
    await world.pass_time(HOUR, edits=0.5)
    age = timedelta(minutes=61)
    world.listing.lie, world.listing.freshness = lambda _: earlier, Freshness(age=age)
    async with world.process():
        for _ in range(3):
            await world.poll()
    world.listing.lie, world.listing.freshness = None, Freshness()


async def _wrong_usd(world: LyingWorld) -> None:
    """All USD prices are many times what they are, for less than half an hour."""
    factor = world.rng.choice(["1000", "0.1", "1.5"])
    world.listing.lie = lambda rows: _multiplied(rows, "usdPrice", factor)
    await world.pass_time(timedelta(minutes=20))
    world.listing.lie = None


async def _other_credits(world: LyingWorld) -> None:
    """Kie counts in other credits, which is true; perhaps a flood, which is not, begins with it."""
    # What was edited until now is announced before: the ledger has no prices in two units.
    await world.pass_time(HOUR, edits=0)
    factor = world.rng.choice(["10", "0.1", "1.5", "1000"])
    flood = world.spoil(MANY, **world.rng.choice(FLOODS)) if world.rng.random() < 0.5 else None
    rows = world.ledger.catalogue.rows
    world.ledger.play(Relist(tuple(_multiplied(rows, "creditPrice", factor))))
    world.listing.lie = flood
    reports = await world.pass_time(HOUR, edits=0)
    world.checker.convert(Decimal(factor))
    if flood is not None:
        await world.lie_for(_hours(world, 3), flood)
    told = [it.kind for report in reports for it in report.notices]
    if told.count(NoticeKind.REDENOMINATED) != 1 or any(report.changes for report in reports):
        raise BrokenPromise(f"other credits were told as {told} and as changes")


def _multiplied(rows: Sequence[Row], name: str, factor: str) -> Sequence[Row]:
    return [
        row | {name: plain(price * Decimal(factor))} if (price := amount(row[name])) else row
        for row in rows
    ]


def _hours(world: LyingWorld, most: int) -> timedelta:
    return world.rng.uniform(0.2, most) * HOUR


SCENARIOS = (
    _flood,
    _true_flood,
    _other_names,
    _unreadable,
    _uneven_pages,
    _cache,
    _wrong_usd,
    _other_credits,
)


async def _run_seed(seed: int, _: Budget) -> Tally:
    scenario = SCENARIOS[seed % len(SCENARIOS)]
    with temporary_directory() as place:
        world = LyingWorld(seed, place / "state.db")
        await world.pass_time(2 * HOUR)
        try:
            await scenario(world)
            await world.pass_time(2 * HOUR)
            await world.come_to_rest()
        except BrokenPromise as broken:
            raise BrokenPromise(f"{scenario.__name__.strip('_')}: {broken}") from broken
    figures = {
        "simulated hours": world.minutes / 60,
        "edits": world.edits,
        "changes announced": world.checker.checked,
    }
    return Tally(1, figures)


LIES = Trial("lies", "lies", 1_000, 1.5, _run_seed)
