"""Letting go of what is old and done with, a little at a time.

Knows what each thing is still needed for. Refuses to know how long anything is to be kept, and when
to do it.

Never removed: what is still to be told and all of the past of the models that it is about, dead
letters, the interval in which a model was last seen, intervals that a change on record names.
Nor the highest number of a table: the next row would get it again.

When the state lets go of what is old: a small step now and then, beside everything else.

Refuses to know what is old and what is still needed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from watcher.schedule import first_of
from watcher.store.connection import StateError
from watcher.store.rows import json_text, time_text
from watcher.store.values import Keep, Pruned

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from datetime import datetime

    import aiosqlite

    from watcher.config.settings import Settings
    from watcher.store.connection import Database
    from watcher.store.store import Store

# A commit waits for a step that is under way: some ten milliseconds.
MOST_AT_ONCE = 500


async def prune(database: Database, keep: Keep, now: datetime, most: int) -> Pruned:
    """One step: at most `most` rows of each sort, with their deliveries, sort after sort."""
    messages = deliveries = changes = intervals = notices = polls = 0
    if keep.messages is not None:
        old = _Old(now - keep.messages, most)
        deliveries = await database.write(old.told) + await database.write(old.untold)
        messages = await database.write(old.messages)
    if keep.history is not None:
        old = _Old(now - keep.history, most)
        changes, notices = await database.write(old.changes), await database.write(old.notices)
        intervals = await database.write(old.intervals)
    if keep.polls is not None:
        polls = await database.write(_Old(now - keep.polls, most).polls)
    return Pruned(messages, deliveries, changes, intervals, notices, polls)


class _Old:
    """What is older than a time: each method removes a little of one sort, in one transaction."""

    def __init__(self, before: datetime, most: int) -> None:
        self._aim = (time_text(before), most)

    async def told(self, db: aiosqlite.Connection) -> int:
        """Deliveries of messages that are through."""
        return (await db.execute(_TOLD, self._aim)).rowcount

    async def untold(self, db: aiosqlite.Connection) -> int:
        """Deliveries that came to nothing before they were in a message."""
        return (await db.execute(_UNTOLD, self._aim)).rowcount

    async def messages(self, db: aiosqlite.Connection) -> int:
        """Messages that are through and have no deliveries left."""
        return (await db.execute(_MESSAGES, self._aim)).rowcount

    async def changes(self, db: aiosqlite.Connection) -> int:
        return await self._content(db, "changes", "change_id")

    async def notices(self, db: aiosqlite.Connection) -> int:
        return await self._content(db, "notices", "notice_id")

    async def intervals(self, db: aiosqlite.Connection) -> int:
        """Intervals, with the labels that no other interval of their model shares."""
        gone = list(await db.execute_fetchall(_INTERVALS, self._aim))
        await db.executemany(_LABELS, gone)
        return len(gone)

    async def polls(self, db: aiosqlite.Connection) -> int:
        return (await db.execute(_POLLS, self._aim)).rowcount

    async def _content(self, db: aiosqlite.Connection, table: str, key: str) -> int:
        """What everybody who was to be told of has been, with what is known of the telling."""
        found = await db.execute_fetchall(_CONTENT[table], self._aim)
        ids = json_text([number for (number,) in found])
        await db.execute(_DELIVERIES_OF.format(key=key), (ids,))
        return (await db.execute(_FREE.format(table=table, key=key), (ids,))).rowcount


# In the words of the index over it.
_THROUGH = "state IN ('sent', 'discarded')"

_TOLD = f"""
    DELETE FROM deliveries WHERE id IN (
        SELECT deliveries.id FROM messages JOIN deliveries ON message_id = messages.id
        WHERE {_THROUGH} AND settled_at < ?1
            AND deliveries.id < (SELECT max(id) FROM deliveries)
        ORDER BY settled_at LIMIT ?2
    )
"""  # noqa: S608 - our own words

_UNTOLD = """
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
        WHERE {_THROUGH} AND settled_at < ?1 AND id < (SELECT max(id) FROM messages)
            AND NOT EXISTS (SELECT 1 FROM deliveries WHERE message_id = messages.id)
        ORDER BY settled_at LIMIT ?2
    )
"""  # noqa: S608 - our own words

# Models of which something is to be told that is not worded yet: how it is worded, and whether it
# is told at all, follows from their past.
_PENDING = """(
    SELECT model_id FROM waiting JOIN changes ON changes.id = change_id WHERE model_id IS NOT NULL
)"""

# Not all of whose messages are through.
_UNDONE = """
    SELECT 1 FROM deliveries LEFT JOIN messages ON messages.id = message_id
    WHERE {key} = {table}.id
        AND iif(message_id IS NULL, discarded_at IS NULL AND netted_at IS NULL, NOT {through})
"""

_OF_TABLE = """
    SELECT id FROM {table}
    WHERE at < ?1 AND id < (SELECT max(id) FROM {table})
        AND NOT EXISTS ({undone}) {more}
    ORDER BY id LIMIT ?2
"""

_CONTENT = {
    "changes": _OF_TABLE.format(
        table="changes",
        undone=_UNDONE.format(table="changes", key="change_id", through=_THROUGH),
        more=f"AND (model_id IS NULL OR model_id NOT IN {_PENDING})",
    ),
    "notices": _OF_TABLE.format(
        table="notices",
        undone=_UNDONE.format(table="notices", key="notice_id", through=_THROUGH),
        more="",
    ),
}

_DELIVERIES_OF = """
    DELETE FROM deliveries WHERE {key} IN (SELECT value FROM json_each(?))
        AND id < (SELECT max(id) FROM deliveries)
"""

_FREE = """
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


log = structlog.get_logger()

# With a few hundred rows a step it is ahead of any market, and catches up with years in a day.
STEP_EVERY = timedelta(minutes=5)
# A price that flaps does so until it stood still for `flap.within`, which may take a while.
FLAPPING_LOOKS_BACK = 7


async def keep_tidy(
    store: Store,
    keep: Callable[[], Keep | None],
    now: Callable[[], datetime],
    stop: asyncio.Event,
    every: timedelta = STEP_EVERY,
) -> None:
    """Take a step every so often until `stop` is set; `keep` may say "not now" by `None`."""
    while not stop.is_set():
        await first_of(stop, within=every)
        if not stop.is_set() and (current := keep()) is not None:
            await tidy(store, current, now())


async def tidy(store: Store, keep: Keep, now: datetime) -> None:
    """Take one step. Never raises: whoever polls and sends hears of a bad state, and says so."""
    try:
        pruned = await store.prune(keep, now)
    except StateError as error:
        log.debug("state.prune_failed", why=str(error))
    except Exception:
        log.exception("state.prune_crashed")
    else:
        if pruned:
            log.debug("state.pruned", **pruned.counts)


def kept_for(settings: Settings) -> Keep:
    """How long things are kept; no less than routes look back to tell whether a price flaps."""
    keep, least = settings.state.keep, FLAPPING_LOOKS_BACK * settings.flap.within
    return Keep(
        history=_at_least(keep.history, least),
        polls=keep.polls,
        messages=_at_least(keep.messages, least),
    )


def _at_least(given: timedelta | None, least: timedelta) -> timedelta | None:
    return None if given is None else max(given, least)
