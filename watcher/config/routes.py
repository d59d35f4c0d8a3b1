"""Whether a pattern can be used: `glob*`, `re:…`, and `!…` in front of either.

Tries a regular expression on texts made to hurt it, because one that backtracks for ever would
stop the watcher at the first description that hurts it. Refuses to know what a pattern matches.

Who hears of what and when, typed: routes, quiet hours, usage, flapping.

Knows what each allows by itself. Refuses to know the receivers, the other routes, and how a
change is matched. `from` and `continue` are `from_` and `continue_` here.

From settings to the values that routing works with.

Knows both vocabularies. Refuses to decide anything.
"""

from __future__ import annotations

import re
from datetime import time, timedelta
from fnmatch import fnmatchcase
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from watcher.catalog.changes import Kind
from watcher.catalog.record import fold
from watcher.config.durations import parse_share
from watcher.config.values import (
    DAYS,
    GIVEN,
    SECTION,
    WRITTEN,
    AnyDay,
    Name,
    Names,
    OnOff,
    Percent,
    PositiveNumber,
    Schedule,
    Section,
    Share,
    TimeOfDay,
    Waiting,
    Whole,
    a_list,
    above,
    between,
    one_of,
    read_by,
)
from watcher.routing.match import Pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from decimal import Decimal


EXCLUDES = "!"
REGULAR = "re:"
LONGEST = 200
# Four times the longest description there is: enough to tell for ever from a while, and no more,
# because every command that reads the configuration waits for the trial.
TRIAL_LENGTH = 400
# In seconds that this process was at work: thousands of descriptions are matched at a time.
LONGEST_TRIAL = 0.05

_LITERAL = re.compile(r"[^\\.*+?|()\[\]{}^$]+")
MOST_LITERALS = 12
# What words, numbers and their separators are to the classes of an expression.
_STUFF = ("a", "0", " ", "-", ",", "a ", "a0", "a,", "a-b ", "!")
_SAMPLE = "bytedance/seedance-2-5, text-to-video, 1080p-10.0s no video "


def parse_pattern(text: str) -> str:
    """The pattern as it stands. Raises `ValueError` with what is wrong and the mending."""
    # Routing brings a library for expressions; a configuration without patterns does not wait.
    from watcher.routing.match import PatternError  # noqa: PLC0415

    if len(text) > LONGEST or not text.isprintable():
        raise ValueError(f"is no pattern; write one line of at most {LONGEST} characters")
    try:
        Pattern(text)
    except PatternError as error:
        raise ValueError(f"{error}; mend it or remove it") from None
    bare = text.removeprefix(EXCLUDES).strip()
    if bare.startswith(REGULAR):
        _try(bare.removeprefix(REGULAR))
    return text


def _parse_including(text: str) -> str:
    if text.startswith(EXCLUDES):
        raise ValueError("excludes, and there is nothing to exclude from; remove the !")
    return parse_pattern(text)


def _try(expression: str) -> None:
    import regex  # noqa: PLC0415 - as above

    compiled = regex.compile(expression, regex.IGNORECASE)
    try:
        for text in _nasty(expression):
            compiled.search(text, timeout=LONGEST_TRIAL)
    except TimeoutError:
        what = "backtracks for ever on some texts; write it without repeats within repeats"
        raise ValueError(what) from None
    except (MemoryError, RecursionError):
        raise ValueError("needs too much memory on some texts; write a simpler one") from None


def _nasty(expression: str) -> Iterator[str]:
    """Long texts that almost match: something repeated, and then what does not fit.

    Before and after stands what the expression requires, so that it does not give up at once.
    """
    literals = _LITERAL.findall(expression)[:MOST_LITERALS]
    required, backwards = "".join(literals), "".join(reversed(literals))
    letters = list(dict.fromkeys(required))[:MOST_LITERALS]
    repeated = dict.fromkeys((*literals, required, *letters, *_STUFF, _SAMPLE))
    starts = dict.fromkeys(("", required, *("".join(literals[:n]) for n in range(len(literals)))))
    ends = dict.fromkeys(("", "!", f"!{backwards}!"))
    for start, stuff, end in product(starts, filter(None, repeated), ends):
        yield start + (stuff * TRIAL_LENGTH)[:TRIAL_LENGTH] + end


