"""Which models the chart of a message shows, and with which prices: those whose price moved."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from watcher.catalog.changes import PRICE_KINDS, Kind, ModelChange, RecordedChange
from watcher.catalog.record import NO_PRICES
from watcher.render.charts.layout import Series
from watcher.render.outline import sample_family
from watcher.routing.rules import usage_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence
    from datetime import datetime

    from watcher.catalog.changes import Notice
    from watcher.catalog.record import PriceHistory, PricePoint
    from watcher.routing.rules import Usage

# How long ago the price of the sample was first seen.
SAMPLE_DAYS = 60


def chart_series(
    contents: Iterable[RecordedChange | Notice],
    histories: Mapping[int, PriceHistory],
    usage: Sequence[Usage] = (),
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
            used = usage_of(change.model.record, usage) is not None
            found[key] = replace(series, since=since, used=used)
    return tuple(found.values())


def sample_series(now: datetime) -> tuple[Series, ...]:
    """The made-up price of the sample, as it would have been."""
    (line,) = sample_family(now).lines
    change = line.changes[0].change
    assert change.before is not None and change.after is not None, "it is a rise"  # noqa: PT018, S101
    old, new = change.before.price or Decimal(0), change.after.price or Decimal(0)
    first = (now - timedelta(days=SAMPLE_DAYS), old * Decimal("0.9"))
    points = (first, (now - timedelta(days=SAMPLE_DAYS // 2), old), (now, new))
    return (Series(change.after.record.description, change.after.record.unit.base, points),)


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
