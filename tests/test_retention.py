"""Pruning: what is kept says what it said before, whatever else is gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from stored import (
    START,
    commit,
    create_message,
    draft,
    edited,
    minutes,
    model,
    new,
    record,
    removed,
)
from torture.checkers import on_sale
from torture.state_checks import query
from watcher.catalog.changes import Kind, ModelChange, Notice, NoticeKind
from watcher.catalog.confirm import Hold, HoldReason
from watcher.config.settings import Settings
from watcher.routing.plan import Anchor
from watcher.store.requests import DiscardMessages
from watcher.store.retention import prune_once, prune_regularly, retention_of
from watcher.store.rows import time_text
from watcher.store.store import Store, open_store
from watcher.store.values import PollCost, PollOutcome, Pruned, ReleaseEffects, Retention

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from watcher.catalog.changes import RecordedChange
    from watcher.store.values import KnownModel

DAY = timedelta(days=1)
LATE = START + 1000 * DAY
RECEIVERS = ("team", "me", "mail")
EVERYTHING = Retention(timedelta(0), timedelta(0), timedelta(0))
COST = PollCost(requests=8, bytes=40_000, changes=0, holds=0, took=timedelta(milliseconds=812))


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    async with open_store(path) as store:
        await store.record(commit(baseline=(record("A 1"), record("B 1"))))
        yield store


def count(path: Path, table: str) -> int:
    return int(query(path, f"SELECT count(*) FROM {table}")[0][0])


async def first(store: Store) -> KnownModel:
    return (await on_sale(store))[0]


async def dearer(store: Store, at: datetime, *receivers: str) -> None:
    known = await first(store)
    assert known.record.credits is not None
    after = replace(known.record, credits=known.record.credits + 1)
    await store.record(commit(at, (edited(known, after), receivers)))


async def batch(store: Store, receiver: str, at: datetime, alert_id: str) -> int:
    deliveries = [item.delivery_id for item in await store.queued(receiver)]
    return (await create_message(store, receiver, draft(alert_id, deliveries), at)).id


def polls(path: Path, since: datetime = START) -> list[Any]:
    columns = "at, outcome, why, requests, bytes, changes, holds, took_ms"
    return query(path, f"SELECT {columns} FROM polls WHERE at >= ? ORDER BY id", time_text(since))


async def prune_all(store: Store, keep: Retention, now: datetime, most: int = 500) -> list[Pruned]:
    steps: list[Pruned] = []
    while step := await store.prune(keep, now, most):
        steps.append(step)
        assert len(steps) < 1000, "pruning never ends"
    return steps


# Messages


async def test_messages_go_with_their_deliveries_when_they_were_sent_long_ago(
    store: Store, path: Path
) -> None:
    for day in (1, 50, 100):
        await dearer(store, START + day * DAY, "team")
        number = await batch(store, "team", START + day * DAY, f"alert{day}")
        await store.mark_sent(number, START + day * DAY)

    await prune_all(store, Retention(messages=30 * DAY), START + 100 * DAY)

    assert query(path, "SELECT alert_id FROM messages") == [("alert100",)]
    assert count(path, "deliveries") == 1
    assert count(path, "changes") == 3


@pytest.mark.parametrize("state", ["open", "failed", "dead"])
async def test_a_message_that_may_still_be_sent_is_kept_whole(
    store: Store, path: Path, state: str
) -> None:
    await dearer(store, minutes(1), "team", "me")
    number = await batch(store, "team", minutes(1), "kept")
    await store.mark_sent(await batch(store, "me", minutes(1), "sent"), minutes(2))
    if state == "failed":
        await store.mark_failed(number, "503", minutes(2), minutes(3))
    if state == "dead":
        await store.mark_dead(number, "503", minutes(2))
    await dearer(store, minutes(5), "team")
    before = await store.outbox()

    await prune_all(store, EVERYTHING, LATE)

    assert await store.outbox() == before
    assert [message.items for message in (await store.outbox()).messages] == [1]
    assert len(await store.changes(alert_id="kept")) == 1
    assert await store.changes(alert_id="sent") == ()


async def test_what_came_to_nothing_goes_as_well(store: Store, path: Path) -> None:
    for minute in range(3):
        await dearer(store, minutes(minute), "team", "me")
    netted = tuple(item.delivery_id for item in await store.queued("team"))
    await store.record_release("team", ReleaseEffects(netted=netted), minutes(5))
    await store.apply(DiscardMessages(minutes(5), receiver="me"))
    await dearer(store, minutes(9), "mail")

    await prune_all(store, Retention(messages=DAY), LATE)

    assert query(path, "SELECT receiver FROM deliveries") == [("mail",)]


# History


async def test_old_changes_and_history_go_and_the_present_stays(store: Store, path: Path) -> None:
    for day in range(10):
        await dearer(store, START + day * DAY)

    await prune_all(store, Retention(history=3 * DAY), START + 9 * DAY)

    assert [change.at for change in await store.changes(newest_first=False)] == [
        START + day * DAY for day in (6, 7, 8, 9)
    ]
    known = await first(store)
    assert known.record.credits == Decimal(94)
    # The row that the oldest change ended, and all since.
    assert len(query(path, "SELECT 1 FROM history WHERE model_id = ?", known.id)) == 5


async def test_a_model_gone_long_ago_is_known_when_it_comes_back(store: Store) -> None:
    known = await first(store)
    await store.record(commit(minutes(1), removed(known)))
    await store.record(commit(minutes(2), new(record("C 1"))))

    await prune_all(store, EVERYTHING, LATE)

    (gone,) = await store.removed_models(["a 1"])
    assert (gone.id, gone.record) == (known.id, known.record)


async def test_a_model_that_is_back_still_says_how_it_was_when_it_left(store: Store) -> None:
    known = await first(store)
    await store.record(commit(minutes(1), removed(known)))
    dear = replace(known.record, credits=Decimal(99))
    back = ModelChange((Kind.RETURNED,), model(known.record), model(dear), {}, known.id)
    await store.record(commit(LATE - DAY, back))
    (before,) = await store.changes(kinds=["returned"])

    await prune_all(store, Retention(history=2 * DAY), LATE)

    assert await store.changes() == (before,)


async def test_the_past_of_a_model_is_kept_while_something_of_it_waits_to_be_told(
    store: Store,
) -> None:
    for minute in range(5):
        await dearer(store, minutes(minute), *(("team",) if minute == 2 else ()))
    known = await first(store)
    before = await store.queued("team"), await store.prices([known.id])

    await prune_all(store, EVERYTHING, LATE)
    assert (await store.queued("team"), await store.prices([known.id])) == before
    assert len(await store.changes()) == 5

    await store.mark_sent(await batch(store, "team", LATE, "alert"), LATE)
    await prune_all(store, EVERYTHING, LATE + DAY)
    assert await store.changes() == ()


async def test_of_a_past_that_is_cut_it_is_known_that_it_is(store: Store) -> None:
    for day in range(5):
        await dearer(store, START + day * DAY)
    known = await first(store)
    assert (await store.prices([known.id]))[known.id].is_complete

    await prune_all(store, Retention(history=2 * DAY), START + 4 * DAY)

    assert not (await store.prices([known.id]))[known.id].is_complete


async def test_of_a_past_with_a_gap_it_is_known_that_it_is_cut(store: Store) -> None:
    known = await first(store)
    await dearer(store, START + DAY, "team")
    await store.mark_dead(await batch(store, "team", START + DAY, "dead"), "503", START + DAY)
    for day in range(2, 9):
        await dearer(store, START + day * DAY)

    await prune_all(store, Retention(history=3 * DAY), START + 8 * DAY)

    # Of the first days only that is left which the dead message is about.
    assert [change.at for change in await store.changes(alert_id="dead")] == [START + DAY]
    history = (await store.prices([known.id]))[known.id]
    assert not history.is_complete
    assert history.prices[0][0] > START + 2 * DAY


async def test_what_a_route_measures_from_is_kept(store: Store) -> None:
    known = await first(store)
    anchor = Anchor("big", "team", known.id, model(known.record))
    await store.record(commit(minutes(1), anchors=(anchor,)))
    for minute in range(2, 9):
        await dearer(store, minutes(minute))

    await prune_all(store, EVERYTHING, LATE)

    (kept,) = (await store.histories([known.id], START))[known.id].anchors.values()
    assert kept == model(known.record)


async def test_notices_go_when_everybody_has_been_told(store: Store, path: Path) -> None:
    for minute, receivers in enumerate(((), ("team",), ("me",), ())):
        notice = Notice(NoticeKind.COLLAPSE, minutes(minute), {})
        await store.record(commit(minutes(minute), notices=((notice, receivers),)))
    await store.mark_sent(await batch(store, "team", minutes(5), "alert"), minutes(5))

    await prune_all(store, Retention(history=DAY), LATE)

    assert [notice.at for notice in await store.notices(START)] == [minutes(2)]
    assert count(path, "deliveries") == 1


# Polls


async def test_polls_on_record_say_what_each_cost(store: Store, path: Path) -> None:
    await store.note_poll(minutes(1), PollOutcome.QUIET)
    await store.note_poll(minutes(5), PollOutcome.FAILED, "count: status 503 \udc80", COST)
    await store.note_poll(
        minutes(9), PollOutcome.UNCHANGED, "full sweep due", replace(COST, holds=2)
    )

    assert polls(path) == [
        (time_text(minutes(5)), "failed", "count: status 503 ?", 8, 40_000, 0, 0, 812),
        (time_text(minutes(9)), "unchanged", "full sweep due", 8, 40_000, 0, 2, 812),
    ]


async def test_a_strangers_words_are_kept_in_part_only(store: Store, path: Path) -> None:
    await store.note_poll(minutes(1), PollOutcome.FAILED, "x" * 100_000, COST)

    ((_, _, why, *_),) = polls(path)
    assert len(why) == 500


async def test_old_polls_go(store: Store, path: Path) -> None:
    for day in range(10):
        await store.note_poll(START + day * DAY, PollOutcome.UNCHANGED, None, COST)

    await prune_all(store, Retention(polls=3 * DAY), START + 9 * DAY)

    assert len(polls(path)) == 4


# Steps


async def test_nothing_goes_where_everything_is_kept(store: Store) -> None:
    await dearer(store, minutes(1))

    assert await store.prune(Retention(), LATE) == Pruned()


async def test_a_step_takes_no_more_than_it_may(store: Store, path: Path) -> None:
    for day in range(40):
        await dearer(store, START + day * DAY, *RECEIVERS)
        await store.note_poll(START + day * DAY, PollOutcome.CHANGED, None, COST)
        for receiver in RECEIVERS:
            number = await batch(store, receiver, START + day * DAY, f"{receiver}{day}")
            await store.mark_sent(number, START + day * DAY)

    steps = await prune_all(store, EVERYTHING, LATE, most=7)

    assert len(steps) > 5
    for step in steps:
        # Deliveries go for four reasons.
        assert all(n <= 7 * (4 if name == "deliveries" else 1) for name, n in step.counts.items())
    totals = {table: count(path, table) for table in ("messages", "changes", "polls")}
    assert totals == {"messages": 0, "changes": 0, "polls": 0}


async def test_a_number_is_never_given_twice(store: Store, path: Path) -> None:
    tables = ("changes", "deliveries", "history", "messages", "notices", "polls")
    given: dict[str, set[int]] = {table: set() for table in tables}
    for day in range(6):
        at = START + day * DAY
        await dearer(store, at, "team")
        notice = Notice(NoticeKind.COLLAPSE, at, {})
        await store.record(commit(at, notices=((notice, ("team",)),)))
        await store.note_poll(at, PollOutcome.CHANGED, None, COST)
        await store.mark_sent(await batch(store, "team", at, f"alert{day}"), at)
        for table in tables:
            there = {number for (number,) in query(path, f"SELECT id FROM {table}")}
            assert not there & given[table]
            given[table] |= there
        await prune_all(store, EVERYTHING, LATE)
        for table in tables:
            given[table] -= {number for (number,) in query(path, f"SELECT id FROM {table}")}


async def test_room_that_was_freed_is_used_again(store: Store, path: Path) -> None:
    sizes = []
    for day in range(60):
        await dearer(store, START + day * DAY, "team")
        number = await batch(store, "team", START + day * DAY, f"alert{day}")
        await store.mark_sent(number, START + day * DAY)
        await store.prune(Retention(5 * DAY, 5 * DAY, 5 * DAY), START + day * DAY)
        sizes.append(path.stat().st_size)

    assert sizes[-1] == sizes[20]


# The property


class Life:
    """A state to which everything happens, at random, for some weeks."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.rng = Random(seed)
        self.at = START
        self.alerts = 0

    async def goes_on(self, days: int) -> None:
        for _ in range(days * 2):
            self.at += timedelta(hours=self.rng.randint(1, 24))
            await self.sweep()
            await self.store.note_poll(self.at, PollOutcome.CHANGED, "full sweep due", COST)
            for receiver in RECEIVERS:
                if self.rng.random() < 0.5:
                    await self.batch(receiver)

    async def sweep(self) -> None:
        models = await on_sale(self.store)
        chosen = self.rng.sample(models, k=min(3, len(models)))
        gone = await self.store.removed_models(
            [f"new {number}" for number in range(self.alerts + 1)]
        )
        changes: list[Any] = [self.changed(known) for known in chosen]
        changes.append(new(record(f"New {self.alerts}", credits=Decimal(self.rng.randint(1, 9)))))
        changes += [self.back(known) for known in gone if self.rng.random() < 0.3]
        self.rng.shuffle(changes)
        due = [(change, self.receivers()) for change in changes]
        notice = Notice(NoticeKind.COLLAPSE, self.at, {"models": 1})
        await self.store.record(
            commit(
                self.at,
                *due,
                notices=((notice, self.receivers()),) if self.rng.random() < 0.2 else (),
                holds=(Hold(HoldReason.PRICE, chosen[0].id, "9", self.at, self.at + DAY),),
                updates=((chosen[1].id, replace(chosen[1].record, anchor=f"{self.alerts}")),)
                if len(chosen) > 1 and self.rng.random() < 0.2 and changes_keep(due, chosen[1])
                else (),
                anchors=(Anchor("big", "team", chosen[0].id, model(chosen[0].record)),),
            )
        )

    def changed(self, known: KnownModel) -> ModelChange:
        if self.rng.random() < 0.15:
            return removed(known)
        return edited(known, replace(known.record, credits=Decimal(self.rng.randint(1, 9))))

    def back(self, known: KnownModel) -> ModelChange:
        after = replace(known.record, credits=Decimal(self.rng.randint(1, 9)))
        return ModelChange((Kind.RETURNED,), model(known.record), model(after), {}, known.id)

    def receivers(self) -> tuple[str, ...]:
        return tuple(name for name in RECEIVERS if self.rng.random() < 0.6)

    async def batch(self, receiver: str) -> None:
        self.alerts += 1
        items = [item.delivery_id for item in await self.store.queued(receiver)]
        chosen = [number for number in items if self.rng.random() < 0.7]
        if self.rng.random() < 0.2:
            await self.store.record_release(receiver, ReleaseEffects(netted=tuple(chosen)), self.at)
            return
        if not chosen:
            return
        number = (
            await create_message(self.store, receiver, draft(f"a{self.alerts}", chosen), self.at)
        ).id
        match self.rng.choice(["sent", "sent", "sent", "dead", "open", "discarded"]):
            case "sent":
                await self.store.mark_sent(number, self.at)
            case "dead":
                await self.store.mark_dead(number, "503", self.at)
            case "discarded":
                await self.store.apply(DiscardMessages(self.at, (number,)))


