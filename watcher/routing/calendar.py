"""When quiet hours are and when a digest is due, in local time, by cronsim and zoneinfo.

A moment that is skipped when clocks go forward is the moment of that change; one that comes twice
when clocks go back is the first of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING

from cronsim import CronSim

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from zoneinfo import ZoneInfo

    from watcher.routing.match import Matcher

EVERY_DAY = frozenset(range(7))

_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)
# Most schedules come every week and are asked about often: so many days are looked up in a cache.
_CACHED_DAYS = 8
# How far back to search for the moments of others, up to "on 29 February" around the year 2100.
_SEARCHED_BACK = (32 * _DAY, 366 * _DAY, 9 * 366 * _DAY)

_Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class QuietWindow:
    """Hours in local time in which nothing is sent, except what `urgent` matches.

    `days` (0 is Monday) are those on which it starts; with `end` before `start` it ends on the
    next day, and with both equal it is empty. `receivers` `None` is all.
    """

    name: str
    start: time
    end: time
    days: frozenset[int] = EVERY_DAY
    receivers: frozenset[str] | None = None
    urgent: Matcher | None = None

    def applies_to(self, receiver: str) -> bool:
        return self.receivers is None or receiver in self.receivers


def open_windows(
    windows: Iterable[QuietWindow], zone: ZoneInfo, receiver: str, at: datetime
) -> tuple[tuple[QuietWindow, datetime], ...]:
    """The windows that are open for a receiver at that time, each with its end in UTC."""
    found = ((window, _end_of_window(window, zone, at)) for window in windows)
    return tuple(
        (window, end) for window, end in found if end is not None and window.applies_to(receiver)
    )


def quiet_until(
    windows: Iterable[QuietWindow], zone: ZoneInfo, receiver: str, at: datetime
) -> datetime | None:
    """When the last of the windows open at that time ends; `None` where none is open."""
    return max((end for _, end in open_windows(windows, zone, receiver, at)), default=None)


def next_moment(cron: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first moment of a schedule later than `after`, in UTC; `None` where there is none."""
    for day in range(_CACHED_DAYS):
        found = [at for at in _moments_of_day(cron, zone, _day(after + day * _DAY)) if at > after]
        if found:
            return found[0]
    return next(_moments(cron, zone, after), None)


def last_moment(cron: str, zone: ZoneInfo, at: datetime) -> datetime | None:
    """The last moment of a schedule not later than `at`, in UTC; `None` if none in nine years.

    Found by going forward: going backward, cronsim misses moments that a clock change moves.
    """
    for day in range(_CACHED_DAYS):
        found = [it for it in _moments_of_day(cron, zone, _day(at - day * _DAY)) if it <= at]
        if found:
            return found[-1]
    for back in _SEARCHED_BACK:
        last = None
        for moment in takewhile(lambda it: it <= at, _moments(cron, zone, at - back)):
            last = moment
        if last is not None:
            return last
    return None


def _moments(cron: str, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    for local in CronSim(cron, after.astimezone(zone)):
        moment = local.astimezone(UTC)
        # In the second of two equal hours cronsim gives moments of the first again.
        if moment > after:
            yield moment


@lru_cache(maxsize=4096)
def _moments_of_day(cron: str, zone: ZoneInfo, day: date) -> tuple[datetime, ...]:
    """The moments of a schedule in a day of UTC."""
    midnight = datetime.combine(day, time(), UTC)
    moments = _moments(cron, zone, midnight - _SECOND)
    return tuple(takewhile(lambda it: it < midnight + _DAY, moments))


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def _end_of_window(window: QuietWindow, zone: ZoneInfo, at: datetime) -> datetime | None:
    spans = _spans(window.start, window.end, window.days, zone, _day(at))
    return max((end for start, end in spans if start <= at < end), default=None)


@lru_cache(maxsize=4096)
def _spans(
    start: time, end: time, days: frozenset[int], zone: ZoneInfo, day: date
) -> tuple[_Span, ...]:
    """The windows that may touch a day of UTC, with their ends."""
    if start == end or not days:
        return ()
    midnight = datetime.combine(day, time(), UTC)
    weekdays = ",".join(str((number + 1) % 7) for number in sorted(days))
    spans: list[_Span] = []
    for starts_at in _moments(f"{_at(start)} * * {weekdays}", zone, midnight - 2 * _DAY):
        if starts_at >= midnight + _DAY:
            break
        # Where a clock change moves both to the same moment the window is empty, not a day long.
        ends_at = next_moment(f"{_at(end)} * * *", zone, starts_at - _SECOND)
        if ends_at is not None:
            spans.append((starts_at, ends_at))
    return tuple(spans)


def _at(moment: time) -> str:
    return f"{moment.minute} {moment.hour}"
