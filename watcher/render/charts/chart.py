"""Which models of a message a chart shows: those whose price moved, with their past.

Refuses to know where the past was looked up.

A chart without the cost of drawing it: outside the event loop and outside this process.

Knows what a drawing may take, and that a message is sent without one rather than not at all.
Refuses to know how it is drawn.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING

import structlog

from watcher.catalog.changes import Kind, ModelChange, RecordedChange
from watcher.render.charts.plan import Series, request_text
from watcher.worker import Bounds, Job, NotDoneError, done

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence
    from datetime import datetime

    from watcher.catalog.changes import Notice
    from watcher.render.charts.plan import Point

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


log = structlog.get_logger()

# Of the memory it takes less than half: the rest is address space that its libraries reserve.
BOUNDS = Bounds(time=timedelta(seconds=20), memory=384 * 2**20, reply=2 * 2**20)

_MODULE = "watcher.render.charts"
_NEEDED = ("matplotlib", "PIL")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def is_available() -> bool:
    """Whether the extra `charts` is installed."""
    return all(find_spec(name) is not None for name in _NEEDED)


async def drawn(
    series: Sequence[Series], now: datetime, bounds: Bounds = BOUNDS, module: str = _MODULE
) -> bytes | None:
    """A PNG of the biggest moves among `series`, in about a second of another process.

    `None` where nothing could be drawn, which is logged with its reason as `chart.failed`; never
    raises. `bounds` and `module`: what it may take, and who draws.
    """
    try:
        return await _picture(series, now, bounds, module)
    except NotDoneError as error:
        log.warning("chart.failed", why=str(error), models=len(series))
        return None


async def _picture(series: Sequence[Series], now: datetime, bounds: Bounds, module: str) -> bytes:
    if not is_available():
        raise NotDoneError("matplotlib is not installed; install kie-watcher[charts]")
    picture = await done(Job(module, request_text(series, now), bounds))
    if not picture.startswith(_SIGNATURE):
        raise NotDoneError("what came of it is no picture")
    return picture
