"""The catalogue a simulated API serves: rows in listing order, and what may be done to them.

Every mutation raises the revision, which is what replies are cached by. Refuses to know HTTP, time
and what a mutation means to anybody.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Catalogue", "Row", "identity"]

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
