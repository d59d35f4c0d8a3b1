"""Removing rows that are older than the configured retention, a few at a time.

Never removed: what is still to be sent, and the whole history of the models that it is about; dead
messages; the last row of a model's history, and rows of it that a stored change, a delivery or an
anchor names.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from watcher.log import log
from watcher.routing.plan import FLAPPING_LOOKS_BACK
from watcher.schedule import first_of
from watcher.store.connection import StateError
from watcher.store.rows import time_text
from watcher.store.values import Pruned, Retention

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from datetime import datetime

    from watcher.config.settings import Settings
    from watcher.store.connection import Database
    from watcher.store.store import Store

# A commit waits for a step that is under way: some ten milliseconds.
ROWS_PER_STEP = 500
# With a few hundred rows a step it is ahead of any market, and catches up with years in a day.
STEP_EVERY = timedelta(minutes=5)
# How long a wrong clock may go unseen.
JUMPS_KNOWN_FOR = timedelta(days=30)


async def prune_regularly(
    store: Store,
    retention: Callable[[], Retention],
    now: Callable[[], datetime],
    stop: asyncio.Event,
    every: timedelta = STEP_EVERY,
) -> None:
    """Prune one step every so often until `stop` is set."""
    while not stop.is_set():
        await first_of(stop, within=every)
        if not stop.is_set():
            await prune_once(store, retention(), now())


async def prune_once(store: Store, retention: Retention, now: datetime) -> None:
    """Prune one step. Never raises: polling and sending notice an unusable state by themselves.

    Time in which nobody watched makes nothing old: the clock may have jumped over it.
    """
    try:
        pruned = await store.prune(retention, now - await store.unwatched(now))
    except StateError as error:
        log.debug("state.prune_failed", why=str(error))
    except Exception:
        log.exception("state.prune_crashed")
    else:
        if pruned:
            log.debug("state.pruned", **pruned.counts)


def retention_of(settings: Settings) -> Retention:
    """How long rows are kept.

    No less than routes look back to decide whether something flaps, and polls no less than it may
    take a person to see that the clock is wrong: by the log of polls a jump is known.
    """
    keep, least = settings.state.keep, FLAPPING_LOOKS_BACK * settings.flap.within
    return Retention(
        history=_at_least(keep.history, least),
        polls=_at_least(keep.polls, JUMPS_KNOWN_FOR),
        messages=_at_least(keep.messages, least),
    )


def _at_least(given: timedelta | None, least: timedelta) -> timedelta | None:
    return None if given is None else max(given, least)


async def prune(database: Database, retention: Retention, now: datetime, most: int) -> Pruned:
    """Remove at most `most` rows of each sort, each in a transaction of its own."""
    removed = Counter[str]()
    for kept, sort, statement in (
        (retention.messages, "deliveries", _DELIVERIES_OF_MESSAGES),
        (retention.messages, "deliveries", _DELIVERIES_WITHOUT_MESSAGE),
        (retention.messages, "messages", _MESSAGES),
        (retention.history, "deliveries", _DELIVERIES_OF_CHANGES),
        (retention.history, "changes", _CHANGES),
        (retention.history, "deliveries", _DELIVERIES_OF_NOTICES),
        (retention.history, "notices", _NOTICES),
        (retention.history, "history", _HISTORY),
        (retention.polls, "polls", _POLLS),
    ):
        if kept is not None:
            removed[sort] += await database.execute(statement, (time_text(now - kept), most))
    return Pruned(**removed)


# Word for word the condition of the partial index on it.
_DONE = "state IN ('sent', 'discarded')"

_DELIVERIES_OF_MESSAGES = f"""
    DELETE FROM deliveries WHERE id IN (
        SELECT deliveries.id FROM messages JOIN deliveries ON message_id = messages.id
        WHERE {_DONE} AND settled_at < ?1 ORDER BY settled_at LIMIT ?2
    )
"""  # noqa: S608 - our own words

_DELIVERIES_WITHOUT_MESSAGE = """
    DELETE FROM deliveries WHERE id IN (
        SELECT id FROM deliveries
        WHERE message_id IS NULL AND (discarded_at IS NOT NULL OR netted_at IS NOT NULL)
            AND coalesce(discarded_at, netted_at) < ?1
        LIMIT ?2
    )
"""

_MESSAGES = f"""
    DELETE FROM messages WHERE id IN (
        SELECT id FROM messages
        WHERE {_DONE} AND settled_at < ?1
            AND NOT EXISTS (SELECT 1 FROM deliveries WHERE message_id = messages.id)
        ORDER BY settled_at LIMIT ?2
    )
"""  # noqa: S608 - our own words

# Models of which something waits to be sent that is in no message yet: what the message says, and
# whether there is one at all, depends on their history.
_PENDING = """(
    SELECT model_id FROM waiting JOIN changes ON changes.id = change_id WHERE model_id IS NOT NULL
)"""

# Nothing is to be sent any more: every delivery is netted, discarded or in a message that is done.
_ALL_DONE = f"""NOT EXISTS (
    SELECT 1 FROM deliveries AS open LEFT JOIN messages ON messages.id = message_id
    WHERE open.{{key}} = {{table}}.id
        AND iif(message_id IS NULL, discarded_at IS NULL AND netted_at IS NULL, NOT {_DONE})
)"""  # noqa: S608 - our own words

_OLD_CHANGES = f"""
    changes.at < ?1 AND (model_id IS NULL OR model_id NOT IN {_PENDING})
        AND {_ALL_DONE.format(table="changes", key="change_id")}
"""
_OLD_NOTICES = f"notices.at < ?1 AND {_ALL_DONE.format(table='notices', key='notice_id')}"

_DELIVERIES_OF = """
    DELETE FROM deliveries WHERE id IN (
        SELECT deliveries.id FROM {table} JOIN deliveries ON {key} = {table}.id
        WHERE {old} ORDER BY {table}.id LIMIT ?2
    )
"""
_WITHOUT_DELIVERIES = """
    DELETE FROM {table} WHERE id IN (
        SELECT id FROM {table}
        WHERE {old} AND NOT EXISTS (SELECT 1 FROM deliveries WHERE {key} = {table}.id)
        ORDER BY id LIMIT ?2
    )
"""
_DELIVERIES_OF_CHANGES, _CHANGES = (
    statement.format(table="changes", key="change_id", old=_OLD_CHANGES)
    for statement in (_DELIVERIES_OF, _WITHOUT_DELIVERIES)
)
_DELIVERIES_OF_NOTICES, _NOTICES = (
    statement.format(table="notices", key="notice_id", old=_OLD_NOTICES)
    for statement in (_DELIVERIES_OF, _WITHOUT_DELIVERIES)
)

# The last row of each model stays, whether it ended or not.
_HISTORY = f"""
    DELETE FROM history WHERE id IN (
        SELECT id FROM history AS past
        WHERE valid_to < ?1 AND model_id NOT IN {_PENDING}
            AND id < (SELECT max(id) FROM history WHERE model_id = past.model_id)
            AND NOT EXISTS (SELECT 1 FROM changes WHERE before_id = past.id)
            AND NOT EXISTS (SELECT 1 FROM changes WHERE after_id = past.id)
            AND NOT EXISTS (SELECT 1 FROM deliveries WHERE since_id = past.id)
            AND NOT EXISTS (SELECT 1 FROM anchors WHERE history_id = past.id)
        ORDER BY id LIMIT ?2
    )
"""  # noqa: S608 - our own words

_POLLS = """
    DELETE FROM polls WHERE id IN (SELECT id FROM polls WHERE at < ?1 ORDER BY id LIMIT ?2)
"""
