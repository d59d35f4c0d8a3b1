"""The one transaction that an accepted sweep makes: models, history, changes, holds, deliveries.

A model's history is a list of intervals, in each of which its record stayed the same. What a price
change leaves as it was (description, unit, link) is a label, shared by intervals of one model; the
view `history` puts both together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import Change, Kind, ModelChange, RecordedChange
from watcher.store.connection import ConflictError
from watcher.store.deliveries import write_notices
from watcher.store.routing_state import count_caught, forget_anchors, write_anchors
from watcher.store.rows import (
    change_row,
    dispatch_columns,
    hold_row,
    json_text,
    label_columns,
    money_text,
    price_columns,
    read_time,
    read_time_or_none,
    time_text,
)
from watcher.store.values import Commit, KnownModel, Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    import aiosqlite

    from watcher.catalog.record import Record

# By model number: the number of an interval, and its record as it is stored.
_Intervals = dict[int, tuple[int, str]]
# A model's number and its record.
_Numbered = tuple[int, "Record"]

_HIGHEST_LABEL = "SELECT max(id) FROM labels"
_LABEL = "INSERT INTO labels (id, head, unit, anchor) VALUES (?, ?, ?, ?)"
_INTERVAL = (
    "INSERT INTO intervals (model_id, from_at, label_id, credits, listed, promotion)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
# The last interval of each model.
_LATEST = """(
    SELECT max(id) FROM intervals WHERE model_id IN (SELECT value FROM json_each(?))
    GROUP BY model_id
)"""


@dataclass(frozen=True, slots=True)
class _ModelWrites:
    """Which models are written, and how: each is in one list only, except those in `updated`."""

    new: list[_Numbered]
    changed: list[_Numbered]
    removed: list[_Numbered]
    updated: list[_Numbered]


async def write_commit(db: aiosqlite.Connection, commit: Commit) -> Recorded:
    """Store the commit; to be run as one transaction.

    Raises `ConflictError` where the holds are no longer those that the commit expects.
    """
    await _require_expected_holds(db, commit)
    first_model = await _next_id(db, "SELECT max(id) FROM models")
    first_change = await _next_id(db, "SELECT max(id) FROM changes")
    changes = _numbered(commit, first_change, first_model + len(commit.baseline))
    writes = _model_writes(commit, changes, first_model)
    at = time_text(commit.at)
    await _write_models(db, writes, at)
    changed = [it.change.model_id for it in changes if isinstance(it.change, ModelChange)]
    ended = await _latest_intervals(db, changed)
    await _begin_intervals(db, writes.new, at)
    await _end_intervals(db, writes.removed, at)
    await _replace_intervals(db, writes.changed, at)
    await write_notices(db, commit.notices, commit.at)
    await _write_changes(db, changes, ended, await _latest_intervals(db, changed))
    await _write_deliveries(db, commit, changes)
    # After the changes were written, which name the intervals that began before these.
    await _replace_intervals(db, writes.updated, at)
    if commit.starts_over:
        await forget_anchors(db)
    await write_anchors(db, commit.anchors, commit.at)
    await count_caught(db, commit.caught)
    await _write_holds(db, commit)
    await _write_sweep(db, commit)
    return Recorded(tuple(changes), await _written_models(db, writes, commit.at))


async def _require_expected_holds(db: aiosqlite.Connection, commit: Commit) -> None:
    """Check that nobody accepted a hold meanwhile: the commit would put it on hold again."""
    if commit.expected_holds is None:
        return
    stored = await db.execute_fetchall(
        "SELECT reason, model_id, subject, since_at, until_at FROM holds"
    )
    if set(map(tuple, stored)) != set(map(hold_row, commit.expected_holds)):
        raise ConflictError("what waits for confirmation has changed; confirm the sweep again")


async def _next_id(db: aiosqlite.Connection, highest: str) -> int:
    """The number of the next row. Only this transaction writes; the highest row is never pruned."""
    return (next(iter(await db.execute_fetchall(highest)))[0] or 0) + 1


def _numbered(commit: Commit, first_change: int, model_id: int) -> list[RecordedChange]:
    """Number the changes, and the new models from `model_id` on."""
    numbered: list[RecordedChange] = []
    for number, (given, _) in enumerate(commit.changes, start=first_change):
        change: Change = given
        if isinstance(given, ModelChange) and Kind.NEW in given.kinds:
            change = replace(given, model_id=model_id)
            model_id += 1
        numbered.append(RecordedChange(number, commit.at, change))
    return numbered


def _model_writes(
    commit: Commit, changes: Iterable[RecordedChange], first_model: int
) -> _ModelWrites:
    baseline = list(enumerate(commit.baseline, start=first_model))
    writes = _ModelWrites(baseline, [], [], list(commit.updates))
    for change in (recorded.change for recorded in changes):
        if not isinstance(change, ModelChange):
            continue
        if change.model_id is None:
            raise ValueError(f"{change.kinds}: only a new model has no number yet")
        if Kind.NEW in change.kinds:
            models = writes.new
        else:
            models = writes.removed if change.after is None else writes.changed
        models.append((change.model_id, change.model.record))
    return writes


async def _write_models(db: aiosqlite.Connection, writes: _ModelWrites, at: str) -> None:
    await db.executemany(
        "INSERT INTO models"
        " (id, folded, description, interface, provider, first_seen_at, last_changed_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        ((number, *_model_columns(record), at, at) for number, record in writes.new),
    )
    await _update_each(
        db,
        "UPDATE models SET folded = ?, description = ?, interface = ?, provider = ?,"
        " last_changed_at = ?, gone_at = NULL WHERE id = ?",
        [(*_model_columns(record), at, number) for number, record in writes.changed],
    )
    await _update_each(
        db,
        "UPDATE models SET last_changed_at = ?, gone_at = ? WHERE id = ? AND gone_at IS NULL",
        [(at, at, number) for number, _ in writes.removed],
    )
    await _update_each(
        db,
        "UPDATE models SET folded = ?, description = ?, interface = ?, provider = ? WHERE id = ?",
        [(*_model_columns(record), number) for number, record in writes.updated],
    )


async def _update_each(db: aiosqlite.Connection, sql: str, rows: list[tuple[Any, ...]]) -> None:
    if not rows:
        return
    cursor = await db.executemany(sql, rows)
    if cursor.rowcount != len(rows):
        raise LookupError(f"{len(rows)} models were to be changed, {cursor.rowcount} are there")


async def _write_changes(
    db: aiosqlite.Connection,
    changes: list[RecordedChange],
    ended: _Intervals,
    begun: _Intervals,
) -> None:
    await db.executemany(
        "INSERT INTO changes (id, at, model_id, kinds, causes,"
        " before_id, before, before_usd_per_credit, after_id, after, after_usd_per_credit,"
        " first_seen_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (_with_interval_ids(change_row(change), ended, begun) for change in changes),
    )


def _with_interval_ids(
    row: tuple[Any, ...], ended: _Intervals, begun: _Intervals
) -> tuple[Any, ...]:
    """The row of a change, with the number of an interval for each record that one shows."""
    *start, before, before_value, after, after_value, seen_at = row
    model_id = row[2]
    sides = (*_id_or_record(before, ended.get(model_id)), before_value)
    return (*start, *sides, *_id_or_record(after, begun.get(model_id)), after_value, seen_at)


def _id_or_record(
    record: str | None, interval: tuple[int, str] | None
) -> tuple[int | None, str | None]:
    if interval is None or interval[1] != record:
        return None, record
    return interval[0], None


async def _write_deliveries(
    db: aiosqlite.Connection, commit: Commit, changes: list[RecordedChange]
) -> None:
    at = time_text(commit.at)
    await db.executemany(
        "INSERT INTO deliveries (receiver, change_id, queued_at, route, silence_id, flap,"
        " since, since_usd_per_credit) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (dispatch.receiver, recorded.id, at, *dispatch_columns(dispatch))
            for recorded, (_, dispatches) in zip(changes, commit.changes, strict=True)
            for dispatch in dispatches
        ),
    )


async def _write_holds(db: aiosqlite.Connection, commit: Commit) -> None:
    await db.execute("DELETE FROM holds")
    await db.executemany(
        "INSERT INTO holds (reason, model_id, subject, since_at, until_at) VALUES (?, ?, ?, ?, ?)",
        [hold_row(hold) for hold in commit.holds],
    )


async def _write_sweep(db: aiosqlite.Connection, commit: Commit) -> None:
    at, usd_per_credit = time_text(commit.at), money_text(commit.usd_per_credit)
    await db.execute(
        "INSERT INTO credit_values (from_at, usd_per_credit) SELECT ?1, ?2 WHERE ?2 IS NOT"
        " (SELECT usd_per_credit FROM credit_values ORDER BY id DESC LIMIT 1)",
        (at, usd_per_credit),
    )
    await db.execute(
        "INSERT INTO sweep (id, at, usd_per_credit, sighting) VALUES (1, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET at = excluded.at,"
        " usd_per_credit = excluded.usd_per_credit, sighting = excluded.sighting",
        (at, usd_per_credit, json_text(commit.probe)),
    )
    if commit.starts_over:
        await db.execute("UPDATE sweep SET start_over = 0")


async def _written_models(
    db: aiosqlite.Connection, writes: _ModelWrites, at: datetime
) -> tuple[KnownModel, ...]:
    """Every model that was written, with the times it now has."""
    records = dict([*writes.changed, *writes.removed, *writes.updated])
    rows = await db.execute_fetchall(
        "SELECT id, first_seen_at, last_changed_at, gone_at FROM models"
        " WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
        (json_text(list(records)),),
    )
    known = [KnownModel(number, record, at, at) for number, record in writes.new]
    for number, first_seen_at, last_changed_at, gone_at in rows:
        times = (read_time(first_seen_at), read_time(last_changed_at))
        known.append(KnownModel(number, records[number], *times, read_time_or_none(gone_at)))
    return tuple(known)


def _model_columns(record: Record) -> tuple[str, str, str, str]:
    return (record.identity_key, record.description, record.interface, record.provider)


async def _latest_intervals(
    db: aiosqlite.Connection, model_ids: Sequence[int | None]
) -> _Intervals:
    """Each model's last interval: the open one, or that in which it was last seen."""
    rows = await db.execute_fetchall(
        f"SELECT model_id, id, record FROM history WHERE id IN {_LATEST}",  # noqa: S608 - ours
        (json_text(list(model_ids)),),
    )
    return {model_id: (number, record) for model_id, number, record in rows}


