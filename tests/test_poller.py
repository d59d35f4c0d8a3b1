"""A poll: what it asks, what it records, and when the next one comes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from build import row
from logs import capture_logs
from watcher.catalog.changes import ModelChange
from watcher.catalog.confirm import ConfirmRules
from watcher.clock import ClockJumps
from watcher.config.rules import parse_silence
from watcher.config.settings import PollSettings, SourceSettings
from watcher.kie.client import open_client
from watcher.observer import Observer, PollReport
from watcher.poller import Poller, PollRules
from watcher.routing.match import Matcher
from watcher.routing.rules import RoutingRules, Silence
from watcher.simulator.faults import (
    CountsOff,
    Empty,
    Envelope,
    HalfJson,
    Html,
    Shift,
    Stale,
    Status,
)
from watcher.simulator.server import Simulator
from watcher.store.requests import AcceptHolds, AddSilence, StartOver
from watcher.store.store import Store, open_store
from watcher.store.values import PollOutcome, StoredSilence

START = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)


def rows(number: int = 30, **wire: Any) -> list[dict[str, Any]]:
    return [
        row(f"Reel {n}, {n}s", creditPrice=str(n + 1), usdPrice=str((n + 1) / 200), **wire)
        for n in range(number)
    ]


@dataclass
class Listening(Observer):
    """Calls what a test wants to be called after each poll."""

    on_poll: Callable[[PollReport], None] = lambda _: None
    suppressions: Counter[str] = field(default_factory=Counter)

    def polled(self, report: PollReport) -> None:
        self.on_poll(report)

    def suppressed(self, reason: str, count: int) -> None:
        self.suppressions[reason] += count


@dataclass
class World:
    """A simulator, a state and a clock; `poller` is the daemon's, until it is started again."""

    simulator: Simulator
    path: Path
    poll: PollSettings
    minute: float = 0
    observer: Listening = field(default_factory=Listening)
    poller: Poller = field(init=False)
    store: Store = field(init=False)

    ahead: timedelta = timedelta(0)

    def now(self) -> datetime:
        return START + timedelta(minutes=self.minute) + self.ahead

    async def sees(self, minute: float) -> PollReport:
        self.minute = minute
        return await self.poller.poll()

    def asked(self) -> list[str]:
        """The calls since the last time this was asked."""
        calls = [call for call, _ in self.simulator.requests]
        self.simulator.requests.clear()
        return calls

    @asynccontextmanager
    async def started(self) -> AsyncIterator[World]:
        source = SourceSettings(url=self.simulator.url, page_size=10, probe_size=5)

        async def at_once(_: timedelta) -> None:
            return

        async with (
            open_store(self.path) as self.store,
            open_client(source, self.poll, at_once) as client,
        ):
            rules = PollRules(ConfirmRules(), RoutingRules(("team",)), parse_silence)
            self.poller = Poller(
                *(client, self.store, self.poll, rules),
                now=self.now,
                rng=Random(1),
                observer=self.observer,
                jumped=ClockJumps(self.now, lambda: 60 * self.minute),
            )
            yield self


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with (
        Simulator(rows()) as simulator,
        World(simulator, tmp_path / "state.db", PollSettings()).started() as it,
    ):
        yield it


def announced(report: PollReport) -> list[tuple[str, str]]:
    return [
        (kind.value, recorded.change.model.record.description)
        for recorded in report.changes
        if isinstance(recorded.change, ModelChange)
        for kind in recorded.change.kinds[:1]
    ]


async def test_the_first_snapshot_is_a_baseline_and_announces_no_model(world: World) -> None:
    report = await world.sees(minute=0)

    assert (report.outcome, report.changes) == (PollOutcome.BASELINE, ())
    (item,) = await world.store.queued("team")
    assert item.content.detail == {"models": 30, "categories": {"video": 30}}  # type: ignore[union-attr]


