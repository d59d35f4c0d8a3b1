"""What routing asks of the state: the histories of models, and what waits for a receiver.

What it means for a change is decided in `watcher.routing`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import ModelChange, RecordedChange
from watcher.catalog.record import DOCUMENTED_USD_PER_CREDIT, Model, PriceHistory
from watcher.routing.flapping import still_since
from watcher.routing.net_effect import CREDIT_VALUE, change_since, subject
from watcher.routing.plan import NO_HISTORY, History
from watcher.routing.release import QueuedItem
from watcher.routing.rules import Flap
from watcher.store.rows import (
    CHANGE_COLUMNS,
    CHANGE_WIDTH,
    SIDES_OF_CHANGE,
    json_text,
    named,
    read_change,
    read_kinds,
    read_model,
    read_notice,
    read_record,
    read_time,
    record_of,
    time_text,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from watcher.catalog.changes import Kind, Notice
    from watcher.catalog.record import PricePoint
    from watcher.routing.net_effect import Subject
    from watcher.routing.plan import AnchorKey

# A price that flaps has many rows of history; older ones decide nothing.
_PRICES_READ = 400
# Enough for the most turns that can be asked for, of a value that moves with two others.
_CHANGES_READ = 150

# Which changes, and anchors, a question is about.
_OF_MODELS = "model_id IN (SELECT value FROM json_each(?1))"
_OF_CREDIT_VALUE = "changes.model_id IS NULL AND ?1 IS NULL"

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

_RECENT = f"""
    SELECT {CHANGE_COLUMNS} FROM (
        SELECT *, row_number() OVER (PARTITION BY model_id ORDER BY id DESC) AS place
        FROM changes WHERE {{about}} AND at > ?2
    ) AS changes {SIDES_OF_CHANGE}
    WHERE place <= ?3 ORDER BY changes.id
"""  # noqa: S608 - our own columns

_FLAPPING_SENT = """
    SELECT model_id, receiver, flapping, max(queued_at) FROM deliveries
    JOIN changes ON changes.id = change_id
    WHERE flapping <> '[]' AND {about} AND at > ?2
    GROUP BY model_id, receiver, flapping
"""

_LAST_MOVES = """
    SELECT model_id, kinds, max(at) FROM changes WHERE {about} GROUP BY model_id, kinds
"""

_QUEUED = f"""
    SELECT waiting.id, queued_at, route, silence_id, flap, flapping,
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


def read_histories(
    db: sqlite3.Connection, subjects: Collection[Subject], since: datetime
) -> dict[Subject, History]:
    """What is known of models, by their numbers, and of the value of a credit; changes `since`."""
    numbers = [about for about in subjects if isinstance(about, int)]
    after = time_text(since)
    found = _histories(db, _OF_MODELS, json_text(numbers), after) if numbers else {}
    if CREDIT_VALUE in subjects:
        found |= _histories(db, _OF_CREDIT_VALUE, None, after)
    anchors = read_anchors(db, numbers)
    return {
        about: replace(found.get(about, NO_HISTORY), anchors=anchors.get(about, {}))
        for about in {*numbers, *found}
    }


def read_anchors(
    db: sqlite3.Connection, model_ids: Collection[int]
) -> dict[Subject, dict[AnchorKey, Model]]:
    """These models as they were last reported, by their numbers."""
    rows = _by_model(db.execute(_ANCHORS, (json_text(list(model_ids)),)))
    return {number: _read_anchors(anchors) for number, anchors in rows.items()}


