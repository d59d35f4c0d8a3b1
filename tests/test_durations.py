"""How people write durations and shares."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.config.durations import duration_text, parse_duration, parse_share


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("0", timedelta(0)),
        ("0s", timedelta(0)),
        ("0.2s", timedelta(milliseconds=200)),
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("1.5h", timedelta(minutes=90)),
        ("6h", timedelta(hours=6)),
        ("7d", timedelta(days=7)),
        ("3650d", timedelta(days=3650)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("30", "has no unit; write 30s, 5m, 6h or 7d"),
        ("0.5", "has no unit; write 30s, 5m, 6h or 7d"),
        ("-5m", "is negative; write a duration such as 30s"),
        ("3651d", "is too long; write at most 3650d"),
        *(
            (text, "is not a duration; write one number and one unit, as in 30s, 5m, 6h, 7d")
            for text in ("", "5 m", "5M", "1h30m", "5min", "s", "٥m", "1e3s", "nan", "inf", ".5s")
        ),
    ],
)
def test_anything_else_is_refused_with_its_mending(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(complaint)}$"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "share"),
    [("0", "0"), ("0%", "0"), ("10%", "0.1"), ("2.5%", "0.025"), ("100%", "1")],
)
def test_a_share_is_a_number_and_a_percent_sign(text: str, share: str) -> None:
    assert parse_share(text) == Decimal(share)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0.1", "has no percent sign; write 10%"),
        ("10", "has no percent sign; write 10%"),
        ("-1%", "is negative; write a share such as 10%"),
        ("10 %", "is not a share; write a number and a percent sign, as in 10%"),
        ("NaN", "is not a share; write a number and a percent sign, as in 10%"),
    ],
)
def test_anything_else_is_no_share(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(complaint)}$"):
        parse_share(text)


@given(st.integers(min_value=0, max_value=10**13).map(lambda each: timedelta(microseconds=each)))
def test_a_duration_written_out_reads_back_the_same(duration: timedelta) -> None:
    assert parse_duration(duration_text(duration)) == duration


@pytest.mark.parametrize("text", ["0", "0.2s", "90s", "5m", "6h", "7d"])
def test_a_duration_is_written_in_the_largest_unit_that_leaves_no_rest(text: str) -> None:
    assert duration_text(parse_duration(text)) == text
