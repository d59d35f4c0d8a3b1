"""Each model's record from one time to another, and the labels that its records share.

Knows `intervals` and `labels`, which the view `history` shows as one. Refuses to know why a record
begins or ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from watcher.store.rows import json_text, label_columns, worth_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    import aiosqlite

    from watcher.catalog import Record

__all__ = ["Intervals", "begin_intervals", "end_intervals", "latest_intervals", "turn_intervals"]

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
