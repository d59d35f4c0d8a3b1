"""Types of single values and of lists, as people write them: `5m`, `10%`, `yes`, `"0 9 * * 1"`.

A program may give the values themselves. An error says what is wrong and how to fix it, and never
repeats the value. Calendars are left to `zoneinfo` and `cronsim`.
"""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationInfo,
    model_validator,
)

from watcher.catalog.changes import Kind
from watcher.config.durations import parse_duration, parse_share
from watcher.config.errors import suggest

if TYPE_CHECKING:
    from collections.abc import Callable


Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)

LONGEST_NAME = 60
LONGEST_SCHEDULE = 100
CRON_FIELDS = 5

# A leap year with every date in it, so that no real schedule looks like one that never occurs.
_LEAP_YEAR = datetime(2024, 1, 1, tzinfo=UTC)

_WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_PERCENT = re.compile(r"(-?[0-9]{1,3}(?:\.[0-9]{1,9})?)%?")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_YES_AND_NO = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

_EMPTY = "is empty; give it a value or remove the line"


@dataclass(frozen=True, slots=True)
class FromFile:
    """The validation context of values from a file, in which these receivers may be named.

    In a file a key without a value is a mistake; from a program, which gives no context, `None`
    means that nothing is set. Without `receivers` any may be named.
    """

    receivers: tuple[str, ...] | None = None


class Section(BaseModel):
    """Keys with values; an unknown key is an error, and no error shows the input."""

    # Some keys are keywords of Python: `from` and `continue` are `from_` and `continue_` here.
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, populate_by_name=True
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_if_empty(cls, given: Any) -> Any:
        # All its keys may be commented out.
        return {} if given is None else given


def read_by(parse: Callable[[str], object]) -> BeforeValidator:
    """Texts go through `parse`, typed values pass; refuses what is empty, a list or a mapping."""

    def read(value: object, info: ValidationInfo) -> object:
        if value == "" or (value is None and is_from_file(info)):
            raise ValueError(_EMPTY)
        if isinstance(value, list | dict):
            raise ValueError("is not a single value; write the value after the key")  # noqa: TRY004
        return parse(value.strip()) if isinstance(value, str) else value

    return BeforeValidator(read)


def one_of(what: str, choices: tuple[str, ...]) -> BeforeValidator:
    def choose(text: str) -> str:
        if text in choices:
            return text
        near, listed = suggest(text, choices), ", ".join(choices)
        if near is None:
            raise ValueError(f"is not a {what}; write one of {listed}")
        raise ValueError(f"is not a {what}; did you mean {near}? (one of {listed})")

    return read_by(choose)


def between(low: int, high: int) -> AfterValidator:
    def check(number: int) -> int:
        if not low <= number <= high:
            raise ValueError(f"is out of range; write a number from {low} to {high}")
        return number

    return AfterValidator(check)


def share_between(low: int, high: int) -> AfterValidator:
    def check(share: Decimal) -> Decimal:
        if not low <= share * 100 <= high:
            raise ValueError(f"is out of range; write a share from {low}% to {high}%")
        return share

    return AfterValidator(check)


def above(low: int, example: str) -> AfterValidator:
    def check(number: Decimal) -> Decimal:
        if not number > low:
            raise ValueError(
                f"is out of range; write a number greater than {low}, such as {example}"
            )
        return number

    return AfterValidator(check)


def non_empty_list(one: str, example: str, empty: str) -> BeforeValidator:
    """A list with at least one item; `one` is what an item is called."""

    def check(value: object, info: ValidationInfo) -> object:
        if value in ([], (), "") or (value is None and is_from_file(info)):
            raise ValueError(f"is empty, {empty}")
        if isinstance(value, str | dict):
            raise ValueError(f"is not a list; write [{example}] or one {one} a line after - ")  # noqa: TRY004
        return value

    return BeforeValidator(check)


def list_of_sections(one: str, first: str) -> BeforeValidator:
    """A list whose items may all be commented out; each starts with the key `first`."""

    def check(value: object) -> object:
        if value is None:
            return ()
        if isinstance(value, str | dict):
            raise ValueError(f"is not a list; write each {one} as - {first}: with its keys beneath")  # noqa: TRY004
        return value

    return BeforeValidator(check)


def is_from_file(info: ValidationInfo) -> bool:
    return isinstance(info.context, FromFile)


def _refuse_empty(value: object, info: ValidationInfo) -> object:
    if value is None and is_from_file(info):
        raise ValueError(_EMPTY)
    return value


