"""Carrying out what a person asks of the state, here or by the daemon that owns it.

Knows that a state has one writer: beside a running daemon a wish is left for it, which takes it
within seconds. Refuses to know what is wished.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from watcher.store.wishes import Request

__all__ = ["ASKED", "done_or_left"]

ASKED = "The running daemon has been asked to {}; it does so within seconds."


async def done_or_left(state: Path, request: Request) -> int | None:
    """How many things the wish was about; `None` where it is left for the running daemon."""
    from watcher.store import InUseError, open_store, requests  # noqa: PLC0415

    try:
        async with open_store(state) as store:
            return await store.apply(request)
    except InUseError:
        requests.leave(state, request)
        return None
