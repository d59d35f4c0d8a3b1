"""What a credit is worth: when it moved, when only the unit of account did, and what is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from build import row
from logs import capture_logs
from watcher.catalog.changes import (
    CreditValueChange,
    Kind,
    ModelChange,
    Notice,
    NoticeKind,
    RecordedChange,
)
from watcher.catalog.confirm import ConfirmRules
from watcher.catalog.credit_value import as_before, converted, explains, new_credit_value
from watcher.catalog.record import Model, Record, parse_record
from watcher.config.settings import PollSettings, SourceSettings
from watcher.kie.client import open_client
from watcher.observer import PollReport
from watcher.poller import Poller, PollRules
from watcher.render.enrichment import enrich
from watcher.render.notices import announcement
from watcher.render.outline import Envelope, arrange
from watcher.routing.match import Matcher, Pattern
from watcher.routing.release import Batch
from watcher.routing.rules import Route, RoutingRules, Silence, Usage
from watcher.simulator.catalogue import amount, plain
from watcher.simulator.server import Simulator
from watcher.store.requests import AcceptHolds
from watcher.store.store import Store, open_store
from watcher.store.values import Commit

START = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
OLD = Decimal("0.005")
D = Decimal

Row = dict[str, Any]


def listing(count: int = 40, **wire: Any) -> list[Row]:
    return [
        row(f"Reel {n}, {n}s", creditPrice=str(n + 8), usdPrice=plain((n + 8) * OLD), **wire)
        for n in range(count)
    ]


def times(rows: Sequence[Row], *, credits_: str = "1", usd: str = "1") -> list[Row]:
    """The listing with all its credits and all its USD prices multiplied."""
    return [
        it
        | {
            "creditPrice": plain((amount(it["creditPrice"]) or D(0)) * D(credits_)),
            "usdPrice": plain((amount(it["usdPrice"]) or D(0)) * D(usd)),
        }
        for it in rows
    ]


def records(rows: Sequence[Row]) -> list[Record]:
    return [parse_record(it) for it in rows]


# What a sweep says


@pytest.mark.parametrize(
    ("changed", "after", "factor"),
    [
        pytest.param(times(listing()), None, None, id="nothing"),
        pytest.param(times(listing(), usd="1000"), "5", None, id="USD times a thousand"),
        pytest.param(times(listing(), usd="1.2"), "0.006", None, id="a credit is worth more"),
        pytest.param(times(listing(), credits_="10"), "0.0005", "10", id="ten for one"),
        pytest.param(times(listing(), credits_="0.25"), "0.02", "0.25", id="one for four"),
        pytest.param(times(listing(), credits_="1.2"), "0.0041666", "1.2", id="six for five"),
        pytest.param(times(listing(), credits_="10", usd="2"), "0.001", None, id="both move"),
        pytest.param(
            [*times(listing()[:10]), *times(listing()[10:], credits_="10")],
            "0.0005",
            "10",
            id="most of them",
        ),
        pytest.param(
            [*times(listing()[:30]), *times(listing()[30:], credits_="10")], None, None, id="few"
        ),
        pytest.param(
            [*times(listing()[:4], credits_="15", usd="1.5"), *times(listing()[4:], credits_="10")],
            "0.0005",
            "10",
            id="and some cost more",
        ),
        pytest.param(times(listing(4), credits_="10"), None, None, id="too few to tell"),
    ],
)
def test_credits_and_usd_are_judged_together(
    changed: list[Row], after: str | None, factor: str | None
) -> None:
    new = new_credit_value(records(listing()), records(changed), OLD)

    if after is None:
        assert new is None
        return
    assert new is not None
    assert abs(new.after - D(after)) < D("0.000001")
    assert new.factor == (None if factor is None else D(factor))


@given(
    st.integers(2, 60),
    st.sampled_from(["10", "100", "0.1", "2", "0.5", "3", "1.5", "1000"]),
    st.integers(0, 3),
)
def test_by_the_value_of_before_a_redenominated_listing_is_as_it_was(
    first: int, factor: str, moved: int
) -> None:
    old = listing(first + 20)
    changed = times(old, credits_=factor)
    for number in range(moved):
        dearer = times([old[number]], credits_=plain(D(factor) * 2), usd="2")
        changed[number] = dearer[0]
    known = records(old)
    new = new_credit_value(known, records(changed), OLD)
    assert new is not None

    read = as_before(new, known, records(changed))

    assert read[moved:] == known[moved:]
    assert [it.credits for it in read[:moved]] == [(it.credits or 0) * 2 for it in known[:moved]]
    assert [converted(it, D(factor)).credits for it in known[moved:]] == [
        it.credits for it in records(changed)[moved:]
    ]


def test_a_small_move_of_a_price_is_no_rounding() -> None:
    old = listing()
    changed = times(old, credits_="10")
    changed[7] = times([old[7]], credits_="10.04", usd="1.004")[0]
    known = records(old)
    new = new_credit_value(known, records(changed), OLD)
    assert new is not None

    assert as_before(new, known, records(changed))[7].credits == D(15) * D("1.004")


@pytest.mark.parametrize(
    ("before", "after", "usd", "is_rounding"),
    [("7", "2.33", "0.035", True), ("7", "2.3", "0.035", True), ("7", "2.5", "0.035", False),
     ("0.12", "0.04", "0.0006", True), ("7", "2.33", "0.07", False)],
)  # fmt: skip
def test_what_rounding_explains_is_no_price(
    before: str, after: str, usd: str, is_rounding: bool
) -> None:
    old = parse_record(row(creditPrice=before, usdPrice=plain(D(before) * OLD)))
    new = parse_record(row(creditPrice=after, usdPrice=usd))

    assert explains(D(1) / D(3), old, new) is is_rounding


# What is told


@dataclass
class World:
    simulator: Simulator
    path: Path
    routing: RoutingRules
    minute: float = 0
    poller: Poller = field(init=False)
    store: Store = field(init=False)

    async def sees(self, minute: float, rows: Sequence[Row] | None = None) -> PollReport:
        """A sweep of these rows."""
        if rows is not None:
            self.simulator.catalogue.relist(rows)
        self.minute = minute
        return await self.poller.poll()

    def now(self) -> datetime:
        return START + timedelta(minutes=self.minute)

    @asynccontextmanager
    async def started(self) -> AsyncIterator[None]:
        source = SourceSettings(url=self.simulator.url, page_size=100, probe_size=100)
        poll = PollSettings(full_sweep_every=timedelta(minutes=5))

        async def at_once(_: timedelta) -> None:
            return

        async with (
            open_store(self.path) as self.store,
            open_client(source, poll, at_once) as client,
        ):
            nothing = Silence(1, Matcher(), START, START)
            rules = PollRules(ConfirmRules(), self.routing, lambda _: nothing)
            self.poller = Poller(client, self.store, poll, rules, now=self.now, rng=Random(1))
            with capture_logs():
                yield


@pytest.fixture
async def open_world(tmp_path: Path) -> AsyncIterator[Callable[..., World]]:
    async with Simulator(listing()) as simulator:
        default = RoutingRules(("team",), announce=frozenset(Kind))

        def make(routing: RoutingRules = default) -> World:
            return World(simulator, tmp_path / "state.db", routing)

        yield make


def told(report: PollReport) -> list[object]:
    """What a poll announces: notices by kind, changes by kind and model."""
    notices = [it.kind.value for it in report.notices]
    changes = [
        (it.change.kinds[0].value, it.change.model.record.description)
        if isinstance(it.change, ModelChange)
        else (it.change.kinds[0].value,)
        for it in report.changes
    ]
    return [*notices, *changes]


async def test_usd_prices_that_are_wrong_once_are_never_told(
    open_world: Callable[..., World],
) -> None:
    world = open_world()
    async with world.started():
        await world.sees(0)

        assert told(await world.sees(5, times(listing(), usd="1000"))) == []
        assert told(await world.sees(10)) == []
        assert told(await world.sees(15, listing())) == []
        assert (await world.sees(60)).holds == 0
        assert await world.store.changes() == ()


async def test_a_value_that_lasts_is_told_once_and_no_model_is_named(
    open_world: Callable[..., World],
) -> None:
    world = open_world()
    async with world.started():
        await world.sees(0)
        dearer = times(listing(), usd="1.2")

        assert [told(await world.sees(minute, dearer)) for minute in (5, 20, 34)] == [[], [], []]
        report = await world.sees(35)

    (recorded,) = report.changes
    assert recorded.change == CreditValueChange(OLD, D("0.006"))


@pytest.mark.parametrize("factor", ["10", "0.1", "1.5", "1000"])
async def test_a_redenomination_is_one_message_and_nobody_pays_another_price(
    open_world: Callable[..., World], factor: str
) -> None:
    world = open_world()
    async with world.started():
        await world.sees(0)
        await world.sees(10, [*times(listing()[:1], credits_="2", usd="2"), *listing()[1:]])
        now = [*times(listing()[:1], credits_="2", usd="2"), *listing()[1:]]
        redenominated = times(now, credits_=factor)
        assert [told(await world.sees(m, redenominated)) for m in (15, 30, 44)] == [[], [], []]

        report = await world.sees(45)

        assert told(report) == ["redenominated"]
        assert announcement(report.notices[0]).endswith("compared as before.")
        assert [told(await world.sees(minute)) for minute in (50, 90, 500)] == [[], [], []]
        stored = await world.store.snapshot()
        assert stored is not None
        assert stored.usd_per_credit == OLD / D(factor)
        assert {it.record for it in stored.models} == set(records(redenominated))
        histories = await world.store.prices([model.id for model in stored.models])
        prices = {point[1] for history in histories.values() for point in history.prices}
        expected = {(it.credits or D(0)) * D(factor) for it in records(listing())}
        assert prices == expected | {16 * D(factor)}
        (change,) = await world.store.changes()
        assert isinstance(change.change, ModelChange)
        assert change.change.before is not None
        assert change.change.before.usd == D("0.04")
        assert change.change.before.record.credits == 8 * D(factor)


async def test_what_else_happens_meanwhile_is_told_as_ever(
    open_world: Callable[..., World],
) -> None:
    """A price, a new model and a flood, before and after the new unit is believed."""
    world = open_world()
    redenominated = times(listing(), credits_="10")
    dearer = [*times(redenominated[:1], credits_="1.5", usd="1.5"), *redenominated[1:]]
    flooded = [it | {"discountPrice": True} for it in dearer]
    new = row("Aria, 4k", creditPrice="300", usdPrice="0.15")
    async with world.started():
        await world.sees(0)
        await world.sees(5, redenominated)
        assert told(await world.sees(10, dearer)) == [("price_up", "Reel 0, 0s")]
    async with world.started():
        assert told(await world.sees(15, [new, *dearer])) == [("new", "Aria, 4k")]
        assert told(await world.sees(20, [new, *flooded])) == ["collapse"]
        assert told(await world.sees(35)) == ["redenominated"]
    async with world.started():
        cheaper = [new, *times(flooded[:1], credits_="0.5", usd="0.5"), *flooded[1:]]
        assert told(await world.sees(40, cheaper)) == [("price_down", "Reel 0, 0s")]
        stored = await world.store.snapshot()
        assert stored is not None
        by_name = {it.record.description: it.record.credits for it in stored.models}
        assert (by_name["Aria, 4k"], by_name["Reel 0, 0s"]) == (300, 60)
        assert (
            told(
                await world.sees(
                    60, cheaper[:1] + [it | {"discountPrice": False} for it in cheaper[1:]]
                )
            )
            == []
        )


async def test_a_kill_between_the_conversion_and_its_sweep_loses_and_repeats_nothing(
    open_world: Callable[..., World],
) -> None:
    world = open_world()
    async with world.started():
        await world.sees(0)
        stored = await world.store.snapshot()
        assert stored is not None
        new = OLD / 10
        conversion = Commit(world.now(), new, stored.probe, factor=D(10))
        await world.store.record(conversion)
    async with world.started():
        redenominated = times(listing(), credits_="10")
        dearer = [*times(redenominated[:1], credits_="1.5", usd="1.5"), *redenominated[1:]]

        assert told(await world.sees(1, dearer)) == [("price_up", "Reel 0, 0s")]
        assert told(await world.sees(60)) == []


async def test_a_redenomination_that_is_taken_back_never_was(
    open_world: Callable[..., World],
) -> None:
    world = open_world()
    async with world.started():
        await world.sees(0)
        seen = [
            told(await world.sees(n * 5, times(listing(), credits_="10") if n % 2 else listing()))
            for n in range(100)
        ]
        assert seen == [[]] * 100
        assert await world.store.changes() == ()


async def test_a_new_value_can_be_accepted(open_world: Callable[..., World]) -> None:
    world = open_world()
    async with world.started():
        await world.sees(0)
        await world.sees(5, times(listing(), usd="1.2"))
        await world.store.apply(AcceptHolds(world.now()))
        world.poller.wake()

        assert told(await world.sees(6)) == [("credit_value",)]


def marks(**mark: str) -> RoutingRules:
    matcher = Matcher(model=(Pattern("reel 1?,*"),), **{k: D(v) for k, v in mark.items()})
    routes = (Route("marks", matcher, ("team",)), Route("all", Matcher(), ("all",)))
    return RoutingRules(("team", "all"), routes=routes)


@pytest.mark.parametrize(
    ("mark", "factor", "crossing"),
    [
        ({"usd_above": "0.12"}, "1.2", ["Reel 12, 12s", "Reel 13, 13s", "Reel 14, 14s", "Reel 15, 15s"]),
        ({"usd_below": "0.08"}, "0.8", ["Reel 10, 10s", "Reel 11, 11s", "Reel 12, 12s"]),
        ({"usd_above": "5"}, "1.2", []),
    ],
)  # fmt: skip
async def test_a_mark_in_usd_is_crossed_by_the_value_of_a_credit_as_well(
    open_world: Callable[..., World], mark: dict[str, str], factor: str, crossing: list[str]
) -> None:
    world = open_world(marks(**mark))
    async with world.started():
        await world.sees(0)
        await world.sees(5, times(listing(), usd=factor))

        report = await world.sees(35)

        assert sorted(told(report)) == sorted(
            [("credit_value",), *(("credit_value", name) for name in crossing)]
        )
        queued = [item.content for item in await world.store.queued("team")][1:]
        named = [it.change.model.record.description for it in queued]  # type: ignore[union-attr]
        assert sorted(named) == crossing
        of_all = [item.content for item in await world.store.queued("all")][1:]
        assert [it.change.kinds for it in of_all] == [(Kind.CREDIT_VALUE,)]  # type: ignore[union-attr]
        assert told(await world.sees(40)) == []


def test_another_value_says_what_it_costs_a_month() -> None:
    value = RecordedChange(1, START, CreditValueChange(OLD, D("0.006")))
    on_sale = [Model(it, D("0.006")) for it in records(listing())]
    usage = (Usage(Pattern("Reel 2, 2s"), D(1000)), Usage(Pattern("Reel 12, 12s"), D(100)))

    (item,) = enrich(Batch((1,), (value,)), {}, on_sale, usage)

    assert isinstance(item.content, RecordedChange)
    assert isinstance(item.content.change, CreditValueChange)
    assert item.content.change.monthly_cost_usd == 12
    assert announcement(item.content.change).endswith("moves by +20 %")
    assert arrange([item], Envelope("7f3k2m9q")).bill == "+$12.00 a month for you"


def test_a_redenomination_is_put_in_words() -> None:
    for factor, words in (("10", "10 for 1 of before"), ("0.25", "1 for 4 of before")):
        detail = {"factor": factor, "before": "0.005", "after": "0.0005"}
        text = announcement(Notice(NoticeKind.REDENOMINATED, START, detail))
        assert words in text
        assert "each worth $0.0005 (was $0.005). Nobody pays another price." in text