def changes_keep(due: list[tuple[Any, Any]], known: KnownModel) -> bool:
    """Whether a model is still there after the changes: only such a one can be updated."""
    return all(change.model_id != known.id or change.after is not None for change, _ in due)


async def said(store: Store, path: Path, keep: Retention, now: datetime) -> dict[str, Any]:
    """All that must be the same before and after."""
    assert keep.history is not None
    snapshot = await store.snapshot()
    assert snapshot is not None
    gone = await store.removed_models([f"new {number}" for number in range(1000)])
    numbers = [known.id for known in (*snapshot.models, *gone)]
    changes: tuple[RecordedChange, ...] = await store.changes(since=now - keep.history)
    return {
        "snapshot": snapshot,
        "gone": gone,
        "status": await store.status(),
        "outbox": await store.outbox(),
        "open": [await store.open_message(name) for name in RECEIVERS],
        "queued": [await store.queued(name) for name in RECEIVERS],
        "dead": [
            await store.changes(alert_id=it.alert_id) for it in (await store.outbox()).messages
        ],
        "changes": changes,
        "notices": await store.notices(now - keep.history),
        "polls": [] if keep.polls is None else polls(path, now - keep.polls),
        "anchors": {
            number: history.anchors
            for number, history in (await store.histories(numbers, now)).items()
        },
        "then": sorted(map(repr, await store.on_sale_at(now - keep.history))),
    }


