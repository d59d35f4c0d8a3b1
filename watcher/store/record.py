"""Each model's record from one time to another, and the labels that its records share.

Knows `intervals` and `labels`, which the view `history` shows as one. Refuses to know why a record
begins or ends.

The one transaction that an accepted sweep makes: models, history, changes, holds, deliveries.

Knows what each kind of change does to what is remembered. Refuses to know why it was believed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import Change, Kind, ModelChange, RecordedChange
from watcher.store.anchors import count_caught, forget_anchors, write_anchors
from watcher.store.connection import ConflictError
from watcher.store.deliveries import write_notices
from watcher.store.rows import (
    change_row,
    dispatch_columns,
    hold_row,
    json_text,
    label_columns,
    money_text,
    read_time,
    read_time_or_none,
    time_text,
    worth_columns,
)
from watcher.store.values import Commit, KnownModel, Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    import aiosqlite

    from watcher.catalog.record import Record

# By model number: the number of an interval, and its record as it is stored.
Intervals = dict[int, tuple[int, str]]

_Numbered = tuple[int, "Record"]
_LABEL = "INSERT INTO labels (id, head, unit, anchor) VALUES (?, ?, ?, ?)"
_INTERVAL = (
    "INSERT INTO intervals (model_id, from_at, label_id, credits, listed, promotion)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)


async def latest_intervals(db: aiosqlite.Connection, model_ids: Sequence[int | None]) -> Intervals:
    """Each model's last interval: the open one, or that in which it was last seen."""
    rows = await db.execute_fetchall(
        f"SELECT model_id, id, record FROM history WHERE id IN {_LATEST}",  # noqa: S608 - ours
        (json_text(list(model_ids)),),
    )
    return {model_id: (number, record) for model_id, number, record in rows}


async def begin_intervals(db: aiosqlite.Connection, models: Sequence[_Numbered], at: str) -> None:
    """The first interval of models that were never seen, each with a label of its own."""
    label = await _next_label(db)
    # The rows are made while they are written, in the connection's thread: the loop stays free.
    await db.executemany(
        _LABEL, ((it, *label_columns(record)) for it, (_, record) in enumerate(models, label))
    )
    await db.executemany(
        _INTERVAL,
        (
            (number, at, it, *worth_columns(record))
            for it, (number, record) in enumerate(models, label)
        ),
    )


async def end_intervals(db: aiosqlite.Connection, models: Sequence[_Numbered], at: str) -> None:
    """End the open intervals of models; those that have none are left as they are."""
    await db.executemany(
        "UPDATE intervals SET to_at = ? WHERE model_id = ? AND to_at IS NULL",
        ((at, number) for number, _ in models),
    )


async def turn_intervals(db: aiosqlite.Connection, models: Sequence[_Numbered], at: str) -> None:
    """End the open intervals and begin the next; a label that still fits goes on."""
    if not models:
        return
    await end_intervals(db, models, at)
    known, fresh = await _labels(db, models), await _next_label(db)
    labels: list[tuple[Any, ...]] = []
    intervals: list[tuple[Any, ...]] = []
    for number, record in models:
        text = label_columns(record)
        label, before = known.get(number, (0, ()))
        if text != before:
            label = fresh + len(labels)
            labels.append((label, *text))
        intervals.append((number, at, label, *worth_columns(record)))
    await db.executemany(_LABEL, labels)
    await db.executemany(_INTERVAL, intervals)


_LATEST = """(
    SELECT max(id) FROM intervals WHERE model_id IN (SELECT value FROM json_each(?))
    GROUP BY model_id
)"""


async def _labels(
    db: aiosqlite.Connection, models: Sequence[_Numbered]
) -> dict[int, tuple[int, tuple[str, ...]]]:
    """Each model's last label, by number and as its pieces."""
    rows = await db.execute_fetchall(
        "SELECT model_id, label_id, head, unit, anchor FROM intervals CROSS JOIN labels"  # noqa: S608 - ours
        f" ON labels.id = label_id WHERE intervals.id IN {_LATEST}",
        (json_text([number for number, _ in models]),),
    )
    return {model_id: (label, tuple(text)) for model_id, label, *text in rows}


async def _next_label(db: aiosqlite.Connection) -> int:
    highest = next(iter(await db.execute_fetchall("SELECT max(id) FROM labels")))[0]
    return (highest or 0) + 1


@dataclass(frozen=True, slots=True)
class _Plan:
    """What happens to the models: by number, each in one list only, but for mends."""

    new: list[_Numbered]
    edited: list[_Numbered]
    removed: list[_Numbered]
    mended: list[_Numbered]


async def record(db: aiosqlite.Connection, commit: Commit) -> Recorded:
    """Store the commit; to be run as one transaction.

    Raises `ConflictError` where the holds are no longer those that the sweep was judged by.
    """
    await _require_judged(db, commit)
    first_model = await _next_id(db, "SELECT max(id) FROM models")
    first_change = await _next_id(db, "SELECT max(id) FROM changes")
    changes = _numbered(commit, first_change, first_model + len(commit.baseline))
    plan = _plan(commit, changes, first_model)
    at = time_text(commit.at)
    await _write_models(db, plan, at)
    changed = [it.change.model_id for it in changes if isinstance(it.change, ModelChange)]
    ended = await latest_intervals(db, changed)
    await _write_history(db, plan, at)
    await write_notices(db, commit.notices, commit.at)
    await _write_changes(db, changes, ended, await latest_intervals(db, changed))
    await _write_deliveries(db, commit, changes)
    await turn_intervals(db, plan.mended, at)
    if commit.starts_over:
        await forget_anchors(db)
    await write_anchors(db, commit.anchors, commit.at)
    await count_caught(db, commit.caught)
    await _write_holds(db, commit)
    await _write_sweep(db, commit)
    return Recorded(tuple(changes), await _as_they_stand(db, plan, commit.at))


