"""Which receivers want a change.

Refuses to know how it is worded and sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from watcher.changes import Change, Kind

__all__ = ["route"]


def route(
    change: Change, announce: Collection[Kind], receivers: Collection[str]
) -> tuple[str, ...]:
    """Everybody hears of a change of which at least one kind is announced."""
    if not set(change.kinds) & set(announce):
        return ()
    return tuple(receivers)