@pytest.mark.parametrize("seed", range(4))
async def test_pruning_changes_nothing_that_is_still_said(path: Path, seed: int) -> None:
    rng = Random(seed)
    async with open_store(path) as store:
        baseline = tuple(record(f"New {-number}") for number in range(1, 9))
        await store.record(commit(baseline=baseline))
        life, gone = Life(store, seed), Counter[str]()
        for _ in range(4):
            await life.goes_on(days=6)
            keep = Retention(*(timedelta(hours=rng.choice([1, 30, 100, 300])) for _ in range(3)))
            before = await said(store, path, keep, life.at)
            for _ in range(rng.choice([1, 3, 1000])):
                step = await store.prune(keep, life.at, most=rng.choice([1, 5, 500]))
                gone.update(step.counts)
                if not step:
                    break
            assert await said(store, path, keep, life.at) == before
            # Every change on record can still be read.
            assert len(await store.changes()) == count(path, "changes")

        assert set(gone) == {"messages", "deliveries", "changes", "history", "notices", "polls"}
        assert query(path, "PRAGMA foreign_key_check") == []
        assert query(path, "PRAGMA integrity_check") == [("ok",)]


# The loop


async def test_the_loop_takes_steps_until_it_is_stopped(store: Store, path: Path) -> None:
    for day in range(0, 1000, 5):
        await store.note_poll(START + day * DAY, PollOutcome.UNCHANGED, None, COST)
    stop, asked = asyncio.Event(), 0

    def keep() -> Retention:
        nonlocal asked
        asked += 1
        if asked == 3:
            stop.set()
        return Retention(polls=50 * DAY)

    await prune_regularly(store, keep, lambda: LATE, stop, every=timedelta(milliseconds=1))

    assert (asked, count(path, "polls")) == (3, 10)


