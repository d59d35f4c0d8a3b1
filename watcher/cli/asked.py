"""What a person may type as an argument: a time as `7d` or `2026-11-01`.

Refuses to know what is asked with it.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import click

from watcher.config.durations import parse_duration

__all__ = ["since", "time_meant"]


def since(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> datetime | None:
    """Read the value of an option such as `--since`."""
    if value is None:
        return None
    if (at := time_meant(value.strip(), datetime.now(UTC))) is None:
        raise click.BadParameter("write how long ago, as in 7d or 36h, or a date, as in 2026-11-01")
    return at


def time_meant(text: str, now: datetime) -> datetime | None:
    """So long before `now` (`7d`), or a date or time, local unless it says otherwise.

    `None` where it is neither.
    """
    with suppress(ValueError, OverflowError):
        return now - parse_duration(text)
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text).astimezone(UTC)
    return None
