"""Numbers as the listing writes them: amounts read from its text and spelled back into it.

Knows only well-meant listings, being the one who writes them. Refuses to know rows and edits.

The catalogue a simulated API serves: rows in listing order, and what may be done to them.

Every mutation raises the revision, which is what replies are cached by. Refuses to know HTTP, time
and what a mutation means to anybody.

What may happen to a listing, as values: each edit can be played and can say what it will do.

An edit touches the fields Kie's own staff would touch: a new price in credits brings its USD and
rate along, a correction mends nothing but the USD. Refuses to know when it happens.
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


def amount(text: object) -> Decimal | None:
    """Read `"84.0"`, `"0,325"` or `" 0.850"`; empty is `None`."""
    tidy = str(text).strip().replace(",", ".")
    return Decimal(tidy) if tidy else None


def plain(value: Decimal) -> str:
    """Plain digits, no trailing zeros, never an exponent."""
    return f"{value.normalize():f}"


def listed_usd(credit_price: Decimal) -> str:
    """What the listing says in USD for a price in credits."""
    return plain(credit_price * USD_PER_CREDIT)


def listed_rate(usd: Decimal | None, fal: Decimal | None) -> float:
    """Percent below Fal as the listing works it out; 0 where there is nothing to compare."""
    if usd is None or not fal:
        return 0.0
    return round(float((1 - usd / fal) * 100), 2)


Row = dict[str, Any]


def identity(description: str) -> str:
    """A description without case, spacing and Unicode spelling: what must be unique in a listing.

    Written out here, and not shared with the watcher, so that each can catch the other's mistakes.
    """
    plain = unicodedata.normalize("NFKC", description).casefold()
    return " ".join(plain.split()).replace(" ,", ",")


class Catalogue:
    """Rows of the wire schema, newest first. Rows are replaced, never changed in place.

    Rows are addressed by their exact `modelDescription`; of several the topmost is meant.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self._rows: list[Row] = [dict(row) for row in rows]
        self._places: dict[Any, int] | None = None
        self.revision = 0

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows as they stand now, for looking at only."""
        return tuple(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, description: object) -> bool:
        return description in self._indexed()

    def place(self, description: str) -> int:
        """Where a row stands, from the top. Raises `LookupError` where there is none."""
        place = self._indexed().get(description)
        if place is None:
            raise LookupError(f"the catalogue has no {description!r}")
        return place

    def find(self, description: str) -> Row:
        """The row itself, for looking at only. Raises `LookupError` where there is none."""
        return self._rows[self.place(description)]

    def insert(self, row: Mapping[str, Any], at: int = 0) -> None:
        """Put a row before the row at place `at`."""
        self._rows.insert(at, dict(row))
        self._moved()

    def remove(self, description: str) -> Row:
        """Take a row off and return it."""
        row = self._rows.pop(self.place(description))
        self._moved()
        return row

    def edit(self, description: str, **fields: Any) -> None:
        """Set wire fields of a row."""
        place = self.place(description)
        self._rows[place] = {**self._rows[place], **fields}
        if "modelDescription" in fields:
            self._places = None
        self.revision += 1

    def rename(self, description: str, new: str) -> None:
        """Give a row another description, in its place."""
        self.edit(description, modelDescription=new)

    def duplicate(self, description: str, **fields: Any) -> None:
        """Put a copy right below a row, with `fields` set in the copy."""
        place = self.place(description)
        self.insert({**self._rows[place], **fields}, at=place + 1)

    def counts(self) -> dict[str, int]:
        """How many rows there are, in all and by category."""
        by_category = Counter(row.get("interfaceType") for row in self._rows)
        named = {str(name): count for name, count in by_category.items() if name}
        return {"all": len(self._rows), **named}

    def identities(self) -> Counter[str]:
        """How often each identity is listed."""
        return Counter(identity(str(row.get("modelDescription") or "")) for row in self._rows)

    def _moved(self) -> None:
        self._places = None
        self.revision += 1

    def _indexed(self) -> dict[Any, int]:
        # Kept between edits: benchmarks edit a thousand rows of a hundred thousand.
        if self._places is None:
            last_first = range(len(self._rows) - 1, -1, -1)
            self._places = {self._rows[at].get("modelDescription"): at for at in last_first}
        return self._places


@dataclass(frozen=True, slots=True)
class Insert:
    """A row appears: at the top, or in the middle, before the row at place `at`."""

    row: Row
    at: int = 0

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.insert(self.row, self.at)

    def line(self, _: Catalogue) -> str:
        where = f" (at place {self.at})" if self.at else ""
        price = f"{self.row['creditPrice'].strip()} credits {self.row['creditUnit'].strip()}"
        return f"{_name(self.row['modelDescription'])}: listed at {price}{where}"


@dataclass(frozen=True, slots=True)
class Remove:
    """A row disappears."""

    description: str

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.remove(self.description)

    def line(self, _: Catalogue) -> str:
        return f"{_name(self.description)}: taken off the list"


@dataclass(frozen=True, slots=True)
class Reprice:
    """Another price in credits; the listed USD and rate follow it."""

    description: str
    credits: Decimal

    def apply(self, catalogue: Catalogue) -> None:
        fal = amount(catalogue.find(self.description)["falPrice"])
        fields: Row = {"creditPrice": plain(self.credits), "usdPrice": listed_usd(self.credits)}
        if fal:
            fields["discountRate"] = listed_rate(self.credits * USD_PER_CREDIT, fal)
        catalogue.edit(self.description, **fields)

    def line(self, catalogue: Catalogue) -> str:
        before = catalogue.find(self.description)["creditPrice"].strip()
        return f"{_name(self.description)}: {before} → {plain(self.credits)} credits"


@dataclass(frozen=True, slots=True)
class Reunit:
    """Another unit at the same credits, be it a dearer price in disguise."""

    description: str
    unit: str

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.edit(self.description, creditUnit=self.unit)

    def line(self, catalogue: Catalogue) -> str:
        row = catalogue.find(self.description)
        units = f"{_quoted(row['creditUnit'])} → {_quoted(self.unit)}"
        return f"{_name(self.description)}: {units} at {row['creditPrice'].strip()} credits"


@dataclass(frozen=True, slots=True)
class Rerate:
    """Another listed discount, in percent below Fal, and nothing else."""

    description: str
    rate: float

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.edit(self.description, discountRate=self.rate)

    def line(self, catalogue: Catalogue) -> str:
        before = catalogue.find(self.description)["discountRate"]
        return f"{_name(self.description)}: listed discount {before} → {self.rate} %"


@dataclass(frozen=True, slots=True)
class FalPrice:
    """Fal's price moves, appears or (`None`) goes; the listed rate follows it."""

    description: str
    fal: Decimal | None

    def apply(self, catalogue: Catalogue) -> None:
        usd = amount(catalogue.find(self.description)["usdPrice"])
        catalogue.edit(
            self.description,
            falPrice="" if self.fal is None else plain(self.fal),
            discountRate=listed_rate(usd, self.fal),
        )

    def line(self, catalogue: Catalogue) -> str:
        before = catalogue.find(self.description)["falPrice"].strip()
        after = "nothing" if self.fal is None else f"${plain(self.fal)}"
        return f"{_name(self.description)}: Fal {f'${before}' if before else 'nothing'} → {after}"


