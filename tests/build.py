"""Builders of rows, records and snapshots with defaults, so that a case shows only what matters."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from watcher.catalog.diff import Differences, diff
from watcher.catalog.matching import match
from watcher.catalog.record import Model, Record, Snapshot, parse_record

USD_PER_CREDIT = Decimal("0.005")


class Known(NamedTuple):
    """A model that the store knows."""

    id: int
    record: Record


def row(description: str = "Reel 2, 1080p", **wire: Any) -> dict[str, Any]:
    """One row as the API sends it, in the API's own field names."""
    return {
        "modelDescription": description,
        "interfaceType": "video",
        "provider": "Acme",
        "creditPrice": "40",
        "creditUnit": "per second",
        "usdPrice": "0.2",
        "falPrice": "0.4",
        "discountRate": 50,
        "anchor": "https://kie.ai/reel-2",
        "discountPrice": False,
    } | wire


def record(description: str = "Reel 2, 1080p", **wire: Any) -> Record:
    return parse_record(row(description, **wire))


def priced(description: str, price: str, **wire: Any) -> Record:
    """A record whose listed USD fits its credits."""
    usd = Decimal(price) * USD_PER_CREDIT
    return record(description, **{"creditPrice": price, "usdPrice": str(usd)} | wire)


def model(description: str = "Reel 2, 1080p", **wire: Any) -> Model:
    return Model(record(description, **wire), USD_PER_CREDIT)


def snapshot(*records: Record, usd_per_credit: Decimal = USD_PER_CREDIT) -> Snapshot:
    return Snapshot(Snapshot.of(records, usd_per_credit).records, usd_per_credit)


def differences(old: Snapshot, new: Snapshot, *, departed: tuple[Record, ...] = ()) -> Differences:
    """Match and diff two snapshots; known ids are positions in the old one, departed from 900."""
    known = [Known(position, it) for position, it in enumerate(old.records)]
    gone = [Known(900 + position, it) for position, it in enumerate(departed)]
    matching = match(old.records, new.records, departed=departed)
    return diff(known, gone, new, matching, old.usd_per_credit)
