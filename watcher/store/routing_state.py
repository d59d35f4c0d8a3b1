"""The state that routing needs: model histories, anchors, silences, queued deliveries, digests.

What it means for a change is decided in `watcher.routing`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from watcher.catalog.record import DOCUMENTED_USD_PER_CREDIT, Model
from watcher.routing.net_effect import change_since
from watcher.routing.plan import ModelHistory
from watcher.routing.release import QueuedItem
from watcher.routing.rules import Flap
from watcher.store.connection import Queries
from watcher.store.rows import (
    CHANGE_COLUMNS,
    encodable,
    json_text,
    model_columns,
    read_change,
    read_json,
    read_model,
    read_notice,
    read_record,
    read_time,
    read_time_or_none,
    time_text,
)
from watcher.store.values import StoredSilence

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime
    from decimal import Decimal

    import aiosqlite

    from watcher.catalog.changes import Notice, RecordedChange
    from watcher.routing.plan import Anchor, AnchorKey
    from watcher.routing.rules import PricePoint
    from watcher.store.values import ReleaseEffects

# A price that flaps has many intervals; older ones decide nothing.
_INTERVALS_READ = 400

_ANCHORS = """
    SELECT model_id, route, receiver, record, usd_per_credit FROM anchors
    WHERE model_id IN (SELECT value FROM json_each(?))
"""

# The latest intervals of each model, oldest first.
_PRICES = """
    SELECT model_id, from_at, record, first_seen_at FROM (
        SELECT model_id, from_at, record, id,
            row_number() OVER (PARTITION BY model_id ORDER BY id DESC) AS place
        FROM history WHERE model_id IN (SELECT value FROM json_each(?1))
    ) AS latest JOIN models ON models.id = model_id WHERE place <= ?2 ORDER BY latest.id
"""

_FLAPPING_SENT = """
    SELECT model_id, receiver, max(queued_at) FROM deliveries
    JOIN changes ON changes.id = change_id
    WHERE flap <> '' AND model_id IN (SELECT value FROM json_each(?))
    GROUP BY model_id, receiver
"""

_QUEUED = f"""
    SELECT waiting.id, queued_at, route, silence_id, flap, since, since_usd_per_credit,
        (
            SELECT max(moves.at) FROM changes AS moves
            WHERE moves.model_id = changes.model_id AND moves.kinds LIKE '%"price_%'
        ),
        (SELECT record FROM history WHERE model_id = changes.model_id AND to_at IS NULL),
        (SELECT usd_per_credit FROM sweep),
        notices.kind, notices.at, notices.detail,
        {CHANGE_COLUMNS}
    FROM waiting LEFT JOIN changes ON changes.id = change_id
        LEFT JOIN notices ON notices.id = notice_id
    WHERE receiver = ? ORDER BY waiting.id
"""  # noqa: S608 - our own columns


class HistoryQueries(Queries):
    """Model histories and silences."""

    async def histories(self, model_ids: Collection[int]) -> dict[int, ModelHistory]:
        """The anchors, prices and flapping of these models, by model number."""
        if not model_ids:
            return {}
        ids = json_text(list(model_ids))

        async def ask(db: aiosqlite.Connection) -> tuple[list[Any], list[Any], list[Any]]:
            return (
                list(await db.execute_fetchall(_ANCHORS, (ids,))),
                list(await db.execute_fetchall(_PRICES, (ids, _INTERVALS_READ))),
                list(await db.execute_fetchall(_FLAPPING_SENT, (ids,))),
            )

        anchors, prices, flaps = await self._database.read(ask)
        return {
            number: ModelHistory(
                anchors=_anchors_of(anchors, number),
                prices=_prices_of(prices, number),
                flapping_sent={who: read_time(at) for of, who, at in flaps if of == number},
                is_complete=not _is_cut(prices, number),
            )
            for number in model_ids
        }

    async def silences(self) -> tuple[StoredSilence, ...]:
        """Every silence there ever was, oldest first."""
        rows = await self._database.rows(
            "SELECT id, matcher, since_at, until_at, reason, dropping, caught, ended_at"
            " FROM silences ORDER BY id"
        )
        return tuple(map(_read_silence, rows))


class RoutingQueries(HistoryQueries):
    """What releasing a receiver's deliveries reads and writes."""

    async def queued(self, receiver: str) -> tuple[QueuedItem, ...]:
        """The receiver's deliveries that are in no message yet, oldest first."""
        rows = await self._database.rows(_QUEUED, (receiver,))
        return tuple(map(_read_item, rows))

    async def digests(self, receiver: str) -> dict[str, datetime]:
        """Up to when each digest has been sent to the receiver, by route."""
        rows = await self._database.rows(
            "SELECT route, at FROM digests WHERE receiver = ?", (receiver,)
        )
        return {route: read_time(at) for route, at in rows}

    async def record_release(self, receiver: str, effects: ReleaseEffects, at: datetime) -> None:
        """Store what a release decided where it made no message."""

        async def work(db: aiosqlite.Connection) -> None:
            await write_release_effects(db, receiver, effects, at)

        await self._database.write(work)