def _parse_whole_number(text: str) -> int:
    if not _WHOLE_NUMBER.fullmatch(text):
        raise ValueError("is not a whole number; write digits only, as in 3")
    return int(text)


def _parse_number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise ValueError("is not a number; write one such as 5 or 2.5")
    return Decimal(text)


def _parse_percent(text: str) -> Decimal:
    if not (match := _PERCENT.fullmatch(text)):
        raise ValueError("is not a percentage; write one such as 0, 30 or -10")
    return Decimal(match[1])


def _parse_yes_or_no(text: str) -> bool:
    if (answer := _YES_AND_NO.get(text.lower())) is None:
        raise ValueError("is neither true nor false; write one of the two")
    return answer


def parse_path(text: str) -> Path:
    if not text.isprintable():
        raise ValueError("has a character that no path should have; write a plain path")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("names an unknown home directory; write the full path") from None


def _parse_name(text: str) -> str:
    if not text or not text.isprintable() or len(text) > LONGEST_NAME:
        raise ValueError(f"is not a name; write one line of at most {LONGEST_NAME} characters")
    return text


def _parse_retention(text: str) -> timedelta | None:
    return None if text == "forever" else _require_positive(parse_duration(text))


def _require_positive(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise ValueError("is zero; write a longer duration, such as 30s")
    return duration


def _refuse_negative(duration: timedelta) -> timedelta:
    if duration < timedelta(0):
        raise ValueError("is negative; write 0 or a duration such as 10m")
    return duration


def _parse_time(text: str) -> time:
    if not (match := _TIME.fullmatch(text)):
        raise ValueError('is not a time of day; write "HH:MM", from "00:00" to "23:59"')
    return time(int(match[1]), int(match[2]))


def _parse_zone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text[:LONGEST_SCHEDULE])
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = _nearest_zone(text)
        fix = f"did you mean {near}?" if near else "write one such as Europe/Berlin or UTC"
        raise ValueError(f"is not a time zone; {fix}") from None
    return text


def _nearest_zone(text: str) -> str | None:
    known = sorted(zoneinfo.available_timezones())
    # People write a city alone, or in another letter case; whole names come first.
    spelled = {name.rpartition("/")[2].casefold(): name for name in known}
    spelled |= {name.casefold(): name for name in known}
    near = suggest(text, tuple(spelled))
    return None if near is None else spelled[near]


def _parse_cron(text: str) -> str:
    if len(text) > LONGEST_SCHEDULE or len(text.split()) != CRON_FIELDS:
        raise ValueError(
            'is not a schedule; write minute, hour, day, month, weekday, as in "0 9 * * 1"'
        )
    try:
        first = next(CronSim(text, _LEAP_YEAR), None)
    except CronSimError as error:
        # The library names the field, never what stands in it.
        field = str(error).removeprefix("Bad ")
        raise ValueError(f'has an impossible {field}; write a schedule as in "0 9 * * 1"') from None
    if first is None:
        raise ValueError('never occurs; write a schedule as in "0 9 * * 1"')
    return text


# For a value that may be left out, but not left empty.
NOT_EMPTY = BeforeValidator(_refuse_empty)

Duration = Annotated[timedelta, read_by(parse_duration), AfterValidator(_require_positive)]
DurationOrZero = Annotated[timedelta, read_by(parse_duration), AfterValidator(_refuse_negative)]
# How long something is kept; `None` is for ever.
DurationOrForever = Annotated[timedelta | None, read_by(_parse_retention)]
WholeNumber = Annotated[int, read_by(_parse_whole_number)]
Number = Annotated[Decimal, read_by(_parse_number)]
PositiveNumber = Annotated[Number, above(0, "0.01")]
Share = Annotated[Decimal, read_by(parse_share)]
# In percent, as discounts are listed: 30 is 30 %.
Percent = Annotated[Decimal, read_by(_parse_percent)]
OnOff = Annotated[bool, read_by(_parse_yes_or_no)]
PlainPath = Annotated[Path, read_by(parse_path)]
Name = Annotated[str, read_by(_parse_name)]
AnyKind = Annotated[Kind, one_of("kind of change", tuple(Kind))]
TimeOfDay = Annotated[time, read_by(_parse_time)]
TimeZone = Annotated[str, read_by(_parse_zone)]
Schedule = Annotated[str, read_by(_parse_cron)]
AnyDay = Annotated[Day, one_of("day", DAYS)]
