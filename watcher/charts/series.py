"""The prices of one model over time, as values that can be handed to another process.

Knows how they are written down and read again. Refuses to know how they are drawn and where they
were looked up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Point", "Series", "read_request", "request_text"]

Point = tuple[datetime, Decimal]


@dataclass(frozen=True, slots=True)
class Series:
    """A model's name as listed, its base unit, and its prices in credits per one of that unit.

    Each point is when a price began to hold and what it was, the oldest first. `since` is the
    price that the message compares the last one with; without it that is the price before.
    """

    name: str
    unit: str
    points: tuple[Point, ...]
    since: Decimal | None = None

    @property
    def move(self) -> tuple[Decimal, Decimal] | None:
        """From which price to which; `None` where there is only one."""
        if not self.points:
            return None
        last = self.points[-1][1]
        before = [price for _, price in self.points if price != last]
        old = before[-1] if self.since is None and before else self.since
        return None if old is None or old == last else (old, last)


def request_text(series: Sequence[Series], now: datetime) -> bytes:
    """All that a drawing is made of, as JSON."""
    return json.dumps({"now": now.isoformat(), "series": [_plain(one) for one in series]}).encode()


def read_request(text: bytes) -> tuple[tuple[Series, ...], datetime]:
    """What `request_text` wrote."""
    content = json.loads(text)
    series = tuple(_read(one) for one in content["series"])
    return series, datetime.fromisoformat(content["now"])


def _plain(series: Series) -> dict[str, Any]:
    return {
        "name": series.name,
        "unit": series.unit,
        "points": [(at.isoformat(), str(price)) for at, price in series.points],
        "since": None if series.since is None else str(series.since),
    }


def _read(content: dict[str, Any]) -> Series:
    since = content["since"]
    return Series(
        name=content["name"],
        unit=content["unit"],
        points=tuple(
            (datetime.fromisoformat(at), Decimal(price)) for at, price in content["points"]
        ),
        since=None if since is None else Decimal(since),
    )