async def _require_judged(db: aiosqlite.Connection, commit: Commit) -> None:
    """Look whether a person accepted a hold while the sweep was judged: it would be held anew."""
    if commit.judged is None:
        return
    stored = await db.execute_fetchall(
        "SELECT reason, model_id, subject, since_at, until_at FROM holds"
    )
    if set(map(tuple, stored)) != set(map(hold_row, commit.judged)):
        raise ConflictError("what waits for confirmation has changed; judge the sweep again")


async def _next_id(db: aiosqlite.Connection, highest: str) -> int:
    """The number a new row gets. Only this transaction writes; the highest row is never pruned."""
    return (next(iter(await db.execute_fetchall(highest)))[0] or 0) + 1


def _numbered(commit: Commit, first_change: int, model_id: int) -> list[RecordedChange]:
    """Give each change its number, and each new model its own from `model_id` on."""
    numbered: list[RecordedChange] = []
    for number, (change, _) in enumerate(commit.changes, start=first_change):
        kept: Change = change
        if isinstance(change, ModelChange) and Kind.NEW in change.kinds:
            kept = replace(change, model_id=model_id)
            model_id += 1
        numbered.append(RecordedChange(number, commit.at, kept))
    return numbered


def _plan(commit: Commit, changes: Iterable[RecordedChange], first_model: int) -> _Plan:
    plan = _Plan(list(enumerate(commit.baseline, start=first_model)), [], [], list(commit.updates))
    for change in (recorded.change for recorded in changes):
        if not isinstance(change, ModelChange):
            continue
        if change.model_id is None:
            raise ValueError(f"{change.kinds}: only a new model has no number yet")
        if Kind.NEW in change.kinds:
            fate = plan.new
        else:
            fate = plan.removed if change.after is None else plan.edited
        fate.append((change.model_id, change.model.record))
    return plan


async def _write_models(db: aiosqlite.Connection, plan: _Plan, at: str) -> None:
    await db.executemany(
        "INSERT INTO models"
        " (id, folded, description, interface, provider, first_seen_at, last_changed_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        ((number, *_handles(record), at, at) for number, record in plan.new),
    )
    await _update_each(
        db,
        "UPDATE models SET folded = ?, description = ?, interface = ?, provider = ?,"
        " last_changed_at = ?, gone_at = NULL WHERE id = ?",
        [(*_handles(record), at, number) for number, record in plan.edited],
    )
    await _update_each(
        db,
        "UPDATE models SET last_changed_at = ?, gone_at = ? WHERE id = ? AND gone_at IS NULL",
        [(at, at, number) for number, _ in plan.removed],
    )
    await _update_each(
        db,
        "UPDATE models SET folded = ?, description = ?, interface = ?, provider = ? WHERE id = ?",
        [(*_handles(record), number) for number, record in plan.mended],
    )


async def _update_each(db: aiosqlite.Connection, sql: str, rows: list[tuple[Any, ...]]) -> None:
    if not rows:
        return
    cursor = await db.executemany(sql, rows)
    if cursor.rowcount != len(rows):
        raise LookupError(f"{len(rows)} models were to be changed, {cursor.rowcount} are there")


async def _write_history(db: aiosqlite.Connection, plan: _Plan, at: str) -> None:
    await begin_intervals(db, plan.new, at)
    await end_intervals(db, plan.removed, at)
    await turn_intervals(db, plan.edited, at)


async def _write_changes(
    db: aiosqlite.Connection,
    changes: list[RecordedChange],
    ended: Intervals,
    begun: Intervals,
) -> None:
    await db.executemany(
        "INSERT INTO changes (id, at, model_id, kinds, causes,"
        " before_id, before, before_usd_per_credit, after_id, after, after_usd_per_credit,"
        " first_seen_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (_naming(change_row(change), ended, begun) for change in changes),
    )


def _naming(row: tuple[Any, ...], ended: Intervals, begun: Intervals) -> tuple[Any, ...]:
    """The row of a change with its sides named by their intervals, where those say the same."""
    *start, before, before_value, after, after_value, seen_at = row
    model_id = row[2]
    sides = (*_named(before, ended.get(model_id)), before_value)
    return (*start, *sides, *_named(after, begun.get(model_id)), after_value, seen_at)


def _named(record: str | None, interval: tuple[int, str] | None) -> tuple[int | None, str | None]:
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
        (at, usd_per_credit, json_text(commit.sighting)),
    )
    if commit.starts_over:
        await db.execute("UPDATE sweep SET start_over = 0")


async def _as_they_stand(
    db: aiosqlite.Connection, plan: _Plan, at: datetime
) -> tuple[KnownModel, ...]:
    """Every model the plan touched, with the times it now has."""
    records = dict([*plan.edited, *plan.removed, *plan.mended])
    rows = await db.execute_fetchall(
        "SELECT id, first_seen_at, last_changed_at, gone_at FROM models"
        " WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
        (json_text(list(records)),),
    )
    known = [KnownModel(number, record, at, at) for number, record in plan.new]
    for number, first_seen_at, last_changed_at, gone_at in rows:
        times = (read_time(first_seen_at), read_time(last_changed_at))
        known.append(KnownModel(number, records[number], *times, read_time_or_none(gone_at)))
    return tuple(known)


def _handles(record: Record) -> tuple[str, str, str, str]:
    return (record.folded, record.description, record.interface, record.provider)
