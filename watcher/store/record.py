"""The one transaction that an accepted sweep makes: models, history, changes, holds, deliveries.

Also the parts of it that other transactions make too: notices, and the anchors of routes.

A model's history is a list of rows, in each of which its record stayed the same. A change names
the two rows of its model that it ended and began.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import (
    Change,
    CreditValueChange,
    Kind,
    ModelChange,
    RecordedChange,
    in_kind_order,
)
from watcher.catalog.credit_value import converted
from watcher.store.connection import ConflictError
from watcher.store.rows import (
    HOLD_COLUMNS,
    RECORD_COLUMNS,
    hold_columns,
    json_text,
    kinds_text,
    money_text,
    read_record,
    read_time,
    read_time_or_none,
    record_columns,
    sweep_columns,
    time_text,
)
from watcher.store.values import Commit, KnownModel, Recorded

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from watcher.catalog.changes import Notice
    from watcher.catalog.record import Model, Record
    from watcher.routing.plan import Anchor

# A model's number and its record.
_Numbered = tuple[int, "Record"]

_OWN = ", ".join(RECORD_COLUMNS)
_MARKS = ", ".join("?" * len(RECORD_COLUMNS))
_NEW_ROW = f"INSERT INTO history (id, model_id, valid_from, {_OWN}) VALUES (?, ?, ?, {_MARKS})"  # noqa: S608 - our own columns
_LATEST_ROWS = f"""
    SELECT model_id, id, {_OWN} FROM history WHERE id IN (
        SELECT max(id) FROM history WHERE model_id IN (SELECT value FROM json_each(?))
        GROUP BY model_id
    )
