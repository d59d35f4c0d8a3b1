"""What a reply says of its age, and which replies are older than what is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.kie.freshness import Freshness, older_than

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


@pytest.mark.parametrize(
    ("headers", "date", "age"),
    [
        ({}, None, 0),
        ({"Date": "Sun, 22 Nov 2026 12:00:00 GMT", "Age": "1860"}, NOON, 1860),
        ({"Date": "Sun, 22 Nov 2026 14:00:00 +0200"}, NOON, 0),
        ({"Date": "Sun, 22 Nov 2026 12:00:00 -0000"}, NOON, 0),
        ({"Date": "yesterday", "Age": "old"}, None, 0),
        ({"Date": "Mon, 01 Jan 2026 00:00:00 +99999999999999", "Age": "-5"}, None, 0),
        ({"Date": "Fri, 31 Dec 9999 23:59:59 -2359", "Age": "9" * 30}, None, 0),
        ({"Age": " 7 "}, None, 7),
        ({"Age": "1.5"}, None, 0),
    ],
)
def test_what_cannot_be_read_says_nothing_of_the_age(
    headers: dict[str, str], date: datetime | None, age: float
) -> None:
    assert Freshness.of(headers) == Freshness(date, timedelta(seconds=age))


@pytest.mark.parametrize(
    ("known", "fresh", "minutes"),
    [
        # The last believed reply came at 0, this one comes at 5.
        (Freshness(), Freshness(), None),
        (Freshness(at(0)), Freshness(at(5)), None),
        (Freshness(at(0)), Freshness(at(-0.9)), None),
        (Freshness(at(0)), Freshness(at(-31)), 31),
        (Freshness(at(0)), Freshness(), None),
        (Freshness(), Freshness(at(-31)), None),
        (Freshness(), Freshness(age=timedelta(minutes=36)), 31),
        (Freshness(), Freshness(age=timedelta(minutes=4)), None),
        # A cache that always has an age has one that grows by less than the time that passes.
        (Freshness(age=timedelta(minutes=60)), Freshness(age=timedelta(minutes=60)), None),
        (Freshness(age=timedelta(minutes=60)), Freshness(age=timedelta(minutes=65)), None),
        (Freshness(age=timedelta(minutes=60)), Freshness(age=timedelta(minutes=70)), 5),
    ],
)
def test_a_reply_is_older_where_its_date_or_its_age_says_so(
    known: Freshness, fresh: Freshness, minutes: float | None
) -> None:
    older = None if minutes is None else timedelta(minutes=minutes)

    assert older_than(known, at(0), fresh, at(5)) == older


FRESHNESS = st.builds(
    Freshness,
    st.none() | st.integers(0, 10**6).map(at),
    st.integers(0, 10**6).map(lambda seconds: timedelta(seconds=seconds)),
)


@given(st.lists(FRESHNESS))
def test_several_replies_are_as_old_as_the_oldest(replies: list[Freshness]) -> None:
    oldest = Freshness.oldest(replies)

    assert oldest.age == max([it.age for it in replies], default=timedelta(0))
    assert oldest.date == min([it.date for it in replies if it.date], default=None)
    assert Freshness.from_json(oldest.to_json()) == oldest
