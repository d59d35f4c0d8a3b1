"""Durations and shares as people write them: `5m`, `0.2s`, `7d`, `10%`."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

LONGEST_DURATION = timedelta(days=3650)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_DURATION = re.compile(rf"({_NUMBER.pattern})([smhd])")
_SHARE = re.compile(rf"({_NUMBER.pattern})%")


def parse_duration(text: str) -> timedelta:
    """Read `30s`, `5m`, `6h`, `7d`, `0.2s` or `0`; never longer than ten years.

    Raises `ValueError` with what is wrong and how to fix it; it never repeats the text.
    """
    if text == "0":
        return timedelta(0)
    if text.startswith("-"):
        raise ValueError("is negative; write a duration such as 30s")
    if _NUMBER.fullmatch(text):
        raise ValueError("has no unit; write 30s, 5m, 6h or 7d")
    if not (match := _DURATION.fullmatch(text)):
        raise ValueError("is not a duration; write one number and one unit, as in 30s, 5m, 6h, 7d")
    seconds = Decimal(match[1]) * _SECONDS[match[3]]
    if seconds > LONGEST_DURATION.days * _SECONDS["d"]:
        raise ValueError(f"is too long; write at most {LONGEST_DURATION.days}d")
    return timedelta(microseconds=int(seconds * 1_000_000))


def parse_share(text: str) -> Decimal:
    """Read `10%` as 0.1; `0` needs no percent sign. Raises `ValueError` as `parse_duration`."""
    if text == "0":
        return Decimal(0)
    if text.startswith("-"):
        raise ValueError("is negative; write a share such as 10%")
    if _NUMBER.fullmatch(text):
        raise ValueError("has no percent sign; write 10%")
    if not (match := _SHARE.fullmatch(text)):
        raise ValueError("is not a share; write a number and a percent sign, as in 10%")
    return Decimal(match[1]) / 100


def duration_text(duration: timedelta) -> str:
    """A duration as `parse_duration` reads it, in the largest unit that it is a whole number of."""
    if not duration:
        return "0"
    for unit in "dhm":
        if not duration % timedelta(seconds=_SECONDS[unit]):
            return f"{duration // timedelta(seconds=_SECONDS[unit])}{unit}"
    return f"{duration.total_seconds():f}".rstrip("0").rstrip(".") + "s"
