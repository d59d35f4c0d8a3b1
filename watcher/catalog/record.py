"""What a row of the API means: the record it becomes, and the snapshot that all records make.

The irregularities of the listing end here: text is cleaned, numbers are exact, duplicate rows are
one. A row that cannot be read safely is reported, with its identity where that is known.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from watcher.catalog.pricing import (
    NotUnderstoodError,
    Unit,
    decimal_text,
    parse_credits,
    parse_price,
    parse_rate,
    parse_unit,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

# From when a price per base unit held, and the price.
PricePoint = tuple["datetime", Decimal]

DOCUMENTED_USD_PER_CREDIT = Decimal("0.005")

MAX_TEXT_LENGTH = 1000

# With fewer rows than this one typing mistake could decide what a credit is worth.
MIN_ROWS_FOR_CREDIT_VALUE = 5
CREDIT_VALUE_TOLERANCE = Decimal("0.01")

# The fields of a row that are read: what a row means follows from these alone.
FIELDS = (
    "modelDescription interfaceType provider creditPrice creditUnit usdPrice falPrice "
    "discountRate anchor discountPrice"
).split()

_CONTROL_TO_SPACE = dict.fromkeys([*range(32), 127], " ")


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the API as listed, with clean text and exact numbers.

    Prices are per `unit`, as listed: `credits` in Kie credits, `usd_listed` and `reference` in USD,
    `rate` in percent below the reference. `None` is what the listing leaves empty. `identity_key`
    is the description with differences of case, white space and Unicode spelling removed (see
    `fold`). `not_understood` says of each price that is listed but cannot be read which and why; it
    is not stored, and makes no difference.
    """

    description: str
    identity_key: str
    interface: str
    provider: str
    credits: Decimal | None
    unit: Unit
    usd_listed: Decimal | None
    reference: Decimal | None
    rate: Decimal | None
    anchor: str
    promotion: bool
    not_understood: tuple[str, ...] = field(default=(), compare=False)

    @property
    def family(self) -> str:
        """The part of the description before its first comma, as listed."""
        return self.description.partition(",")[0].strip()

    @property
    def reference_of(self) -> Literal["fal", "vendor"]:
        """Whose price the reference is: the vendor's own for chat, Fal's for everything else.

        The API calls all of them `falPrice`, the site "Official / Fal Price".
        """
        return "vendor" if fold(self.interface) == "chat" else "fal"

    @property
    def link(self) -> str | None:
        """The model's page, where the anchor is an address at kie.ai and nothing else."""
        return _web_address(self.anchor)


@dataclass(frozen=True, slots=True)
class Model:
    """A record together with what a credit was worth in its snapshot."""

    record: Record
    usd_per_credit: Decimal

    @property
    def usd(self) -> Decimal | None:
        """USD per listed unit: what the credits are worth; the listed USD where there are none."""
        if self.record.credits is None:
            return self.record.usd_listed
        return self.record.credits * self.usd_per_credit

    @property
    def price(self) -> Decimal | None:
        """Credits per one base unit: what `price_up` and `price_down` compare."""
        if self.record.credits is not None:
            return self.record.credits / self.record.unit.quantity
        if self.record.usd_listed is None:
            return None
        return self.record.usd_listed / self.usd_per_credit / self.record.unit.quantity

    @property
    def recomputed_discount(self) -> Decimal | None:
        """Percent below the reference, to two places; `None` where one price is unknown."""
        if self.usd is None or not self.record.reference:
            return None
        return round((1 - self.usd / self.record.reference) * 100, 2)

    @property
    def discount(self) -> Decimal | None:
        """Percent below the reference: recomputed where both prices are known, or as listed.

        `None` where there is nothing to compare with: without a reference the listing says 0.
        """
        recomputed = self.recomputed_discount
        return self.record.rate or None if recomputed is None else recomputed

    def fields(self) -> dict[str, Any]:
        """The public JSON shape of a model; money and quantities are plain decimal strings."""
        record = self.record
        return {
            "description": record.description,
            "interface": record.interface,
            "provider": record.provider,
            "credits": decimal_text(record.credits),
            "unit": record.unit.label,
            "unit_quantity": decimal_text(record.unit.quantity),
            "base_unit": record.unit.base,
            "usd": decimal_text(self.usd),
            "reference": decimal_text(record.reference),
            "reference_of": record.reference_of,
            "discount": decimal_text(self.discount),
            "promotion": record.promotion,
            "link": record.link,
        }