YEARS = 3650 * DAY


@pytest.mark.parametrize(
    ("jumps", "left"),
    [
        pytest.param({}, 15, id="none"),
        pytest.param({20: YEARS}, 16, id="ahead, a moment ago"),
        pytest.param({10: YEARS}, 16, id="ahead, and it stays there"),
        pytest.param({2: YEARS}, 15, id="ahead, long ago"),
        pytest.param({5: YEARS, 6: -YEARS}, 17, id="ahead and back"),
        pytest.param({5: -YEARS, 6: YEARS}, 14, id="back and ahead"),
        pytest.param({10: -YEARS}, 20, id="back"),
        pytest.param({0: YEARS, 1: -YEARS}, 16, id="wrong from the start"),
        pytest.param({10: 3 * DAY}, 12, id="ahead by days"),
    ],
)
async def test_a_clock_that_jumps_by_years_makes_nothing_old(
    store: Store, path: Path, jumps: dict[int, timedelta], left: int
) -> None:
    """Polls of twenty days, of which fifteen are kept: give or take those about a jump."""
    ahead, keep = timedelta(0), Retention(polls=15 * DAY)
    for day in range(20):
        ahead += jumps.get(day, timedelta(0))
        await store.note_poll(START + day * DAY + ahead, PollOutcome.UNCHANGED, None, COST)
        await prune_once(store, keep, START + day * DAY + ahead)
    ahead += jumps.get(20, timedelta(0))
    await prune_once(store, keep, START + 20 * DAY + ahead)

    assert count(path, "polls") == left


def test_no_less_is_kept_than_routes_look_back_to_and_tells_a_jump_of_the_clock() -> None:
    settings = Settings.model_validate(
        {"state": {"keep": {"history": "1h", "messages": "1h", "polls": "1h"}}}
    )
    assert retention_of(settings) == Retention(2 * DAY, 30 * DAY, 2 * DAY)
    assert retention_of(Settings()) == Retention(None, 30 * DAY, 90 * DAY)
