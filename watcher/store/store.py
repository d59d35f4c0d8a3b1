"""The state, open for writing: what the poller, the outbox and everybody else store in it.

There is no clock here; the time comes in with what is stored.
"""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from watcher.schedule import UNANSWERED_IN_A_ROW, first_of, time_waited
from watcher.store.connection import ConflictError, StateError, companion, open_writing
from watcher.store.queries import Reader, read_everything
from watcher.store.record import write_anchors, write_commit, write_notices
from watcher.store.retention import ROWS_PER_STEP, prune
from watcher.store.rows import (
    MESSAGE_COLUMNS,
    encodable,
    json_text,
    message_columns,
    read_message,
    read_time,
    time_text,
)
from watcher.store.schema import MIGRATIONS, migrate
from watcher.store.values import ReleaseEffects

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence
    from pathlib import Path

    from watcher.catalog.changes import Notice
    from watcher.store.requests import Request, TakenRequests
    from watcher.store.schema import Step
    from watcher.store.values import (
        Commit,
        Draft,
        PollCost,
        PollOutcome,
        Pruned,
        Recorded,
        Retention,
        StoredMessage,
    )

_NO_EFFECTS = ReleaseEffects()
# What called for a poll, or failed it, quotes the server's answer, which may be of any length.
_LONGEST_WHY = 500
_MOST_DOUBTS = 100
# By which nothing is dated later than now.
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# A look at the file costs microseconds.
_WATCH_EVERY = timedelta(seconds=2)


