"""What stands in the database is read once at the start: a broken row is named, and never news."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from stored import START, commit, create_message, draft, edited, minutes, new, record, removed
from watcher.catalog.changes import Notice, NoticeKind
from watcher.catalog.confirm import Hold, HoldReason
from watcher.store.backup import back_up, rebuild
from watcher.store.connection import DamagedError
from watcher.store.queries import open_reader
from watcher.store.requests import AddSilence
from watcher.store.store import open_store
from watcher.store.values import PollOutcome, ReleaseEffects


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A state with a row in every table that is read."""
    path = tmp_path / "kie-watcher.db"
    hold = Hold(HoldReason.REMOVAL, 1, "", START, minutes(10))
    notice = Notice(NoticeKind.COLLAPSE, START, {"missing": 1})
    async with open_store(path) as store:
        begun = await store.record(commit(baseline=(record("Reel"), record("Aria"))))
        reel, aria = begun.models
        await store.record(
            commit(
                minutes(1),
                (edited(reel, record("Reel", credits=Decimal(96))), ("team", "me")),
                (removed(aria), ("team",)),
                (new(record("Veo")), ("team",)),
                holds=(hold,),
                notices=((notice, ("team",)),),
            )
        )
        queued = await store.queued("me")
        await create_message(store, "me", draft(deliveries=[queued[0].delivery_id]), minutes(2))
        message = await store.open_message("me")
        assert message is not None
        await store.mark_failed(message.id, "no answer", minutes(2), minutes(3), unanswered=1)
        await store.record_release("me", ReleaseEffects(digests={"daily": START}), minutes(2))
        await store.note_poll(minutes(3), PollOutcome.QUIET)
        await store.apply(AddSilence(START, minutes(60), {"model": "*"}))
        await store.keep_alarms({"alarms": []}, (), minutes(3))
    return path