async def test_a_quiet_poll_is_two_small_requests_and_no_news(world: World) -> None:
    await world.sees(minute=0)
    world.asked()

    report = await world.sees(minute=5)

    assert report.outcome is PollOutcome.QUIET
    assert world.asked() == ["count", "page"]


async def test_quiet_polls_do_not_grow_the_state(world: World) -> None:
    await world.sees(minute=0)
    await world.sees(minute=1)
    before = world.path.stat().st_size

    for minute in range(200):
        await world.sees(minute=2 + minute / 100)

    assert world.path.stat().st_size == before


async def test_a_price_that_cannot_be_read_is_reported_by_each_sweep(world: World) -> None:
    assert (await world.sees(minute=0)).unreadable == ()
    world.simulator.catalogue.edit("Reel 29, 29s", creditPrice="1,200")

    report = await world.sees(minute=31)

    problem = "'Reel 29, 29s': creditPrice: '1,200' can be read in two ways"
    assert report.unreadable == (problem,)
    assert (await world.sees(minute=32)).unreadable is None


async def repriced(world: World) -> tuple[dict[str, Any], ...]:
    """A world that has believed another price; returns what was listed before."""
    before = world.simulator.catalogue.rows
    await world.sees(minute=0)
    world.simulator.catalogue.edit("Reel 20, 20s", creditPrice="22", usdPrice="0.11")
    assert announced(await world.sees(minute=31)) == [("price_up", "Reel 20, 20s")]
    return before


LATER = {"age": timedelta(minutes=62)}, {"date": datetime.now(UTC) - timedelta(minutes=62)}


@pytest.mark.parametrize("headers", LATER, ids=["by age", "by date"])
async def test_what_a_cache_kept_is_not_announced(world: World, headers: dict[str, Any]) -> None:
    before = await repriced(world)
    world.simulator.faults.always(Stale(rows=before, **headers))

    report = await world.sees(minute=62)

    assert (report.outcome, report.changes) == (PollOutcome.STALE, ())
    assert "older than the last one believed" in str(report.why)
    world.simulator.faults.clear()
    assert (await world.sees(minute=67)).outcome is PollOutcome.UNCHANGED


@pytest.mark.parametrize("page", [1, 2, 3])
async def test_one_stale_page_is_enough(world: World, page: int) -> None:
    before = await repriced(world)
    world.simulator.faults.always(Stale(rows=before, call="page", page=page, **LATER[0]))

    assert (await world.sees(minute=62)).outcome is PollOutcome.STALE


async def test_a_service_whose_clock_was_set_back_is_believed_after_three_sweeps(
    tmp_path: Path,
) -> None:
    async with Simulator(rows()) as simulator:
        world = World(simulator, tmp_path / "state.db", PollSettings())
        async with world.started():
            await repriced(world)
            simulator.catalogue.edit("Reel 20, 20s", creditPrice="23", usdPrice="0.115")
            simulator.faults.always(Stale(rows=simulator.catalogue.rows, **LATER[1]))
            outcomes = [(await world.sees(minute)).outcome for minute in (62, 67)]
        async with world.started():
            outcomes.append((await world.sees(minute=72)).outcome)
            believed = await world.sees(minute=77)

    assert outcomes == [PollOutcome.STALE] * 3
    assert announced(believed) == [("price_up", "Reel 20, 20s")]


@pytest.mark.parametrize("spoiled", ["", " ", None, 7, ["Reel"], "x" * 1001], ids=repr)
async def test_rows_that_lost_their_description_are_not_told_as_gone(
    world: World, spoiled: object
) -> None:
    lost = [f"Reel {n}, {n}s" for n in (11, 22)]
    await world.sees(minute=0)
    listed = world.simulator.catalogue.rows
    world.simulator.catalogue.relist(
        each | ({"modelDescription": spoiled} if each["modelDescription"] in lost else {})
        for each in listed
    )

    reports = [await world.sees(minute) for minute in range(31, 91, 5)]
    assert [announced(report) for report in reports] == [[]] * 12
    assert len(reports[0].unreadable or ()) == 2
    # Another one is really gone meanwhile.
    without = [*world.simulator.catalogue.rows[:5], *world.simulator.catalogue.rows[6:]]
    world.simulator.catalogue.relist(without)
    await world.sees(minute=100)
    assert announced(await world.sees(minute=110)) == [("removed", "Reel 5, 5s")]

    world.simulator.catalogue.relist(listed)
    assert announced(await world.sees(minute=120)) == [("returned", "Reel 5, 5s")]