class Store(Reader):
    """The state, open for writing. Every method is one transaction, whole or not at all."""

    # The poller

    async def record(self, commit: Commit) -> Recorded:
        """Store what an accepted sweep changes, with the deliveries that it makes.

        Raises `ConflictError` where what it was compared with has changed.
        """
        return await self._database.write(partial(write_commit, commit=commit))

    async def note_poll(
        self,
        at: datetime,
        outcome: PollOutcome,
        why: str | None = None,
        cost: PollCost | None = None,
        *,
        doubts: Collection[str] = (),
    ) -> None:
        """Store when the last poll was and how it ended, in place of the one before.

        With its `cost` it is also added to the log of polls; quiet polls, one every few minutes,
        are not.
        """
        moment = time_text(at)
        said = encodable(json_text(sorted(doubts)[:_MOST_DOUBTS]))
        noted = (moment, outcome.value, None if why is None else encodable(why[:_LONGEST_WHY]))

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO poll (id, at, outcome, why, last_success_at, failures, doubts)"
                " VALUES (1, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                " at = excluded.at, outcome = excluded.outcome, why = excluded.why,"
                " doubts = excluded.doubts,"
                " last_success_at = coalesce(excluded.last_success_at, last_success_at),"
                " failures = iif(excluded.failures, failures + 1, 0)",
                (*noted, moment if outcome.is_good else None, int(not outcome.is_good), said),
            )
            if cost is not None:
                db.execute(
                    "INSERT INTO polls (at, outcome, why, requests, bytes, changes, holds, took_ms)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(*noted, cost.requests, cost.bytes, cost.changes, cost.holds),
                        cost.took // _MILLISECOND,
                    ),
                )

        await self._database.write(work)

    async def shift_holds(self, by: timedelta) -> None:
        """The clock was set by so much: every hold has lasted, and lasts, as long as before."""

        def work(db: sqlite3.Connection) -> None:
            columns = "since_at, until_at, quiet_since_at"
            for number, *times in db.execute(f"SELECT id, {columns} FROM holds").fetchall():  # noqa: S608 - ours
                moved = [at and time_text(read_time(at) + by) for at in times]
                db.execute(
                    f"UPDATE holds SET ({columns}) = (?, ?, ?) WHERE id = ?",  # noqa: S608 - ours
                    (*moved, number),
                )

        await self._database.write(work)

    # The outbox

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

        def work(db: sqlite3.Connection) -> tuple[StoredMessage, ...]:
            messages = [_create_message(db, receiver, draft, at) for draft in drafts]
            _write_effects(db, receiver, effects, at)
            return tuple(messages)

        return await self._database.write(work)

    async def record_release(self, receiver: str, effects: ReleaseEffects, at: datetime) -> None:
        """Store what a release decided where it made no message."""
        await self._database.write(lambda db: _write_effects(db, receiver, effects, at))

    async def mark_sent(self, message_id: int, at: datetime) -> None:
        """The service accepted it; stored even of a message that was discarded meanwhile.

        A receiver that gave no answers is tried with everything else again, at once.
        """

        def work(db: sqlite3.Connection) -> None:
            ((receiver,),) = db.execute(
                "UPDATE messages SET state = 'sent', settled_at = ?, attempts = attempts + 1,"
                # Pictures are large, and this one is needed no more.
                " picture = NULL WHERE id = ? RETURNING receiver",
                (time_text(at), message_id),
            ).fetchall()
            if db.execute("DELETE FROM unanswered WHERE receiver = ?", (receiver,)).rowcount:
                db.execute(
                    "UPDATE messages SET next_attempt_at = min(next_attempt_at, ?)"
                    " WHERE receiver = ? AND state = 'open'",
                    (time_text(at), receiver),
                )

        await self._database.write(work)

    async def mark_failed(
        self,
        message_id: int,
        error: str,
        at: datetime,
        next_attempt_at: datetime,
        *,
        unanswered: int = 0,
    ) -> None:
        """It was not accepted and will be tried again.

        `unanswered`: it got no answer, nor did so many tries of its receiver with this one; from
        the third on, everything that may have arrived there waits as long as this message.
        """

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE messages SET last_error = ?, attempts = attempts + 1"
                " WHERE id = ? AND state = 'open'",
                (encodable(error), message_id),
            )
            if unanswered:
                db.execute(
                    "INSERT INTO unanswered SELECT receiver, ?1 FROM messages WHERE id = ?2"
                    " ON CONFLICT DO UPDATE SET tries = excluded.tries",
                    (unanswered, message_id),
                )
            _plan_attempts(db, message_id, at, next_attempt_at)

        await self._database.write(work)

    async def mark_dead(self, message_id: int, error: str, at: datetime) -> None:
        """It was refused for good. It is kept, with the deliveries in it."""
        await self._database.execute(
            "UPDATE messages SET state = 'dead', settled_at = ?, last_error = ?,"
            " attempts = attempts + 1 WHERE id = ? AND state = 'open'",
            (time_text(at), encodable(error), message_id),
        )

    async def give_up(self, message_id: int, at: datetime) -> None:
        """It was not accepted for too long. It is kept as one that was refused."""
        await self._database.execute(
            "UPDATE messages SET state = 'dead', settled_at = ? WHERE id = ? AND state = 'open'",
            (time_text(at), message_id),
        )

    # Everybody else

    async def watch(self, stop: asyncio.Event) -> None:
        """Until `stop` is set, raise what makes the state unusable, whoever met it.

        That the file was replaced or removed is noticed though nobody reads or writes.
        """
        while not stop.is_set():
            with suppress(StateError):
                await self._database.read(lambda _: None)
            if self._database.unusable is not None:
                raise self._database.unusable
            await first_of(stop, within=_WATCH_EVERY)

    async def apply(self, request: Request, now: datetime = _END_OF_TIME) -> int:
        """Apply a request; returns how many things it changed (messages, say).

        What is dated later than `now` was made by a clock that was ahead, before the request.
        """
        from watcher.store.requests import apply_request  # noqa: PLC0415 - loads pydantic

        return await self._database.write(partial(apply_request, request=request, now=now))

    async def take_requests(self, now: datetime = _END_OF_TIME) -> TakenRequests | None:
        """Apply the requests that commands left while this process owned the state, if any.

        One that cannot be applied is set aside. Raises `StateError` where none can be now.
        """
        if not companion(self._database.path, ".requests").exists():
            return None
        from watcher.store.requests import take_requests  # noqa: PLC0415 - loads pydantic

        return await take_requests(self._database.path, partial(self.apply, now=now))

    async def keep_alarms(
        self,
        alarms: Mapping[str, Any],
        notices: Sequence[tuple[Notice, tuple[str, ...]]],
        at: datetime,
    ) -> None:
        """Store the alarms in place of the last, and queue the notices."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO alarms (id, raised) VALUES (1, ?)"
                " ON CONFLICT (id) DO UPDATE SET raised = excluded.raised",
                (json_text(alarms),),
            )
            write_notices(db, notices, at)

        await self._database.write(work)

    async def prune(self, retention: Retention, now: datetime, most: int = ROWS_PER_STEP) -> Pruned:
        """Remove a little of what is older than is kept; nothing that is still needed.

        Short transactions of at most `most` rows of each sort: a commit waits for one of them.
        """
        return await prune(self._database, retention, now, most)


@asynccontextmanager
async def open_store(path: Path, migrations: tuple[Step, ...] = MIGRATIONS) -> AsyncIterator[Store]:
    """Open the state for writing; raises `InUseError` while another process does.

    Creates what is missing and brings an older format up to date. Raises `StateError`, and leaves
    the file alone, where it is not ours, damaged, or newer.
    """
    newest = len(migrations)
    with open_writing(path, newest, read_everything) as database:
        version = (await database.rows("PRAGMA user_version"))[0][0]
        if 0 < version < newest:
            from watcher.store.backup import back_up  # noqa: PLC0415 - once in a version

            # A migration may go wrong in a way that its transaction cannot undo.
            back_up(path, companion(path, f".before-format-{newest}"))
        await migrate(database, migrations)
        await database.guard()
        yield Store(database)


def _create_message(
    db: sqlite3.Connection, receiver: str, draft: Draft, at: datetime
) -> StoredMessage:
    try:
        number = db.execute(
            "INSERT INTO messages (alert_id, title, body, markup, checksum, receiver,"
            " created_at, opened_at, planned_at, next_attempt_at, picture)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*message_columns(draft), receiver, *[time_text(at)] * 4, draft.picture),
        ).lastrowid
    except sqlite3.IntegrityError as error:
        raise ConflictError(f"alert id {draft.alert_id} is taken; draw another") from error
    bound = db.execute(
        "UPDATE deliveries SET message_id = ? WHERE receiver = ? AND message_id IS NULL"
        " AND discarded_at IS NULL AND id IN (SELECT value FROM json_each(?))",
        (number, receiver, json_text(list(draft.deliveries))),
    )
    if bound.rowcount != len(draft.deliveries):
        raise ConflictError(f"what waits for {receiver} has changed; batch it again")
    row = db.execute(
        f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE id = ?",  # noqa: S608 - our own columns
        (number,),
    )
    return read_message(row.fetchone())


def _plan_attempts(
    db: sqlite3.Connection, message_id: int, at: datetime, next_attempt_at: datetime
) -> None:
    """Plan the next attempt of a message that was just tried.

    And of everything else that may have arrived at its receiver, where that gives no answers.
    """
    waits = db.execute(
        "SELECT id, planned_at, next_attempt_at FROM messages WHERE state = 'open' AND (id = ?1 OR"
        " attempts > 0 AND receiver = (SELECT receiver FROM messages JOIN unanswered"
        " USING (receiver) WHERE id = ?1 AND tries >= ?2))",
        (message_id, UNANSWERED_IN_A_ROW),
    ).fetchall()
    for number, planned_at, due_at in waits:
        waited = time_waited(read_time(planned_at), read_time(due_at), at)
        db.execute(
            "UPDATE messages SET waited_ms = waited_ms + ?, planned_at = ?, next_attempt_at = ?"
            " WHERE id = ?",
            (waited // _MILLISECOND, time_text(at), time_text(next_attempt_at), number),
        )


def _write_effects(
    db: sqlite3.Connection, receiver: str, effects: ReleaseEffects, at: datetime
) -> None:
    db.execute(
        "UPDATE deliveries SET netted_at = ? WHERE receiver = ?"
        " AND id IN (SELECT value FROM json_each(?))",
        (time_text(at), receiver, json_text(list(effects.netted))),
    )
    write_anchors(db, effects.anchors, at)
    db.executemany(
        "INSERT INTO digests (route, receiver, at) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET at = excluded.at",
        [(route, receiver, time_text(until)) for route, until in effects.digests.items()],
    )