async def _begin_intervals(db: aiosqlite.Connection, models: Sequence[_Numbered], at: str) -> None:
    """Write the first intervals of new models, each with a label of its own."""
    first_label = await _next_id(db, _HIGHEST_LABEL)
    # Generators: the rows are made in the connection's thread, so that the loop is not blocked.
    await db.executemany(
        _LABEL, ((it, *label_columns(record)) for it, (_, record) in enumerate(models, first_label))
    )
    await db.executemany(
        _INTERVAL,
        (
            (number, at, it, *price_columns(record))
            for it, (number, record) in enumerate(models, first_label)
        ),
    )


async def _end_intervals(db: aiosqlite.Connection, models: Sequence[_Numbered], at: str) -> None:
    """End the open intervals of models; those that have none are left as they are."""
    await db.executemany(
        "UPDATE intervals SET to_at = ? WHERE model_id = ? AND to_at IS NULL",
        ((at, number) for number, _ in models),
    )


async def _replace_intervals(
    db: aiosqlite.Connection, models: Sequence[_Numbered], at: str
) -> None:
    """End the open intervals and begin the next ones, with the same label where it still fits."""
    if not models:
        return
    await _end_intervals(db, models, at)
    known, next_label = await _labels(db, models), await _next_id(db, _HIGHEST_LABEL)
    labels: list[tuple[Any, ...]] = []
    intervals: list[tuple[Any, ...]] = []
    for number, record in models:
        columns = label_columns(record)
        label, before = known.get(number, (0, ()))
        if columns != before:
            label = next_label + len(labels)
            labels.append((label, *columns))
        intervals.append((number, at, label, *price_columns(record)))
    await db.executemany(_LABEL, labels)
    await db.executemany(_INTERVAL, intervals)


async def _labels(
    db: aiosqlite.Connection, models: Sequence[_Numbered]
) -> dict[int, tuple[int, tuple[str, ...]]]:
    """Each model's last label: its number and its columns."""
    rows = await db.execute_fetchall(
        "SELECT model_id, label_id, head, unit, anchor FROM intervals CROSS JOIN labels"  # noqa: S608 - ours
        f" ON labels.id = label_id WHERE intervals.id IN {_LATEST}",
        (json_text([number for number, _ in models]),),
    )
    return {model_id: (label, tuple(columns)) for model_id, label, *columns in rows}
