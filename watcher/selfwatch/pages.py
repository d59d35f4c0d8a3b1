"""What the three pages say: alive, ready or why not, and everything counted.

Knows whom to ask for each. Refuses to know HTTP connections.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from watcher.selfwatch.metrics import CONTENT_TYPE
from watcher.selfwatch.readiness import unready
from watcher.selfwatch.web import Pages, Reply
from watcher.store import StateError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable
    from datetime import datetime

    from watcher.alarms import Trouble
    from watcher.selfwatch.metrics import Metrics
    from watcher.selfwatch.readiness import Limits
    from watcher.store import Status

__all__ = ["Sources", "pages"]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the pages' answers come from.

    `limits` is asked each time, because a reload changes it. `alarms` are those open.
    `silent` names who has not got anywhere for too long (the loops, as the watchdog sees them),
    `deferring` the receivers for which something is put off on purpose.
    """

    status: Callable[[], Awaitable[Status]]
    metrics: Metrics
    limits: Callable[[], Limits]
    now: Callable[[], datetime]
    alarms: Callable[[], Iterable[Trouble]] = tuple
    silent: Callable[[], Collection[str]] = tuple
    deferring: Callable[[], Collection[str]] = tuple


def pages(sources: Sources) -> Pages:
    """The pages for `web.serve`."""

    async def live() -> Reply:
        return _verdict("alive", _stuck(sources))

    async def ready() -> Reply:
        return _verdict("ready", (*_stuck(sources), *await _unready(sources)))

    async def metrics() -> Reply:
        try:
            status = await sources.status()
        except StateError:
            status = None
        sources.metrics.alarmed(alarm.kind for alarm in sources.alarms())
        return Reply(HTTPStatus.OK, sources.metrics.page(status, sources.now()), CONTENT_TYPE)

    return Pages(live, ready, metrics)


def _stuck(sources: Sources) -> tuple[str, ...]:
    return tuple(f"{who} is stuck" for who in sources.silent())


async def _unready(sources: Sources) -> tuple[str, ...]:
    try:
        status = await sources.status()
    except StateError:
        # Its text names files, which are the business of the log.
        return ("the state cannot be read",)
    return unready(status, sources.limits(), sources.now(), sources.deferring())


def _verdict(good: str, reasons: tuple[str, ...]) -> Reply:
    if reasons:
        return Reply.words(HTTPStatus.SERVICE_UNAVAILABLE, "\n".join(reasons))
    return Reply.words(HTTPStatus.OK, good)
