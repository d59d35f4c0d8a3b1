"""Which models the chart of a message shows, and with which prices: those whose price moved."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from watcher.catalog.changes import PRICE_KINDS, Kind, ModelChange, RecordedChange
from watcher.catalog.record import NO_PRICES
from watcher.render.charts.layout import Series

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from watcher.catalog.changes import Notice
    from watcher.catalog.record import PriceHistory, PricePoint


def chart_series(
    contents: Iterable[RecordedChange | Notice], histories: Mapping[int, PriceHistory]
) -> tuple[Series, ...]:
    """One series for each model whose price moved, in the order given; none where none did.

    `histories` are by the store's number of a model. Several changes of one model are one move,
    from before the first to after the last. A price that is now for another unit cannot be drawn
    on the line of the old one.
    """
    found: dict[Hashable, Series] = {}
    for recorded in contents:
        if not isinstance(recorded, RecordedChange):
            continue
        change = recorded.change
        if not isinstance(change, ModelChange):
            continue
        key = change.model_id if change.model_id is not None else change.model.record.identity_key
        history = histories.get(change.model_id or 0, NO_PRICES)
        series = _series(recorded, change, history.prices)
        if series is not None:
            since = found[key].since if key in found else series.since
            found[key] = replace(series, since=since)
    return tuple(found.values())


def _series(
    recorded: RecordedChange, change: ModelChange, past: Sequence[PricePoint]
) -> Series | None:
    before, after = change.before, change.after
    if PRICE_KINDS.isdisjoint(change.kinds) or Kind.UNIT in change.kinds or after is None:
        return None
    if after.price is None or before is None or before.price is None:
        return None
    points = tuple(past) or ((recorded.at, before.price),)
    if points[-1][1] != after.price:
        points = (*points, (max(recorded.at, points[-1][0]), after.price))
    record = after.record
    return Series(record.description, record.unit.base, points, before.price)
