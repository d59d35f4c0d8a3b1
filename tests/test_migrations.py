"""Steps of the format: each is applied once and whole, and what was there is kept."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from stored import PROBE, START, commit, minutes, record
from torture.state_checks import query
from watcher.store.connection import APPLICATION_ID, UnusableError, open_writing
from watcher.store.queries import open_reader
from watcher.store.schema import MIGRATIONS, NEWEST, Step
from watcher.store.store import open_store
from watcher.store.values import PollOutcome

if TYPE_CHECKING:
    from pathlib import Path

# What a next version may need: a column, a table, and values for what is stored already.
NEXT: Step = (
    "ALTER TABLE models ADD COLUMN api_model TEXT",
    """
    CREATE TABLE documents (
        id INTEGER PRIMARY KEY,
        model_id INTEGER NOT NULL REFERENCES models (id)
    ) STRICT
    """,
    "INSERT INTO documents (model_id) SELECT id FROM models",
    "UPDATE models SET api_model = replace(identity_key, ' ', '-')",
)
BROKEN: Step = (*NEXT[:2], "INSERT INTO nowhere VALUES ('lost')")


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A state in the format of today, with something in every part of it that matters here."""
    path = tmp_path / "kie-watcher.db"
    async with open_store(path) as store:
        await store.record(commit(baseline=(record("Reel 1"), record("Reel 2"))))
        await store.note_poll(START, PollOutcome.BASELINE)
    return path


def version(path: Path) -> int:
    return int(query(path, "PRAGMA user_version")[0][0])


def content(path: Path) -> dict[str, list[Any]]:
    """Every row of every table of today's format."""
    tables = query(path, "SELECT name FROM sqlite_schema WHERE type = 'table'")
    return {
        name: query(path, f"SELECT * FROM {name}")
        for (name,) in tables
        if not name.startswith("sqlite_")
    }


async def test_a_step_is_applied_once_and_keeps_what_is_stored(path: Path) -> None:
    before = content(path)
    for _ in range(2):
        async with open_store(path, (*MIGRATIONS, NEXT)) as store:
            snapshot = await store.snapshot()
            assert snapshot is not None
            assert (len(snapshot.models), snapshot.probe) == (2, PROBE)
            await store.record(commit(minutes(5)))

    assert version(path) == NEWEST + 1
    assert query(path, "SELECT api_model FROM models") == [("reel-1",), ("reel-2",)]
    assert query(path, "SELECT id, model_id FROM documents") == [(1, 1), (2, 2)]
    assert content(path)["history"] == before["history"]
    assert query(path, "PRAGMA foreign_key_check") == []


async def test_a_step_that_fails_leaves_everything_as_it_was(path: Path) -> None:
    before = content(path)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        async with open_store(path, (*MIGRATIONS, BROKEN)):
            pass

    assert (version(path), content(path)) == (NEWEST, before)
    async with open_store(path, (*MIGRATIONS, NEXT)):
        assert version(path) == NEWEST + 1


async def test_the_state_is_backed_up_before_its_format_changes(path: Path) -> None:
    before = content(path)
    async with open_store(path, (*MIGRATIONS, NEXT)):
        pass

    kept = path.with_name(f"kie-watcher.db.before-format-{NEWEST + 1}")
    assert (version(kept), content(kept)) == (NEWEST, before)
    async with open_reader(kept) as reader:
        assert await reader.snapshot() is not None


async def test_a_state_from_the_future_is_refused_and_left_alone(path: Path) -> None:
    async with open_store(path, (*MIGRATIONS, NEXT)):
        pass
    before = path.read_bytes()

    with pytest.raises(UnusableError, match="newer kie-watcher"):
        async with open_store(path):
            pass
    assert path.read_bytes() == before


async def test_a_new_state_has_the_newest_format_and_our_mark(path: Path) -> None:
    assert version(path) == NEWEST == len(MIGRATIONS)
    assert query(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]
    assert not path.with_name(f"kie-watcher.db.before-format-{NEWEST}").exists()


async def test_every_table_is_strict(path: Path) -> None:
    tables = "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
    kinds = query(path, tables)
    # SQLite's own two are what they are.
    assert {name for name, strict in kinds if not strict} == {"sqlite_schema", "sqlite_sequence"}
    assert len(kinds) > 10


async def test_a_start_interrupted_before_the_first_step_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    with open_writing(path, newest=NEWEST):
        pass
    assert (version(path), content(path)) == (0, {})

    async with open_store(path) as store:
        assert await store.snapshot() is None


async def test_a_delivery_is_of_one_change_or_one_notice(path: Path) -> None:
    async with open_store(path) as store:
        for wrong in ("NULL, NULL", "1, 1"):
            with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
                await store._database.execute(
                    "INSERT INTO deliveries (receiver, change_id, notice_id, queued_at)"
                    f" VALUES ('team', {wrong}, '')"
                )
