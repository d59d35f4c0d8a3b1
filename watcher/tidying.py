"""When the state lets go of what is old: a small step now and then, beside everything else.

Refuses to know what is old and what is still needed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from watcher.store import Keep, StateError
from watcher.waiting import first_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from datetime import datetime

    from watcher.config.settings import Settings
    from watcher.store import Store

__all__ = ["STEP_EVERY", "keep_tidy", "kept_for", "tidy"]

log = structlog.get_logger()

# With a few hundred rows a step it is ahead of any market, and catches up with years in a day.
STEP_EVERY = timedelta(minutes=5)
# A price that flaps does so until it stood still for `flap.within`, which may take a while.
FLAPPING_LOOKS_BACK = 7


async def keep_tidy(
    store: Store,
    keep: Callable[[], Keep | None],
    now: Callable[[], datetime],
    stop: asyncio.Event,
    every: timedelta = STEP_EVERY,
) -> None:
    """Take a step every so often until `stop` is set; `keep` may say "not now" by `None`."""
    while not stop.is_set():
        await first_of(stop, within=every)
        if not stop.is_set() and (current := keep()) is not None:
            await tidy(store, current, now())


async def tidy(store: Store, keep: Keep, now: datetime) -> None:
    """Take one step. Never raises: whoever polls and sends hears of a bad state, and says so."""
    try:
        pruned = await store.prune(keep, now)
    except StateError as error:
        log.debug("state.prune_failed", why=str(error))
    except Exception:
        log.exception("state.prune_crashed")
    else:
        if pruned:
            log.debug("state.pruned", **pruned.counts)


def kept_for(settings: Settings) -> Keep:
    """How long things are kept; no less than routes look back to tell whether a price flaps."""
    keep, least = settings.state.keep, FLAPPING_LOOKS_BACK * settings.flap.within
    return Keep(
        history=_at_least(keep.history, least),
        polls=keep.polls,
        messages=_at_least(keep.messages, least),
    )


def _at_least(given: timedelta | None, least: timedelta) -> timedelta | None:
    return None if given is None else max(given, least)