async def test_rows_that_stay_unreadable_are_told_as_gone_in_the_end_and_hide_nothing_more(
    tmp_path: Path,
) -> None:
    async with Simulator(rows()) as simulator:
        world = World(simulator, tmp_path / "state.db", PollSettings())
        async with world.started():
            await world.sees(minute=0)
            simulator.catalogue.edit("Reel 11, 11s", modelDescription="")
            await world.sees(minute=31)
        async with world.started():
            assert announced(await world.sees(minute=31 + 359)) == []
        async with world.started():
            gone = await world.sees(minute=31 + 360)
            assert announced(gone) == [("removed", "Reel 11, 11s")]
            simulator.catalogue.remove("Reel 22, 22s")
            await world.sees(minute=400)
        async with world.started():
            assert announced(await world.sees(minute=410)) == [("removed", "Reel 22, 22s")]


async def test_a_lasting_contradiction_hides_no_change_and_no_model_for_ever(
    world: World,
) -> None:
    await world.sees(minute=0)
    # Page 2 begins with five rows of page 1, whatever its size: five others are nowhere.
    world.simulator.faults.always(Shift(by=5, page=2))
    world.simulator.catalogue.edit("Reel 2, 2s", creditPrice="4", usdPrice="0.02")

    with capture_logs() as logged:
        first = await world.sees(minute=31)

    assert announced(first) == [("price_up", "Reel 2, 2s")]
    assert [it["event"] for it in logged if it["log_level"] == "warning"] == ["sweep.disagreement"]
    reports = [await world.sees(minute) for minute in range(41, 31 + 360, 50)]
    assert [announced(report) for report in reports] == [[]] * len(reports)
    assert len(announced(await world.sees(minute=31 + 360))) == 5


async def test_a_contradiction_that_ends_told_nothing(world: World) -> None:
    await world.sees(minute=0)
    world.simulator.faults.always(Shift(by=5, page=2))
    world.simulator.catalogue.edit("Reel 2, 2s", discountPrice=True)
    await world.sees(minute=31)
    await world.sees(minute=60)
    world.simulator.faults.clear()

    report = await world.sees(minute=70)

    assert (announced(report), report.holds) == ([], 0)


async def test_counts_that_moved_call_for_a_sweep(world: World) -> None:
    await world.sees(minute=0)
    world.simulator.catalogue.insert(row("Aria, 4k"), at=15)

    report = await world.sees(minute=5)

    assert announced(report) == [("new", "Aria, 4k")]


async def test_a_first_page_that_moved_calls_for_a_sweep(world: World) -> None:
    await world.sees(minute=0)
    world.simulator.catalogue.edit("Reel 3, 3s", creditPrice="5", usdPrice="0.025")

    assert announced(await world.sees(minute=5)) == [("price_up", "Reel 3, 3s")]


async def test_a_first_page_in_another_order_is_no_news(world: World) -> None:
    await world.sees(minute=0)
    moved = world.simulator.catalogue.remove("Reel 4, 4s")
    world.simulator.catalogue.insert(moved, at=0)
    world.asked()

    assert (await world.sees(minute=5)).outcome is PollOutcome.QUIET
    assert len(world.asked()) == 2


async def test_a_price_deep_in_the_list_is_found_by_the_next_full_sweep(world: World) -> None:
    await world.sees(minute=0)
    world.simulator.catalogue.edit("Reel 25, 25s", creditPrice="30", usdPrice="0.15")

    assert (await world.sees(minute=29)).outcome is PollOutcome.QUIET
    report = await world.sees(minute=30)

    assert (report.why, announced(report)) == ("full sweep due", [("price_up", "Reel 25, 25s")])