@dataclass(frozen=True, slots=True)
class PriceHistory:
    """What a model cost per base unit and from when, oldest first.

    `is_complete`: it goes back to when the model was first seen.
    """

    prices: Sequence[PricePoint] = ()
    is_complete: bool = True

    def until(self, at: datetime) -> PriceHistory:
        """What was known at a time."""
        known = bisect_right(self.prices, at, key=lambda point: point[0])
        return replace(self, prices=self.prices[:known])


NO_PRICES = PriceHistory()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is on sale at one time: each record once, in an order that no listing changes."""

    records: tuple[Record, ...]
    usd_per_credit: Decimal

    @classmethod
    def of(cls, records: Iterable[Record], previous_credit_value: Decimal) -> Snapshot:
        """Make a snapshot; rows that nothing distinguishes become one record."""
        snapshot = cls.at(records, previous_credit_value)
        value = credit_value(snapshot.records, previous_credit_value)
        return cls(snapshot.records, value)

    @classmethod
    def at(cls, records: Iterable[Record], usd_per_credit: Decimal) -> Snapshot:
        """The same by a given value of a credit."""
        first: dict[str, Record] = {}
        several: dict[str, list[Record]] = {}
        for record in records:
            other = first.setdefault(record.identity_key, record)
            if other is not record:
                several.setdefault(record.identity_key, [other]).append(record)
        ordered: list[Record] = []
        for key in sorted(first):
            # Few share a description: only those are distinguished by more than that.
            ordered += _distinct(several[key]) if key in several else [first[key]]
        return cls(tuple(ordered), usd_per_credit)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that cannot be read safely, and why; what else is known of it, or empty texts."""

    identity_key: str
    interface: str
    why: str


def parse_row(row: object) -> Record | Unreadable:
    """What a row is, as far as it can be read."""
    try:
        return parse_record(row)
    except NotUnderstoodError as why:
        description = _text_or_empty(row, "modelDescription")
        return Unreadable(fold(description), _text_or_empty(row, "interfaceType"), str(why))


