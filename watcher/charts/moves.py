"""Which models of a message a chart shows: those whose price moved, with their past.

Refuses to know where the past was looked up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from watcher.changes import Kind, ModelChange, RecordedChange
from watcher.charts.series import Series

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from watcher.changes import Notice
    from watcher.charts.series import Point

__all__ = ["moved"]

_MOVES = frozenset({Kind.PRICE_UP, Kind.PRICE_DOWN})


def moved(
    contents: Iterable[RecordedChange | Notice], prices: Mapping[int, Sequence[Point]]
) -> tuple[Series, ...]:
    """One series for each model whose price moved, in the order given; none where none did.

    `prices` are by the store's number of a model, per base unit, oldest first. A model told of
    more than once has moved from where it stood before the first to where it stands after the last.
    A price that is now for another unit cannot be drawn on the line of the old one.
    """
    found: dict[Hashable, Series] = {}
    for recorded in contents:
        change = getattr(recorded, "change", None)
        if not isinstance(recorded, RecordedChange) or not isinstance(change, ModelChange):
            continue
        key = change.model_id if change.model_id is not None else change.model.record.folded
        series = _series(recorded, change, prices.get(change.model_id or 0, ()))
        if series is not None:
            since = found[key].since if key in found else series.since
            found[key] = replace(series, since=since)
    return tuple(found.values())


def _series(recorded: RecordedChange, change: ModelChange, past: Sequence[Point]) -> Series | None:
    before, after = change.before, change.after
    if not _MOVES & set(change.kinds) or Kind.UNIT in change.kinds or after is None:
        return None
    if after.price is None or before is None or before.price is None:
        return None
    points = tuple(past) or ((recorded.at, before.price),)
    if points[-1][1] != after.price:
        points = (*points, (max(recorded.at, points[-1][0]), after.price))
    record = after.record
    return Series(record.description, record.unit.base, points, before.price)
