"""What a digest says above its list: the period, the biggest moves and the counts.

Refuses to know when it is due.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.changes import Kind, ModelChange, change_percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from watcher.changes import RecordedChange

__all__ = ["Digest", "summed_up"]

BIGGEST = 5


@dataclass(frozen=True, slots=True)
class Digest:
    """One route's digest: of the net changes after `since_at`, up to `until_at`.

    `rises` and `falls` are the biggest moves of price, in percent, biggest first; `counts` how
    many models changed in each way, in the order of the kinds; `gathered` how many single changes
    the net ones stand for.
    """

    route: str
    since_at: datetime
    until_at: datetime
    rises: tuple[RecordedChange, ...]
    falls: tuple[RecordedChange, ...]
    counts: Mapping[Kind, int]
    gathered: int


def summed_up(
    route: str,
    period: tuple[datetime, datetime],
    nets: Sequence[RecordedChange],
    gathered: int,
) -> Digest:
    """The digest of a period's net changes."""
    moves = sorted(_percents(nets), key=lambda move: move[0])
    counted = Counter(kind for net in nets for kind in net.change.kinds)
    return Digest(
        route=route,
        since_at=period[0],
        until_at=period[1],
        rises=tuple(net for percent, net in reversed(moves) if percent > 0)[:BIGGEST],
        falls=tuple(net for percent, net in moves if percent < 0)[:BIGGEST],
        counts={kind: counted[kind] for kind in Kind if kind in counted},
        gathered=gathered,
    )


def _percents(nets: Iterable[RecordedChange]) -> list[tuple[Decimal, RecordedChange]]:
    found: list[tuple[Decimal, RecordedChange]] = []
    for net in nets:
        percent = change_percent(net.change) if isinstance(net.change, ModelChange) else None
        if percent is not None:
            found.append((percent, net))
    return found