@dataclass(frozen=True, slots=True)
class Promotion:
    """The promotion flag is set or taken back."""

    description: str
    active: bool

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.edit(self.description, discountPrice=self.active)

    def line(self, _: Catalogue) -> str:
        what = "starts" if self.active else "ends"
        return f"{_name(self.description)}: a promotion {what}"


@dataclass(frozen=True, slots=True)
class Rename:
    """Another description for the same thing, in its place."""

    description: str
    to: str

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.rename(self.description, self.to)

    def line(self, _: Catalogue) -> str:
        return f"{_name(self.description)}: now called {_name(self.to)}"


@dataclass(frozen=True, slots=True)
class Correct:
    """The listed USD is mended, as text, and nothing else."""

    description: str
    usd: str

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.edit(self.description, usdPrice=self.usd)

    def line(self, catalogue: Catalogue) -> str:
        before = catalogue.find(self.description)["usdPrice"]
        return f"{_name(self.description)}: listed USD {_quoted(before)} → {_quoted(self.usd)}"


@dataclass(frozen=True, slots=True)
class Relabel:
    """Link, provider, or the spelling of unit or description; `None` stays as it is."""

    description: str
    anchor: str | None = None
    provider: str | None = None
    unit: str | None = None
    spelling: str | None = None

    def __post_init__(self) -> None:
        if self.spelling is not None and identity(self.spelling) != identity(self.description):
            raise ValueError(f"{self.spelling!r} is another name, not another spelling")

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.edit(self.description, **self._fields())

    def line(self, catalogue: Catalogue) -> str:
        row = catalogue.find(self.description)
        moves = [
            f"{field} {_quoted(row[field])} → {_quoted(to)}" for field, to in self._fields().items()
        ]
        return f"{_name(self.description)}: {', '.join(moves)}"

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
    """The row is listed a second time, right below; `credits` gives the copy its own price."""

    description: str
    credits: Decimal | None = None

    def apply(self, catalogue: Catalogue) -> None:
        own = {} if self.credits is None else {"creditPrice": plain(self.credits)}
        usd = {} if self.credits is None else {"usdPrice": listed_usd(self.credits)}
        catalogue.duplicate(self.description, **own, **usd)

    def line(self, _: Catalogue) -> str:
        price = "" if self.credits is None else f" at {plain(self.credits)} credits"
        return f"{_name(self.description)}: listed a second time{price}"


@dataclass(frozen=True, slots=True)
class Recategorise:
    """Another category, known or not."""

    description: str
    interface: str

    def apply(self, catalogue: Catalogue) -> None:
        catalogue.edit(self.description, interfaceType=self.interface)

    def line(self, catalogue: Catalogue) -> str:
        before = catalogue.find(self.description)["interfaceType"]
        return f"{_name(self.description)}: category {before} → {self.interface}"


Edit = (
    Insert
    | Remove
    | Reprice
    | Reunit
    | Rerate
    | FalPrice
    | Promotion
    | Rename
    | Correct
    | Relabel
    | Duplicate
    | Recategorise
)


def _name(description: str) -> str:
    return " ".join(description.split())


def _quoted(text: str) -> str:
    return f"“{text}”"