async def test_a_poll_comes_early_enough_for_a_full_sweep_in_time(world: World) -> None:
    await world.sees(minute=0)
    report = await world.sees(minute=28)

    assert world.poller.wait_after(report) == timedelta(minutes=2)


async def test_a_poll_comes_early_enough_to_settle_a_hold_and_always_sweeps(world: World) -> None:
    await world.sees(minute=0)
    world.simulator.catalogue.remove("Reel 25, 25s")
    report = await world.sees(minute=5)
    assert (report.outcome, report.holds) == (PollOutcome.UNCHANGED, 1)

    report = await world.sees(minute=13)

    assert report.why == "something waits for confirmation"
    assert world.poller.wait_after(report) == timedelta(minutes=2)
    assert announced(await world.sees(minute=15)) == [("removed", "Reel 25, 25s")]


@pytest.mark.parametrize("jump", [timedelta(days=3653), timedelta(days=-3653)])
async def test_a_clock_that_jumps_makes_no_hold_longer_or_shorter(
    world: World, jump: timedelta
) -> None:
    await world.sees(minute=0)
    world.simulator.catalogue.remove("Reel 20, 20s")
    assert (await world.sees(minute=31)).holds == 1
    world.ahead = jump
    assert announced(await world.sees(minute=32)) == []
    world.ahead = timedelta(0)
    assert announced(await world.sees(minute=40)) == []
    world.ahead = jump
    assert announced(await world.sees(minute=42)) == [("removed", "Reel 20, 20s")]


async def test_a_hold_survives_a_restart(tmp_path: Path) -> None:
    async with Simulator(rows()) as simulator:
        world = World(simulator, tmp_path / "state.db", PollSettings())
        async with world.started():
            await world.sees(minute=0)
            simulator.catalogue.remove("Reel 25, 25s")
            await world.sees(minute=5)
        async with world.started():
            assert announced(await world.sees(minute=14)) == []
        async with world.started():
            assert announced(await world.sees(minute=15)) == [("removed", "Reel 25, 25s")]


async def test_a_restart_announces_nothing_and_asks_little(tmp_path: Path) -> None:
    async with Simulator(rows()) as simulator:
        world = World(simulator, tmp_path / "state.db", PollSettings())
        async with world.started():
            await world.sees(minute=0)
        world.asked()
        async with world.started():
            assert (await world.sees(minute=5)).outcome is PollOutcome.QUIET
        assert world.asked() == ["count", "page"]


async def test_what_changed_while_the_watcher_was_down_is_found(tmp_path: Path) -> None:
    async with Simulator(rows()) as simulator:
        world = World(simulator, tmp_path / "state.db", PollSettings())
        async with world.started():
            await world.sees(minute=0)
        simulator.catalogue.edit("Reel 25, 25s", discountPrice=True)
        async with world.started():
            assert announced(await world.sees(minute=600)) == [
                ("promotion_started", "Reel 25, 25s")
            ]


async def test_a_model_that_was_gone_and_is_back_keeps_its_number(world: World) -> None:
    await world.sees(minute=0)
    gone = world.simulator.catalogue.remove("Reel 25, 25s")
    await world.sees(minute=5)
    (removed,) = (await world.sees(minute=15)).changes
    world.simulator.catalogue.insert(gone)

    (returned,) = (await world.sees(minute=20)).changes

    assert [kind.value for kind in returned.change.kinds] == ["returned"]
    assert returned.change.model_id == removed.change.model_id  # type: ignore[union-attr]


