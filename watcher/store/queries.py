"""What the commands ask of the state: models, changes, the outbox, the status. And the poll log.

`StateReader` only reads, and so may be used beside a running daemon.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import ModelChange
from watcher.catalog.record import Model, fold
from watcher.store.connection import NoStateError, Queries
from watcher.store.deliveries import MESSAGE_COLUMNS
from watcher.store.routing_state import HistoryQueries
from watcher.store.rows import (
    CHANGE_COLUMNS,
    encodable,
    json_text,
    read_change,
    read_hold,
    read_known_model,
    read_message,
    read_notice,
    read_record,
    read_time,
    read_time_or_none,
    time_text,
)
from watcher.store.values import (
    ModelList,
    OpenHold,
    OutboxView,
    PollStatus,
    ReceiverStatus,
    Status,
    WaitingDeliveries,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    import aiosqlite

    from watcher.catalog.changes import Notice, RecordedChange
    from watcher.store.values import KnownModel, PollCost

# The outcomes of a poll that count as failures; any other word is a success.
FAILED = "failed"
INCONCLUSIVE = "inconclusive"

# A reason quotes the server's answer, which may be of any length.
_LONGEST_REASON = 500
_MILLISECOND = timedelta(milliseconds=1)

# Models on sale, by number. The partial index on open intervals gives them in that order.
ON_SALE = (
    "SELECT models.id, first_seen_at, last_changed_at, gone_at, record FROM history"
    " JOIN models ON models.id = model_id WHERE to_at IS NULL ORDER BY model_id"
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


class PollQueries(Queries):
    """What the poller writes about its polls."""

    async def note_poll(
        self,
        at: datetime,
        outcome: str,
        reason: str | None = None,
        cost: PollCost | None = None,
    ) -> None:
        """Store when the last poll was and how it ended, in place of the one before.

        `FAILED` and `INCONCLUSIVE` count as failures, everything else as a success. With its
        `cost` it is also added to the log of polls; quiet polls, one every few minutes, are not.
        """
        failed = outcome in {FAILED, INCONCLUSIVE}
        moment = time_text(at)
        why = None if reason is None else encodable(reason[:_LONGEST_REASON])

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
                    (
                        *(moment, outcome, why, cost.requests, cost.bytes),
                        *(cost.changes, cost.holds, cost.took // _MILLISECOND),
                    ),
                )

        await self._database.write(work)


class StateReader(HistoryQueries):
    """What the commands show."""

    async def models(
        self,
        *,
        interface: str | None = None,
        provider: str | None = None,
        search: str | None = None,
    ) -> ModelList:
        """The models on sale as of the last accepted sweep, ordered by description.

        Case is ignored; every word of `search` must be in the description or the provider.
        Raises `NoStateError` before the first complete sweep.
        """
        usd_per_credit, known = await self._on_sale()
        if usd_per_credit is None:
            raise NoStateError(
                f"{self._database.path}: no sweep of the catalogue has been completed yet. "
                "`kie-watcher status` says how the last poll went"
            )
        chosen = [model for model in known if _matches(model, interface, provider, search)]
        chosen.sort(key=lambda model: (model.record.identity_key, model.id))
        return ModelList(
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
        """Changes: of any of the kinds, sent in one message, of some models.

        `glob` is matched against the identity key, before and after the change, ignoring case.
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
        """Notices about the catalogue as a whole and about the watcher itself, oldest first."""
        rows = await self._database.rows(
            "SELECT kind, at, detail FROM notices WHERE at >= ? ORDER BY id", (time_text(since),)
        )
        return tuple(map(read_notice, rows))

    async def on_sale_at(self, at: datetime) -> tuple[Model, ...]:
        """The models that were on sale at a time, with what a credit was worth then."""
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
            tuple(WaitingDeliveries(name, items, read_time(at)) for name, items, at in waiting),
        )

    async def status(self) -> Status:
        """The whole status, read in one transaction."""
        return await self._database.read(_status)

    async def _on_sale(self) -> tuple[Decimal | None, list[KnownModel]]:
        """What a credit is worth, and every model on sale; `None` before the first sweep."""

        async def ask(db: aiosqlite.Connection) -> tuple[list[Any], list[Any]]:
            values = await db.execute_fetchall("SELECT usd_per_credit FROM sweep")
            return list(values), list(await db.execute_fetchall(ON_SALE))

        values, rows = await self._database.read(ask)
        return Decimal(values[0][0]) if values else None, [read_known_model(row) for row in rows]


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


async def _all(db: aiosqlite.Connection, sql: str) -> list[Any]:
    return list(await db.execute_fetchall(sql))


def _read_poll(row: Any) -> PollStatus:
    at, outcome, reason, last_success_at, failures = row
    return PollStatus(read_time(at), outcome, reason, read_time_or_none(last_success_at), failures)


def _read_receiver(row: Any) -> ReceiverStatus:
    receiver, waiting, open_, dead, oldest_at, next_attempt_at, last_error = row
    times = (read_time_or_none(oldest_at), read_time_or_none(next_attempt_at))
    return ReceiverStatus(receiver, waiting, open_, dead, *times, last_error)


def _matches(
    model: KnownModel, interface: str | None, provider: str | None, search: str | None
) -> bool:
    record = model.record
    if interface is not None and fold(record.interface) != fold(interface):
        return False
    if provider is not None and fold(record.provider) != fold(provider):
        return False
    text = f"{record.identity_key} {fold(record.provider)}"
    return all(word in text for word in fold(search or "").split())


def _is_about(recorded: RecordedChange, pattern: str | None) -> bool:
    if pattern is None:
        return True
    change = recorded.change
    if not isinstance(change, ModelChange):
        return False
    keys = [side.record.identity_key for side in (change.before, change.after) if side is not None]
    return any(fnmatchcase(key, pattern) for key in keys)
