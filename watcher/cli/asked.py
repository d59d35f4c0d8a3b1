"""What a person may type as an argument: a time as `7d` or `2026-11-01`, a duration as `3d`.

Refuses to know what is asked with it.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import click

from watcher.config.durations import parse_duration

__all__ = ["how_long", "since", "time_meant"]


def since(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> datetime | None:
    """Read the value of an option such as `--since`."""
    if value is None:
        return None
    if (at := time_meant(value.strip(), datetime.now(UTC))) is None:
        raise click.BadParameter("write how long ago, as in 7d or 36h, or a date, as in 2026-11-01")
    return at


def how_long(_context: click.Context, _parameter: click.Parameter, value: str) -> timedelta:
    """Read the value of an option such as `--for`."""
    try:
        lasting = parse_duration(value.strip())
    except (ValueError, OverflowError):
        lasting = timedelta(0)
    if lasting <= timedelta(0):
        raise click.BadParameter("write a duration, as in 3d or 12h")
    return lasting


def time_meant(text: str, now: datetime) -> datetime | None:
    """So long before `now` (`7d`), or a date or time, local unless it says otherwise.

    `None` where it is neither.
    """
    with suppress(ValueError, OverflowError):
        return now - parse_duration(text)
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text).astimezone(UTC)
    return None