async def test_a_renamed_model_keeps_its_number_under_the_new_name(world: World) -> None:
    world.simulator.catalogue.insert(row("Aria, lip sync avtar"))
    await world.sees(minute=0)
    world.simulator.catalogue.rename("Aria, lip sync avtar", "Aria, lip sync avatar")
    await world.sees(minute=5)
    (renamed,) = (await world.sees(minute=15)).changes
    world.simulator.catalogue.edit("Aria, lip sync avatar", creditPrice="50", usdPrice="0.25")

    (dearer,) = (await world.sees(minute=20)).changes

    assert [kind.value for kind in renamed.change.kinds] == ["renamed"]
    assert dearer.change.model_id == renamed.change.model_id  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "fault",
    [Status(503), Envelope(4030), Envelope(429), HalfJson(), Html()],
    ids=["status", "region", "rate", "half", "html"],
)
async def test_an_error_never_looks_like_an_empty_catalogue(world: World, fault: Any) -> None:
    await world.sees(minute=0)
    world.simulator.faults.always(fault)

    report = await world.sees(minute=60)

    assert (report.outcome, report.changes, report.notices) == (PollOutcome.FAILED, (), ())
    world.simulator.faults.clear()
    assert (await world.sees(minute=61)).outcome is PollOutcome.UNCHANGED


async def test_after_failures_polls_get_rarer_until_the_first_success(world: World) -> None:
    await world.sees(minute=0)
    world.simulator.faults.always(Status(500))
    waits = [world.poller.wait_after(await world.sees(minute=minute)) for minute in range(1, 9)]
    world.simulator.faults.clear()
    recovered = world.poller.wait_after(await world.sees(minute=10))

    assert all(timedelta(minutes=5) <= wait <= timedelta(hours=1) for wait in waits)
    assert max(waits) > timedelta(minutes=20)
    assert recovered < timedelta(minutes=5, seconds=31)


async def test_retry_after_is_honoured(world: World) -> None:
    await world.sees(minute=0)
    world.simulator.faults.next(Status(429, retry_after=timedelta(hours=2)))

    assert world.poller.wait_after(await world.sees(minute=5)) >= timedelta(hours=2)


async def test_a_failure_is_logged_once_and_so_is_its_end(world: World) -> None:
    await world.sees(minute=0)
    world.simulator.faults.always(Status(500))
    with capture_logs() as logs:
        for minute in range(4):
            await world.sees(minute=minute)
        world.simulator.faults.clear()
        await world.sees(minute=9)

    assert [(it["event"], it["log_level"]) for it in logs] == [
        ("poll.done", "warning"),
        *[("poll.done", "debug")] * 3,
        ("poll.done", "info"),
        ("poll.recovered", "info"),
    ]


async def test_an_empty_catalogue_is_a_collapse_that_is_said_once(world: World) -> None:
    await world.sees(minute=0)
    world.simulator.faults.always(Empty())

    reports = [await world.sees(minute=minute) for minute in (5, 10, 60)]
    world.simulator.faults.clear()
    assert (await world.sees(minute=65)).notices == ()
    recovered = await world.sees(minute=75)

    assert [[it.kind.value for it in report.notices] for report in reports] == [
        ["collapse"],
        [],
        [],
    ]
    assert [it.kind.value for it in recovered.notices] == ["recovered"]
    assert recovered.changes == ()


async def test_a_service_that_is_empty_at_first_makes_no_baseline_of_nothing(world: World) -> None:
    world.simulator.faults.always(Empty())
    empty = await world.sees(minute=0)
    world.simulator.faults.clear()

    first = await world.sees(minute=5)

    assert (empty.outcome, empty.notices) == (PollOutcome.INCONCLUSIVE, ())
    assert (first.outcome, first.changes) == (PollOutcome.BASELINE, ())


async def test_counts_that_lastingly_disagree_do_not_blind_the_watcher(world: World) -> None:
    await world.sees(minute=0)
    world.simulator.faults.always(CountsOff(3))
    world.simulator.catalogue.edit("Reel 25, 25s", creditPrice="30", usdPrice="0.15")

    with capture_logs() as logs:
        found = [announced(await world.sees(minute=minute)) for minute in (5, 40, 80)]

    assert found == [[("price_up", "Reel 25, 25s")], [], []]
    assert [it["event"] for it in logs].count("sweep.disagreement") == 1


