"""What is to be told to whom, and how far that has come: deliveries and messages.

Knows the life of a message: gathered, fixed, tried, then sent, dead or discarded. Refuses to know
how it is worded, sent, or when to try again.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from watcher.store.database import Questions
from watcher.store.rows import (
    json_text,
    read_change,
    read_message,
    read_notice,
    storable,
    time_text,
)
from watcher.store.statefile import ConflictError
from watcher.store.values import Item, OutboxRequest, Wish

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    import aiosqlite

    from watcher.store.values import Draft, StoredMessage

MESSAGE_COLUMNS = (
    "id, alert_id, receiver, title, body, markup, created_at, opened_at, attempts,"
    " last_attempt_at, next_attempt_at, last_error, state,"
    " (SELECT count(*) FROM deliveries WHERE message_id = messages.id)"
)


class OutboxTable(Questions):
    """The questions and marks of whoever sends."""

    async def waiting_receivers(self) -> tuple[str, ...]:
        """Receivers that have an open message, or something not yet gathered into one."""
        rows = await self._database.rows(
            "SELECT receiver FROM messages WHERE state = 'open' UNION SELECT receiver"
            " FROM waiting ORDER BY receiver"
        )
        return tuple(receiver for (receiver,) in rows)

    async def open_message(self, receiver: str) -> StoredMessage | None:
        """The oldest message of the receiver that is neither sent nor given up."""
        rows = await self._database.rows(
            f"SELECT {MESSAGE_COLUMNS} FROM messages"  # noqa: S608 - our own columns
            " WHERE receiver = ? AND state = 'open' ORDER BY id LIMIT 1",
            (receiver,),
        )
        return next(map(read_message, rows), None)

    async def gathered(self, receiver: str) -> tuple[Item, ...]:
        """What the receiver is to be told and is in no message yet, oldest first."""
        rows = await self._database.rows(
            "SELECT waiting.id, notices.kind, notices.at, notices.detail, changes.id,"
            " changes.at, model_id, kinds, causes, before, before_usd_per_credit,"
            " after, after_usd_per_credit"
            " FROM waiting LEFT JOIN changes ON changes.id = change_id"
            " LEFT JOIN notices ON notices.id = notice_id"
            " WHERE receiver = ? ORDER BY waiting.id",
            (receiver,),
        )
        return tuple(map(_read_item, rows))

    async def fix_message(
        self, receiver: str, draft: Draft, delivery_ids: Collection[int], at: datetime
    ) -> StoredMessage:
        """Bind the deliveries to a text that will not change; due at once.

        Raises `ConflictError` where one of them is no longer waiting, and where the alert id is
        taken; nothing is stored then.
        """
        row = _message_row(receiver, draft, at)

        async def fix(db: aiosqlite.Connection) -> StoredMessage:
            return await _fix(db, row, delivery_ids)

        return await self._database.write(fix)

    async def mark_sent(self, message_id: int, at: datetime) -> None:
        """The service accepted it; true even of one that was discarded meanwhile."""
        await self._mark(
            "UPDATE messages SET state = 'sent', settled_at = ?1, attempts = attempts + 1,"
            " last_attempt_at = ?1 WHERE id = ?2",
            (time_text(at), message_id),
        )

    async def mark_failed(
        self, message_id: int, error: str, at: datetime, next_attempt_at: datetime
    ) -> None:
        """It was tried in vain and will be tried again."""
        await self._mark(
            "UPDATE messages SET last_error = ?, attempts = attempts + 1, last_attempt_at = ?,"
            " next_attempt_at = ? WHERE id = ? AND state = 'open'",
            (storable(error), time_text(at), time_text(next_attempt_at), message_id),
        )

    async def mark_dead(self, message_id: int, error: str, at: datetime) -> None:
        """It was tried in vain for the last time; it is kept, and so is what it tells."""
        await self._mark(
            "UPDATE messages SET state = 'dead', settled_at = ?1, last_error = ?2,"
            " attempts = attempts + 1, last_attempt_at = ?1 WHERE id = ?3 AND state = 'open'",
            (time_text(at), storable(error), message_id),
        )

    async def retry(
        self, at: datetime, message_ids: Iterable[int] | None = None, receiver: str | None = None
    ) -> int:
        """Open dead messages again, due now, their attempts forgotten; returns how many."""
        return await self.apply(_request(Wish.RETRY, at, message_ids, receiver))

    async def discard(
        self, at: datetime, message_ids: Iterable[int] | None = None, receiver: str | None = None
    ) -> int:
        """Give up open and dead messages and, unless messages are named, what is ungathered.

        Returns how many messages and ungathered items that were.
        """
        return await self.apply(_request(Wish.DISCARD, at, message_ids, receiver))

    async def apply(self, request: OutboxRequest) -> int:
        """Do what a person asked; returns how many messages and ungathered items it was about."""
        return (await self.apply_all([request]))[0]

    async def apply_all(self, requests: Iterable[OutboxRequest]) -> list[int]:
        """Do all that was asked, in that order, or nothing of it."""

        async def work(db: aiosqlite.Connection) -> list[int]:
            return [await _apply(db, request) for request in requests]

        return await self._database.write(work)

    async def _mark(self, sql: str, parameters: tuple[Any, ...]) -> None:
        async def work(db: aiosqlite.Connection) -> None:
            await db.execute(sql, parameters)

        await self._database.write(work)


async def _fix(
    db: aiosqlite.Connection, row: tuple[Any, ...], delivery_ids: Collection[int]
) -> StoredMessage:
    alert_id, receiver = row[0], row[1]
    try:
        cursor = await db.execute(
            "INSERT INTO messages (alert_id, receiver, title, body, markup,"
            " created_at, opened_at, next_attempt_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
    except sqlite3.IntegrityError as error:
        raise ConflictError(f"alert id {alert_id} is taken; draw another") from error
    bound = await db.execute(
        "UPDATE deliveries SET message_id = ? WHERE receiver = ? AND message_id IS NULL"
        " AND discarded_at IS NULL AND id IN (SELECT value FROM json_each(?))",
        (cursor.lastrowid, receiver, json_text(list(delivery_ids))),
    )
    if bound.rowcount != len(delivery_ids):
        raise ConflictError(f"what {receiver} was to be told has changed; gather it again")
    rows = await db.execute_fetchall(
        f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE id = ?",  # noqa: S608 - our own columns
        (cursor.lastrowid,),
    )
    return read_message(next(iter(rows)))


async def _apply(db: aiosqlite.Connection, request: OutboxRequest) -> int:
    """Bounded by the time of the request, so that doing it twice does no more than once."""
    ids = None if request.message_ids is None else json_text(request.message_ids)
    parameters = (time_text(request.at), ids, request.receiver)
    if request.wish is Wish.RETRY:
        cursor = await db.execute(
            "UPDATE messages SET state = 'open', settled_at = NULL, attempts = 0,"
            " opened_at = ?1, next_attempt_at = ?1"
            " WHERE state = 'dead' AND settled_at <= ?1"
            " AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))"
            " AND (?3 IS NULL OR receiver = ?3)",
            parameters,
        )
        return cursor.rowcount
    messages = await db.execute(
        "UPDATE messages SET state = 'discarded', settled_at = ?1"
        " WHERE state IN ('open', 'dead') AND created_at <= ?1"
        " AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))"
        " AND (?3 IS NULL OR receiver = ?3)",
        parameters,
    )
    ungathered = await db.execute(
        "UPDATE deliveries SET discarded_at = ?1"
        " WHERE id IN (SELECT id FROM waiting WHERE queued_at <= ?1)"
        " AND ?2 IS NULL AND (?3 IS NULL OR receiver = ?3)",
        parameters,
    )
    return messages.rowcount + ungathered.rowcount


def _request(
    wish: Wish, at: datetime, message_ids: Iterable[int] | None, receiver: str | None
) -> OutboxRequest:
    return OutboxRequest(wish, at, None if message_ids is None else tuple(message_ids), receiver)


def _message_row(receiver: str, draft: Draft, at: datetime) -> tuple[Any, ...]:
    text = (draft.alert_id, receiver, draft.title, draft.body, draft.markup)
    return (*text, *[time_text(at)] * 3)


def _read_item(row: Any) -> Item:
    """From a delivery's number, the three columns of a notice, and those of a change."""
    number, notice, change = row[0], row[1:4], row[4:]
    return Item(number, read_change(change) if notice[0] is None else read_notice(notice))