"""  # noqa: S608 - our own columns
# Where the value of a credit in USD is stored beside the sweep, which states its own.
_CREDIT_VALUES = (
    ("credit_values", "usd_per_credit"),
    ("changes", "before_usd_per_credit"),
    ("changes", "after_usd_per_credit"),
    ("deliveries", "since_usd_per_credit"),
    ("anchors", "usd_per_credit"),
)
_ROW_OF_RECORD = f"SELECT max(id) FROM history WHERE model_id = ? AND ({_OWN}) IS ({_MARKS})"  # noqa: S608 - our own columns


@dataclass(frozen=True, slots=True)
class _ModelWrites:
    """Which models are written, and how: each is in one list only, except those in `updated`."""

    new: list[_Numbered]
    changed: list[_Numbered]
    removed: list[_Numbered]
    updated: list[_Numbered]


def write_commit(db: sqlite3.Connection, commit: Commit) -> Recorded:
    """Store the commit; to be run as one transaction.

    Raises `ConflictError` where the holds are no longer those that the commit expects, or a model
    is not what one of its changes says it was.
    """
    _require_expected_holds(db, commit)
    if commit.factor is not None:
        _convert_credits(db, commit.factor)
    first_model = _next_id(db, "models")
    changes = _numbered(db, commit, first_model + len(commit.baseline))
    writes = _model_writes(commit, changes, first_model)
    at = time_text(commit.at)
    ended = _latest_rows(db, [recorded.change for recorded in changes])
    _write_models(db, writes, at)
    _end_rows(db, [*writes.removed, *writes.changed], at)
    begun = _begin_rows(db, [*writes.new, *writes.changed], at)
    _write_changes(db, changes, ended, begun)
    # After the changes, which name the rows that began before these.
    _end_rows(db, writes.updated, at)
    _begin_rows(db, writes.updated, at)
    write_notices(db, commit.notices, commit.at)
    _write_deliveries(db, commit, changes)
    if commit.starts_over:
        db.execute("DELETE FROM anchors")
    write_anchors(db, commit.anchors, commit.at)
    db.executemany(
        "UPDATE silences SET caught = caught + ? WHERE id = ?",
        [(count, number) for number, count in commit.caught.items()],
    )
    _write_holds(db, commit)
    _write_sweep(db, commit)
    return Recorded(tuple(changes), _written_models(db, writes, commit.at))


def _convert_credits(db: sqlite3.Connection, factor: Decimal) -> None:
    """Convert all that is stored in credits, as if it had always been listed in the new ones."""
    rows = db.execute(f"SELECT id, {_OWN} FROM history WHERE credits IS NOT NULL").fetchall()  # noqa: S608 - our own columns
    db.executemany(
        f"UPDATE history SET ({_OWN}) = ({_MARKS}) WHERE id = ?",  # noqa: S608 - our own columns
        (
            (*record_columns(converted(read_record(columns), factor)), number)
            for number, *columns in rows
        ),
    )
    for table, column in _CREDIT_VALUES:
        values = db.execute(
            f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL"  # noqa: S608 - ours
        ).fetchall()
        # In one statement: a converted value may be another's of before.
        cases = " ".join("WHEN ? THEN ?" for _ in values)
        if values:
            pairs = [(value, money_text(Decimal(value) / factor)) for (value,) in values]
            db.execute(
                f"UPDATE {table} SET {column} = CASE {column} {cases} END"  # noqa: S608 - our own
                f" WHERE {column} IS NOT NULL",
                tuple(chain.from_iterable(pairs)),
            )


def write_notices(
    db: sqlite3.Connection, notices: Iterable[tuple[Notice, tuple[str, ...]]], at: datetime
) -> None:
    """Store each notice with one delivery for each of its receivers, queued at `at`."""
    queued_at = time_text(at)
    for notice, receivers in notices:
        number = db.execute(
            "INSERT INTO notices (at, kind, detail) VALUES (?, ?, ?)",
            (time_text(notice.at), notice.kind.value, json_text(notice.detail)),
        ).lastrowid
        db.executemany(
            "INSERT INTO deliveries (receiver, notice_id, queued_at) VALUES (?, ?, ?)",
            [(receiver, number, queued_at) for receiver in receivers],
        )


def write_anchors(db: sqlite3.Connection, anchors: Iterable[Anchor], at: datetime) -> None:
    """Store the models from which routes measure the next price move.

    Raises `ConflictError` where one of them is no longer in the history.
    """
    moment, row_of = time_text(at), _row_finder(db)
    db.executemany(
        "INSERT INTO anchors (model_id, route, receiver, at, history_id, usd_per_credit)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at,"
        " history_id = excluded.history_id, usd_per_credit = excluded.usd_per_credit",
        (
            (it.model_id, it.route, it.receiver, moment, *row_of(it.model_id, it.model))
            for it in anchors
        ),
    )


def _row_finder(
    db: sqlite3.Connection,
) -> Callable[[int | None, Model | None], tuple[int | None, str | None]]:
    """What finds the row of history that shows a model, and gives it with its credit value.

    Routes with a threshold remember the same few models, so each is looked for once.
    """

    @cache
    def number(model_id: int | None, record: Record) -> int:
        row = db.execute(_ROW_OF_RECORD, (model_id, *record_columns(record))).fetchone()
        if row[0] is None:
            raise ConflictError("what a route last announced is no longer in the history")
        return int(row[0])

    def find(model_id: int | None, model: Model | None) -> tuple[int | None, str | None]:
        if model is None:
            return None, None
        return number(model_id, model.record), money_text(model.usd_per_credit)

    return find


def _require_expected_holds(db: sqlite3.Connection, commit: Commit) -> None:
    """Check that nobody accepted a hold meanwhile: the commit would put it on hold again."""
    if commit.expected_holds is None:
        return
    stored = db.execute(f"SELECT {HOLD_COLUMNS} FROM holds")  # noqa: S608 - our own columns
    if set(stored) != set(map(hold_columns, commit.expected_holds)):
        raise ConflictError("what waits for confirmation has changed; confirm the sweep again")


def _next_id(db: sqlite3.Connection, table: str) -> int:
    """The number of the next row of a table of which the last row is never removed."""
    (highest,) = db.execute(f"SELECT max(id) FROM {table}").fetchone()  # noqa: S608 - our own name
    return (highest or 0) + 1


def _numbered(db: sqlite3.Connection, commit: Commit, model_id: int) -> list[RecordedChange]:
    """Number the changes, and the new models from `model_id` on."""
    last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").fetchone()
    first_change = 1 if last is None else last[0] + 1
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


def _write_models(db: sqlite3.Connection, writes: _ModelWrites, at: str) -> None:
    db.executemany(
        "INSERT INTO models"
        " (id, identity_key, first_seen_at, last_changed_at, complete_since)"
        " VALUES (?, ?, ?, ?, ?)",
        ((number, record.identity_key, at, at, at) for number, record in writes.new),
    )
    _update_each(
        db,
        "UPDATE models SET identity_key = ?, last_changed_at = ?, gone_at = NULL WHERE id = ?",
        [(record.identity_key, at, number) for number, record in writes.changed],
    )
    _update_each(
        db,
        "UPDATE models SET last_changed_at = ?, gone_at = ? WHERE id = ? AND gone_at IS NULL",
        [(at, at, number) for number, _ in writes.removed],
    )
    _update_each(
        db,
        "UPDATE models SET identity_key = ? WHERE id = ?",
        [(record.identity_key, number) for number, record in writes.updated],
    )


def _update_each(db: sqlite3.Connection, sql: str, rows: list[tuple[Any, ...]]) -> None:
    if rows and (there := db.executemany(sql, rows).rowcount) != len(rows):
        raise LookupError(f"{len(rows)} models were to be changed, {there} are there")


def _latest_rows(db: sqlite3.Connection, changes: Iterable[Change]) -> dict[int, int]:
    """The last row of each model that changes, by its number, before it changes."""
    before = {
        change.model_id: change.before.record
        for change in changes
        if isinstance(change, ModelChange) and change.before and change.model_id
    }
    rows = db.execute(_LATEST_ROWS, (json_text(list(before)),))
    latest = {
        model_id: number
        for model_id, number, *columns in rows
        if tuple(columns) == record_columns(before[model_id])
    }
    if changed := next((model_id for model_id in before if model_id not in latest), None):
        raise ConflictError(f"model {changed} has changed; compare the sweep again")
    return latest


def _begin_rows(db: sqlite3.Connection, models: Sequence[_Numbered], at: str) -> dict[int, int]:
    """Begin a row of history for each model; returns their numbers, by those of the models."""
    first = _next_id(db, "history")
    # A generator: a first snapshot need not be in memory as rows as well.
    db.executemany(
        _NEW_ROW,
        (
            (row, number, at, *record_columns(record))
            for row, (number, record) in enumerate(models, first)
        ),
    )
    return {number: row for row, (number, _) in enumerate(models, first)}


def _end_rows(db: sqlite3.Connection, models: Sequence[_Numbered], at: str) -> None:
    """End the current rows of models; those that have none are left as they are."""
    db.executemany(
        "UPDATE history SET valid_to = ? WHERE model_id = ? AND valid_to IS NULL",
        ((at, number) for number, _ in models),
    )


def _write_changes(
    db: sqlite3.Connection,
    changes: list[RecordedChange],
    ended: Mapping[int, int],
    begun: Mapping[int, int],
) -> None:
    db.executemany(
        "INSERT INTO changes (id, at, model_id, kinds, causes, before_id, before_usd_per_credit,"
        " after_id, after_usd_per_credit, first_seen_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (_change_columns(recorded, ended, begun) for recorded in changes),
    )


def _change_columns(
    recorded: RecordedChange, ended: Mapping[int, int], begun: Mapping[int, int]
) -> tuple[Any, ...]:
    change, start = recorded.change, (recorded.id, time_text(recorded.at))
    kinds = json_text([kind.value for kind in change.kinds])
    if isinstance(change, CreditValueChange):
        values = (None, money_text(change.before), None, money_text(change.after))
        return (*start, None, kinds, "{}", *values, None)
    number, seen_at = change.model_id or 0, change.first_seen_at
    return (
        *(*start, number, kinds),
        json_text({kind.value: cause.value for kind, cause in change.causes.items()}),
        *_side(change.before, ended.get(number)),
        *_side(change.after, begun.get(number)),
        None if seen_at is None else time_text(seen_at),
    )


def _side(model: Model | None, row: int | None) -> tuple[int | None, str | None]:
    return (None, None) if model is None else (row, money_text(model.usd_per_credit))


def _write_deliveries(
    db: sqlite3.Connection, commit: Commit, changes: list[RecordedChange]
) -> None:
    at, row_of = time_text(commit.at), _row_finder(db)
    db.executemany(
        "INSERT INTO deliveries (receiver, route, change_id, queued_at, silence_id, flap,"
        " flapping, since_id, since_usd_per_credit) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                *(dispatch.receiver, dispatch.route, recorded.id, at),
                *(dispatch.silence_id, dispatch.flap.value),
                kinds_text(in_kind_order(dispatch.flapping)),
                *row_of(getattr(recorded.change, "model_id", None), dispatch.since),
            )
            for recorded, (_, dispatches) in zip(changes, commit.changes, strict=True)
            for dispatch in dispatches
        ),
    )


def _write_holds(db: sqlite3.Connection, commit: Commit) -> None:
    db.execute("DELETE FROM holds")
    db.executemany(
        f"INSERT INTO holds ({HOLD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - our own columns
        [hold_columns(hold) for hold in commit.holds],
    )


def _write_sweep(db: sqlite3.Connection, commit: Commit) -> None:
    at, usd_per_credit = time_text(commit.at), money_text(commit.usd_per_credit)
    db.execute(
        "INSERT INTO credit_values (valid_from, usd_per_credit) SELECT ?1, ?2 WHERE ?2 IS NOT"
        " (SELECT usd_per_credit FROM credit_values ORDER BY id DESC LIMIT 1)",
        (at, usd_per_credit),
    )
    db.execute(
        "INSERT INTO sweep (id, at, usd_per_credit, probe, checksum) VALUES (1, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET at = excluded.at, checksum = excluded.checksum,"
        " usd_per_credit = excluded.usd_per_credit, probe = excluded.probe",
        (at, *sweep_columns(commit.usd_per_credit, commit.probe)),
    )
    if commit.starts_over:
        db.execute("UPDATE sweep SET start_over = 0")


def _written_models(
    db: sqlite3.Connection, writes: _ModelWrites, at: datetime
) -> tuple[KnownModel, ...]:
    """Every model that was written, with the times it now has."""
    records = dict([*writes.changed, *writes.removed, *writes.updated])
    rows = db.execute(
        "SELECT id, first_seen_at, last_changed_at, gone_at FROM models"
        " WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
        (json_text(list(records)),),
    )
    known = [KnownModel(number, record, at, at) for number, record in writes.new]
    for number, first_seen_at, last_changed_at, gone_at in rows:
        times = (read_time(first_seen_at), read_time(last_changed_at))
        known.append(KnownModel(number, records[number], *times, read_time_or_none(gone_at)))
    return tuple(known)
