"""Notices and to whom each is due, written as a part of one transaction.

Refuses to know what a notice says.

What operators have been told of the watch itself, and are still to be told the end of.

Refuses to know what an alarm is: the book comes in and goes out as plain JSON.

What is to be told to whom, and how far that has come: deliveries and messages.

Knows the life of a message: gathered, fixed, tried, then sent, dead or discarded. Refuses to know
how it is worded, sent, or when to try again.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from watcher.store.anchors import write_settlement
from watcher.store.connection import ConflictError, Questions
from watcher.store.requests import OutboxRequest, Wish, grant
from watcher.store.rows import json_text, read_json, read_message, storable, time_text
from watcher.store.values import Settlement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    import aiosqlite

    from watcher.catalog.changes import Notice
    from watcher.store.requests import Request
    from watcher.store.values import Draft, StoredMessage


async def write_notices(
    db: aiosqlite.Connection,
    notices: Iterable[tuple[Notice, tuple[str, ...]]],
    at: datetime,
) -> None:
    """Store each notice with one delivery for each of its receivers, queued at `at`."""
    queued_at = time_text(at)
    for notice, receivers in notices:
        cursor = await db.execute(
            "INSERT INTO notices (at, kind, detail) VALUES (?, ?, ?)",
            (time_text(notice.at), notice.kind.value, json_text(notice.detail)),
        )
        number = cursor.lastrowid
        await db.executemany(
            "INSERT INTO deliveries (receiver, notice_id, queued_at) VALUES (?, ?, ?)",
            [(receiver, number, queued_at) for receiver in receivers],
        )


class AlarmsTable(Questions):
    """The one question and the one mark of whoever looks out."""

    async def alarms(self) -> Mapping[str, Any]:
        """What was kept last; empty where nothing was."""
        rows = await self._database.rows("SELECT raised FROM alarms")
        return read_json(rows[0][0]) if rows else {}

    async def keep_alarms(
        self,
        alarms: Mapping[str, Any],
        notices: Sequence[tuple[Notice, tuple[str, ...]]],
        at: datetime,
    ) -> None:
        """Keep the alarms in place of the last, and queue the notices, in one transaction."""

        async def work(db: aiosqlite.Connection) -> None:
            await db.execute(
                "INSERT INTO alarms (id, raised) VALUES (1, ?)"
                " ON CONFLICT (id) DO UPDATE SET raised = excluded.raised",
                (json_text(alarms),),
            )
            await write_notices(db, notices, at)

        await self._database.write(work)


MESSAGE_COLUMNS = (
    "id, alert_id, receiver, title, body, markup, created_at, opened_at, attempts,"
    " last_attempt_at, next_attempt_at, last_error, state,"
    " (SELECT count(*) FROM deliveries WHERE message_id = messages.id)"
)


NOTHING_SETTLED = Settlement()


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

    async def fix_messages(
        self,
        receiver: str,
        drafts: Sequence[Draft],
        at: datetime,
        settlement: Settlement = NOTHING_SETTLED,
    ) -> tuple[StoredMessage, ...]:
        """Bind deliveries to texts that will not change; all are due at once, in that order.

        Raises `ConflictError` where a delivery is no longer waiting, and where an alert id is
        taken; nothing is stored then.
        """

        async def fix(db: aiosqlite.Connection) -> tuple[StoredMessage, ...]:
            fixed = [await _fix(db, _message_row(receiver, it, at), it) for it in drafts]
            await write_settlement(db, receiver, settlement, at)
            return tuple(fixed)

        return await self._database.write(fix)

    async def picture(self, message_id: int) -> bytes | None:
        """The PNG that goes with a message, until that was sent."""
        rows = await self._database.rows("SELECT picture FROM messages WHERE id = ?", (message_id,))
        return rows[0][0] if rows else None

    async def mark_sent(self, message_id: int, at: datetime) -> None:
        """The service accepted it; true even of one that was discarded meanwhile."""
        await self._mark(
            "UPDATE messages SET state = 'sent', settled_at = ?1, attempts = attempts + 1,"
            # Pictures are large, and this one has been seen.
            " picture = NULL,"
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

    async def apply(self, request: Request) -> int:
        """Do what a person asked; returns how many things it was about (messages, say)."""
        return (await self.apply_all([request]))[0]

    async def apply_all(self, requests: Iterable[Request]) -> list[int]:
        """Do all that was asked, in that order, or nothing of it."""

        async def work(db: aiosqlite.Connection) -> list[int]:
            return [await grant(db, request) for request in requests]

        return await self._database.write(work)

    async def _mark(self, sql: str, parameters: tuple[Any, ...]) -> None:
        async def work(db: aiosqlite.Connection) -> None:
            await db.execute(sql, parameters)

        await self._database.write(work)


async def _fix(db: aiosqlite.Connection, row: tuple[Any, ...], draft: Draft) -> StoredMessage:
    alert_id, receiver = row[0], row[1]
    try:
        cursor = await db.execute(
            "INSERT INTO messages (alert_id, receiver, title, body, markup,"
            " created_at, opened_at, next_attempt_at, picture)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
    except sqlite3.IntegrityError as error:
        raise ConflictError(f"alert id {alert_id} is taken; draw another") from error
    bound = await db.execute(
        "UPDATE deliveries SET message_id = ? WHERE receiver = ? AND message_id IS NULL"
        " AND discarded_at IS NULL AND id IN (SELECT value FROM json_each(?))",
        (cursor.lastrowid, receiver, json_text(list(draft.deliveries))),
    )
    if bound.rowcount != len(draft.deliveries):
        raise ConflictError(f"what {receiver} was to be told has changed; gather it again")
    rows = await db.execute_fetchall(
        f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE id = ?",  # noqa: S608 - our own columns
        (cursor.lastrowid,),
    )
    return read_message(next(iter(rows)))


def _request(
    wish: Wish, at: datetime, message_ids: Iterable[int] | None, receiver: str | None
) -> OutboxRequest:
    return OutboxRequest(wish, at, None if message_ids is None else tuple(message_ids), receiver)


def _message_row(receiver: str, draft: Draft, at: datetime) -> tuple[Any, ...]:
    text = (draft.alert_id, receiver, draft.title, draft.body, draft.markup)
    return (*text, *[time_text(at)] * 3, draft.picture)
