"""What a person's wish does to the state, as a part of one transaction.

Every wish is bounded by its own time: one that was granted, and is found again after a crash, does
nothing more. Refuses to know who asked and how it came here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from watcher.confirm import HoldReason
from watcher.store.routes import add_silence, end_silence
from watcher.store.rows import json_text, time_text
from watcher.store.wishes import (
    AcceptHolds,
    AddSilence,
    EndSilence,
    Forward,
    OutboxRequest,
    StartOver,
    Wish,
)

if TYPE_CHECKING:
    import aiosqlite

    from watcher.store.wishes import HoldName, Request

__all__ = ["grant"]


async def grant(db: aiosqlite.Connection, request: Request) -> int:
    """Do what was asked; returns how many things it was about, which may be none."""
    match request:
        case OutboxRequest(wish=Wish.RETRY):
            return await _retry(db, request)
        case OutboxRequest():
            return await _discard(db, request)
        case Forward():
            return await _forward(db, request)
        case AddSilence():
            return await add_silence(db, request.silence)
        case EndSilence():
            return await end_silence(db, request.number, request.at)
        case AcceptHolds():
            return await _accept(db, request)
        case StartOver():
            return await _start_over(db, request)
        case _:
            assert_never(request)


async def _retry(db: aiosqlite.Connection, request: OutboxRequest) -> int:
    cursor = await db.execute(
        "UPDATE messages SET state = 'open', settled_at = NULL, attempts = 0,"
        " opened_at = ?1, next_attempt_at = ?1"
        " WHERE state = 'dead' AND settled_at <= ?1"
        " AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))"
        " AND (?3 IS NULL OR receiver = ?3)",
        _aim(request),
    )
    return cursor.rowcount


async def _discard(db: aiosqlite.Connection, request: OutboxRequest) -> int:
    messages = await db.execute(
        "UPDATE messages SET state = 'discarded', settled_at = ?1, picture = NULL"
        " WHERE state IN ('open', 'dead') AND created_at <= ?1"
        " AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))"
        " AND (?3 IS NULL OR receiver = ?3)",
        _aim(request),
    )
    ungathered = await db.execute(
        "UPDATE deliveries SET discarded_at = ?1"
        " WHERE id IN (SELECT id FROM waiting WHERE queued_at <= ?1)"
        " AND ?2 IS NULL AND (?3 IS NULL OR receiver = ?3)",
        _aim(request),
    )
    return messages.rowcount + ungathered.rowcount


async def _forward(db: aiosqlite.Connection, request: Forward) -> int:
    """Give messages, and what is ungathered, to another receiver; what that was told stays told.

    The route stays behind: it may have a digest that the other receiver does not get.
    """
    aim = (*_aim(request), request.to)
    messages = await db.execute_fetchall(
        "UPDATE messages SET receiver = ?4, state = 'open', settled_at = NULL, attempts = 0,"
        " opened_at = ?1, next_attempt_at = ?1"
        " WHERE state IN ('open', 'dead') AND created_at <= ?1 AND receiver <> ?4"
        " AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))"
        " AND (?3 IS NULL OR receiver = ?3) RETURNING id",
        aim,
    )
    moved = json_text([number for (number,) in messages])
    ungathered = await db.execute_fetchall(
        "SELECT id FROM waiting WHERE queued_at <= ?1 AND receiver <> ?4"
        " AND ?2 IS NULL AND (?3 IS NULL OR receiver = ?3)",
        aim,
    )
    waiting = json_text([number for (number,) in ungathered])
    await db.execute(
        "UPDATE OR IGNORE deliveries SET receiver = ?1, route = ''"
        " WHERE message_id IN (SELECT value FROM json_each(?2))"
        " OR id IN (SELECT value FROM json_each(?3))",
        (request.to, moved, waiting),
    )
    await db.execute(
        "UPDATE deliveries SET discarded_at = ?1"
        " WHERE id IN (SELECT value FROM json_each(?2)) AND receiver <> ?3",
        (time_text(request.at), waiting, request.to),
    )
    return len(list(messages)) + len(list(ungathered))


def _aim(request: OutboxRequest | Forward) -> tuple[str, str | None, str | None]:
    ids = None if request.message_ids is None else json_text(request.message_ids)
    return time_text(request.at), ids, request.receiver


async def _accept(db: aiosqlite.Connection, request: AcceptHolds) -> int:
    """Put the end of holds to the time of the wish: the next sweep may settle them.

    A hold that began later is about something that the person has not seen.
    """
    moment = time_text(request.at)
    if request.holds is None:
        return await _settle(db, moment, "1", ())
    settled = 0
    for hold in request.holds:
        if hold.reason is HoldReason.COLLAPSE:
            settled += await _settle(db, moment, "reason IN ('collapse', 'removal')", ())
        else:
            settled += await _settle(
                db, moment, "reason = ? AND model_id IS ? AND subject = ?", _columns(hold)
            )
    return settled


async def _settle(
    db: aiosqlite.Connection, moment: str, which: str, parameters: tuple[object, ...]
) -> int:
    cursor = await db.execute(
        f"UPDATE holds SET until_at = min(until_at, ?) WHERE since_at <= ? AND {which}",  # noqa: S608 - our own words
        (moment, moment, *parameters),
    )
    return cursor.rowcount


def _columns(hold: HoldName) -> tuple[object, ...]:
    return hold.reason.value, hold.model_id, hold.subject


async def _start_over(db: aiosqlite.Connection, request: StartOver) -> int:
    """Mark the memory; a baseline taken since the wish was made has fulfilled it."""
    cursor = await db.execute(
        "UPDATE sweep SET start_over = 1 WHERE NOT EXISTS"
        " (SELECT 1 FROM notices WHERE kind = 'baseline' AND at > ?)",
        (time_text(request.at),),
    )
    return cursor.rowcount
