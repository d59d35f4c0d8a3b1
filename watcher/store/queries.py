"""What the program asks of the state: the snapshot, models, changes, what waits, the status.

A `Reader` only reads, and so may be used beside a running daemon. Every method answers from one
moment of the state.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import ModelChange
from watcher.catalog.record import EVERY_RECORD, Model, RecordFilter
from watcher.schedule import UNANSWERED_IN_A_ROW
from watcher.store.connection import NoStateError, open_reading
from watcher.store.rows import (
    CHANGE_COLUMNS,
    HOLD_COLUMNS,
    KNOWN_MODEL_COLUMNS,
    MESSAGE_COLUMNS,
    SIDES_OF_CHANGE,
    SWEEP_COLUMNS,
    json_text,
    read_alarms,
    read_change,
    read_credit_value,
    read_digest,
    read_flapping,
    read_hold,
    read_known_model,
    read_message,
    read_notice,
    read_period,
    read_poll,
    read_receiver,
    read_record,
    read_silence,
    read_sweep,
    read_time,
    read_unanswered,
    record_of,
    time_text,
)
from watcher.store.schema import NEWEST
from watcher.store.values import (
    ModelList,
    OpenHold,
    OutboxView,
    PollOutcome,
    Status,
    StoredSnapshot,
    WaitingDeliveries,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Callable, Collection, Mapping
    from datetime import datetime
    from pathlib import Path

    from watcher.catalog.changes import Notice, RecordedChange
    from watcher.catalog.record import PriceHistory
    from watcher.routing.net_effect import Subject
    from watcher.routing.plan import History
    from watcher.routing.release import QueuedItem
    from watcher.store.connection import Database
    from watcher.store.values import KnownModel, StoredMessage, StoredSilence

# By number: the partial index on current rows gives them in that order.
_ON_SALE = f"""
    SELECT {KNOWN_MODEL_COLUMNS} FROM history JOIN models ON models.id = model_id
    WHERE valid_to IS NULL ORDER BY model_id
"""  # noqa: S608 - our own columns

_GONE = f"""
    SELECT {KNOWN_MODEL_COLUMNS} FROM models
    JOIN history ON history.id = (SELECT max(id) FROM history WHERE model_id = models.id)
    WHERE gone_at IS NOT NULL
"""  # noqa: S608 - our own columns
_REMOVED = (
    f"{_GONE} AND models.identity_key IN (SELECT value FROM json_each(?))"  # noqa: S608 - our own
    " ORDER BY models.id"
)

_ON_SALE_AT = f"""
    SELECT {record_of("history")} FROM history
    WHERE valid_from <= ?1 AND (valid_to IS NULL OR valid_to > ?1) ORDER BY model_id
"""  # noqa: S608 - our own columns

_CHANGES = f"""
    SELECT {CHANGE_COLUMNS} FROM changes {SIDES_OF_CHANGE}
    WHERE at >= ?1
        AND (?2 = '[]' OR EXISTS (
            SELECT 1 FROM json_each(kinds) WHERE value IN (SELECT value FROM json_each(?2))
        ))
        AND (?3 IS NULL OR changes.id IN (
            SELECT change_id FROM deliveries JOIN messages ON messages.id = message_id
            WHERE alert_id = ?3
        ))
    ORDER BY changes.id
"""  # noqa: S608 - our own columns

_UNSENT = (
    f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE state = 'open'"  # noqa: S608 - our own columns
    f" UNION ALL SELECT {MESSAGE_COLUMNS} FROM messages WHERE state = 'dead' ORDER BY id"
)
_ALARMS = "SELECT raised FROM alarms"
_SILENCES = (
    "SELECT id, matcher, since_at, until_at, reason, dropping, caught, ended_at"
    " FROM silences ORDER BY id"
)

_RECEIVERS = """
    SELECT
        receiver, sum(waiting), sum(open), sum(dead), min(oldest_at), min(next_at),
        (
            SELECT last_error FROM messages
            WHERE messages.receiver = pending.receiver AND last_error IS NOT NULL
                AND (state = 'open' OR state = 'dead')
            ORDER BY state = 'open' DESC, id DESC LIMIT 1
        )
    FROM (
        SELECT receiver, count(*) AS waiting, 0 AS open, 0 AS dead,
            min(queued_at) AS oldest_at, NULL AS next_at
        FROM waiting GROUP BY receiver
        UNION ALL
        SELECT receiver, 0, count(*), 0, min(created_at), min(next_attempt_at)
        FROM messages WHERE state = 'open' GROUP BY receiver
        UNION ALL
        SELECT receiver, 0, 0, count(*), NULL, NULL
        FROM messages WHERE state = 'dead' GROUP BY receiver
    ) AS pending
    GROUP BY receiver ORDER BY receiver
