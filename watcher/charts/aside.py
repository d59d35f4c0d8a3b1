"""A chart without the cost of drawing it: outside the event loop and outside this process.

Knows what a drawing may take, and that a message is sent without one rather than not at all.
Refuses to know how it is drawn.
"""

from __future__ import annotations

from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING

import structlog

from watcher.apart import Bounds, Job, NotDoneError, done
from watcher.charts.series import request_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from watcher.charts.series import Series

__all__ = ["BOUNDS", "drawn", "is_available"]

log = structlog.get_logger()

# Of the memory it takes less than half: the rest is address space that its libraries reserve.
BOUNDS = Bounds(time=timedelta(seconds=20), memory=384 * 2**20, reply=2 * 2**20)

_MODULE = "watcher.charts"
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
