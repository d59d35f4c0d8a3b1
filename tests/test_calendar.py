"""When it is quiet and when a digest is due: local time, over both clock changes."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from watcher.routing.calendar import EVERY_DAY, QuietWindow, last_moment, next_moment, quiet_until

BERLIN = (
    "Europe/Berlin"  # 2026: 29 March 02:00 → 03:00 and 25 October 03:00 → 02:00, both 01:00 UTC
)
NEW_YORK = (
    "America/New_York"  # 8 March 07:00 UTC, 02:00 → 03:00; 1 November 06:00 UTC, 02:00 → 01:00
)
LORD_HOWE = "Australia/Lord_Howe"  # changes by half an hour: 5 April 02:00 → 01:30 (15:00 UTC the day before)
KATHMANDU = "Asia/Kathmandu"  # UTC+5:45, never changes
UTC_ZONE = "UTC"

MONDAY, TUESDAY, FRIDAY, SATURDAY, SUNDAY = 0, 1, 4, 5, 6


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(start: str, end: str, days: frozenset[int] = EVERY_DAY, **rest: object) -> QuietWindow:
    return QuietWindow(
        "nights",
        time.fromisoformat(start),
        time.fromisoformat(end),
        days,
        **rest,  # type: ignore[arg-type]
    )


def quiet(start: str, end: str, zone: str, at: str, *days: int) -> datetime | None:
    it = window(start, end, frozenset(days) or EVERY_DAY)
    return quiet_until([it], ZoneInfo(zone), "team", utc(at))


NIGHTS = [
    pytest.param("22:00", "07:00", UTC_ZONE, "2026-05-04T21:59:59", None, id="a second before"),
    pytest.param(
        "22:00", "07:00", UTC_ZONE, "2026-05-04T22:00", "2026-05-05T07:00", id="it begins"
    ),
    pytest.param("22:00", "07:00", UTC_ZONE, "2026-05-05T00:00", "2026-05-05T07:00", id="midnight"),
    pytest.param(
        "22:00", "07:00", UTC_ZONE, "2026-05-05T06:59:59", "2026-05-05T07:00", id="the last second"
    ),
    pytest.param("22:00", "07:00", UTC_ZONE, "2026-05-05T07:00", None, id="it is over"),
    pytest.param("12:00", "14:30", UTC_ZONE, "2026-05-05T13:00", "2026-05-05T14:30", id="by day"),
    pytest.param(
        "00:00", "23:59", UTC_ZONE, "2026-05-05T12:00", "2026-05-05T23:59", id="nearly always"
    ),
    pytest.param(
        "22:00", "00:00", UTC_ZONE, "2026-05-04T23:30", "2026-05-05T00:00", id="till midnight"
    ),
    pytest.param(
        "00:00", "07:00", UTC_ZONE, "2026-05-05T00:00", "2026-05-05T07:00", id="from midnight"
    ),
    pytest.param(
        "22:00", "07:00", BERLIN, "2026-01-10T21:00", "2026-01-11T06:00", id="Berlin in winter"
    ),
    pytest.param(
        "22:00", "07:00", BERLIN, "2026-07-10T20:00", "2026-07-11T05:00", id="Berlin in summer"
    ),
    pytest.param("22:00", "07:00", BERLIN, "2026-07-10T19:59", None, id="Berlin in summer, before"),
    pytest.param(
        "22:00", "07:00", KATHMANDU, "2026-07-10T16:15", "2026-07-11T01:15", id="three quarters"
    ),
    # The night that is an hour short, and the one that is an hour long.
    pytest.param(
        "22:00", "07:00", BERLIN, "2026-03-28T21:00", "2026-03-29T05:00", id="Berlin, spring"
    ),
    pytest.param(
        "22:00",
        "07:00",
        BERLIN,
        "2026-03-29T04:59",
        "2026-03-29T05:00",
        id="Berlin, spring, its end",
    ),
    pytest.param("22:00", "07:00", BERLIN, "2026-03-29T05:00", None, id="Berlin, spring, over"),
    pytest.param(
        "22:00", "07:00", BERLIN, "2026-10-24T20:00", "2026-10-25T06:00", id="Berlin, autumn"
    ),
    pytest.param(
        "22:00",
        "07:00",
        BERLIN,
        "2026-10-25T05:30",
        "2026-10-25T06:00",
        id="Berlin, autumn, its end",
    ),
    pytest.param("22:00", "07:00", BERLIN, "2026-10-25T06:00", None, id="Berlin, autumn, over"),
    pytest.param(
        "22:00", "07:00", NEW_YORK, "2026-03-08T03:00", "2026-03-08T11:00", id="New York, spring"
    ),
    pytest.param("22:00", "07:00", NEW_YORK, "2026-03-08T11:00", None, id="New York, spring, over"),
    pytest.param(
        "22:00", "07:00", NEW_YORK, "2026-11-01T02:00", "2026-11-01T12:00", id="New York, autumn"
    ),
    pytest.param(
        "22:00",
        "07:00",
        NEW_YORK,
        "2026-11-01T11:59",
        "2026-11-01T12:00",
        id="New York, autumn, its end",
    ),
    pytest.param(
        "22:00", "07:00", LORD_HOWE, "2026-04-04T15:10", "2026-04-04T20:30", id="half an hour"
    ),
    # What begins in the hour that spring leaves out begins at the change.
    pytest.param(
        "02:30", "07:00", BERLIN, "2026-03-29T00:59", None, id="begins in no hour, before"
    ),
    pytest.param(
        "02:30", "07:00", BERLIN, "2026-03-29T01:00", "2026-03-29T05:00", id="begins in no hour"
    ),
    pytest.param(
        "02:30",
        "07:00",
        NEW_YORK,
        "2026-03-08T07:00",
        "2026-03-08T11:00",
        id="begins in no hour, New York",
    ),
    pytest.param(
        "22:00", "02:30", BERLIN, "2026-03-29T00:59", "2026-03-29T01:00", id="ends in no hour"
    ),
    pytest.param("22:00", "02:30", BERLIN, "2026-03-29T01:00", None, id="ended in no hour"),
    pytest.param("02:00", "03:00", BERLIN, "2026-03-29T01:00", None, id="all of it left out"),
    pytest.param(
        "02:15", "02:45", BERLIN, "2026-03-29T01:20", None, id="inside of what is left out"
    ),
    pytest.param(
        "02:00",
        "03:00",
        BERLIN,
        "2026-03-30T00:30",
        "2026-03-30T01:00",
        id="and there the day after",
    ),
    # Of the hour that autumn has twice the first counts.
    pytest.param(
        "22:00",
        "02:30",
        BERLIN,
        "2026-10-25T00:29",
        "2026-10-25T00:30",
        id="ends in the first of two",
    ),
    pytest.param(
        "22:00", "02:30", BERLIN, "2026-10-25T01:10", None, id="does not come back in the second"
    ),
    pytest.param(
        "02:30",
        "07:00",
        BERLIN,
        "2026-10-25T00:30",
        "2026-10-25T06:00",
        id="begins in the first of two",
    ),
    pytest.param(
        "02:30",
        "07:00",
        BERLIN,
        "2026-10-25T01:10",
        "2026-10-25T06:00",
        id="and goes on in the second",
    ),
    pytest.param(
        "01:30",
        "02:00",
        NEW_YORK,
        "2026-11-01T05:45",
        "2026-11-01T07:00",
        id="over both, to what comes once",
    ),
    pytest.param("01:15", "01:45", NEW_YORK, "2026-11-01T06:30", None, id="inside of the second"),
]


@pytest.mark.parametrize(("start", "end", "zone", "at", "until"), NIGHTS)
def test_a_window_goes_by_the_clock_on_the_wall(
    start: str, end: str, zone: str, at: str, until: str | None
) -> None:
    assert quiet(start, end, zone, at) == (until and utc(until))


@pytest.mark.parametrize(
    ("day", "at", "is_quiet"),
    [
        (FRIDAY, "2026-05-08T21:59", False),
        (FRIDAY, "2026-05-08T22:00", True),
        (FRIDAY, "2026-05-09T06:00", True),  # Saturday morning is Friday's night
        (FRIDAY, "2026-05-08T06:00", False),  # Friday morning is Thursday's
        (SUNDAY, "2026-05-10T23:00", True),
        (SUNDAY, "2026-05-11T06:59", True),
        (SUNDAY, "2026-05-10T06:00", False),
        (MONDAY, "2026-05-11T06:00", False),
        (MONDAY, "2026-05-11T22:30", True),
        (SATURDAY, "2026-05-09T22:30", True),
    ],
)
def test_days_are_those_on_which_a_window_starts(day: int, at: str, is_quiet: bool) -> None:
    assert (quiet("22:00", "07:00", UTC_ZONE, at, day) is not None) is is_quiet


def test_the_day_is_the_local_one() -> None:
    # 20:30 UTC on Friday is 22:30 in Berlin; 03:00 UTC on Saturday is Friday night in New York.
    assert quiet("22:00", "07:00", BERLIN, "2026-05-08T20:30", FRIDAY)
    assert quiet("22:00", "07:00", NEW_YORK, "2026-05-09T03:00", FRIDAY)
    assert not quiet("22:00", "07:00", NEW_YORK, "2026-05-09T03:00", SATURDAY)


@pytest.mark.parametrize("at", ["2026-05-05T21:59", "2026-05-05T22:00", "2026-05-05T22:01"])
def test_a_window_without_length_is_never_open(at: str) -> None:
    assert quiet("22:00", "22:00", UTC_ZONE, at) is None
    assert (
        quiet_until([window("22:00", "07:00", frozenset())], ZoneInfo("UTC"), "team", utc(at))
        is None
    )


def test_of_several_windows_the_last_to_end_counts() -> None:
    windows = [window("22:00", "07:00"), window("06:00", "09:00", frozenset({SATURDAY}))]
    zone = ZoneInfo(BERLIN)
    assert quiet_until(windows, zone, "team", utc("2026-05-09T04:30")) == utc("2026-05-09T07:00")
    assert quiet_until(windows, zone, "team", utc("2026-05-12T04:30")) == utc("2026-05-12T05:00")
    assert quiet_until(windows, zone, "team", utc("2026-05-12T12:00")) is None


def test_a_window_is_for_those_it_names() -> None:
    it = window("22:00", "07:00", receivers=frozenset({"team"}))
    zone, at = ZoneInfo("UTC"), utc("2026-05-05T23:00")
    assert quiet_until([it], zone, "team", at) is not None
    assert quiet_until([it], zone, "mail", at) is None
    assert quiet_until([window("22:00", "07:00")], zone, "mail", at) is not None


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, LORD_HOWE, KATHMANDU])
def test_every_night_of_a_year_is_one_piece_that_begins_and_ends_by_the_clock(zone: str) -> None:
    it, here = [window("22:00", "07:00")], ZoneInfo(zone)
    step = timedelta(minutes=60)
    at = datetime(2026, 1, 1, 15, tzinfo=UTC)
    nights, was_quiet = 0, False
    for _ in range(365 * 24):
        is_quiet = quiet_until(it, here, "team", at) is not None
        hour = at.astimezone(here).hour
        assert is_quiet is (hour >= 22 or hour < 7), at
        nights += is_quiet and not was_quiet
        at, was_quiet = at + step, is_quiet
    assert nights in {365, 366}


DIGESTS = [
    # cron, zone, after, the next three
    pytest.param("0 9 * * 1", BERLIN, "2026-05-05T12:00", ["2026-05-11T07:00", "2026-05-18T07:00", "2026-05-25T07:00"], id="weekly"),
    pytest.param("0 9 * * 1", BERLIN, "2026-03-20T12:00", ["2026-03-23T08:00", "2026-03-30T07:00", "2026-04-06T07:00"], id="weekly over spring"),
    pytest.param("0 9 * * 1", BERLIN, "2026-10-18T12:00", ["2026-10-19T07:00", "2026-10-26T08:00", "2026-11-02T08:00"], id="weekly over autumn"),
    pytest.param("0 9 * * *", NEW_YORK, "2026-03-06T15:00", ["2026-03-07T14:00", "2026-03-08T13:00", "2026-03-09T13:00"], id="daily over spring"),
    pytest.param("0 9 * * *", NEW_YORK, "2026-10-30T14:00", ["2026-10-31T13:00", "2026-11-01T14:00", "2026-11-02T14:00"], id="daily over autumn"),
    pytest.param("30 2 * * *", BERLIN, "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:30", "2026-03-31T00:30"], id="in no hour"),
    pytest.param("30 2 * * *", BERLIN, "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30", "2026-10-27T01:30"], id="in the first of two"),
    pytest.param("30 2 * * *", BERLIN, "2026-10-25T01:10", ["2026-10-26T01:30", "2026-10-27T01:30", "2026-10-28T01:30"], id="not again in the second"),
    pytest.param("30 2 * * *", BERLIN, "2026-10-25T00:30", ["2026-10-26T01:30", "2026-10-27T01:30", "2026-10-28T01:30"], id="later than, not at"),
    pytest.param("30 1 * * *", NEW_YORK, "2026-11-01T06:10", ["2026-11-02T06:30", "2026-11-03T06:30", "2026-11-04T06:30"], id="New York, the second"),
    pytest.param("0 */6 * * *", BERLIN, "2026-03-28T20:00", ["2026-03-28T23:00", "2026-03-29T04:00", "2026-03-29T10:00"], id="every six hours over spring"),
    pytest.param("0 0 29 2 *", UTC_ZONE, "2026-05-05T12:00", ["2028-02-29T00:00", "2032-02-29T00:00", "2036-02-29T00:00"], id="leap days"),
    pytest.param("0 18 L * *", BERLIN, "2026-02-01T12:00", ["2026-02-28T17:00", "2026-03-31T16:00", "2026-04-30T16:00"], id="last of the month"),
]  # fmt: skip


@pytest.mark.parametrize(("cron", "zone", "after", "moments"), DIGESTS)
def test_a_digest_comes_by_the_clock_on_the_wall(
    cron: str, zone: str, after: str, moments: list[str]
) -> None:
    at, here = utc(after), ZoneInfo(zone)
    found: list[datetime] = []
    for _ in moments:
        moment = next_moment(cron, here, at)
        assert moment is not None
        found.append(moment)
        at = moment
    assert found == [utc(moment) for moment in moments]


@pytest.mark.parametrize(("cron", "zone", "after", "moments"), DIGESTS)
def test_the_last_moment_is_the_one_that_came(
    cron: str, zone: str, after: str, moments: list[str]
) -> None:
    first, second = utc(moments[0]), utc(moments[1])
    here = ZoneInfo(zone)
    assert last_moment(cron, here, first) == first
    assert last_moment(cron, here, first + timedelta(seconds=1)) == first
    assert last_moment(cron, here, second - timedelta(microseconds=1)) == first


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, LORD_HOWE, KATHMANDU])
@pytest.mark.parametrize("cron", ["0 9 * * *", "30 2 * * *", "45 1 * * *"])
def test_a_daily_digest_comes_once_on_each_day_of_a_year(cron: str, zone: str) -> None:
    here = ZoneInfo(zone)
    at = datetime(2026, 1, 1, tzinfo=here).astimezone(UTC) - timedelta(seconds=1)
    days = []
    while (moment := next_moment(cron, here, at)) and moment.astimezone(here).year == 2026:
        assert last_moment(cron, here, moment + timedelta(hours=3)) == moment
        days.append(moment.astimezone(here).date())
        at = moment
    assert len(days) == len(set(days)) == 365