# A pattern that may exclude, among others.
AnyPattern = Annotated[str, read_by(parse_pattern)]
# A pattern that stands alone.
OnePattern = Annotated[str, read_by(_parse_including)]
Patterns = Annotated[
    tuple[AnyPattern, ...],
    a_list("pattern", '"*seedance*", "!*480p*"', "so nothing could match; remove the key for all"),
]


HIGHEST_DISCOUNT = 100

# What people say for both directions.
_SHORT_KINDS = {
    "price": frozenset({Kind.PRICE_UP, Kind.PRICE_DOWN}),
    "discount": frozenset({Kind.DISCOUNT_UP, Kind.DISCOUNT_DOWN}),
    "promotion": frozenset({Kind.PROMOTION_STARTED, Kind.PROMOTION_ENDED}),
    "fal": frozenset({Kind.FAL_UP, Kind.FAL_DOWN}),
}
# The kinds that are a number going up or down, and so past a mark.
_CROSSING = _SHORT_KINDS["price"] | _SHORT_KINDS["discount"] | _SHORT_KINDS["fal"]

KindWord = Annotated[str, one_of("kind of change", (*_SHORT_KINDS, *Kind))]
LeastShare = Annotated[Share, above(0, "5%")]


class MinChangeSettings(Section):
    """The least move of a price, as shares; a direction without one has no threshold."""

    up: Annotated[LeastShare | None, GIVEN] = None
    down: Annotated[LeastShare | None, GIVEN] = None

    @field_validator("down")
    @classmethod
    def _can_happen(cls, share: Decimal | None) -> Decimal | None:
        if share is not None and share > 1:
            raise ValueError("matches nothing: no price falls by more than 100%; write less")
        return share


def _one_share_for_both(value: Any, info: ValidationInfo) -> Any:
    if value in ("", {}) or (value is None and info.context is WRITTEN):
        raise ValueError("is empty; write 5%, or {up: 2%, down: 10%}")
    if isinstance(value, list):
        raise ValueError("is a list; write 5%, or {up: 2%, down: 10%}")  # noqa: TRY004
    if not isinstance(value, str):
        return value
    if not (share := parse_share(value.strip())):
        raise ValueError("is zero; write a share such as 5%, or remove the key")
    return MinChangeSettings.model_construct(up=share, down=share)


def _something(value: Any, info: ValidationInfo) -> Any:
    if value == {} or (value is None and info.context is WRITTEN):
        raise ValueError("is empty, so everything would be urgent; name what is, or remove it")
    return value


