"""Times and how long things last, for people.

Refuses to know what happened then.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["lasting", "moment", "read_moment"]

_UNITS = (
    (timedelta(days=1), "day"),
    (timedelta(hours=1), "hour"),
    (timedelta(minutes=1), "minute"),
    (timedelta(seconds=1), "second"),
)
# Up to here the smaller unit says more: `90 minutes`, not `1 hour`.
_SMALLER_UNIT_UP_TO = 2


def moment(at: datetime) -> str:
    """A time for people anywhere: `2026-11-22 13:30 UTC`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def read_moment(text: object) -> datetime | None:
    """An aware time from the detail of a notice; `None` where it is none."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at if at.tzinfo else None


def lasting(duration: timedelta) -> str:
    """Roughly how long: `45 minutes`, `90 minutes`, `3 hours`, `2 days`."""
    for size, word in _UNITS:
        if duration >= size * _SMALLER_UNIT_UP_TO:
            return f"{duration // size} {word}s"
    return "1 second" if duration >= timedelta(seconds=1) else "no time"
