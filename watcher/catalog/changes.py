"""What can happen to a model, as values: kinds, changes, notices, and their public JSON shape.

The vocabulary that `diff` speaks, `confirm` judges, `store` keeps and `rendering` words. Refuses
to know how a change is found or told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from watcher.catalog.pricing import decimal_text

if TYPE_CHECKING:
    from collections.abc import Mapping
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
    FAL_UP = "fal_up"
    FAL_DOWN = "fal_down"
    CORRECTED = "corrected"
    RELABELLED = "relabelled"
    CREDIT_VALUE = "credit_value"


# Listing tidied, or Fal's own business: remembered, and told only to those who ask for it.
_QUIET = {Kind.CORRECTED, Kind.RELABELLED, Kind.FAL_UP, Kind.FAL_DOWN}
ANNOUNCED_BY_DEFAULT: frozenset[Kind] = frozenset(Kind) - _QUIET


class Cause(StrEnum):
    """Who moved a discount: Kie's price, the competitor's price, or only the listed rate."""

    PRICE = "price"
    COMPETITOR = "competitor"
    LISTING = "listing"


@dataclass(frozen=True, slots=True)
class ModelChange:
    """All that one sweep shows to be different about one model.

    `before` is `None` for `new`; `after` is `None` for `removed`; for `returned`, `before` is the
    model as it was last seen. `model_id` is the store's number of the model, `None` for `new`.
    `causes` names who moved the discount, for the discount kinds only. `first_seen_at` is the
    sweep that first showed a change that had to be seen again; `None` where one sweep was enough.
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
    """USD per credit moved, for the whole catalogue."""

    before: Decimal
    after: Decimal

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Always `credit_value`; there so that every change can be asked."""
        return (Kind.CREDIT_VALUE,)


Change = ModelChange | CreditValueChange


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """A change as the store keeps it: with its number and the time of the sweep that proved it."""

    id: int
    at: datetime
    change: Change


class NoticeKind(StrEnum):
    """What the watcher has to say beside changes: of the catalogue as a whole, and of itself."""

    BASELINE = "baseline"
    COLLAPSE = "collapse"
    RECOVERED = "recovered"
    SAMPLE = "sample"
    # Of the watch itself, for operators only.
    ALARM = "alarm"
    ALARM_OVER = "alarm_over"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something told once that is not a change of a model.

    `detail` by kind: baseline `{"models": 574, "categories": {"video": 323, …}}`; collapse
    `{"missing": 410, "models": 574, "until": "2026-11-22T13:30:00Z"}`; recovered
    `{"models": 574}`; sample `{}`; alarm and alarm_over `{"alarm": "receiver", "about": "team",
    "since": "2026-11-22T13:30:00Z", "why": "the service failed (503)", "count": 0}`, where `about`
    is the receiver it is about, else `None`, and `count` is as `watcher.alarms.Trouble` says.
    """

    kind: NoticeKind
    at: datetime
    detail: Mapping[str, Any]


def change_percent(change: ModelChange) -> Decimal | None:
    """How far the price per base unit moved, in percent; `None` where it did not."""
    if change.before is None or change.after is None or Kind.UNIT in change.kinds:
        return None
    if not {Kind.PRICE_UP, Kind.PRICE_DOWN} & set(change.kinds):
        return None
    before, after = change.before.price, change.after.price
    if not before or after is None:
        return None
    return (after / before - 1) * 100


def public_fields(recorded: RecordedChange) -> dict[str, Any]:
    """One change as `changes --json` prints it: stable names, money as strings, times in UTC.

    What has no meaning for a change is null, not missing: readers go through all kinds alike.
    """
    change = recorded.change
    common: dict[str, Any] = {
        "id": recorded.id,
        "at": recorded.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
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
