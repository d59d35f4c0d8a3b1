from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from stored import query
from watcher.store.connection import APPLICATION_ID, open_writing
from watcher.store.schema import MIGRATIONS, NEWEST, migrate
from watcher.store.store import open_store

if TYPE_CHECKING:
    from pathlib import Path

ONE = ("CREATE TABLE one (a TEXT) STRICT", "INSERT INTO one VALUES ('kept')")
TWO = ("CREATE TABLE two (a TEXT) STRICT", "INSERT INTO one VALUES ('twice?')")
BROKEN = ("CREATE TABLE two (a TEXT) STRICT", "INSERT INTO nowhere VALUES ('lost')")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kie-watcher.db"


def tables(path: Path) -> set[str]:
    return {name for (name,) in query(path, "SELECT name FROM sqlite_schema WHERE type = 'table'")}


def version(path: Path) -> int:
    return int(query(path, "PRAGMA user_version")[0][0])


async def test_a_failing_step_rolls_back_and_keeps_those_before_it(path: Path) -> None:
    async with open_writing(path, newest=2) as database:
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            await migrate(database, (ONE, BROKEN))

        assert (version(path), tables(path)) == (1, {"one"})
        assert query(path, "SELECT a FROM one") == [("kept",)]


async def test_running_again_after_a_failure_applies_each_step_once(path: Path) -> None:
    async with open_writing(path, newest=2) as database:
        with pytest.raises(sqlite3.OperationalError):
            await migrate(database, (ONE, BROKEN))
    async with open_writing(path, newest=2) as database:
        await migrate(database, (ONE, TWO))
        await migrate(database, (ONE, TWO))

        assert (version(path), tables(path)) == (2, {"one", "two"})
        assert query(path, "SELECT a FROM one") == [("kept",), ("twice?",)]


async def test_a_new_state_has_the_newest_format_and_our_mark(path: Path) -> None:
    async with open_store(path):
        pass

    assert version(path) == NEWEST == len(MIGRATIONS)
    assert query(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]


async def test_every_table_is_strict(path: Path) -> None:
    async with open_store(path):
        pass

    tables = "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
    kinds = query(path, tables)
    assert {name for name, strict in kinds if not strict} == {"sqlite_schema"}
    assert len(kinds) > 10


async def test_a_start_interrupted_before_the_first_step_is_taken_up(path: Path) -> None:
    async with open_writing(path, newest=NEWEST):
        pass
    assert (version(path), tables(path)) == (0, set())

    async with open_store(path) as store:
        assert await store.snapshot() is None


async def test_a_delivery_is_of_one_change_or_one_notice(path: Path) -> None:
    async with open_store(path) as store:
        for wrong in ("NULL, NULL", "1, 1"):
            with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
                await store._database.write(
                    lambda connection, wrong=wrong: connection.execute(
                        "INSERT INTO deliveries (receiver, change_id, notice_id, queued_at)"
                        f" VALUES ('team', {wrong}, '')"
                    )
                )
