"""When: times of day, days of the week, time zones and schedules, as people write them.

Refuses to know what the time is, and leaves every calendar to `zoneinfo` and `cronsim`.
"""

from __future__ import annotations

import re
import zoneinfo
from datetime import UTC, datetime, time
from typing import Annotated, Literal, get_args

from cronsim import CronSim, CronSimError

from watcher.config.errors import suggestion
from watcher.config.values import one_of, read_by

__all__ = ["DAYS", "AnyDay", "Schedule", "TimeOfDay", "TimeZone"]

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)

LONGEST = 100
CRON_FIELDS = 5
# A leap year with every date in it, so that no real schedule looks like one that never comes.
_SOME_TIME = datetime(2024, 1, 1, tzinfo=UTC)

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


def _parse_time(text: str) -> time:
    if not (match := _TIME.fullmatch(text)):
        raise ValueError('is not a time of day; write "HH:MM", from "00:00" to "23:59"')
    return time(int(match[1]), int(match[2]))


def _parse_zone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text[:LONGEST])
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = _nearest_zone(text)
        mending = f"did you mean {near}?" if near else "write one such as Europe/Berlin or UTC"
        raise ValueError(f"is no time zone; {mending}") from None
    return text


def _nearest_zone(text: str) -> str | None:
    known = sorted(zoneinfo.available_timezones())
    # A city alone, or another letter case, is how people know a zone; whole names come first.
    spelled = {name.rpartition("/")[2].casefold(): name for name in known}
    spelled |= {name.casefold(): name for name in known}
    near = suggestion(text, tuple(spelled))
    return None if near is None else spelled[near]


def _parse_cron(text: str) -> str:
    if len(text) > LONGEST or len(text.split()) != CRON_FIELDS:
        raise ValueError(
            'is no schedule; write minute, hour, day, month, weekday, as in "0 9 * * 1"'
        )
    try:
        first = next(CronSim(text, _SOME_TIME), None)
    except CronSimError as error:
        # The library names the field, never what stands in it.
        field = str(error).removeprefix("Bad ")
        raise ValueError(f'has an impossible {field}; write a schedule as in "0 9 * * 1"') from None
    if first is None:
        raise ValueError('never comes; write a schedule as in "0 9 * * 1"')
    return text


TimeOfDay = Annotated[time, read_by(_parse_time)]
TimeZone = Annotated[str, read_by(_parse_zone)]
Schedule = Annotated[str, read_by(_parse_cron)]
AnyDay = Annotated[Day, one_of("day", DAYS)]
