"""Whoever edits the listing: comings, goings, both at once, moves, and edits of every sort.

Refuses to know who reads meanwhile.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from watcher.simulator.catalogue import Insert, Remove, amount, identity, listed_usd, plain
from watcher.simulator.chance import random_edit

if TYPE_CHECKING:
    from random import Random

    from torture.truth import Ledger
    from watcher.simulator.catalogue import Edit, Row

__all__ = ["Market"]


class Market:
    """Edits by chance, which keep the listing about as long as it was."""

    def __init__(self, ledger: Ledger, rng: Random) -> None:
        self._ledger = ledger
        self._rng = rng
        self._size = len(ledger.catalogue)
        self._attic: list[Row] = []
        self._names = 0

    def stir(self, often: float) -> None:
        """Perhaps do something, and perhaps several things, where nobody looks in between."""
        while self._rng.random() < often:
            deeds = [self._any, self._swap, self._trade, self._move, self._go, self._come]
            (deed,) = self._rng.choices(deeds, [30, 15, 15, 12, 14, 14])
            if edits := deed():
                self._ledger.play(*edits)

    def _any(self) -> tuple[Edit, ...]:
        return (random_edit(self._rng, self._ledger.catalogue).edit,)

    def _swap(self) -> tuple[Edit, ...]:
        """One comes and one goes in the same category: no number that the API gives moves."""
        gone = self._row()
        return (*self._go(gone), Insert(self._fresh(gone), self._place()))

    def _trade(self) -> tuple[Edit, ...]:
        """The same, one at the top and the other at the end: all that is between moves up.

        Whoever reads meanwhile misses a row, and nothing that the API says gives it away.
        """
        rows = self._ledger.catalogue.rows
        gone = self._rng.choice(rows[: max(len(rows) // 3, 1)])
        return (*self._go(gone), Insert(self._fresh(gone), len(rows)))

    def _move(self) -> tuple[Edit, ...]:
        """One goes elsewhere, often at another price: it may be read twice, another not at all."""
        row = self._row()
        name, price = row["modelDescription"], amount(row["creditPrice"])
        moved = (Remove(name), Insert(row, self._place()))
        if not price or self._ledger.catalogue.identities()[identity(name)] > 1:
            return moved
        dearer = round(price * self._rng.randint(3, 8) / 5, 3) or price
        edited = {**row, "creditPrice": plain(dearer), "usdPrice": listed_usd(dearer)}
        return (Remove(name), Insert(edited, self._place()))

    def _go(self, row: Row | None = None) -> tuple[Edit, ...]:
        if row is None and len(self._ledger.catalogue) < self._size * 3 // 4:
            return ()
        row = row or self._row()
        self._attic.append(row)
        return (Remove(row["modelDescription"]),)

    def _come(self) -> tuple[Edit, ...]:
        """Something comes, half of the time something that was there before."""
        if len(self._ledger.catalogue) > self._size * 5 // 4:
            return ()
        listed = self._ledger.catalogue.identities()
        back = [row for row in self._attic if not listed[identity(row["modelDescription"])]]
        if not back or self._rng.random() < 0.5:
            return (Insert(self._fresh(self._row()), self._place()),)
        row = self._rng.choice(back)
        self._attic.remove(row)
        return (Insert(row, self._place()),)

    def _row(self) -> Row:
        return self._rng.choice(self._ledger.catalogue.rows)

    def _place(self) -> int:
        """Mostly on top, where new things are listed."""
        top = self._rng.random() < 0.4
        return 0 if top else self._rng.randint(0, len(self._ledger.catalogue))

    def _fresh(self, like: Row) -> Row:
        """A model of its own: no name like any other, and no slip in its listed USD."""
        self._names += 1
        usd = listed_usd(amount(like["creditPrice"]) or Decimal(0))
        name = f"Nova {1000 + self._names}, {self._names} steps"
        return {**like, "modelDescription": name, "usdPrice": usd}
