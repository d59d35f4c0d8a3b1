"""Types of single values and of lists, as people write them: `5m`, `10%`, `yes`, `"0 9 * * 1"`.

A program may give the values themselves. An error says what is wrong and how to fix it, and never
repeats the value. Calendars are left to `zoneinfo` and `cronsim`.
"""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass, field
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
from watcher.config.errors import key_text, suggest

if TYPE_CHECKING:
    from collections.abc import Callable


Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)

# The built-in receiver that prints alerts, where no other is configured; the state has its messages
# and deliveries under this name.
TERMINAL_RECEIVER = "terminal"
LONGEST_NAME = 60
MOST_NAMED = 10
LONGEST_SCHEDULE = 100
CRON_FIELDS = 5

# A leap year with every date in it, so that no real schedule looks like one that never occurs.
_LEAP_YEAR = datetime(2024, 1, 1, tzinfo=UTC)
_RECEIVER_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_YES_AND_NO = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


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
        if isinstance(value, list | dict):
            raise ValueError("is not a single value; write the value after the key")  # noqa: TRY004
        _refuse_empty(value, info)
        return parse(value.strip()) if isinstance(value, str) else value

    return BeforeValidator(read)


def matching(pattern: str, convert: Callable[[str], object], what: str) -> BeforeValidator:
    """Texts of this pattern, of which `convert` gets the first group; `what` is said of others."""

    def parse(text: str) -> object:
        if not (match := re.fullmatch(pattern, text)):
            raise ValueError(what)
        return convert(match[1])

    return read_by(parse)


def one_of(what: str, choices: tuple[str, ...]) -> BeforeValidator:
    def choose(text: str) -> str:
        if text in choices:
            return text
        near, listed = suggest(text, choices), ", ".join(choices)
        if near is None:
            raise ValueError(f"is not a {what}; write one of {listed}")
        raise ValueError(f"is not a {what}; did you mean {near}? (one of {listed})")

    return read_by(choose)


def must(be_good: Callable[[Any], bool], what: str) -> AfterValidator:
    """A value must be good; `what` is said of others."""

    def check(value: object) -> object:
        if not be_good(value):
            raise ValueError(what)
        return value

    return AfterValidator(check)


def between(low: int, high: int) -> AfterValidator:
    what = f"is out of range; write a number from {low} to {high}"
    return must(lambda number: low <= number <= high, what)


def share_between(low: int, high: int) -> AfterValidator:
    what = f"is out of range; write a share from {low}% to {high}%"
    return must(lambda share: low <= share * 100 <= high, what)


def above(low: int, example: str) -> AfterValidator:
    what = f"is out of range; write a number greater than {low}, such as {example}"
    return must(lambda number: number > low, what)


def non_empty_list(one: str, example: str, empty: str) -> BeforeValidator:
    """A list with at least one item; `one` is what an item is called."""

    def check(value: object, info: ValidationInfo) -> object:
        if value in ([], ()) or is_empty(value, info):
            raise ValueError(f"is empty, {empty}")
        if isinstance(value, str | dict):
            raise ValueError(f"is not a list; write [{example}] or one {one} a line after - ")  # noqa: TRY004
        return value

    return BeforeValidator(check)


def list_of_sections(one: str, first: str) -> BeforeValidator:
    """A list whose items may all be commented out; each starts with the key `first`."""

    def check(value: object) -> object:
        if isinstance(value, str | dict):
            raise ValueError(f"is not a list; write each {one} as - {first}: with its keys beneath")  # noqa: TRY004
        return () if value is None else value

    return BeforeValidator(check)


def _refuse_empty(value: object, info: ValidationInfo) -> object:
    if is_empty(value, info):
        raise ValueError("is empty; give it a value or remove the line")
    return value


def is_empty(value: object, info: ValidationInfo) -> bool:
    """Whether a key has no value. From a program `None` means that nothing is set."""
    return value == "" or (value is None and isinstance(info.context, FromFile))


def parse_path(text: str) -> Path:
    if not text.isprintable():
        raise ValueError("has a character that no path should have; write a plain path")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("names an unknown home directory; write the full path") from None


def _parse_yes_or_no(text: str) -> bool:
    if (answer := _YES_AND_NO.get(text.lower())) is None:
        raise ValueError("is neither true nor false; write one of the two")
    return answer


def _parse_name(text: str) -> str:
    if not text or not text.isprintable() or len(text) > LONGEST_NAME:
        raise ValueError(f"is not a name; write one line of at most {LONGEST_NAME} characters")
    return text


