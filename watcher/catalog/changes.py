"""What can happen to a model, as values: kinds, changes, notices, and their public JSON shape.

These are the values that `diff` finds, `confirm` confirms or holds, `routing` sends to receivers,
`store` keeps and `render` puts into words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from watcher.catalog.pricing import decimal_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from decimal import Decimal

    from watcher.catalog.record import Model


class Kind(StrEnum):
    """What a change is. One change of a model may be of several kinds."""

    NEW = "new"
    REMOVED = "removed"
    RETURNED = "returned"
    RENAMED = "renamed"
    PRICE_UP = "price_up"
    PRICE_DOWN = "price_down"
    UNIT = "unit"
    DISCOUNT_UP = "discount_up"
    DISCOUNT_DOWN = "discount_down"
    PROMOTION_STARTED = "promotion_started"
    PROMOTION_ENDED = "promotion_ended"
    REFERENCE_UP = "reference_up"
    REFERENCE_DOWN = "reference_down"
    CORRECTED = "corrected"
    RELABELLED = "relabelled"
    CREDIT_VALUE = "credit_value"


# Together they move one value, to and fro.
PRESENCE_KINDS = frozenset({Kind.NEW, Kind.REMOVED, Kind.RETURNED})
PRICE_KINDS = frozenset({Kind.PRICE_UP, Kind.PRICE_DOWN})
DISCOUNT_KINDS = frozenset({Kind.DISCOUNT_UP, Kind.DISCOUNT_DOWN})
PROMOTION_KINDS = frozenset({Kind.PROMOTION_STARTED, Kind.PROMOTION_ENDED})
REFERENCE_KINDS = frozenset({Kind.REFERENCE_UP, Kind.REFERENCE_DOWN})
# Corrections of the listing and prices of others are kept, and sent only to those who ask for them.
_NOT_ANNOUNCED = REFERENCE_KINDS | {Kind.CORRECTED, Kind.RELABELLED}
ANNOUNCED_BY_DEFAULT: frozenset[Kind] = frozenset(Kind) - _NOT_ANNOUNCED

# What people say for both directions.
SHORT_KINDS = {
    "price": PRICE_KINDS,
    "discount": DISCOUNT_KINDS,
    "promotion": PROMOTION_KINDS,
    "reference": REFERENCE_KINDS,
}


def in_kind_order(kinds: Collection[Kind]) -> tuple[Kind, ...]:
    """Kinds in the order in which the enumeration lists them."""
    return tuple(kind for kind in Kind if kind in kinds)


class Cause(StrEnum):
    """What moved a discount: Kie's price, the reference price, or only the listed rate."""

    PRICE = "price"
    REFERENCE = "reference"
    LISTING = "listing"


@dataclass(frozen=True, slots=True)
class ModelChange:
    """Everything that one sweep shows to be different about one model.

    `before` is `None` for `new`; `after` is `None` for `removed`; for `returned`, `before` is the
    model as it was last seen. `model_id` is the store's number of the model, `None` for `new`.
    `causes` says what moved the discount, for the discount kinds only. `first_seen_at` is the time
    of the sweep that first showed a change that had to be confirmed; `None` where one sweep was
    enough.
    """

    kinds: tuple[Kind, ...]
    before: Model | None
    after: Model | None
    causes: Mapping[Kind, Cause] = field(default_factory=dict)
    model_id: int | None = None
    first_seen_at: datetime | None = None

    @property
    def model(self) -> Model:
        """The model as it is now, or as it was last."""
        known = self.after or self.before
        assert known is not None, "a change has a before or an after"  # noqa: S101
        return known


@dataclass(frozen=True, slots=True)
class CreditValueChange:
    """What a credit is worth in USD changed, for the whole catalogue."""

    before: Decimal
    after: Decimal
    # What that costs a month at the declared usage, once it is worded.
    monthly_cost_usd: Decimal | None = field(default=None, compare=False)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Always `credit_value`; here so that every change has kinds."""
        return (Kind.CREDIT_VALUE,)


Change = ModelChange | CreditValueChange


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """A change as the store keeps it: with its number and the time of the sweep that showed it."""

    id: int
    at: datetime
    change: Change


class NoticeKind(StrEnum):
    """What the watcher reports besides changes: about the whole catalogue, and about itself."""

    BASELINE = "baseline"
    COLLAPSE = "collapse"
    REDENOMINATED = "redenominated"
    RECOVERED = "recovered"
    SAMPLE = "sample"
    # About the watcher itself, for operators only.
    ALARM = "alarm"
    ALARM_OVER = "alarm_over"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is sent once and is not a change of a model.

    `detail` by kind: baseline `{"models": 574, "categories": {"video": 323, …}}`; collapse
    `{"missing": 410, "models": 574, "until": "2026-11-22T13:30:00Z"}`, or of a flood `{"what":
    "promotion", "count": 410, …}` in place of `missing`; redenominated
    `{"factor": "10", "before": "0.005", "after": "0.0005"}`, in USD a credit; recovered
    `{"models": 574}`; sample `{}`; alarm and alarm_over `{"alarm": "receiver", "about": "team",
    "since": "2026-11-22T13:30:00Z", "why": "the service failed (503)", "count": 0}`, where `about`
    is the receiver it is about, otherwise `None`, and `count` is as in `monitor.alarms.Alarm`.
    """

    kind: NoticeKind
    at: datetime
    detail: Mapping[str, Any]


def change_percent(change: ModelChange) -> Decimal | None:
    """How far the price per base unit moved, in percent; `None` where it did not, or from zero."""
    if change.before is None or change.after is None or Kind.UNIT in change.kinds:
        return None
    if PRICE_KINDS.isdisjoint(change.kinds):
        return None
    before, after = change.before.price, change.after.price
    if not before or after is None:
        return None
    return (after / before - 1) * 100


def utc_text(at: datetime) -> str:
    """A time as programs read it, wherever JSON is printed: `2026-11-22T07:30:00Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def public_fields(recorded: RecordedChange) -> dict[str, Any]:
    """One change as `changes --json` prints it: stable names, money as strings, times in UTC.

    What has no meaning for a change is null, not missing, so that all kinds have the same fields.
    """
    change = recorded.change
    common: dict[str, Any] = {
        "id": recorded.id,
        "at": utc_text(recorded.at),
        "kinds": [kind.value for kind in change.kinds],
    }
    if isinstance(change, CreditValueChange):
        return common | {
            **dict.fromkeys(("model", "interface", "provider", "change_percent")),
            "causes": {},
            "before": None,
            "after": None,
            "usd_per_credit_before": decimal_text(change.before),
            "usd_per_credit_after": decimal_text(change.after),
        }
    percent = change_percent(change)
    return common | {
        "model": change.model.record.description,
        "interface": change.model.record.interface,
        "provider": change.model.record.provider,
        "change_percent": None if percent is None else f"{percent:.2f}",
        "causes": {kind.value: cause.value for kind, cause in change.causes.items()},
        "before": None if change.before is None else change.before.fields(),
        "after": None if change.after is None else change.after.fields(),
    }
