"""Removing rows that are older than the configured retention, a few at a time.

Never removed: what is still to be sent, and the whole history of the models that it is about; dead
messages; the interval in which a model was last seen; intervals that a stored change names. Nor
the row with the highest number of a table: the next row would get the same number.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from watcher.schedule import first_of
from watcher.store.connection import StateError
from watcher.store.rows import json_text, time_text
from watcher.store.values import Pruned, Retention

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from datetime import datetime

    import aiosqlite

    from watcher.config.settings import Settings
    from watcher.store.connection import Database
    from watcher.store.store import Store

log = structlog.get_logger()

# A commit waits for a step that is under way: some ten milliseconds.
ROWS_PER_STEP = 500
# With a few hundred rows a step it is ahead of any market, and catches up with years in a day.
STEP_EVERY = timedelta(minutes=5)
# A price that flaps does so until it stood still for `flap.within`, which may take a while.
FLAPPING_LOOKS_BACK = 7


async def prune_regularly(
    store: Store,
    retention: Callable[[], Retention | None],
    now: Callable[[], datetime],
    stop: asyncio.Event,
    every: timedelta = STEP_EVERY,
) -> None:
    """Prune one step every so often until `stop` is set; none while `retention` gives `None`."""
    while not stop.is_set():
        await first_of(stop, within=every)
        if not stop.is_set() and (current := retention()) is not None:
            await prune_once(store, current, now())


async def prune_once(store: Store, retention: Retention, now: datetime) -> None:
    """Prune one step. Never raises: polling and sending notice an unusable state by themselves."""
    try:
        pruned = await store.prune(retention, now)
    except StateError as error:
        log.debug("state.prune_failed", why=str(error))
    except Exception:
        log.exception("state.prune_crashed")
    else:
        if pruned:
            log.debug("state.pruned", **pruned.counts)


def retention_of(settings: Settings) -> Retention:
    """How long rows are kept: no less than routes look back to decide whether a price flaps."""
    keep, least = settings.state.keep, FLAPPING_LOOKS_BACK * settings.flap.within
    return Retention(
        history=_at_least(keep.history, least),
        polls=keep.polls,
        messages=_at_least(keep.messages, least),
    )


def _at_least(given: timedelta | None, least: timedelta) -> timedelta | None:
    return None if given is None else max(given, least)


async def prune(database: Database, retention: Retention, now: datetime, most: int) -> Pruned:
    """Remove at most `most` rows of each sort, with their deliveries, one sort after another."""
    messages = deliveries = changes = intervals = notices = polls = 0
    if retention.messages is not None:
        old = _Expired(now - retention.messages, most)
        deliveries = await database.write(old.deliveries_of_messages)
        deliveries += await database.write(old.deliveries_without_message)
        messages = await database.write(old.messages)
    if retention.history is not None:
        old = _Expired(now - retention.history, most)
        changes, notices = await database.write(old.changes), await database.write(old.notices)
        intervals = await database.write(old.intervals)
    if retention.polls is not None:
        polls = await database.write(_Expired(now - retention.polls, most).polls)
    return Pruned(messages, deliveries, changes, intervals, notices, polls)


class _Expired:
    """What is older than a time: each method removes a few rows of one sort, in one transaction."""

    def __init__(self, before: datetime, most: int) -> None:
        self._parameters = (time_text(before), most)

    async def deliveries_of_messages(self, db: aiosqlite.Connection) -> int:
        """Deliveries of messages that were sent or discarded."""
        return (await db.execute(_DELIVERIES_OF_MESSAGES, self._parameters)).rowcount

    async def deliveries_without_message(self, db: aiosqlite.Connection) -> int:
        """Deliveries that were discarded or netted before they were in a message."""
        return (await db.execute(_DELIVERIES_WITHOUT_MESSAGE, self._parameters)).rowcount

    async def messages(self, db: aiosqlite.Connection) -> int:
        """Messages that were sent or discarded and have no deliveries left."""
        return (await db.execute(_MESSAGES, self._parameters)).rowcount

    async def changes(self, db: aiosqlite.Connection) -> int:
        return await self._with_deliveries(db, "changes", "change_id")

    async def notices(self, db: aiosqlite.Connection) -> int:
        return await self._with_deliveries(db, "notices", "notice_id")

    async def intervals(self, db: aiosqlite.Connection) -> int:
        """Intervals, with the labels that no other interval of their model shares."""
        gone = list(await db.execute_fetchall(_INTERVALS, self._parameters))
        await db.executemany(_LABELS, gone)
        return len(gone)

    async def polls(self, db: aiosqlite.Connection) -> int:
        return (await db.execute(_POLLS, self._parameters)).rowcount

    async def _with_deliveries(self, db: aiosqlite.Connection, table: str, key: str) -> int:
        """Changes or notices of which nothing is to be sent any more, with their deliveries."""
        found = await db.execute_fetchall(_SENT[table], self._parameters)
        ids = json_text([number for (number,) in found])
        await db.execute(_DELIVERIES_OF.format(key=key), (ids,))
        return (await db.execute(_WITHOUT_DELIVERIES.format(table=table, key=key), (ids,))).rowcount


# Word for word the condition of the partial index on it.
_DONE = "state IN ('sent', 'discarded')"

_DELIVERIES_OF_MESSAGES = f"""
    DELETE FROM deliveries WHERE id IN (
        SELECT deliveries.id FROM messages JOIN deliveries ON message_id = messages.id
        WHERE {_DONE} AND settled_at < ?1
            AND deliveries.id < (SELECT max(id) FROM deliveries)
        ORDER BY settled_at LIMIT ?2
    )
