"""What a row of the API means: prices, units, records and the snapshot they make.

Knows the quirks of the listing and turns them into exact values. Refuses to know where a row came
from, when, or what it was before.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from watcher.catalog.pricing import (
    NotUnderstoodError,
    Unit,
    decimal_text,
    parse_price,
    parse_rate,
    parse_unit,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DOCUMENTED_USD_PER_CREDIT = Decimal("0.005")

MAX_TEXT_LENGTH = 1000

# A price list of fewer rows than this cannot say what a credit is worth: one typing mistake would.
ROWS_THAT_PROVE_A_CREDIT_VALUE = 5
CREDIT_VALUE_TOLERANCE = Decimal("0.01")

_CONTROL_TO_SPACE = dict.fromkeys([*range(32), 127], " ")


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the API as listed, its text tidied and its numbers exact.

    Prices are per `unit`, as listed: `credits` in Kie credits, `usd_listed` and `fal` in USD,
    `rate` in percent below Fal. `None` is what the listing leaves empty. `folded` is the identity:
    the description with case, white space and Unicode spelling taken out.
    """

    description: str
    folded: str
    interface: str
    provider: str
    credits: Decimal | None
    unit: Unit
    usd_listed: Decimal | None
    fal: Decimal | None
    rate: Decimal | None
    anchor: str
    promotion: bool

    @property
    def family(self) -> str:
        """The part of the description before its first comma, as listed."""
        return self.description.partition(",")[0].strip()

    @property
    def link(self) -> str | None:
        """The model's page, where the anchor is an http(s) address and nothing else."""
        return _web_address(self.anchor)


