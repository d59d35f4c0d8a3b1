"""Who hears of what and when, typed: routes, quiet hours, usage, flapping.

Knows what each allows by itself. Refuses to know the receivers, the other routes, and how a
change is matched. `from` and `continue` are `from_` and `continue_` here.
"""

from __future__ import annotations

from datetime import time, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from watcher.catalog import fold
from watcher.changes import Kind
from watcher.config.durations import parse_share
from watcher.config.moments import DAYS, AnyDay, Schedule, TimeOfDay
from watcher.config.patterns import EXCLUDES, REGULAR, OnePattern, Patterns
from watcher.config.values import (
    GIVEN,
    SECTION,
    WRITTEN,
    Name,
    Names,
    OnOff,
    Percent,
    PositiveNumber,
    Section,
    Share,
    Waiting,
    Whole,
    a_list,
    above,
    between,
    one_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

__all__ = [
    "FlapSettings",
    "MatchSettings",
    "MinChangeSettings",
    "QuietHoursSettings",
    "RouteSettings",
    "UsageSettings",
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