async def add_silence(db: aiosqlite.Connection, silence: StoredSilence) -> int:
    """Store a silence, ignoring its number; the same request applied twice adds one silence."""
    columns = (
        json_text(silence.spec),
        time_text(silence.since_at),
        time_text(silence.until_at),
        encodable(silence.reason),
        int(silence.dropping),
    )
    cursor = await db.execute(
        "INSERT INTO silences (matcher, since_at, until_at, reason, dropping)"
        " SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS"
        " (SELECT 1 FROM silences WHERE matcher = ?1 AND since_at = ?2)",
        columns,
    )
    return cursor.rowcount


async def end_silence(db: aiosqlite.Connection, number: int, at: datetime) -> int:
    """End a silence that is not over; returns how many were ended, 0 or 1."""
    cursor = await db.execute(
        "UPDATE silences SET ended_at = ?1 WHERE id = ?2 AND ended_at IS NULL AND until_at > ?1",
        (time_text(at), number),
    )
    return cursor.rowcount


async def write_anchors(db: aiosqlite.Connection, anchors: Iterable[Anchor], at: datetime) -> None:
    """Store the models from which routes measure the next price move."""
    moment = time_text(at)
    await db.executemany(
        "INSERT INTO anchors (model_id, route, receiver, at, record, usd_per_credit)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at,"
        " record = excluded.record, usd_per_credit = excluded.usd_per_credit",
        [(it.model_id, it.route, it.receiver, moment, *model_columns(it.model)) for it in anchors],
    )


async def forget_anchors(db: aiosqlite.Connection) -> None:
    """Let every route measure the next move from the price before it, as after a first baseline."""
    await db.execute("DELETE FROM anchors")


async def count_caught(db: aiosqlite.Connection, caught: Mapping[int, int]) -> None:
    """Count what silences held back or dropped."""
    await db.executemany(
        "UPDATE silences SET caught = caught + ? WHERE id = ?",
        [(count, number) for number, count in caught.items()],
    )


async def write_release_effects(
    db: aiosqlite.Connection, receiver: str, effects: ReleaseEffects, at: datetime
) -> None:
    """Store what a release decided, as a part of one transaction."""
    await db.execute(
        "UPDATE deliveries SET netted_at = ? WHERE receiver = ?"
        " AND id IN (SELECT value FROM json_each(?))",
        (time_text(at), receiver, json_text(list(effects.netted))),
    )
    await write_anchors(db, effects.anchors, at)
    await db.executemany(
        "INSERT INTO digests (route, receiver, at) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET at = excluded.at",
        [(route, receiver, time_text(until)) for route, until in effects.digests.items()],
    )


def _read_item(row: Any) -> QueuedItem:
    number, queued_at, route, silence_id, flap, since, since_value, moved_at, now, value = row[:10]
    notice, change = row[10:13], row[13:]
    content: RecordedChange | Notice
    if notice[0] is None:
        recorded = read_change(change)
        # As its route announces it: measured from the anchor.
        since_anchor = change_since(recorded.change, read_model(since, since_value))
        content = replace(recorded, change=since_anchor)
    else:
        content = read_notice(notice)
    return QueuedItem(
        delivery_id=number,
        content=content,
        queued_at=read_time(queued_at),
        route=route,
        silence_id=silence_id,
        flap=Flap(flap),
        still_since=read_time_or_none(moved_at),
        current=read_model(now, value),
    )


def _read_silence(row: Any) -> StoredSilence:
    number, spec, since_at, until_at, reason, dropping, caught, ended_at = row
    return StoredSilence(
        id=number,
        spec=read_json(spec),
        since_at=read_time(since_at),
        until_at=read_time(until_at),
        reason=reason,
        dropping=bool(dropping),
        caught=caught,
        ended_at=read_time_or_none(ended_at),
    )


def _anchors_of(rows: Iterable[Any], number: int) -> dict[AnchorKey, Model]:
    anchors: dict[AnchorKey, Model] = {}
    for of, route, receiver, record, usd_per_credit in rows:
        model = read_model(record, usd_per_credit)
        if of == number and model is not None:
            anchors[route, receiver] = model
    return anchors


def _is_cut(rows: Iterable[Any], number: int) -> bool:
    """Whether a model's first intervals are missing: pruned, or more than are read."""
    firsts = (from_at > first_seen_at for of, from_at, _, first_seen_at in rows if of == number)
    return next(firsts, False)


def _prices_of(rows: Iterable[Any], number: int) -> tuple[PricePoint, ...]:
    points: list[PricePoint] = []
    for of, from_at, record, _ in rows:
        if of != number:
            continue
        price: Decimal | None = Model(read_record(record), DOCUMENTED_USD_PER_CREDIT).price
        if price is not None and (not points or points[-1][1] != price):
            points.append((read_time(from_at), price))
    return tuple(points)