async def test_a_row_that_cannot_be_read_is_logged_and_its_model_stands(world: World) -> None:
    await world.sees(minute=0)
    world.simulator.catalogue.edit("Reel 3, 3s", creditPrice="NaN", usdPrice="NaN")

    with capture_logs() as logs:
        reports = [await world.sees(minute=minute) for minute in (5, 40)]

    assert [(report.changes, report.holds) for report in reports] == [((), 0)] * 2
    assert [it["event"] for it in logs].count("record.not_understood") == 1


async def test_too_many_rows_that_cannot_be_read_are_a_change_of_schema(world: World) -> None:
    await world.sees(minute=0)
    for n in range(4):
        world.simulator.catalogue.edit(f"Reel {n}, {n}s", modelDescription="")

    report = await world.sees(minute=5)

    assert (report.outcome, report.holds) == (PollOutcome.FAILED, 0)


async def test_what_is_announced_is_queued_for_every_receiver_and_the_rest_only_remembered(
    world: World,
) -> None:
    await world.sees(minute=0)
    world.simulator.catalogue.edit("Reel 3, 3s", anchor="https://kie.ai/mended")
    world.simulator.catalogue.edit("Reel 4, 4s", discountPrice=True)

    await world.sees(minute=5)

    queued = [item.content for item in await world.store.queued("team")]
    assert [it.change.kinds[0].value for it in queued[1:]] == ["promotion_started"]  # type: ignore[union-attr]
    kinds = {it.change.kinds[0].value for it in await world.store.changes()}
    assert kinds == {"promotion_started", "relabelled"}


async def test_a_clock_set_back_does_not_put_off_the_full_sweep(world: World) -> None:
    await world.sees(minute=600)
    world.simulator.catalogue.edit("Reel 25, 25s", discountPrice=True)

    assert announced(await world.sees(minute=0)) == [("promotion_started", "Reel 25, 25s")]


async def test_the_loop_stops_at_once_when_asked_while_it_waits(world: World) -> None:
    stop = asyncio.Event()
    world.observer.on_poll = lambda _: stop.set()
    loop = asyncio.create_task(world.poller.run(stop))

    await asyncio.wait_for(loop, timeout=10)

    assert stop.is_set()


async def test_what_a_silence_drops_is_counted(world: World) -> None:
    everything = Silence(1, Matcher(), START, START + timedelta(days=1), drop=True)
    intake = world.poller._intake
    intake.rules = replace(intake.rules, parse_silence=lambda _: everything)
    await world.store.apply(
        AddSilence(START, START + timedelta(days=1), {}, "they try", dropping=True)
    )
    await world.sees(minute=0)
    world.simulator.catalogue.edit("Reel 3, 3s", creditPrice="5", usdPrice="0.025")

    await world.sees(minute=5)

    assert world.observer.suppressions["silence"] == 1


# What people ask for from outside


async def test_an_accepted_hold_is_settled_by_the_next_poll(world: World) -> None:
    await world.sees(minute=0)
    world.simulator.catalogue.remove("Reel 25, 25s")
    await world.sees(minute=5)

    assert await world.store.apply(AcceptHolds(world.now())) == 1
    world.poller.wake()

    assert announced(await world.sees(minute=6)) == [("removed", "Reel 25, 25s")]


async def test_a_hold_accepted_in_the_middle_of_a_poll_is_settled_by_that_poll(
    world: World,
) -> None:
    await world.sees(minute=0)
    world.simulator.catalogue.remove("Reel 25, 25s")
    await world.sees(minute=5)
    store = world.store
    plans = store.silences

    async def accepted_while_it_is_judged() -> tuple[StoredSilence, ...]:
        # The last that is asked before the sweep is stored.
        await store.apply(AcceptHolds(START + timedelta(minutes=5)))
        return await plans()

    store.silences = accepted_while_it_is_judged  # type: ignore[method-assign]

    assert announced(await world.sees(minute=6)) == [("removed", "Reel 25, 25s")]


