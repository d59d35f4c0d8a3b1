"""Work that grows with the catalogue, done so that everything else goes on meanwhile.

While the event loop is blocked nothing is sent, no health check is answered, and the supervisor is
not told that the process lives.
"""

from __future__ import annotations

import asyncio
import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Going to a thread and back takes a tenth of a millisecond; so many things take about 20.
MANY = 1000

P = ParamSpec("P")
T = TypeVar("T")


async def run_heavy(count: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `work`, which does something to each of `count` things: in a thread, for many things."""
    if count < MANY:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Collect no garbage for as long as the block lasts, which must have a bound in time.

    A full collection stops every thread, half a second with 100,000 changes in memory, and frees
    nothing: what a sweep makes has no cycles. Two blocks may overlap: of those that found the
    collector running, the last one has not ended when the first one starts it again.
    """
    was_running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_running:
            gc.enable()
