"""What changes in one of a hundred rows: prices, names, listings, removals and releases.

Refuses to know who looks for it.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from watcher.simulator.catalogue import listed_usd, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from watcher.simulator.catalogue import Row

__all__ = ["changed"]

ONE_IN = 100
RESPELLABLE = re.compile(r"[A-Za-z]{6,}")
PRICE = re.compile(r"[0-9]+(\.[0-9]+)?")


def changed(rows: Sequence[Row], rng: Random) -> list[Row]:
    """The rows after one in a hundred has changed; what is released stands on top.

    Of ten changes four are prices, two are names respelled, two are promotions, one is a removal
    and one is a release: a name like those that exist, of another version.
    """
    after: list[Row | None] = list(rows)
    released: list[Row] = []
    places = rng.sample(range(len(rows)), len(rows) // ONE_IN)
    for number, place in enumerate(places):
        row = rows[place]
        match number % 10:
            case 0:
                after[place] = None
            case 1:
                released.append(_release(row, number))
            case kind:
                after[place] = _EDITS[kind // 2](row)
    return [*released, *(row for row in after if row is not None)]


def _release(row: Row, number: int) -> Row:
    family, comma, rest = row["modelDescription"].partition(",")
    return {**row, "modelDescription": f"{family.strip()} {1000 + number}.1{comma}{rest}"}


def _respelled(row: Row) -> Row:
    """A letter doubled in the first long word; a row without one is promoted instead."""
    name = row["modelDescription"]
    if (word := RESPELLABLE.search(name)) is None:
        return _promoted(row)
    at = word.start() + 3
    return {**row, "modelDescription": name[:at] + name[at - 1] + name[at:]}


def _repriced(row: Row) -> Row:
    if not PRICE.fullmatch(text := row["creditPrice"].strip()) or not Decimal(text):
        return _promoted(row)
    credits_ = Decimal(text) * Decimal("1.25")
    return {**row, "creditPrice": plain(credits_), "usdPrice": listed_usd(credits_)}


def _promoted(row: Row) -> Row:
    return {**row, "discountPrice": not row["discountPrice"]}


# By half of what is left of a change's number: 2 and 3, 4 and 5, 6 and 7, 8 and 9.
_EDITS: dict[int, Callable[[Row], Row]] = {
    1: _repriced,
    2: _repriced,
    3: _respelled,
    4: _promoted,
}