async def test_a_poll_whose_holds_are_changed_again_and_again_fails_as_any_other(
    world: World,
) -> None:
    await world.sees(minute=0)
    world.simulator.catalogue.remove("Reel 25, 25s")
    await world.sees(minute=5)
    store, asked = world.store, count()
    silences = store.silences

    async def changed_while_it_is_judged() -> tuple[StoredSilence, ...]:
        await store.apply(AcceptHolds(START + timedelta(minutes=10 - next(asked) / 100_000)))
        return await silences()

    store.silences = changed_while_it_is_judged  # type: ignore[method-assign]
    report = await world.sees(minute=6)
    assert (report.outcome, report.reason, report.changes) == (PollOutcome.FAILED, "state", ())

    store.silences = silences  # type: ignore[method-assign]
    assert (await world.sees(minute=30)).outcome is PollOutcome.CHANGED


async def test_starting_over_takes_the_catalogue_as_it_is_and_tells_only_that(
    world: World,
) -> None:
    await world.sees(minute=0)
    world.simulator.catalogue.edit("Reel 3, 3s", creditPrice="400", usdPrice="2")
    world.simulator.catalogue.edit("Reel 5, 5s", discountPrice=True)
    for n in range(20, 30):
        world.simulator.catalogue.remove(f"Reel {n}, {n}s")
    assert (await world.sees(minute=5)).holds == 12

    await world.store.apply(StartOver(world.now()))
    world.poller.wake()
    before = await world.store.queued("team")
    report = await world.sees(minute=6)

    assert (report.outcome, report.changes, report.holds) == (PollOutcome.BASELINE, (), 0)
    assert report.why == "starting over, as asked"
    news = (await world.store.queued("team"))[len(before) :]
    assert [item.content.detail["models"] for item in news] == [20]  # type: ignore[union-attr]
    kinds = [it.change.kinds[0].value for it in await world.store.changes()]
    assert sorted(kinds) == ["price_up", "promotion_started", *["removed"] * 10]
    snapshot = await world.store.snapshot()
    assert snapshot is not None
    assert (len(snapshot.models), snapshot.holds, snapshot.start_over) == (20, (), False)

    quiet = await world.sees(minute=7)
    assert (quiet.outcome, quiet.changes) == (PollOutcome.QUIET, ())


async def test_starting_over_waits_for_a_sweep_that_is_complete(world: World) -> None:
    await world.sees(minute=0)
    world.simulator.catalogue.remove("Reel 25, 25s")
    await world.store.apply(StartOver(world.now()))
    world.poller.wake()
    world.simulator.faults.next(Status(503))

    assert (await world.sees(minute=1)).outcome is PollOutcome.FAILED
    assert (await world.sees(minute=2)).outcome is PollOutcome.BASELINE


async def test_a_restart_in_between_still_starts_over(tmp_path: Path) -> None:
    async with Simulator(rows()) as simulator:
        world = World(simulator, tmp_path / "state.db", PollSettings())
        async with world.started():
            await world.sees(minute=0)
            await world.store.apply(StartOver(world.now()))
        simulator.catalogue.remove("Reel 25, 25s")
        async with world.started():
            assert (await world.sees(minute=1)).outcome is PollOutcome.BASELINE


async def test_a_poller_that_is_woken_polls_at_once(world: World) -> None:
    stop = asyncio.Event()
    outcomes: list[PollOutcome] = []

    def after(report: PollReport) -> None:
        outcomes.append(report.outcome)
        if len(outcomes) == 1:
            world.poller.wake()
        else:
            stop.set()

    world.observer.on_poll = after
    await asyncio.wait_for(world.poller.run(stop), timeout=10)

    assert outcomes == [PollOutcome.BASELINE, PollOutcome.QUIET]