@dataclass(frozen=True, slots=True)
class Model:
    """A record as understood, at what a credit was worth in its catalogue."""

    record: Record
    usd_per_credit: Decimal

    @property
    def usd(self) -> Decimal | None:
        """USD per listed unit: the credits' worth, or the listed USD where there are no credits."""
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
        """Percent below Fal from the two prices, to two places; `None` where one is unknown."""
        if self.usd is None or not self.record.fal:
            return None
        return round((1 - self.usd / self.record.fal) * 100, 2)

    @property
    def discount(self) -> Decimal | None:
        """Percent below Fal: recomputed where both prices are known, else the listed rate."""
        recomputed = self.recomputed_discount
        return self.record.rate if recomputed is None else recomputed

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
            "fal": decimal_text(record.fal),
            "discount": decimal_text(self.discount),
            "promotion": record.promotion,
            "link": record.link,
        }


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is on sale at one time, each record once, in an order of its own."""

    records: tuple[Record, ...]
    usd_per_credit: Decimal

    @classmethod
    def of(cls, records: Iterable[Record], previous_credit_value: Decimal) -> Snapshot:
        """Make a snapshot; rows that nothing tells apart are one record."""
        distinct: dict[tuple[Any, ...], Record] = {}
        for record in records:
            key = told_apart_by(record)
            kept = distinct.get(key)
            if kept is None or _spelling_order(record) < _spelling_order(kept):
                distinct[key] = record
        ordered = tuple(distinct[key] for key in sorted(distinct))
        return cls(ordered, credit_value(ordered, previous_credit_value))


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that has no safe reading. `folded` is its identity where at least that is known."""

    folded: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a list of rows gave: the records understood, in listing order, and the rest."""

    records: tuple[Record, ...]
    unreadable: tuple[Unreadable, ...]


def read(rows: Sequence[object]) -> Reading:
    """Understand what can be understood of the rows; never raises."""
    records: list[Record] = []
    unreadable: list[Unreadable] = []
    for row in rows:
        try:
            records.append(parse_record(row))
        except NotUnderstoodError as why:
            unreadable.append(Unreadable(_identity_of(row), str(why)))
    return Reading(tuple(records), tuple(unreadable))


def parse_record(row: object) -> Record:
    """Read one row as decoded from JSON (numbers as `Decimal` or `int`).

    Raises `NotUnderstoodError` where there is no description, where a text is longer than
    `MAX_TEXT_LENGTH`, and where a price is listed of which neither credits nor USD can be read.
    """
    if not isinstance(row, dict):
        msg = f"a row is {type(row).__name__}, not an object"
        raise NotUnderstoodError(msg)
    description = _text(row, "modelDescription")
    if not (folded := fold(description)):
        msg = "modelDescription: is empty"
        raise NotUnderstoodError(msg)
    credit_price, usd_listed = _own_prices(row)
    return Record(
        description=description,
        folded=folded,
        interface=_text(row, "interfaceType"),
        provider=_text(row, "provider"),
        credits=credit_price,
        unit=parse_unit(_text(row, "creditUnit")),
        usd_listed=usd_listed,
        fal=_price_or_unknown(row, "falPrice"),
        rate=parse_rate(row.get("discountRate")),
        anchor=_text(row, "anchor"),
        promotion=_parse_flag(row.get("discountPrice")),
    )


def fold(text: str) -> str:
    """The identity of a description: NFKC, case, white space, space before commas taken out."""
    if text.isascii():
        # Nine rows in ten; the same result as below, an order of magnitude sooner.
        return " ".join(text.translate(_CONTROL_TO_SPACE).lower().split()).replace(" ,", ",")
    plain = unicodedata.normalize("NFKC", text).casefold()
    visible = "".join(" " if _is_gap(char) else char for char in plain if not _is_invisible(char))
    return " ".join(visible.split()).replace(" ,", ",")


def credit_value(records: Sequence[Record], previous: Decimal) -> Decimal:
    """USD per credit: the median of listed USD ÷ credits.

    It moves away from `previous` only where at least half of the rows, and five of them, agree
    with the new median: listing mistakes are typed one by one.
    """
    ratios = sorted(
        record.usd_listed / record.credits
        for record in records
        if record.credits and record.usd_listed
    )
    if len(ratios) < ROWS_THAT_PROVE_A_CREDIT_VALUE:
        return previous
    median = ratios[len(ratios) // 2]
    agreeing = sum(abs(ratio - median) <= median * CREDIT_VALUE_TOLERANCE for ratio in ratios)
    if (
        agreeing * 2 < len(ratios)
        or abs(median - previous) <= previous * CREDIT_VALUE_TOLERANCE / 10
    ):
        return previous
    return +median.normalize()


def _own_prices(row: Mapping[str, object]) -> tuple[Decimal | None, Decimal | None]:
    """Credits and listed USD; one that cannot be read is absent as long as the other serves."""
    prices: list[Decimal | None] = []
    complaints: list[str] = []
    for field in ("creditPrice", "usdPrice"):
        try:
            prices.append(parse_price(row.get(field)))
        except NotUnderstoodError as why:
            prices.append(None)
            complaints.append(f"{field}: {why}")
    if complaints and prices == [None, None]:
        raise NotUnderstoodError("; ".join(complaints))
    return prices[0], prices[1]


def _price_or_unknown(row: Mapping[str, object], field: str) -> Decimal | None:
    try:
        return parse_price(row.get(field))
    except NotUnderstoodError:
        return None


def _parse_flag(value: object) -> bool:
    return value is True or str(value).strip().casefold() in {"true", "1"}


def _text(row: Mapping[str, object], field: str) -> str:
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


def _identity_of(row: object) -> str | None:
    """The identity of a row that could not be read, where its description at least can."""
    if not isinstance(row, dict):
        return None
    try:
        return fold(_text(row, "modelDescription")) or None
    except NotUnderstoodError:
        return None


def _is_gap(char: str) -> bool:
    return unicodedata.category(char) in {"Zs", "Zl", "Zp", "Cc"}


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) == "Cf"


def told_apart_by(record: Record) -> tuple[Any, ...]:
    """Identity, then what tells rows of one description apart, in the order in which it does.

    Folded description, interface, provider, base unit, whether there is a price, and that price
    per base unit.
    """
    price = record.credits if record.credits is not None else record.usd_listed
    return (
        record.folded,
        fold(record.interface),
        fold(record.provider),
        record.unit.base,
        price is not None,
        (price or Decimal(0)) / record.unit.quantity,
    )


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
    try:
        return anchor if urlsplit(anchor).hostname else None
    except ValueError:
        return None