"""  # noqa: S608 - our own words

_DELIVERIES_WITHOUT_MESSAGE = """
    DELETE FROM deliveries WHERE id IN (
        SELECT id FROM deliveries
        WHERE message_id IS NULL AND (discarded_at IS NOT NULL OR netted_at IS NOT NULL)
            AND coalesce(discarded_at, netted_at) < ?1
            AND id < (SELECT max(id) FROM deliveries)
        LIMIT ?2
    )
"""

_MESSAGES = f"""
    DELETE FROM messages WHERE id IN (
        SELECT id FROM messages
        WHERE {_DONE} AND settled_at < ?1 AND id < (SELECT max(id) FROM messages)
            AND NOT EXISTS (SELECT 1 FROM deliveries WHERE message_id = messages.id)
        ORDER BY settled_at LIMIT ?2
    )
"""  # noqa: S608 - our own words

# Models of which something waits to be sent that is in no message yet: what the message says, and
# whether there is one at all, depends on their history.
_PENDING = """(
    SELECT model_id FROM waiting JOIN changes ON changes.id = change_id WHERE model_id IS NOT NULL
)"""

# Deliveries of a row that are neither netted, discarded nor in a message that is done.
_NOT_DONE = """
    SELECT 1 FROM deliveries LEFT JOIN messages ON messages.id = message_id
    WHERE {key} = {table}.id
        AND iif(message_id IS NULL, discarded_at IS NULL AND netted_at IS NULL, NOT {done})
"""

_OF_TABLE = """
    SELECT id FROM {table}
    WHERE at < ?1 AND id < (SELECT max(id) FROM {table})
        AND NOT EXISTS ({not_done}) {more}
    ORDER BY id LIMIT ?2
"""

_SENT = {
    "changes": _OF_TABLE.format(
        table="changes",
        not_done=_NOT_DONE.format(table="changes", key="change_id", done=_DONE),
        more=f"AND (model_id IS NULL OR model_id NOT IN {_PENDING})",
    ),
    "notices": _OF_TABLE.format(
        table="notices",
        not_done=_NOT_DONE.format(table="notices", key="notice_id", done=_DONE),
        more="",
    ),
}

_DELIVERIES_OF = """
    DELETE FROM deliveries WHERE {key} IN (SELECT value FROM json_each(?))
        AND id < (SELECT max(id) FROM deliveries)
"""

_WITHOUT_DELIVERIES = """
    DELETE FROM {table} WHERE id IN (SELECT value FROM json_each(?))
        AND NOT EXISTS (SELECT 1 FROM deliveries WHERE {key} = {table}.id)
"""

# The last interval of each model stays, closed or not; a change names intervals of its own model.
_INTERVALS = f"""
    DELETE FROM intervals WHERE id IN (
        SELECT id FROM intervals AS past
        WHERE to_at < ?1 AND model_id NOT IN {_PENDING}
            AND id < (SELECT max(id) FROM intervals WHERE model_id = past.model_id)
            AND NOT EXISTS (
                SELECT 1 FROM changes
                WHERE changes.model_id = past.model_id AND past.id IN (before_id, after_id)
            )
        ORDER BY id LIMIT ?2
    ) RETURNING label_id, model_id
"""  # noqa: S608 - our own words

_LABELS = """
    DELETE FROM labels WHERE id = ?1 AND NOT EXISTS (
        SELECT 1 FROM intervals WHERE model_id = ?2 AND label_id = ?1
    )
"""

_POLLS = """
    DELETE FROM polls WHERE id IN (
        SELECT id FROM polls WHERE at < ?1 AND id < (SELECT max(id) FROM polls)
        ORDER BY id LIMIT ?2
    )
"""
