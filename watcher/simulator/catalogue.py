"""The catalogue that the simulated API serves: rows in listing order, and edits as values.

An edit changes the fields that Kie's own staff would change: with a new price in credits the listed
USD and rate change too, a correction changes the USD alone. Each edit can be applied, and described
before that. Every edit raises the catalogue's revision, by which replies are cached.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

USD_PER_CREDIT = Decimal("0.005")

Row = dict[str, Any]


def amount(text: object) -> Decimal | None:
    """Read `"84.0"`, `"0,325"` or `" 0.850"`; empty is `None`."""
    digits = str(text).strip().replace(",", ".")
    return Decimal(digits) if digits else None


def plain(value: Decimal) -> str:
    """Plain digits, no trailing zeros, never an exponent."""
    return f"{value.normalize():f}"


def listed_usd(credit_price: Decimal) -> str:
    """What the listing says in USD for a price in credits."""
    return plain(credit_price * USD_PER_CREDIT)


def listed_rate(usd: Decimal | None, reference: Decimal | None) -> float:
    """Percent below the reference as the listing has it; 0 where there is nothing to compare."""
    if usd is None or not reference:
        return 0.0
    return round(float((1 - usd / reference) * 100), 2)


def identity_key(description: str) -> str:
    """A description without case, spacing and Unicode spelling: what must be unique in a listing.

    Not shared with the watcher, so that each finds the other's mistakes.
    """
    plain = unicodedata.normalize("NFKC", description).casefold()
    return " ".join(plain.split()).replace(" ,", ",")


class Catalogue:
    """Rows as the API sends them, newest first. Rows are replaced, never changed in place.

    A row is addressed by its exact `modelDescription`; of several the topmost is meant.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self._rows: list[Row] = [dict(row) for row in rows]
        self._positions: dict[Any, int] | None = None
        self.revision = 0

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows as they are now, read only."""
        return tuple(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, description: object) -> bool:
        return description in self._by_description()

    def position(self, description: str) -> int:
        """The position of a row from the top. Raises `LookupError` where there is none."""
        position = self._by_description().get(description)
        if position is None:
            raise LookupError(f"the catalogue has no {description!r}")
        return position

    def find(self, description: str) -> Row:
        """The row itself, read only. Raises `LookupError` where there is none."""
        return self._rows[self.position(description)]

    def insert(self, row: Mapping[str, Any], at: int = 0) -> None:
        """Put a row before the row at position `at`."""
        self._rows.insert(at, dict(row))
        self._shift_rows()

    def remove(self, description: str) -> Row:
        """Remove a row and return it."""
        row = self._rows.pop(self.position(description))
        self._shift_rows()
        return row

    def edit(self, description: str, **fields: Any) -> None:
        """Set fields of a row, by the API's own names."""
        position = self.position(description)
        self._rows[position] = {**self._rows[position], **fields}
        if "modelDescription" in fields:
            self._positions = None
        self.revision += 1

    def relist(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """List these rows in place of all there are."""
        self._rows = [dict(row) for row in rows]
        self._shift_rows()

    def rename(self, description: str, new: str) -> None:
        """Give a row another description; its position stays."""
        self.edit(description, modelDescription=new)

    def duplicate(self, description: str, **fields: Any) -> None:
        """Insert a copy directly below a row, with `fields` set in the copy."""
        position = self.position(description)
        self.insert({**self._rows[position], **fields}, at=position + 1)

    def counts(self) -> dict[str, int]:
        """The number of rows, in all and by category."""
        by_category = Counter(row.get("interfaceType") for row in self._rows)
        named = {str(name): count for name, count in by_category.items() if name}
        return {"all": len(self._rows), **named}

    def identity_keys(self) -> Counter[str]:
        """How often each identity key is listed."""
        return Counter(identity_key(str(row.get("modelDescription") or "")) for row in self._rows)

    def _shift_rows(self) -> None:
        self._positions = None
        self.revision += 1

    def _by_description(self) -> dict[Any, int]:
        # Kept between edits: benchmarks edit a thousand rows of a hundred thousand.
        if self._positions is None:
            last_first = range(len(self._rows) - 1, -1, -1)
            self._positions = {self._rows[at].get("modelDescription"): at for at in last_first}
        return self._positions


@dataclass(frozen=True, slots=True)
class Insert:
    """A row appears: at the top, or before the row at position `at`."""

    row: Row
    at: int = 0

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.insert(self.row, self.at)

    def describe(self, _: Catalogue) -> str:
        where = f" (at place {self.at})" if self.at else ""
        price = f"{self.row['creditPrice'].strip()} credits {self.row['creditUnit'].strip()}"
        return f"{_one_line(self.row['modelDescription'])}: listed at {price}{where}"


@dataclass(frozen=True, slots=True)
class Remove:
    """A row disappears."""

    description: str

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.remove(self.description)

    def describe(self, _: Catalogue) -> str:
        return f"{_one_line(self.description)}: taken off the list"


@dataclass(frozen=True, slots=True)
class Reprice:
    """Another price in credits; the listed USD and rate follow it."""

    description: str
    credits: Decimal

    def apply(self, catalogue: Catalogue) -> None:
        reference = amount(catalogue.find(self.description)["falPrice"])
        fields: Row = {"creditPrice": plain(self.credits), "usdPrice": listed_usd(self.credits)}
        if reference:
            fields["discountRate"] = listed_rate(self.credits * USD_PER_CREDIT, reference)
        catalogue.edit(self.description, **fields)

    def describe(self, catalogue: Catalogue) -> str:
        before = catalogue.find(self.description)["creditPrice"].strip()
        return f"{_one_line(self.description)}: {before} → {plain(self.credits)} credits"


@dataclass(frozen=True, slots=True)
class Reunit:
    """Another unit at the same credits, which may hide a price rise."""

    description: str
    unit: str

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.edit(self.description, creditUnit=self.unit)

    def describe(self, catalogue: Catalogue) -> str:
        row = catalogue.find(self.description)
        units = f"{_quoted(row['creditUnit'])} → {_quoted(self.unit)}"
        return f"{_one_line(self.description)}: {units} at {row['creditPrice'].strip()} credits"


@dataclass(frozen=True, slots=True)
class Rerate:
    """Another listed discount, in percent below the reference; all else stays."""

    description: str
    rate: float

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.edit(self.description, discountRate=self.rate)

    def describe(self, catalogue: Catalogue) -> str:
        before = catalogue.find(self.description)["discountRate"]
        return f"{_one_line(self.description)}: listed discount {before} → {self.rate} %"


@dataclass(frozen=True, slots=True)
class ReferencePrice:
    """The reference price changes, appears or (`None`) disappears; the listed rate follows it."""

    description: str
    reference: Decimal | None

    def apply(self, catalogue: Catalogue) -> None:
        usd = amount(catalogue.find(self.description)["usdPrice"])
        catalogue.edit(
            self.description,
            falPrice="" if self.reference is None else plain(self.reference),
            discountRate=listed_rate(usd, self.reference),
        )

    def describe(self, catalogue: Catalogue) -> str:
        listed = catalogue.find(self.description)["falPrice"].strip()
        before = f"${listed}" if listed else "nothing"
        after = "nothing" if self.reference is None else f"${plain(self.reference)}"
        return f"{_one_line(self.description)}: reference {before} → {after}"


@dataclass(frozen=True, slots=True)
class Promotion:
    """The promotion flag is set or cleared."""

    description: str
    active: bool

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.edit(self.description, discountPrice=self.active)

    def describe(self, _: Catalogue) -> str:
        what = "starts" if self.active else "ends"
        return f"{_one_line(self.description)}: a promotion {what}"


@dataclass(frozen=True, slots=True)
class Rename:
    """Another description for the same thing; its position stays."""

    description: str
    to: str

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.rename(self.description, self.to)

    def describe(self, _: Catalogue) -> str:
        return f"{_one_line(self.description)}: now called {_one_line(self.to)}"


@dataclass(frozen=True, slots=True)
class Correct:
    """The listed USD is corrected, as text; all else stays."""

    description: str
    usd: str

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.edit(self.description, usdPrice=self.usd)

    def describe(self, catalogue: Catalogue) -> str:
        before = catalogue.find(self.description)["usdPrice"]
        return f"{_one_line(self.description)}: listed USD {_quoted(before)} → {_quoted(self.usd)}"


@dataclass(frozen=True, slots=True)
class Relabel:
    """Link, provider, or the spelling of unit or description; `None`: stays as it is."""

    description: str
    anchor: str | None = None
    provider: str | None = None
    unit: str | None = None
    spelling: str | None = None

    def __post_init__(self) -> None:
        if self.spelling is not None and identity_key(self.spelling) != identity_key(
            self.description
        ):
            raise ValueError(f"{self.spelling!r} is another name, not another spelling")

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.edit(self.description, **self._fields())

    def describe(self, catalogue: Catalogue) -> str:
        row = catalogue.find(self.description)
        moves = [
            f"{field} {_quoted(row[field])} → {_quoted(to)}" for field, to in self._fields().items()
        ]
        return f"{_one_line(self.description)}: {', '.join(moves)}"

    def _fields(self) -> dict[str, str]:
        fields = {
            "anchor": self.anchor,
            "provider": self.provider,
            "creditUnit": self.unit,
            "modelDescription": self.spelling,
        }
        return {field: to for field, to in fields.items() if to is not None}


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The row is listed a second time, directly below; `credits`: the copy has its own price."""

    description: str
    credits: Decimal | None = None

    def apply(self, catalogue: Catalogue) -> None:
        own = {} if self.credits is None else {"creditPrice": plain(self.credits)}
        usd = {} if self.credits is None else {"usdPrice": listed_usd(self.credits)}
        catalogue.duplicate(self.description, **own, **usd)

    def describe(self, _: Catalogue) -> str:
        price = "" if self.credits is None else f" at {plain(self.credits)} credits"
        return f"{_one_line(self.description)}: listed a second time{price}"


@dataclass(frozen=True, slots=True)
class Recategorise:
    """Another category, known or unknown."""

    description: str
    interface: str

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.edit(self.description, interfaceType=self.interface)

    def describe(self, catalogue: Catalogue) -> str:
        before = catalogue.find(self.description)["interfaceType"]
        return f"{_one_line(self.description)}: category {before} → {self.interface}"


Edit = (
    Insert
    | Remove
    | Reprice
    | Reunit
    | Rerate
    | ReferencePrice
    | Promotion
    | Rename
    | Correct
    | Relabel
    | Duplicate
    | Recategorise
)


def _one_line(description: str) -> str:
    return " ".join(description.split())


def _quoted(text: str) -> str:
    return f"“{text}”"