def _parse_zone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text[:LONGEST_SCHEDULE])
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        # People write a city alone, or in another letter case; whole names come first.
        known = sorted(zoneinfo.available_timezones())
        spelled = {name.rpartition("/")[2].casefold(): name for name in known}
        spelled |= {name.casefold(): name for name in known}
        near = suggest(text, tuple(spelled))
        fix = f"did you mean {spelled[near]}?" if near else "write one such as Europe/Berlin or UTC"
        raise ValueError(f"is not a time zone; {fix}") from None
    return text


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

_POSITIVE = must(
    lambda it: it is None or it > timedelta(0), "is zero; write a longer duration, such as 30s"
)

Duration = Annotated[timedelta, read_by(parse_duration), _POSITIVE]
DurationOrZero = Annotated[
    timedelta,
    read_by(parse_duration),
    must(lambda it: it >= timedelta(0), "is negative; write 0 or a duration such as 10m"),
]
# How long something is kept; `None` is for ever.
DurationOrForever = Annotated[
    timedelta | None,
    read_by(lambda text: None if text == "forever" else parse_duration(text)),
    _POSITIVE,
]
WholeNumber = Annotated[
    int, matching("([0-9]{1,9})", int, "is not a whole number; write digits only, as in 3")
]
Number = Annotated[
    Decimal,
    matching(
        r"([0-9]{1,9}(?:\.[0-9]{1,9})?)", Decimal, "is not a number; write one such as 5 or 2.5"
    ),
]
PositiveNumber = Annotated[Number, above(0, "0.01")]
Share = Annotated[Decimal, read_by(parse_share)]
# In percent, as discounts are listed: 30 is 30 %.
Percent = Annotated[
    Decimal,
    matching(
        r"(-?[0-9]{1,3}(?:\.[0-9]{1,9})?)%?",
        Decimal,
        "is not a percentage; write one such as 0, 30 or -10",
    ),
]
OnOff = Annotated[bool, read_by(_parse_yes_or_no)]
PlainPath = Annotated[Path, read_by(parse_path)]
Name = Annotated[str, read_by(_parse_name)]
AnyKind = Annotated[Kind, one_of("kind of change", tuple(Kind))]
TimeOfDay = Annotated[
    time,
    matching(
        "((?:[01][0-9]|2[0-3]):[0-5][0-9])",
        time.fromisoformat,
        'is not a time of day; write "HH:MM", from "00:00" to "23:59"',
    ),
]
TimeZone = Annotated[str, read_by(_parse_zone)]
Schedule = Annotated[str, read_by(_parse_cron)]
AnyDay = Annotated[Day, one_of("day", DAYS)]


@dataclass(frozen=True, slots=True)
class FromFile:
    """The validation context of a file: the receivers that it may name; any, if that is `None`.

    `files` has what was read from files that it names: none is read twice, it may be a pipe.
    """

    receivers: tuple[str, ...] | None = None
    files: dict[Path, bytes] = field(default_factory=dict)


class UnknownReceiverError(ValueError):
    """A name, otherwise a good one, is of no receiver."""


def _must_exist(name: str, info: ValidationInfo) -> str:
    known = info.context.receivers if isinstance(info.context, FromFile) else None
    if known is None or name in known:
        return name
    if name == TERMINAL_RECEIVER:
        raise UnknownReceiverError("is a receiver only while there is no other; name one of those")
    # What is not a name may be a secret in the wrong place; it has an error of its own.
    shown = tuple(each for each in known if key_text((each,)) == each)
    near = suggest(name, shown)
    fix = f"did you mean {near}?" if near else f"write one of {', '.join(shown[:MOST_NAMED])}"
    raise UnknownReceiverError(f"is not a receiver; {fix}")


NewReceiverName = Annotated[
    str,
    must(
        lambda name: name != TERMINAL_RECEIVER,
        "is the name of the built-in receiver; choose another",
    ),
    must(
        _RECEIVER_NAME.fullmatch,
        "is not a name for a receiver; use at most 40 letters, digits, - and _",
    ),
]
ReceiverNames = Annotated[
    tuple[Annotated[Name, AfterValidator(_must_exist)], ...],
    non_empty_list(
        "name", "team, mail", "so nobody would get a message; name at least one receiver"
    ),
    AfterValidator(lambda names: tuple(dict.fromkeys(names))),
]
