"""Deliveries and the messages made of them: open, then sent, dead or discarded. Also the alarms.

A delivery is one thing (a change or a notice) that one receiver is to get. It waits until it is
bound to a message, whose text never changes after that.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from watcher.store.connection import ConflictError, Queries
from watcher.store.requests import apply_request
from watcher.store.routing_state import write_release_effects
from watcher.store.rows import encodable, json_text, read_json, read_message, time_text
from watcher.store.values import ReleaseEffects

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    import aiosqlite

    from watcher.catalog.changes import Notice
    from watcher.store.requests import Request
    from watcher.store.values import Draft, StoredMessage

# The columns that `read_message` reads.
MESSAGE_COLUMNS = (
    "id, alert_id, receiver, title, body, markup, created_at, opened_at, attempts,"
    " last_attempt_at, next_attempt_at, last_error, state,"
    " (SELECT count(*) FROM deliveries WHERE message_id = messages.id)"
)

_NO_EFFECTS = ReleaseEffects()


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


class AlarmQueries(Queries):
    """The alarms, as plain JSON."""

    async def alarms(self) -> Mapping[str, Any]:
        """What was stored last; empty where nothing was."""
        rows = await self._database.rows("SELECT raised FROM alarms")
        return read_json(rows[0][0]) if rows else {}

    async def keep_alarms(
        self,
        alarms: Mapping[str, Any],
        notices: Sequence[tuple[Notice, tuple[str, ...]]],
        at: datetime,
    ) -> None:
        """Store the alarms in place of the last, and queue the notices, in one transaction."""

        async def work(db: aiosqlite.Connection) -> None:
            await db.execute(
                "INSERT INTO alarms (id, raised) VALUES (1, ?)"
                " ON CONFLICT (id) DO UPDATE SET raised = excluded.raised",
                (json_text(alarms),),
            )
            await write_notices(db, notices, at)

        await self._database.write(work)


class OutboxQueries(Queries):
    """What the outbox reads and writes while it sends."""

    async def open_message(self, receiver: str) -> StoredMessage | None:
        """The oldest message of the receiver that is neither sent nor given up."""
        rows = await self._database.rows(
            f"SELECT {MESSAGE_COLUMNS} FROM messages"  # noqa: S608 - our own columns
            " WHERE receiver = ? AND state = 'open' ORDER BY id LIMIT 1",
            (receiver,),
        )
        return next(map(read_message, rows), None)

    async def create_messages(
        self,
        receiver: str,
        drafts: Sequence[Draft],
        at: datetime,
        effects: ReleaseEffects = _NO_EFFECTS,
    ) -> tuple[StoredMessage, ...]:
        """Store messages and bind their deliveries to them; all are due at once, in that order.

        Raises `ConflictError` where a delivery is no longer waiting, and where an alert id is
        taken; nothing is stored then.
        """

        async def work(db: aiosqlite.Connection) -> tuple[StoredMessage, ...]:
            messages = [await _create_message(db, receiver, draft, at) for draft in drafts]
            await write_release_effects(db, receiver, effects, at)
            return tuple(messages)

        return await self._database.write(work)

    async def picture(self, message_id: int) -> bytes | None:
        """The PNG that goes with a message, until the message was sent."""
        rows = await self._database.rows("SELECT picture FROM messages WHERE id = ?", (message_id,))
        return rows[0][0] if rows else None

    async def mark_sent(self, message_id: int, at: datetime) -> None:
        """The service accepted it; stored even of a message that was discarded meanwhile."""
        await self._mark(
            "UPDATE messages SET state = 'sent', settled_at = ?1, attempts = attempts + 1,"
            # Pictures are large, and this one is needed no more.
            " picture = NULL,"
            " last_attempt_at = ?1 WHERE id = ?2",
            (time_text(at), message_id),
        )

    async def mark_failed(
        self, message_id: int, error: str, at: datetime, next_attempt_at: datetime
    ) -> None:
        """It was not accepted and will be tried again."""
        await self._mark(
            "UPDATE messages SET last_error = ?, attempts = attempts + 1, last_attempt_at = ?,"
            " next_attempt_at = ? WHERE id = ? AND state = 'open'",
            (encodable(error), time_text(at), time_text(next_attempt_at), message_id),
        )

    async def mark_dead(self, message_id: int, error: str, at: datetime) -> None:
        """It was not accepted and is given up. It is kept, with the deliveries in it."""
        await self._mark(
            "UPDATE messages SET state = 'dead', settled_at = ?1, last_error = ?2,"
            " attempts = attempts + 1, last_attempt_at = ?1 WHERE id = ?3 AND state = 'open'",
            (time_text(at), encodable(error), message_id),
        )

    async def apply(self, request: Request) -> int:
        """Apply a request; returns how many things it changed (messages, say)."""
        return (await self.apply_all([request]))[0]

    async def apply_all(self, requests: Iterable[Request]) -> list[int]:
        """Apply all of the requests, in that order, or none of them."""

        async def work(db: aiosqlite.Connection) -> list[int]:
            return [await apply_request(db, request) for request in requests]

        return await self._database.write(work)

    async def _mark(self, sql: str, parameters: tuple[Any, ...]) -> None:
        async def work(db: aiosqlite.Connection) -> None:
            await db.execute(sql, parameters)

        await self._database.write(work)


async def _create_message(
    db: aiosqlite.Connection, receiver: str, draft: Draft, at: datetime
) -> StoredMessage:
    text = (draft.alert_id, receiver, draft.title, draft.body, draft.markup)
    try:
        cursor = await db.execute(
            "INSERT INTO messages (alert_id, receiver, title, body, markup,"
            " created_at, opened_at, next_attempt_at, picture)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*text, *[time_text(at)] * 3, draft.picture),
        )
    except sqlite3.IntegrityError as error:
        raise ConflictError(f"alert id {draft.alert_id} is taken; draw another") from error
    bound = await db.execute(
        "UPDATE deliveries SET message_id = ? WHERE receiver = ? AND message_id IS NULL"
        " AND discarded_at IS NULL AND id IN (SELECT value FROM json_each(?))",
        (cursor.lastrowid, receiver, json_text(list(draft.deliveries))),
    )
    if bound.rowcount != len(draft.deliveries):
        raise ConflictError(f"what waits for {receiver} has changed; batch it again")
    rows = await db.execute_fetchall(
        f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE id = ?",  # noqa: S608 - our own columns
        (cursor.lastrowid,),
    )
    return read_message(next(iter(rows)))
