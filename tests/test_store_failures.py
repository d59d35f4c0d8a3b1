"""What the store promises when things go wrong in the middle."""

from __future__ import annotations

import asyncio
import sqlite3
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from stored import (
    KLING,
    START,
    SUNO,
    began,
    commit,
    edited,
    minutes,
    new,
    receivers_due,
    record,
    removed,
)
from torture.checkers import on_sale
from torture.state_checks import query
from watcher.catalog.changes import Notice, NoticeKind
from watcher.catalog.confirm import Hold, HoldReason
from watcher.store.connection import ConflictError, StateError
from watcher.store.store import Store, open_store
from watcher.store.values import PollOutcome

if TYPE_CHECKING:
    from pathlib import Path


def everything(path: Path) -> list[Any]:
    tables = query(path, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    return [query(path, f"SELECT * FROM {name}") for (name,) in tables]


WRITTEN = [
    "models",
    "history",
    "changes",
    "deliveries",
    "notices",
    "holds",
    "credit_values",
    "sweep",
]


@pytest.mark.parametrize("table", WRITTEN)
async def test_a_failure_anywhere_in_a_commit_leaves_what_was_before(
    path: Path, table: str
) -> None:
    notice = Notice(NoticeKind.COLLAPSE, minutes(5), {"missing": 1})
    hold = Hold(HoldReason.COLLAPSE, None, "", START, minutes(360))
    async with open_store(path) as store:
        kling, suno = await began(store)
        whole = commit(
            minutes(5),
            (new(record("Veo 3")), ("team",)),
            (edited(kling, record(credits=Decimal(96))), ("team", "me")),
            removed(suno),
            usd_per_credit=Decimal("0.006"),
            holds=(hold,),
            notices=((notice, ("team",)),),
        )
        event = "UPDATE" if table == "sweep" else "INSERT"
        await break_at(store, table, event)
        before = everything(path)

        with pytest.raises(sqlite3.IntegrityError, match="broken"):
            await store.record(whole)
        assert everything(path) == before

        await run(store, "DROP TRIGGER temp.broken")
        await store.record(whole)
        assert everything(path) != before
        assert await receivers_due(store) == ("me", "team")


async def run(store: Store, sql: str) -> None:
    await store._database.write(lambda connection: connection.execute(sql))


async def break_at(store: Store, table: str, event: str) -> None:
    await run(
        store,
        f"CREATE TEMP TRIGGER broken AFTER {event} ON main.{table}"
        " BEGIN SELECT RAISE(ABORT, 'broken'); END",
    )


async def test_a_change_from_what_a_model_no_longer_is_is_not_stored(path: Path) -> None:
    dearer = record(credits=Decimal(96))
    async with open_store(path) as store:
        kling, _ = await began(store)
        await store.record(commit(minutes(5), edited(kling, dearer)))
        before = everything(path)

        with pytest.raises(ConflictError, match="model 1 has changed"):
            await store.record(commit(minutes(6), new(record("Veo 3")), removed(kling)))
        assert everything(path) == before


async def test_a_full_disk_is_said_loses_nothing_and_passes(path: Path) -> None:
    many = tuple(record(f"model {number}") for number in range(3000))
    async with open_store(path) as store:
        await began(store)
        before = everything(path)
        (pages,) = (await store._database.rows("PRAGMA page_count"))[0]
        await store._database.rows(f"PRAGMA max_page_count = {pages + 2}")

        with pytest.raises(StateError, match=r"disk is full.*Make space"):
            await store.record(commit(minutes(5), *map(new, many)))
        assert everything(path) == before
        assert len(await on_sale(store)) == 2

        await store._database.rows("PRAGMA max_page_count = 1000000")
        await store.record(commit(minutes(5), *map(new, many)))
        assert len(await on_sale(store)) == 3002


async def test_a_cancelled_commit_is_finished_and_the_store_stays_usable(path: Path) -> None:
    many = tuple(record(f"model {number}") for number in range(2000))
    async with open_store(path) as store:
        await began(store)
        recording = asyncio.create_task(store.record(commit(minutes(5), *map(new, many))))
        await asyncio.sleep(0)
        recording.cancel()
        await asyncio.sleep(0)
        recording.cancel()
        with pytest.raises(asyncio.CancelledError):
            await recording

        assert len(await on_sale(store)) == 2002
        await store.note_poll(minutes(6), PollOutcome.QUIET)


async def test_tasks_that_write_at_once_are_not_in_each_others_transactions(path: Path) -> None:
    async with open_store(path) as store:
        await began(store, KLING)
        commits = [commit(minutes(number), new(record(f"model {number}"))) for number in range(20)]
        broken = commit(minutes(1), new(SUNO), updates=((99, SUNO),))
        outcomes = await asyncio.gather(
            *(store.record(each) for each in [*commits[:10], broken, *commits[10:]]),
            return_exceptions=True,
        )

        assert [type(outcome) for outcome in outcomes].count(LookupError) == 1
        names = {model.record.description for model in await on_sale(store)}
        assert names == {KLING.description} | {f"model {number}" for number in range(20)}


async def test_a_commit_is_on_the_disk_before_anybody_is_told(path: Path) -> None:
    # 2 is FULL. With NORMAL a power cut takes the last commits along, and no test here can cut it.
    async with open_store(path) as store:
        assert await store._database.rows("PRAGMA synchronous") == [(2,)]