def spoil(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute(statement)


# What a byte that flips can make of a row that SQLite still calls sound.
SPOILT = {
    "a price": ("UPDATE history SET credits = '94' WHERE id = 1", "the record 'Reel'"),
    "a name": ("UPDATE history SET description = 'Real' WHERE id = 1", "the record 'Real'"),
    "a unit": ("UPDATE history SET unit_quantity = '' WHERE id = 1", "the record 'Reel'"),
    "no UTF-8": (
        "UPDATE history SET provider = CAST(x'ff' AS TEXT) WHERE id = 1",
        "Could not decode to UTF-8 column 'provider'",
    ),
    "a time": (
        "UPDATE history SET valid_from = '2026' WHERE id = 1",
        "the time '2026' cannot be read",
    ),
    "a zone": (
        "UPDATE models SET first_seen_at = replace(first_seen_at, 'Z', 'X') WHERE id = 1",
        "cannot be read",
    ),
    "a model that is gone": (
        "UPDATE models SET gone_at = 'x' WHERE id = 2",
        "model 2: the time 'x' cannot be read",
    ),
    "a change": ("UPDATE changes SET kinds = '[\"price_vp\"]' WHERE id = 1", "change 1 cannot"),
    "a cause": ("UPDATE changes SET causes = '{' WHERE id = 1", "change 1 cannot be read"),
    "a notice": ("UPDATE notices SET kind = 'collaqse'", "notice 'collaqse' cannot be read"),
    "a detail": ("UPDATE notices SET detail = '{\"'", "notice 'collapse' cannot be read"),
    "a hold": ("UPDATE holds SET reason = 'removbl'", "what is held for 'removbl'"),
    "when it was swept": (
        "UPDATE sweep SET at = '2026-11-23T0X:55:17.002847Z'",
        "the time '2026-11",
    ),
    "the value of a credit": ("UPDATE sweep SET usd_per_credit = '0.004'", "the last sweep"),
    "the probe": ("UPDATE sweep SET probe = replace(probe, 'a', 'b')", "the last sweep"),
    "a value in history": (
        "UPDATE credit_values SET usd_per_credit = '0E005'",
        "from '2026-11-22T07:30:00.000000Z' cannot be read",
    ),
    "a value of a change": (
        "UPDATE changes SET after_usd_per_credit = 'NaN' WHERE id = 1",
        "change 1 cannot be read",
    ),
    "a poll": ("UPDATE poll SET outcome = 'quieu'", "the last poll"),
    "a message": (
        "UPDATE messages SET body = 'Kling 2.6: 84 → 95'",
        "message 1: it is not as it was written",
    ),
    "when it is due": ("UPDATE messages SET next_attempt_at = '2026'", "cannot be read"),
    "since when it waits": ("UPDATE messages SET planned_at = 'x'", "message 1: the time 'x'"),
    "a wait": ("UPDATE messages SET waited_ms = -1", "message 1: the number -1 was never"),
    "attempts": ("UPDATE messages SET attempts = -1", "message 1: the number -1 was never"),
    "tries without an answer": (
        "UPDATE unanswered SET tries = -1",
        "message 1: the number -1 was never",
    ),
    "tries for ever": (
        "UPDATE unanswered SET tries = 9223372036854775807",
        "message 1: the number 9223372036854775807 was never",
    ),
    "tries of one that nothing waits for": (
        "INSERT INTO unanswered VALUES ('team', 0)",
        "tries without an answer of 'team': the number 0 was never",
    ),
    "a delivery": ("UPDATE deliveries SET flap = 'x' WHERE id = 1", "delivery 1 cannot be read"),
    "what flaps": (
        "UPDATE deliveries SET flapping = '[\"price_vp\"]' WHERE id = 1",
        "what flaps in delivery 1 cannot be read",
    ),
    "when it was queued": ("UPDATE deliveries SET queued_at = 'x'", "cannot be read"),
    "a silence": ("UPDATE silences SET matcher = '{'", "silence 1 cannot be read"),
    "a digest": ("UPDATE digests SET at = '2026'", "the time '2026' cannot be read"),
    "the alarms": ("UPDATE alarms SET raised = '{\"alarms\":[}'", "the alarms '{"),
    "no alarms at all": ("UPDATE alarms SET raised = '[]'", "the alarms '[]'"),
    "a column": (
        "UPDATE sqlite_schema SET sql = replace(sql, 'credits ', 'credit5 ') WHERE name = 'history'",
        "the definition of history is not as it was written",
    ),
    "an index": (
        "UPDATE sqlite_schema SET sql = replace(sql, 'UNIQUE ', ' ') WHERE name = 'history_now'",
        "",
    ),
    "a reference": (
        "UPDATE holds SET model_id = 77",
        "a row of holds names one of models that is missing",
    ),
    "the version": ("PRAGMA user_version = 0", "the version in its header"),
}


@pytest.mark.parametrize(("statement", "named"), SPOILT.values(), ids=SPOILT)
async def test_a_row_that_was_never_written_is_named_and_can_be_moved_aside(
    path: Path, statement: str, named: str
) -> None:
    spoil(path, statement)
    before = path.read_bytes()

    with pytest.raises(DamagedError) as refused:
        async with open_store(path):
            pass
    assert named in str(refused.value)
    assert "--rebuild" in str(refused.value)
    assert path.read_bytes() == before
    with pytest.raises(DamagedError):
        back_up(path, path.with_name("copy.db"))

    kept = rebuild(path, START)
    assert kept is not None
    assert kept.read_bytes() == before
    async with open_store(path) as store:
        assert await store.snapshot() is None


async def test_a_sound_state_is_sound(path: Path) -> None:
    assert rebuild(path, START) is None
    async with open_store(path) as store:
        assert await store.alarms() == {"alarms": []}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE history SET credits = 'x'",
        "UPDATE sweep SET probe = '{'",
        "UPDATE messages SET body = 'x'",
        "UPDATE alarms SET raised = 'x'",
    ],
)
async def test_commands_beside_the_daemon_say_it_in_words_too(path: Path, statement: str) -> None:
    spoil(path, statement)
    async with open_reader(path) as reader:
        asked = (reader.models, reader.outbox, reader.alarms)
        answers = await asyncio.gather(*(ask() for ask in asked), return_exceptions=True)
    assert sum(isinstance(answer, DamagedError) for answer in answers) == 1
    assert sum(isinstance(answer, Exception) for answer in answers) == 1


async def test_what_breaks_while_the_state_is_open_makes_it_unusable(path: Path) -> None:
    async with open_store(path) as store:
        await store._database.execute("UPDATE alarms SET raised = 'x'")
        with pytest.raises(DamagedError, match="the alarms 'x' cannot be read"):
            await store.alarms()
        with pytest.raises(DamagedError, match="the alarms 'x' cannot be read"):
            await store.watch(asyncio.Event())