"""


# A log of polls has no such gap while somebody watches: failed polls are in it.
_LONGEST_PAUSE_IN_DAYS = 7
_UNWATCHED_DAYS = """
    SELECT total(gap) FROM (
        SELECT julianday(coalesce(lead(at) OVER (ORDER BY id), ?1)) - julianday(at) AS gap
        FROM polls
    ) WHERE abs(gap) > ?2
"""


@asynccontextmanager
async def open_reader(path: Path) -> AsyncIterator[Reader]:
    """Open the state for reading, beside a daemon or without one. Raises `NoStateError`."""
    with open_reading(path, NEWEST) as database:
        yield Reader(database)


class Reader:
    """The state, open for reading."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # The catalogue

    async def snapshot(self) -> StoredSnapshot | None:
        """The catalogue as of the last accepted sweep; `None` before the first one."""
        return await self._database.read(_snapshot)

    async def on_sale(self) -> tuple[Model, ...]:
        """Every model on sale as of the last accepted sweep, with what a credit is worth."""
        usd_per_credit, known = await self._database.read(_on_sale)
        if usd_per_credit is None:
            return ()
        return tuple(Model(model.record, usd_per_credit) for model in known)

    async def on_sale_at(self, at: datetime) -> tuple[Model, ...]:
        """The models that were on sale at a time, with what a credit was worth then."""
        moment = time_text(at)

        def ask(db: sqlite3.Connection) -> tuple[Model, ...]:
            value = db.execute(
                "SELECT usd_per_credit FROM credit_values WHERE valid_from <= ?"
                " ORDER BY id DESC LIMIT 1",
                (moment,),
            ).fetchone()
            usd_per_credit = Decimal(0 if value is None else value[0])
            rows = db.execute(_ON_SALE_AT, (moment,))
            return tuple(Model(read_record(row), usd_per_credit) for row in rows)

        return await self._database.read(ask)

    async def removed_models(self, identity_keys: Collection[str]) -> tuple[KnownModel, ...]:
        """Models that are no longer on sale and had one of these keys, as they were last seen."""
        keys = json_text(list(identity_keys))
        return await self._database.values(read_known_model, _REMOVED, (keys,))

    async def models(self, only: RecordFilter = EVERY_RECORD) -> ModelList:
        """The models on sale as of the last accepted sweep, ordered by description.

        Raises `NoStateError` before the first complete sweep.
        """
        usd_per_credit, known = await self._database.read(_on_sale)
        if usd_per_credit is None:
            raise NoStateError(
                f"{self._database.path}: no sweep of the catalogue has been completed yet. "
                "`kie-watcher status` says how the last poll went"
            )
        chosen = [model for model in known if only.takes(model.record)]
        chosen.sort(key=lambda model: (model.record.identity_key, model.id))
        return ModelList(
            usd_per_credit, tuple((model, Model(model.record, usd_per_credit)) for model in chosen)
        )

    # What happened

    async def changes(
        self,
        *,
        since: datetime | None = None,
        kinds: Collection[str] = (),
        only: RecordFilter = EVERY_RECORD,
        alert_id: str | None = None,
        newest_first: bool = True,
    ) -> tuple[RecordedChange, ...]:
        """Changes: of any of the kinds, sent in one message, of models that were or are some."""
        since_text = "" if since is None else time_text(since)
        asked = (since_text, json_text(list(kinds)), alert_id)
        changes = await self._database.values(read_change, _CHANGES, asked)
        found = [change for change in changes if _is_about(change, only)]
        return tuple(reversed(found) if newest_first else found)

    async def notices(self, since: datetime) -> tuple[Notice, ...]:
        """Notices about the catalogue as a whole and about the watcher itself, oldest first."""
        sql = "SELECT kind, at, detail FROM notices WHERE at >= ? ORDER BY id"
        return await self._database.values(read_notice, sql, (time_text(since),))

    async def stale_sweeps(self) -> int:
        """How many sweeps were refused as stale since the last one that was accepted."""
        sweeps = [outcome.value for outcome in PollOutcome if outcome.is_sweep]
        ((count,),) = await self._database.rows(
            "SELECT count(*) FROM polls WHERE outcome = ?1 AND id > coalesce((SELECT max(id)"
            " FROM polls WHERE outcome IN (SELECT value FROM json_each(?2))), 0)",
            (PollOutcome.STALE.value, json_text(sweeps)),
        )
        return int(count)

    async def histories(
        self, subjects: Collection[Subject], since: datetime
    ) -> dict[Subject, History]:
        """What routing asks of these models, and of a credit's value; their changes `since`."""
        from watcher.store.routing import read_histories  # noqa: PLC0415 - few commands route

        return await self._database.read(partial(read_histories, subjects=subjects, since=since))

    async def prices(self, model_ids: Collection[int]) -> dict[int, PriceHistory]:
        """What these models cost and when, by model number."""
        from watcher.store.routing import read_prices  # noqa: PLC0415 - few commands route

        return await self._database.read(partial(read_prices, model_ids=model_ids))

    async def silences(self) -> tuple[StoredSilence, ...]:
        """Every silence there ever was, oldest first."""
        return await self._database.values(read_silence, _SILENCES)

    async def unwatched(self, now: datetime) -> timedelta:
        """How much of the time up to `now` is missing in the log of polls, in gaps over a week.

        A clock that is set back leaves a gap of less than nothing, which a jump ahead fills again.
        """
        rows = await self._database.rows(_UNWATCHED_DAYS, (time_text(now), _LONGEST_PAUSE_IN_DAYS))
        return timedelta(days=max(rows[0][0], 0))

    # What is to be sent

    async def queued(self, receiver: str) -> tuple[QueuedItem, ...]:
        """The receiver's deliveries that are in no message yet, oldest first."""
        from watcher.store.routing import read_queued  # noqa: PLC0415 - few commands route

        return await self._database.read(partial(read_queued, receiver=receiver))

    async def digests(self, receiver: str) -> dict[str, datetime]:
        """Up to when each digest has been sent to the receiver, by route."""
        sql = "SELECT route, at FROM digests WHERE receiver = ?"
        return dict(await self._database.values(read_digest, sql, (receiver,)))

    async def open_message(self, receiver: str) -> StoredMessage | None:
        """The message to be tried next: the oldest that is neither sent nor given up.

        Where the receiver gives no answers, what was never tried goes before what may have arrived.
        """
        messages = await self._database.values(
            read_message,
            f"SELECT {MESSAGE_COLUMNS} FROM messages"  # noqa: S608 - our own columns
            " WHERE receiver = ?1 AND state = 'open' ORDER BY attempts > 0"
            " AND EXISTS (SELECT 1 FROM unanswered WHERE receiver = ?1 AND tries >= ?2), id"
            " LIMIT 1",
            (receiver, UNANSWERED_IN_A_ROW),
        )
        return next(iter(messages), None)

    async def picture(self, message_id: int) -> bytes | None:
        """The PNG that goes with a message, until the message was sent."""
        rows = await self._database.rows("SELECT picture FROM messages WHERE id = ?", (message_id,))
        return rows[0][0] if rows else None

    async def outbox(self) -> OutboxView:
        """Open and dead messages, and what is in no message yet."""

        def ask(db: sqlite3.Connection) -> OutboxView:
            messages = db.execute(_UNSENT)
            waiting = db.execute(
                "SELECT receiver, count(*), min(queued_at) FROM waiting"
                " GROUP BY receiver ORDER BY receiver"
            )
            return OutboxView(
                tuple(map(read_message, messages)),
                tuple(WaitingDeliveries(name, items, read_time(at)) for name, items, at in waiting),
            )

        return await self._database.read(ask)

    # How it is

    async def status(self) -> Status:
        """The whole status."""
        return await self._database.read(_status)

    async def alarms(self) -> Mapping[str, Any]:
        """The alarms that were stored last, as plain JSON; empty where none were."""
        kept = await self._database.values(read_alarms, _ALARMS)
        return kept[0] if kept else {}