class MatchSettings(Section):
    """What a route, or what is urgent, takes: all that is written here; nothing is everything.

    Shares in `min_change`; `min_change_usd` and `usd_…` in USD per listed unit; `discount_…` in
    percent below Fal.
    """

    kinds: Annotated[
        tuple[KindWord, ...] | None,
        a_list("kind", "price, removed", "so nothing could match; name at least one kind"),
    ] = None
    interface: Patterns = ()
    provider: Patterns = ()
    model: Patterns = ()
    family: Patterns = ()
    min_change: Annotated[MinChangeSettings | None, BeforeValidator(_one_share_for_both)] = None
    min_change_usd: Annotated[PositiveNumber | None, GIVEN] = None
    usd_below: Annotated[PositiveNumber | None, GIVEN] = None
    usd_above: Annotated[PositiveNumber | None, GIVEN] = None
    discount_below: Annotated[Percent | None, GIVEN] = None
    discount_above: Annotated[Percent | None, GIVEN] = None

    @property
    def all_kinds(self) -> frozenset[Kind] | None:
        """The kinds named, short names spelt out; `None` where none is named."""
        if self.kinds is None:
            return None
        return _all_meant(self.kinds)

    @field_validator("interface", "provider", "model", "family")
    @classmethod
    def _leave_something(cls, patterns: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if _all_excluded(patterns):
            raise ValueError("excludes all that it includes, so nothing could match; remove a !")
        of_models = any(not text.startswith(EXCLUDES) for text in patterns)
        if of_models and set(info.data.get("kinds") or ()) == {Kind.CREDIT_VALUE}:
            raise ValueError("matches nothing: credit_value is about no model; remove the key")
        return patterns

    @field_validator("usd_below", "usd_above", "discount_below", "discount_above")
    @classmethod
    def _can_cross(cls, mark: Decimal | None, info: ValidationInfo) -> Decimal | None:
        kinds = info.data.get("kinds")
        if kinds is not None and _CROSSING.isdisjoint(_all_meant(kinds)):
            raise ValueError(
                "matches nothing: none of these kinds crosses a mark; add price or discount"
            )
        return mark

    @field_validator("discount_below", "discount_above")
    @classmethod
    def _can_be_reached(cls, discount: Decimal | None) -> Decimal | None:
        if discount is not None and discount >= HIGHEST_DISCOUNT:
            raise ValueError("matches nothing: no discount is 100 or more; write less")
        return discount


def _all_meant(words: Iterable[str]) -> frozenset[Kind]:
    return frozenset().union(*(_SHORT_KINDS.get(word) or {Kind(word)} for word in words))


def _all_excluded(patterns: tuple[str, ...]) -> bool:
    """Whether no text can pass; regular expressions are only compared as they are written."""
    folded = [(text.startswith(EXCLUDES), fold(text.removeprefix(EXCLUDES))) for text in patterns]
    excluded = [text for excludes, text in folded if excludes]
    included = [text for excludes, text in folded if not excludes] or ["*"]
    return all(any(_covers(wide, narrow) for wide in excluded) for narrow in included)


def _covers(wide: str, narrow: str) -> bool:
    """Whether all that `narrow` matches is matched by `wide`, as far as that is plain to see.

    A `*` in `narrow` can only be met by a `*` in `wide`; a `?` or `[` in `wide` could be fooled.
    """
    if wide == narrow:
        return True
    if wide.startswith(REGULAR) or narrow.startswith(REGULAR):
        return wide == "*"
    return not set(wide) & set("?[") and fnmatchcase(narrow, wide)


class RouteSettings(Section):
    """One route. `digest` is a cron expression in the time zone of the settings."""

    name: Name
    match: Annotated[MatchSettings, SECTION] = MatchSettings()
    receivers: Names
    continue_: Annotated[OnOff, Field(alias="continue")] = False
    digest: Annotated[Schedule | None, GIVEN] = None
    empty: OnOff = False

    @field_validator("empty")
    @classmethod
    def _of_a_digest(cls, empty: bool, info: ValidationInfo) -> bool:
        if empty and "digest" in info.data and info.data["digest"] is None:
            raise ValueError("is for a digest, and this route has none; add digest: or remove it")
        return empty


class QuietHoursSettings(Section):
    """A time of day in which nothing but the urgent is sent; `None` receivers are all of them.

    A window that ends before it starts ends on the next day; `days` are those on which it starts.
    """

    name: Name
    from_: Annotated[TimeOfDay, Field(alias="from")]
    to: TimeOfDay
    days: Annotated[
        tuple[AnyDay, ...],
        a_list("day", "mon, tue", "so it would never come; name at least one day"),
    ] = DAYS
    receivers: Annotated[Names | None, GIVEN] = None
    urgent: Annotated[MatchSettings | None, BeforeValidator(_something)] = None

    @field_validator("to")
    @classmethod
    def _some_time_long(cls, to: time, info: ValidationInfo) -> time:
        if to == info.data.get("from_"):
            raise ValueError("is the same as from, so it would never be quiet; write another time")
        return to


class UsageSettings(Section):
    """How much of a model is used: `per_month` base units (seconds, images, …)."""

    model: OnePattern
    per_month: PositiveNumber


class FlapSettings(Section):
    """A price that goes back and forth more than `changes` times within `within` flaps.

    Zero turns that off.
    """

    changes: Annotated[Whole, between(1, 1000)] = 4
    within: Waiting = timedelta(hours=24)
