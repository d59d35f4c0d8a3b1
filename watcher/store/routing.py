"""What routing asks of the state: the histories of models, and what waits for a receiver.

What it means for a change is decided in `watcher.routing`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import ModelChange
from watcher.catalog.record import DOCUMENTED_USD_PER_CREDIT, Model
from watcher.routing.net_effect import change_since
from watcher.routing.plan import ModelHistory
from watcher.routing.release import QueuedItem
from watcher.routing.rules import Flap
from watcher.store.rows import (
    CHANGE_COLUMNS,
    CHANGE_WIDTH,
    SIDES_OF_CHANGE,
    json_text,
    named,
    read_change,
    read_model,
    read_notice,
    read_record,
    read_time,
    read_time_or_none,
    record_of,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from watcher.catalog.changes import Notice, RecordedChange
    from watcher.routing.plan import AnchorKey
    from watcher.routing.rules import PricePoint

# A price that flaps has many rows of history; older ones decide nothing.
_PRICES_READ = 400

_ANCHORS = f"""
    SELECT anchors.model_id, route, receiver, usd_per_credit, {record_of("history")}
    FROM anchors JOIN history ON history.id = history_id
    WHERE anchors.model_id IN (SELECT value FROM json_each(?))
"""  # noqa: S608 - our own columns

# The latest rows of each model, oldest first. Whether the first is the first there ever was: rows
# from before `complete_since` may stand apart, because something else names them.
_PRICES = f"""
    SELECT model_id, valid_from, valid_from <= first_seen_at, {record_of("latest")} FROM (
        SELECT *, row_number() OVER (PARTITION BY model_id ORDER BY id DESC) AS place
        FROM history WHERE model_id IN (SELECT value FROM json_each(?1))
    ) AS latest JOIN models ON models.id = model_id
    WHERE place <= ?2 AND valid_from >= complete_since ORDER BY latest.id
"""  # noqa: S608 - our own columns

_FLAPPING_SENT = """
    SELECT model_id, receiver, max(queued_at) FROM deliveries
    JOIN changes ON changes.id = change_id
    WHERE flap <> '' AND model_id IN (SELECT value FROM json_each(?))
    GROUP BY model_id, receiver
"""

_QUEUED = f"""
    SELECT waiting.id, queued_at, route, silence_id, flap,
        (
            SELECT max(moves.at) FROM changes AS moves
            WHERE moves.model_id = changes.model_id AND moves.kinds LIKE '%"price_%'
        ),
        notices.kind, notices.at, notices.detail,
        {CHANGE_COLUMNS},
        since_usd_per_credit, {record_of("since")},
        (SELECT usd_per_credit FROM sweep), {record_of("now")}
    FROM waiting LEFT JOIN changes ON changes.id = change_id {SIDES_OF_CHANGE}
        LEFT JOIN notices ON notices.id = notice_id
        LEFT JOIN history AS since ON since.id = since_id
        LEFT JOIN history AS now ON now.model_id = changes.model_id AND now.valid_to IS NULL
    WHERE receiver = ? ORDER BY waiting.id
"""  # noqa: S608 - our own columns


def read_histories(db: sqlite3.Connection, model_ids: Collection[int]) -> dict[int, ModelHistory]:
    """The anchors, prices and flapping of these models, by model number."""
    ids = (json_text(list(model_ids)),)
    anchors = _by_model(db.execute(_ANCHORS, ids))
    flaps = _by_model(db.execute(_FLAPPING_SENT, ids))
    found = db.execute("SELECT usd_per_credit FROM sweep").fetchone()
    worth = DOCUMENTED_USD_PER_CREDIT if found is None else Decimal(found[0])
    prices, complete = _read_prices(db.execute(_PRICES, (*ids, _PRICES_READ)), worth)
    return {
        number: ModelHistory(
            anchors=_read_anchors(anchors.get(number, ())),
            prices=tuple(prices.get(number, ())),
            flapping_sent={receiver: read_time(at) for receiver, at in flaps.get(number, ())},
            is_complete=complete.get(number, True),
        )
        for number in model_ids
    }


def read_queued(db: sqlite3.Connection, receiver: str) -> tuple[QueuedItem, ...]:
    """The receiver's deliveries that are in no message yet, oldest first."""
    return tuple(map(_read_item, db.execute(_QUEUED, (receiver,))))


def _by_model(rows: Iterable[Any]) -> defaultdict[int, list[Any]]:
    """Rows that begin with the number of a model, without it, by that number."""
    groups: defaultdict[int, list[Any]] = defaultdict(list)
    for number, *rest in rows:
        groups[number].append(rest)
    return groups


def _read_anchors(rows: Iterable[Any]) -> dict[AnchorKey, Model]:
    anchors: dict[AnchorKey, Model] = {}
    for route, receiver, *columns in rows:
        if (model := read_model(columns)) is not None:
            anchors[route, receiver] = model
    return anchors


def _read_prices(
    rows: Iterable[Any], usd_per_credit: Decimal
) -> tuple[Mapping[int, Sequence[PricePoint]], Mapping[int, bool]]:
    """The prices of each model, and whether they go back to the first one that there was.

    Row by row: those of a whole catalogue are not to be in memory at once.
    """
    prices: dict[int, list[PricePoint]] = {}
    complete: dict[int, bool] = {}
    for number, valid_from, is_first, *columns in rows:
        complete.setdefault(number, bool(is_first))
        points = prices.setdefault(number, [])
        price = Model(read_record(columns), usd_per_credit).price
        if price is not None and (not points or points[-1][1] != price):
            points.append((read_time(valid_from), price))
    return prices, complete


@named("delivery")
def _read_item(row: Any) -> QueuedItem:
    number, queued_at, route, silence_id, flap, moved_at = row[:6]
    notice, change, rest = row[6:9], row[9 : 9 + CHANGE_WIDTH], row[9 + CHANGE_WIDTH :]
    since, current = rest[: len(rest) // 2], read_model(rest[len(rest) // 2 :])
    content: RecordedChange | Notice
    if notice[0] is None:
        recorded = read_change(change)
        # As its route announces it: measured from the anchor.
        since_anchor = change_since(recorded.change, read_model(since))
        content = replace(recorded, change=since_anchor)
        if isinstance(since_anchor, ModelChange) and current == since_anchor.after:
            # Mostly so; of a whole catalogue that moved there need not be two copies.
            current = since_anchor.after
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
        current=current,
    )