def read_everything(db: sqlite3.Connection) -> None:
    """Read every row that is ever read; raises `UnreadableError` for one that cannot be."""
    from watcher.store.routing import read_anchors, read_queued  # noqa: PLC0415 - as above

    _snapshot(db)
    _status(db)
    every: tuple[tuple[Callable[[Any], object], str], ...] = (
        (read_record, f"SELECT {record_of('history')} FROM history"),  # noqa: S608 - our own columns
        (read_period, "SELECT valid_from, valid_to FROM history"),
        (read_known_model, _GONE),
        (read_credit_value, "SELECT valid_from, usd_per_credit FROM credit_values"),
        (read_change, f"SELECT {CHANGE_COLUMNS} FROM changes {SIDES_OF_CHANGE}"),  # noqa: S608 - ours
        (read_notice, "SELECT kind, at, detail FROM notices"),
        (read_message, _UNSENT),
        (read_silence, _SILENCES),
        (read_unanswered, "SELECT receiver, tries FROM unanswered"),
        (read_digest, "SELECT route, at FROM digests"),
        (read_alarms, _ALARMS),
        (read_flapping, "SELECT id, flapping FROM deliveries WHERE flapping <> '[]'"),
    )
    for read, sql in every:
        for row in db.execute(sql):
            read(row)
    anchored = db.execute("SELECT DISTINCT model_id FROM anchors").fetchall()
    read_anchors(db, [number for (number,) in anchored])
    for (receiver,) in db.execute("SELECT DISTINCT receiver FROM waiting").fetchall():
        read_queued(db, receiver)


