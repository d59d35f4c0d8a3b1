"""Random edits of a listing: insertions, removals, both at once, moves, and edits of every kind."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from watcher.simulator.catalogue import Insert, Remove, amount, identity_key, listed_usd, plain
from watcher.simulator.random_edits import random_edit

if TYPE_CHECKING:
    from random import Random

    from torture.ledger import Ledger
    from watcher.simulator.catalogue import Edit, Row

__all__ = ["Market"]


class Market:
    """Edits a ledger's catalogue at random; its size stays about the same."""

    def __init__(self, ledger: Ledger, rng: Random) -> None:
        self._ledger = ledger
        self._rng = rng
        self._size = len(ledger.catalogue)
        self._removed: list[Row] = []
        self._new_models = 0

    def edit_at_random(self, probability: float) -> None:
        """Make no edit, one or several, each with `probability` after the one before."""
        while self._rng.random() < probability:
            makers = [
                self._edit_one,
                self._replace,
                self._replace_far_away,
                self._move,
                self._remove,
                self._insert,
            ]
            (make,) = self._rng.choices(makers, [30, 15, 15, 12, 14, 14])
            if edits := make():
                self._ledger.play(*edits)

    def replace_far_away_at_random(self, probability: float) -> None:
        """Perhaps remove a row near the top and insert another at the end, and nothing else."""
        if self._rng.random() < probability:
            self._ledger.play(*self._replace_far_away())

    def edit_a_row(self) -> None:
        """Make one edit of one row."""
        self._ledger.play(*self._edit_one())

    def _edit_one(self) -> tuple[Edit, ...]:
        return (random_edit(self._rng, self._ledger.catalogue).edit,)

    def _replace(self) -> tuple[Edit, ...]:
        """One is inserted and one removed in a category: no number that the API states changes."""
        row = self._row()
        return (*self._remove(row), Insert(self._new_row(row), self._position()))

    def _replace_far_away(self) -> tuple[Edit, ...]:
        """The same, one near the top and the other at the end: all rows between move up.

        Whoever reads meanwhile misses a row, and nothing that the API states shows it.
        """
        rows = self._ledger.catalogue.rows
        row = self._rng.choice(rows[: max(len(rows) // 3, 1)])
        return (*self._remove(row), Insert(self._new_row(row), len(rows)))

    def _move(self) -> tuple[Edit, ...]:
        """A row moves, often with another price: it may be read twice, another not at all."""
        row = self._row()
        name, price = row["modelDescription"], amount(row["creditPrice"])
        moved = (Remove(name), Insert(row, self._position()))
        if not price or self._ledger.catalogue.identity_keys()[identity_key(name)] > 1:
            return moved
        new_price = round(price * self._rng.randint(3, 8) / 5, 3) or price
        edited = {**row, "creditPrice": plain(new_price), "usdPrice": listed_usd(new_price)}
        return (Remove(name), Insert(edited, self._position()))

    def _remove(self, row: Row | None = None) -> tuple[Edit, ...]:
        if row is None and len(self._ledger.catalogue) < self._size * 3 // 4:
            return ()
        row = row or self._row()
        self._removed.append(row)
        return (Remove(row["modelDescription"]),)

    def _insert(self) -> tuple[Edit, ...]:
        """A row is inserted, half of the time one that was removed before."""
        if len(self._ledger.catalogue) > self._size * 5 // 4:
            return ()
        listed = self._ledger.catalogue.identity_keys()
        returning = [
            row for row in self._removed if not listed[identity_key(row["modelDescription"])]
        ]
        if not returning or self._rng.random() < 0.5:
            return (Insert(self._new_row(self._row()), self._position()),)
        row = self._rng.choice(returning)
        self._removed.remove(row)
        return (Insert(row, self._position()),)

    def _row(self) -> Row:
        return self._rng.choice(self._ledger.catalogue.rows)

    def _position(self) -> int:
        """Often the top, where new models are listed."""
        top = self._rng.random() < 0.4
        return 0 if top else self._rng.randint(0, len(self._ledger.catalogue))

    def _new_row(self, like: Row) -> Row:
        """A new model: its name is like no other, and its listed USD is right."""
        self._new_models += 1
        usd = listed_usd(amount(like["creditPrice"]) or Decimal(0))
        name = f"Nova {1000 + self._new_models}, {self._new_models} steps"
        return {**like, "modelDescription": name, "usdPrice": usd}