def parse_record(row: object) -> Record:
    """Read one row as decoded from JSON (numbers as `Decimal` or `int`).

    Raises `NotUnderstoodError` where there is no description, where a text is longer than
    `MAX_TEXT_LENGTH`, and where a price is listed but neither credits nor USD can be read.
    """
    if not isinstance(row, dict):
        msg = f"a row is {type(row).__name__}, not an object"
        raise NotUnderstoodError(msg)
    description = _text_field(row, "modelDescription")
    if not (identity_key := fold(description)):
        msg = "modelDescription: is empty"
        raise NotUnderstoodError(msg)
    problems: list[str] = []
    credit_price = _price_or_none(row, "creditPrice", problems)
    usd_listed = _price_or_none(row, "usdPrice", problems)
    if problems and credit_price is None and usd_listed is None:
        raise NotUnderstoodError("; ".join(problems))
    reference = _price_or_none(row, "falPrice", problems)
    return Record(
        description=description,
        identity_key=identity_key,
        interface=_text_field(row, "interfaceType"),
        provider=_text_field(row, "provider"),
        credits=credit_price,
        unit=parse_unit(_text_field(row, "creditUnit")),
        usd_listed=usd_listed,
        reference=reference,
        rate=parse_rate(row.get("discountRate")),
        anchor=_text_field(row, "anchor"),
        promotion=_parse_flag(row.get("discountPrice")),
        not_understood=tuple(problems),
    )


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records are asked for; case is ignored, and all that is given must hold.

    Every word of `search` is in the description or the provider; `model` and `family` are globs.
    """

    interface: str | None = None
    provider: str | None = None
    search: str | None = None
    family: str | None = None
    model: str | None = None

    @property
    def is_empty(self) -> bool:
        return self == RecordFilter()

    def takes(self, record: Record) -> bool:
        """Whether the record is one of them."""
        text = f"{record.identity_key} {fold(record.provider)}"
        return (
            (self.interface is None or fold(self.interface) == fold(record.interface))
            and (self.provider is None or fold(self.provider) == fold(record.provider))
            and all(word in text for word in fold(self.search or "").split())
            and (self.family is None or fnmatchcase(fold(record.family), fold(self.family)))
            and (self.model is None or fnmatchcase(record.identity_key, fold(self.model)))
        )


EVERY_RECORD = RecordFilter()


def fold(text: str) -> str:
    """Text without differences of Unicode form (NFKC), case, white space, and space before commas.

    Folded, a description is the identity key of its model, stored with every record: another rule
    here needs a migration that folds the stored ones again.
    """
    if text.isascii():
        # Nine rows in ten; the same result as below, ten times as fast.
        return " ".join(text.translate(_CONTROL_TO_SPACE).lower().split()).replace(" ,", ",")
    plain = unicodedata.normalize("NFKC", text).casefold()
    visible = "".join(
        " " if _is_white_space(char) else char for char in plain if not _is_invisible(char)
    )
    return " ".join(visible.split()).replace(" ,", ",")


def distinguishing_key(record: Record) -> tuple[Any, ...]:
    """The identity key, then what distinguishes rows of one description, most important first.

    Interface, provider, base unit, whether there is a price, and that price per base unit.
    """
    price = record.credits if record.credits is not None else record.usd_listed
    return (
        record.identity_key,
        fold(record.interface),
        fold(record.provider),
        record.unit.base,
        price is not None,
        (price or Decimal(0)) / record.unit.quantity,
    )


def _distinct(records: Iterable[Record]) -> list[Record]:
    """The records in the order of their keys; of those of one key the first by its spelling."""
    distinct: dict[tuple[Any, ...], Record] = {}
    for record in sorted(records, key=_spelling_order):
        distinct.setdefault(distinguishing_key(record), record)
    return [distinct[key] for key in sorted(distinct)]


def credit_value(records: Sequence[Record], previous: Decimal) -> Decimal:
    """USD per credit: the median of listed USD ÷ credits.

    It differs from `previous` only where at least five rows have both prices and at least half of
    those agree with the new median: mistakes in the listing are made row by row.
    """
    ratios = sorted(
        record.usd_listed / record.credits
        for record in records
        if record.credits and record.usd_listed
    )
    if len(ratios) < MIN_ROWS_FOR_CREDIT_VALUE:
        return previous
    median = ratios[len(ratios) // 2]
    tolerance = median * CREDIT_VALUE_TOLERANCE
    agreeing = bisect_right(ratios, median + tolerance) - bisect_left(ratios, median - tolerance)
    if (
        agreeing * 2 < len(ratios)
        or abs(median - previous) <= previous * CREDIT_VALUE_TOLERANCE / 10
    ):
        return previous
    return +median.normalize()


def _price_or_none(
    row: Mapping[str, object], field_name: str, problems: list[str]
) -> Decimal | None:
    """One of a row's prices; one that cannot be read counts as absent, and is a problem."""
    read = parse_credits if field_name == "creditPrice" else parse_price
    try:
        return read(row.get(field_name))
    except NotUnderstoodError as why:
        problems.append(f"{field_name}: {why}")
        return None


def _parse_flag(value: object) -> bool:
    return value is True or str(value).strip().casefold() in {"true", "1"}


def _text_field(row: Mapping[str, object], field: str) -> str:
    value = row.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        msg = f"{field}: is {type(value).__name__}, not a text"
        raise NotUnderstoodError(msg)
    if len(value) > MAX_TEXT_LENGTH:
        msg = f"{field}: is {len(value)} characters long"
        raise NotUnderstoodError(msg)
    # A lone surrogate is legal JSON and cannot be stored or sent.
    return value.encode("utf-8", "replace").decode("utf-8").strip()


def _text_or_empty(row: object, field: str) -> str:
    try:
        return _text_field(row, field) if isinstance(row, dict) else ""
    except NotUnderstoodError:
        return ""


def _is_white_space(char: str) -> bool:
    return unicodedata.category(char) in {"Zs", "Zl", "Zp", "Cc"}


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) == "Cf"


def _spelling_order(record: Record) -> tuple[str, ...]:
    return (record.description, record.anchor, repr(record))


@lru_cache(maxsize=4096)
def _web_address(anchor: str) -> str | None:
    if not anchor.startswith(("https://", "http://")) or not anchor.isascii():
        return None
    if any(
        char.isspace() or char in "<>\"'`\\{}|^[]()" or not char.isprintable() for char in anchor
    ):
        return None
    return anchor if is_page_of_kie(anchor) else None


def is_page_of_kie(address: str) -> bool:
    """Whether an address leads to kie.ai: a page anywhere else is not the page of a model."""
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return False
    if "@" in parts.netloc or parts.scheme not in {"http", "https"}:
        return False
    return host == "kie.ai" or host.endswith(".kie.ai")