def _snapshot(db: sqlite3.Connection) -> StoredSnapshot | None:
    sweep = db.execute(f"SELECT at, start_over, {SWEEP_COLUMNS} FROM sweep").fetchone()  # noqa: S608 - ours
    if sweep is None:
        return None
    at, start_over, *columns = sweep
    usd_per_credit, probe = read_sweep(columns)
    holds = db.execute(f"SELECT {HOLD_COLUMNS} FROM holds ORDER BY id")  # noqa: S608 - ours
    return StoredSnapshot(
        models=tuple(map(read_known_model, db.execute(_ON_SALE))),
        usd_per_credit=usd_per_credit,
        probe=probe,
        swept_at=read_time(at),
        holds=tuple(map(read_hold, holds)),
        start_over=bool(start_over),
    )


def _on_sale(db: sqlite3.Connection) -> tuple[Decimal | None, list[KnownModel]]:
    """What a credit is worth, and every model on sale; `None` before the first sweep."""
    sweep = db.execute(f"SELECT {SWEEP_COLUMNS} FROM sweep").fetchone()  # noqa: S608 - ours
    known = list(map(read_known_model, db.execute(_ON_SALE)))
    return None if sweep is None else read_sweep(sweep)[0], known


def _status(db: sqlite3.Connection) -> Status:
    poll = db.execute(
        "SELECT at, outcome, why, last_success_at, failures, doubts FROM poll"
    ).fetchone()
    sweep = db.execute(f"SELECT at, {SWEEP_COLUMNS} FROM sweep").fetchone()  # noqa: S608 - ours
    models = db.execute(
        "SELECT interface, count(*) FROM history WHERE valid_to IS NULL"
        " GROUP BY interface ORDER BY count(*) DESC, interface"
    )
    holds = db.execute(
        f"SELECT description, {HOLD_COLUMNS.replace('model_id', 'holds.model_id')} FROM holds"  # noqa: S608 - ours
        " LEFT JOIN history ON history.model_id = holds.model_id AND valid_to IS NULL"
        " ORDER BY until_at, holds.id"
    )
    return Status(
        poll=None if poll is None else read_poll(poll),
        swept_at=None if sweep is None else read_time(sweep[0]),
        usd_per_credit=None if sweep is None else read_sweep(sweep[1:])[0],
        models=dict(models.fetchall()),
        holds=tuple(OpenHold(read_hold(row[1:]), row[0]) for row in holds),
        receivers=tuple(map(read_receiver, db.execute(_RECEIVERS))),
    )


def _is_about(recorded: RecordedChange, only: RecordFilter) -> bool:
    if only.is_empty:
        return True
    change = recorded.change
    if not isinstance(change, ModelChange):
        return False
    sides = (change.before, change.after)
    return any(only.takes(side.record) for side in sides if side is not None)
