"""The settings of routing, typed: routes and their matches, quiet hours, usage, flapping.

Each is checked by itself; whether its receivers exist, and what other routes leave over, is checked
in `config.validation`. A regular expression is tried on texts made to let it backtrack: one that
does so for ever would stop the watcher at the first description of that kind.
"""

from __future__ import annotations

import re
from datetime import time, timedelta
from fnmatch import fnmatchcase
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from watcher.catalog.changes import (
    DISCOUNT_KINDS,
    PRICE_KINDS,
    REFERENCE_KINDS,
    SHORT_KINDS,
    Kind,
)
from watcher.catalog.record import fold
from watcher.config.durations import parse_share
from watcher.config.field_types import (
    DAYS,
    NOT_EMPTY,
    AnyDay,
    DurationOrZero,
    Name,
    OnOff,
    Percent,
    PositiveNumber,
    ReceiverNames,
    Schedule,
    Section,
    Share,
    TimeOfDay,
    WholeNumber,
    above,
    between,
    is_empty,
    must,
    non_empty_list,
    one_of,
    read_by,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from decimal import Decimal

HIGHEST_DISCOUNT = 100

# The kinds that are a number going up or down, and so can cross a mark.
_CROSSING = PRICE_KINDS | DISCOUNT_KINDS | REFERENCE_KINDS

EXCLUDE = "!"
EXPRESSION = "re:"
LONGEST_PATTERN = 200
# Four times the longest description there is: enough to tell for ever from a while, and no more,
# because every command that reads the configuration waits for this trial.
TRIAL_LENGTH = 400
# In seconds of CPU time: thousands of descriptions are matched at a time.
LONGEST_TRIAL = 0.05
MOST_LITERALS = 12

_LITERAL = re.compile(r"[^\\.*+?|()\[\]{}^$]+")
# Samples of what expressions match with character classes: words, numbers, separators.
_FILLERS = ("a", "0", " ", "-", ",", "a ", "a0", "a,", "a-b ", "!")
_SAMPLE = "bytedance/seedance-2-5, text-to-video, 1080p-10.0s no video "


def parse_pattern(text: str) -> str:
    """The pattern, unchanged. Raises `ValueError` with what is wrong and how to fix it."""
    # Routing imports a library for regular expressions; those without patterns do not wait for it.
    from watcher.routing.match import Pattern, PatternError  # noqa: PLC0415

    if len(text) > LONGEST_PATTERN or not text.isprintable():
        what = f"is not a pattern; write one line of at most {LONGEST_PATTERN} characters"
        raise ValueError(what)
    try:
        Pattern(text)
    except PatternError as error:
        raise ValueError(f"{error}; fix it or remove it") from None
    bare = text.removeprefix(EXCLUDE).strip()
    if bare.startswith(EXPRESSION):
        _refuse_backtracking(bare.removeprefix(EXPRESSION))
    return text


def _parse_including(text: str) -> str:
    if text.startswith(EXCLUDE):
        raise ValueError("excludes, and there is nothing to exclude from; remove the !")
    return parse_pattern(text)


def _refuse_backtracking(expression: str) -> None:
    import regex  # noqa: PLC0415 - as above

    compiled = regex.compile(expression, regex.IGNORECASE)
    try:
        for text in _hostile_texts(expression):
            compiled.search(text, timeout=LONGEST_TRIAL)
    except TimeoutError:
        what = "backtracks for ever on some texts; write it without repeats within repeats"
        raise ValueError(what) from None
    except (MemoryError, RecursionError):
        raise ValueError("needs too much memory on some texts; write a simpler one") from None


def _hostile_texts(expression: str) -> Iterator[str]:
    """Long texts that almost match: something repeated, and then something that does not match.

    Before and after it is what the expression requires, so that it does not give up at once.
    """
    literals = _LITERAL.findall(expression)[:MOST_LITERALS]
    required, backwards = "".join(literals), "".join(reversed(literals))
    letters = list(dict.fromkeys(required))[:MOST_LITERALS]
    repeated = dict.fromkeys((*literals, required, *letters, *_FILLERS, _SAMPLE))
    starts = dict.fromkeys(("", required, *("".join(literals[:n]) for n in range(len(literals)))))
    ends = dict.fromkeys(("", "!", f"!{backwards}!"))
    for start, filler, end in product(starts, filter(None, repeated), ends):
        yield start + (filler * TRIAL_LENGTH)[:TRIAL_LENGTH] + end


# A pattern in a list, which may exclude.
AnyPattern = Annotated[str, read_by(parse_pattern)]
# A pattern that stands alone.
OnePattern = Annotated[str, read_by(_parse_including)]
Patterns = Annotated[
    tuple[AnyPattern, ...],
    non_empty_list(
        "pattern", '"*seedance*", "!*480p*"', "so nothing could match; remove the key for all"
    ),
]
KindWord = Annotated[str, one_of("kind of change", (*SHORT_KINDS, *Kind))]
LeastShare = Annotated[Share, above(0, "5%")]
Discount = Annotated[
    Percent,
    must(
        lambda percent: percent < HIGHEST_DISCOUNT,
        "matches nothing: no discount is 100 or more; write less",
    ),
]


class MinChangeSettings(Section):
    """The least move of a price that counts; a direction left out has no threshold."""

    up: Annotated[LeastShare | None, NOT_EMPTY] = None
    """The least rise, as a share of the price before."""
    down: Annotated[
        LeastShare | None,
        NOT_EMPTY,
        must(
            lambda share: share is None or share <= 1,
            "matches nothing: no price falls by more than 100%; write less",
        ),
    ] = None
    """The least fall, as a share of the price before; at most 100%."""


def _for_both_directions(value: Any, info: ValidationInfo) -> Any:
    if value == {} or is_empty(value, info):
        raise ValueError("is empty; write 5%, or {up: 2%, down: 10%}")
    if isinstance(value, list):
        raise ValueError("is a list; write 5%, or {up: 2%, down: 10%}")  # noqa: TRY004
    if not isinstance(value, str):
        return value
    if not (share := parse_share(value.strip())):
        raise ValueError("is zero; write a share such as 5%, or remove the key")
    return MinChangeSettings.model_construct(up=share, down=share)


def _refuse_matching_all(value: Any, info: ValidationInfo) -> Any:
    if value == {} or is_empty(value, info):
        raise ValueError("is empty, so everything would be urgent; name what is, or remove it")
    return value


class MatchSettings(Section):
    """What a route takes, or what is urgent: all conditions must hold; without any, everything."""

    kinds: Annotated[
        tuple[KindWord, ...] | None,
        non_empty_list("kind", "price, removed", "so nothing could match; name at least one kind"),
    ] = None
    """Kinds of change, instead of `announce`; price, discount, promotion and reference stand for
    both directions."""
    interface: Patterns = ()
    """Patterns for what a model makes, such as video, of which one must match: `*` is anything,
    `re:…` a regular expression, `!…` excludes."""
    provider: Patterns = ()
    """Patterns for who makes the model."""
    model: Patterns = ()
    """Patterns for the model's whole name."""
    family: Patterns = ()
    """Patterns for what a model's name starts with, up to its first comma."""
    min_change: Annotated[MinChangeSettings | None, BeforeValidator(_for_both_directions)] = None
    """By how much a price must move since this route last sent it, in however many steps."""
    min_change_usd: Annotated[PositiveNumber | None, NOT_EMPTY] = None
    """The same in USD for the listed unit."""
    usd_below: Annotated[PositiveNumber | None, NOT_EMPTY] = None
    """A mark in USD for the listed unit, and a message once when the price falls to or below it."""
    usd_above: Annotated[PositiveNumber | None, NOT_EMPTY] = None
    """A mark in USD for the listed unit, and a message once when the price rises to or above it."""
    discount_below: Annotated[Discount | None, NOT_EMPTY] = None
    """A mark in percent below the reference, for a discount that shrinks; 0: no longer cheaper."""
    discount_above: Annotated[Discount | None, NOT_EMPTY] = None
    """The same for a discount that grows."""

    @property
    def all_kinds(self) -> frozenset[Kind] | None:
        """The kinds named, with short names resolved; `None` where none is named."""
        return None if self.kinds is None else _resolve(self.kinds)

    @field_validator("interface", "provider", "model", "family")
    @classmethod
    def _refuse_excluded(cls, patterns: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if _all_excluded(patterns):
            raise ValueError("excludes all that it includes, so nothing could match; remove a !")
        includes = any(not text.startswith(EXCLUDE) for text in patterns)
        if includes and set(info.data.get("kinds") or ()) == {Kind.CREDIT_VALUE}:
            raise ValueError("matches nothing: credit_value concerns no model; remove the key")
        return patterns

    @field_validator("usd_below", "usd_above", "discount_below", "discount_above")
    @classmethod
    def _must_cross(cls, mark: Decimal | None, info: ValidationInfo) -> Decimal | None:
        kinds = info.data.get("kinds")
        if kinds is not None and _CROSSING.isdisjoint(_resolve(kinds)):
            raise ValueError(
                "matches nothing: none of these kinds crosses a mark; add price or discount"
            )
        return mark


def _resolve(words: Iterable[str]) -> frozenset[Kind]:
    return frozenset().union(*(SHORT_KINDS.get(word) or {Kind(word)} for word in words))


def _all_excluded(patterns: tuple[str, ...]) -> bool:
    """Whether no text can pass; regular expressions are only compared as texts."""
    folded = [(text.startswith(EXCLUDE), fold(text.removeprefix(EXCLUDE))) for text in patterns]
    excluded = [text for excludes, text in folded if excludes]
    included = [text for excludes, text in folded if not excludes] or ["*"]
    return all(any(_covers(wide, narrow) for wide in excluded) for narrow in included)


def _covers(wide: str, narrow: str) -> bool:
    """Whether `wide` certainly matches all that `narrow` matches.

    A `*` in `narrow` can only be met by a `*` in `wide`; a `?` or `[` in `wide` could be fooled.
    """
    if wide == narrow:
        return True
    if wide.startswith(EXPRESSION) or narrow.startswith(EXPRESSION):
        return wide == "*"
    return not set(wide) & set("?[") and fnmatchcase(narrow, wide)


class RouteSettings(Section):
    """Which changes go to whom, and when."""

    name: Name
    """A name of your choice, as `routes test` shows it."""
    match: MatchSettings = MatchSettings()
    """What it takes; a condition that is left out holds for everything."""
    receivers: ReceiverNames
    """Who gets the changes: names of receivers, or terminal where there is none."""
    continue_: Annotated[OnOff, Field(alias="continue")] = False
    """Whether later routes get a change that this one took, too."""
    digest: Annotated[Schedule | None, NOT_EMPTY] = None
    """When changes are sent, collected as their net effect: minute, hour, day, month, weekday."""
    empty: OnOff = False
    """Whether a digest is sent when nothing happened."""

    @field_validator("empty")
    @classmethod
    def _must_have_digest(cls, empty: bool, info: ValidationInfo) -> bool:
        if empty and "digest" in info.data and info.data["digest"] is None:
            raise ValueError("is for a digest, and this route has none; add digest: or remove it")
        return empty


class QuietHoursSettings(Section):
    """A time of day in which only what is urgent is sent."""

    name: Name
    """A name of your choice, as messages show it."""
    from_: Annotated[TimeOfDay, Field(alias="from")]
    """When it starts, as in "22:00"."""
    to: TimeOfDay
    """When it ends; on the next day if that is earlier than `from`."""
    days: Annotated[
        tuple[AnyDay, ...],
        non_empty_list("day", "mon, tue", "so it would never apply; name at least one day"),
    ] = DAYS
    """The days on which it starts; every day unless set."""
    receivers: Annotated[ReceiverNames | None, NOT_EMPTY] = None
    """For whom: names of receivers; for all of them unless set."""
    urgent: Annotated[MatchSettings | None, BeforeValidator(_refuse_matching_all)] = None
    """What is sent all the same, written like the `match` of a route."""

    @field_validator("to")
    @classmethod
    def _must_last(cls, to: time, info: ValidationInfo) -> time:
        if to == info.data.get("from_"):
            raise ValueError("is the same as from, so it would never be quiet; write another time")
        return to


class UsageSettings(Section):
    """How much of a model is used."""

    model: OnePattern
    """A pattern for the model's whole name."""
    per_month: PositiveNumber
    """How many base units of it in a month: seconds, images, whatever it is sold by."""


class FlapSettings(Section):
    """When something goes back and forth: it is sent once as such, and when it stood still."""

    changes: Annotated[WholeNumber, between(1, 50)] = 4
    """What returns so often to what it was, a price or anything else …"""
    within: DurationOrZero = timedelta(hours=24)
    """… in this time is sent once as going back and forth, and again when it stood still for as
    long. 0 turns it off."""
