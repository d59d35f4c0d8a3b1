"""Charts for messages: which models one shows, and the worker process that draws it.

Drawing takes a second and much memory, so it is done in a process that can be killed; where it
fails, the message is sent without a chart.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING

import structlog

from watcher.catalog.changes import PRICE_KINDS, Kind, ModelChange, RecordedChange
from watcher.render.charts.layout import Series, request_text
from watcher.worker import Bounds, Job, JobFailedError, run_job

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence
    from datetime import datetime

    from watcher.catalog.changes import Notice
    from watcher.routing.rules import PricePoint

log = structlog.get_logger()

# Less than half of the memory is used: the rest is address space that libraries reserve.
BOUNDS = Bounds(time=timedelta(seconds=20), memory=384 * 2**20, reply=2 * 2**20)

_MODULE = "watcher.render.charts"
_NEEDED = ("matplotlib", "PIL")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chart_series(
    contents: Iterable[RecordedChange | Notice], prices: Mapping[int, Sequence[PricePoint]]
) -> tuple[Series, ...]:
    """One series for each model whose price moved, in the order given; none where none did.

    `prices` are by the store's number of a model, per base unit, oldest first. Several changes of
    one model are one move, from before the first to after the last. A price that is now for
    another unit cannot be drawn on the line of the old one.
    """
    found: dict[Hashable, Series] = {}
    for recorded in contents:
        if not isinstance(recorded, RecordedChange):
            continue
        change = recorded.change
        if not isinstance(change, ModelChange):
            continue
        key = change.model_id if change.model_id is not None else change.model.record.identity_key
        series = _series(recorded, change, prices.get(change.model_id or 0, ()))
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


def is_available() -> bool:
    """Whether the extra `charts` is installed."""
    return all(find_spec(name) is not None for name in _NEEDED)


async def draw_chart(
    series: Sequence[Series], now: datetime, bounds: Bounds = BOUNDS, module: str = _MODULE
) -> bytes | None:
    """A PNG of the biggest moves among `series`, drawn by another process in about a second.

    `None` where nothing could be drawn, which is logged with its reason as `chart.failed`; never
    raises. `bounds` are the worker's, and `module` is what it runs.
    """
    try:
        return await _picture(series, now, bounds, module)
    except JobFailedError as error:
        log.warning("chart.failed", why=str(error), models=len(series))
        return None


async def _picture(series: Sequence[Series], now: datetime, bounds: Bounds, module: str) -> bytes:
    if not is_available():
        raise JobFailedError("matplotlib is not installed; install kie-watcher[charts]")
    picture = await run_job(Job(module, request_text(series, now), bounds))
    if not picture.startswith(_SIGNATURE):
        raise JobFailedError("the reply is not a picture")
    return picture
