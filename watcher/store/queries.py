"""The log of polls: one row for each that was not quiet, and the last one of all.

Refuses to know what a poll is and how it is told.

What people ask of the memory: the models, what happened, what waits, how things stand.

Only reads, and so may be asked beside a running daemon. Refuses to know how it is printed.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import ModelChange
from watcher.catalog.record import Model, fold
from watcher.store.anchors import PastTable
from watcher.store.connection import NoStateError, Questions
from watcher.store.deliveries import MESSAGE_COLUMNS
from watcher.store.rows import (
    CHANGE_COLUMNS,
    json_text,
    read_change,
    read_hold,
    read_known,
    read_message,
    read_notice,
    read_record,
    read_time,
    read_time_or_none,
    storable,
    time_text,
)
from watcher.store.values import (
    Catalogue,
    LoggedPoll,
    OpenHold,
    OutboxView,
    PollCost,
    PollStatus,
    ReceiverStatus,
    Status,
    Waiting,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    import aiosqlite

    from watcher.catalog.changes import Notice, RecordedChange
    from watcher.store.values import KnownModel

# The outcomes of a poll that count as failures; any other word is a success.
FAILED = "failed"
INCONCLUSIVE = "inconclusive"

# A cause repeats something of a stranger's answer; what is kept of it is bounded here.
LONGEST_WHY = 500
_MILLISECOND = timedelta(milliseconds=1)


class PollLog(Questions):
    """What may be asked of it."""

    async def polls(self, since: datetime) -> tuple[LoggedPoll, ...]:
        """Every poll from then on that was not quiet and is still kept, oldest first."""
        rows = await self._database.rows(
            "SELECT at, outcome, why, requests, bytes, changes, holds, took_ms FROM polls"
            " WHERE at >= ? ORDER BY id",
            (time_text(since),),
        )
        return tuple(map(_read_logged, rows))


class PollTable(PollLog):
    """The one mark of whoever polls."""

    async def note_poll(
        self,
        at: datetime,
        outcome: str,
        reason: str | None = None,
        cost: PollCost | None = None,
    ) -> None:
        """Keep when the last poll was and how it went, over what was kept of the one before.

        `FAILED` and `INCONCLUSIVE` count as failures, everything else as a success. With its
        `cost` it goes on record, too; a quiet poll, which comes every few minutes, should not.
        """
        failed = outcome in {FAILED, INCONCLUSIVE}
        moment, why = time_text(at), _short(reason)

        async def work(db: aiosqlite.Connection) -> None:
            await db.execute(
                "INSERT INTO poll (id, at, outcome, reason, last_success_at, failures)"
                " VALUES (1, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                " at = excluded.at, outcome = excluded.outcome, reason = excluded.reason,"
                " last_success_at = coalesce(excluded.last_success_at, last_success_at),"
                " failures = iif(excluded.failures, failures + 1, 0)",
                (moment, outcome, why, None if failed else moment, int(failed)),
            )
            if cost is not None:
                await db.execute(
                    "INSERT INTO polls (at, outcome, why, requests, bytes, changes, holds, took_ms)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (moment, outcome, why, *_columns(cost)),
                )

        await self._database.write(work)


def _short(text: str | None) -> str | None:
    return storable(None if text is None else text[:LONGEST_WHY])


def _columns(cost: PollCost) -> tuple[int, ...]:
    took = cost.took // _MILLISECOND
    return cost.requests, cost.bytes, cost.changes, cost.holds, took


def _read_logged(row: Any) -> LoggedPoll:
    at, outcome, why, requests, received, changes, holds, took = row
    cost = PollCost(requests, received, changes, holds, took * _MILLISECOND)
    return LoggedPoll(read_time(at), outcome, why, cost)


# Models on sale, by number. The partial index on open intervals gives them in that order.
ON_SALE = (
    "SELECT models.id, first_seen_at, last_changed_at, gone_at, record FROM history"
    " JOIN models ON models.id = model_id WHERE to_at IS NULL ORDER BY model_id"
)


class Views(PastTable, PollLog):
    """The questions of the commands that show."""

    async def models(
        self,
        *,
        interface: str | None = None,
        provider: str | None = None,
        search: str | None = None,
    ) -> Catalogue:
        """The models on sale as last believed, by description.

        Upper and lower case are one; every word of `search` is in the description or provider.
        Raises `NoStateError` before the first complete sweep.
        """

        async def ask(db: aiosqlite.Connection) -> tuple[list[Any], list[Any]]:
            values = await db.execute_fetchall("SELECT usd_per_credit FROM sweep")
            return list(values), list(await db.execute_fetchall(ON_SALE))

        values, rows = await self._database.read(ask)
        if not values:
            raise NoStateError(
                f"{self._database.path}: no sweep of the catalogue has been completed yet. "
                "`kie-watcher status` says how the last poll went"
            )
        usd_per_credit = Decimal(values[0][0])
        known = [read_known(row) for row in rows]
        chosen = [model for model in known if _is_asked_for(model, interface, provider, search)]
        chosen.sort(key=lambda model: (model.record.folded, model.id))
        return Catalogue(
            usd_per_credit, tuple((model, Model(model.record, usd_per_credit)) for model in chosen)
        )

    async def changes(
        self,
        *,
        since: datetime | None = None,
        kinds: Collection[str] = (),
        glob: str | None = None,
        alert_id: str | None = None,
        newest_first: bool = True,
    ) -> tuple[RecordedChange, ...]:
        """What happened, narrowed down: of any of the kinds, told by an alert, of some models.

        `glob` is matched against the folded description, before and after, case aside.
        """
        rows = await self._database.rows(
            f"SELECT {CHANGE_COLUMNS} FROM changes"  # noqa: S608 - our own columns
            " WHERE at >= ?1"
            " AND (?2 = '[]' OR EXISTS (SELECT 1 FROM json_each(kinds)"
            " WHERE value IN (SELECT value FROM json_each(?2))))"
            " AND (?3 IS NULL OR id IN (SELECT change_id FROM deliveries"
            " JOIN messages ON messages.id = message_id WHERE alert_id = ?3))"
            " ORDER BY id",
            ("" if since is None else time_text(since), json_text(list(kinds)), alert_id),
        )
        pattern = None if glob is None else fold(glob)
        found = [change for change in map(read_change, rows) if _is_about(change, pattern)]
        return tuple(reversed(found) if newest_first else found)

    async def notices(self, since: datetime) -> tuple[Notice, ...]:
        """What was noticed of the catalogue as a whole and of the watch itself, oldest first."""
        rows = await self._database.rows(
            "SELECT kind, at, detail FROM notices WHERE at >= ? ORDER BY id", (time_text(since),)
        )
        return tuple(map(read_notice, rows))

    async def on_sale_at(self, at: datetime) -> tuple[Model, ...]:
        """The models that were on sale at a time, at what a credit was worth then."""
        moment = time_text(at)

        async def ask(db: aiosqlite.Connection) -> tuple[list[Any], list[Any]]:
            values = await db.execute_fetchall(
                "SELECT usd_per_credit FROM credit_values WHERE from_at <= ?"
                " ORDER BY id DESC LIMIT 1",
                (moment,),
            )
            records = await db.execute_fetchall(
                "SELECT record FROM history WHERE from_at <= ?1 AND (to_at IS NULL OR to_at > ?1)"
                " ORDER BY model_id",
                (moment,),
            )
            return list(values), list(records)

        values, records = await self._database.read(ask)
        return tuple(Model(read_record(record), Decimal(values[0][0])) for (record,) in records)

    async def outbox(self) -> OutboxView:
        """Open and dead messages, and what is in no message yet."""

        async def ask(db: aiosqlite.Connection) -> tuple[list[Any], list[Any]]:
            messages = await db.execute_fetchall(
                f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE state = 'open'"  # noqa: S608 - ours
                f" UNION ALL SELECT {MESSAGE_COLUMNS} FROM messages WHERE state = 'dead'"
                " ORDER BY id"
            )
            waiting = await db.execute_fetchall(
                "SELECT receiver, count(*), min(queued_at) FROM waiting"
                " GROUP BY receiver ORDER BY receiver"
            )
            return list(messages), list(waiting)

        messages, waiting = await self._database.read(ask)
        return OutboxView(
            tuple(map(read_message, messages)),
            tuple(Waiting(receiver, items, read_time(at)) for receiver, items, at in waiting),
        )

    async def status(self) -> Status:
        """How things stand, all as of one moment."""
        return await self._database.read(_status)


async def _status(db: aiosqlite.Connection) -> Status:
    poll = await _all(db, "SELECT at, outcome, reason, last_success_at, failures FROM poll")
    sweep = await _all(db, "SELECT at, usd_per_credit FROM sweep")
    models = await _all(
        db,
        "SELECT interface, count(*) FROM models WHERE gone_at IS NULL"
        " GROUP BY interface ORDER BY count(*) DESC, interface",
    )
    holds = await _all(
        db,
        "SELECT description, reason, model_id, subject, since_at, until_at FROM holds"
        " LEFT JOIN models ON models.id = model_id ORDER BY until_at, holds.id",
    )
    receivers = await _all(db, _RECEIVERS)
    return Status(
        poll=next(map(_read_poll, poll), None),
        swept_at=read_time(sweep[0][0]) if sweep else None,
        usd_per_credit=Decimal(sweep[0][1]) if sweep else None,
        models=dict(models),
        holds=tuple(OpenHold(read_hold(row[1:]), row[0]) for row in holds),
        receivers=tuple(map(_read_receiver, receivers)),
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


async def _all(db: aiosqlite.Connection, sql: str) -> list[Any]:
    return list(await db.execute_fetchall(sql))


def _read_poll(row: Any) -> PollStatus:
    at, outcome, reason, last_success_at, failures = row
    return PollStatus(read_time(at), outcome, reason, read_time_or_none(last_success_at), failures)


def _read_receiver(row: Any) -> ReceiverStatus:
    receiver, waiting, open_, dead, oldest_at, next_attempt_at, last_error = row
    times = (read_time_or_none(oldest_at), read_time_or_none(next_attempt_at))
    return ReceiverStatus(receiver, waiting, open_, dead, *times, last_error)


def _is_asked_for(
    model: KnownModel, interface: str | None, provider: str | None, search: str | None
) -> bool:
    record = model.record
    if interface is not None and fold(record.interface) != fold(interface):
        return False
    if provider is not None and fold(record.provider) != fold(provider):
        return False
    text = f"{record.folded} {fold(record.provider)}"
    return all(word in text for word in fold(search or "").split())


def _is_about(recorded: RecordedChange, pattern: str | None) -> bool:
    if pattern is None:
        return True
    change = recorded.change
    if not isinstance(change, ModelChange):
        return False
    sides = (change.before, change.after)
    return any(side is not None and fnmatchcase(side.record.folded, pattern) for side in sides)