def _histories(
    db: sqlite3.Connection, about: str, numbers: str | None, after: str
) -> dict[Subject, History]:
    """The recent changes and the flapping of what had any, without anchors."""
    recent: defaultdict[Subject, list[RecordedChange]] = defaultdict(list)
    for row in db.execute(_RECENT.format(about=about), (numbers, after, _CHANGES_READ)):
        recorded = read_change(row)
        recent[subject(recorded.change)].append(recorded)
    sent: defaultdict[Subject, dict[tuple[str, Kind], datetime]] = defaultdict(dict)
    for number, receiver, kinds, at in db.execute(
        _FLAPPING_SENT.format(about=about), (numbers, after)
    ):
        marks = sent[CREDIT_VALUE if number is None else number]
        for kind in read_kinds(kinds):
            marks[receiver, kind] = max(read_time(at), marks.get((receiver, kind), read_time(at)))
    return {
        each: History(recent=tuple(recent[each]), flapping_sent=sent[each])
        for each in {*recent, *sent}
    }


def read_prices(db: sqlite3.Connection, model_ids: Collection[int]) -> dict[int, PriceHistory]:
    """What these models cost and when, by their numbers.

    Row by row: those of a whole catalogue are not to be in memory at once.
    """
    prices: dict[int, list[PricePoint]] = {}
    complete: dict[int, bool] = {}
    found = db.execute("SELECT usd_per_credit FROM sweep").fetchone()
    worth = DOCUMENTED_USD_PER_CREDIT if found is None else Decimal(found[0])
    rows = db.execute(_PRICES, (json_text(list(model_ids)), _PRICES_READ))
    for number, valid_from, is_first, *columns in rows:
        complete.setdefault(number, bool(is_first))
        points = prices.setdefault(number, [])
        price = Model(read_record(columns), worth).price
        if price is not None and (not points or points[-1][1] != price):
            points.append((read_time(valid_from), price))
    return {
        number: PriceHistory(tuple(prices.get(number, ())), complete.get(number, True))
        for number in model_ids
    }


def read_queued(db: sqlite3.Connection, receiver: str) -> tuple[QueuedItem, ...]:
    """The receiver's deliveries that are in no message yet, oldest first."""
    items = list(map(_read_item, db.execute(_QUEUED, (receiver,))))
    held = {
        place: subject(item.content.change)
        for place, item in enumerate(items)
        if item.flap is Flap.HELD and isinstance(item.content, RecordedChange)
    }
    moved_at = _last_moves(db, set(held.values())) if held else {}
    for place, about in held.items():
        still = still_since(items[place].flapping, moved_at[about])
        items[place] = replace(items[place], still_since=still)
    return tuple(items)


def _last_moves(
    db: sqlite3.Connection, held: Collection[Subject]
) -> defaultdict[Subject, dict[Kind, datetime]]:
    """When there last was a change of each kind, of what is held back because it flaps."""
    numbers = json_text([about for about in held if isinstance(about, int)])
    rows = list(db.execute(_LAST_MOVES.format(about=_OF_MODELS), (numbers,)))
    if CREDIT_VALUE in held:
        rows += db.execute(_LAST_MOVES.format(about=_OF_CREDIT_VALUE), (None,))
    found: defaultdict[Subject, dict[Kind, datetime]] = defaultdict(dict)
    for number, kinds, at in rows:
        last = found[CREDIT_VALUE if number is None else number]
        for kind in read_kinds(kinds):
            last[kind] = max(read_time(at), last.get(kind, read_time(at)))
    return found


def _by_model(rows: Iterable[Any]) -> defaultdict[Subject, list[Any]]:
    """Rows that begin with the number of a model, without it, by that number."""
    groups: defaultdict[Subject, list[Any]] = defaultdict(list)
    for number, *rest in rows:
        groups[number].append(rest)
    return groups


def _read_anchors(rows: Iterable[Any]) -> dict[AnchorKey, Model]:
    anchors: dict[AnchorKey, Model] = {}
    for route, receiver, *columns in rows:
        if (model := read_model(columns)) is not None:
            anchors[route, receiver] = model
    return anchors


@named("delivery")
def _read_item(row: Any) -> QueuedItem:
    number, queued_at, route, silence_id, flap, flapping = row[:6]
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
        flapping=frozenset(read_kinds(flapping)),
        current=current,
    )
