"""Edits of one row in a hundred: prices, names, promotions, removals and new models."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from watcher.simulator.catalogue import listed_usd, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from watcher.simulator.catalogue import Row

__all__ = ["edit_one_percent"]

ONE_IN = 100
RESPELLABLE = re.compile(r"[A-Za-z]{6,}")
PRICE = re.compile(r"[0-9]+(\.[0-9]+)?")


def edit_one_percent(rows: Sequence[Row], rng: Random) -> list[Row]:
    """The rows after one in a hundred was edited; new ones are on top.

    Of ten edits four are prices, two are respelled names, two are promotions, one is a removal, and
    one is a new model: an existing name with another version.
    """
    after: list[Row | None] = list(rows)
    new: list[Row] = []
    places = rng.sample(range(len(rows)), len(rows) // ONE_IN)
    for number, place in enumerate(places):
        row = rows[place]
        match number % 10:
            case 0:
                after[place] = None
            case 1:
                new.append(_new_row(row, number))
            case kind:
                after[place] = _EDITS[kind // 2](row)
    return [*new, *(row for row in after if row is not None)]


def _new_row(row: Row, number: int) -> Row:
    family, comma, rest = row["modelDescription"].partition(",")
    return {**row, "modelDescription": f"{family.strip()} {1000 + number}.1{comma}{rest}"}


def _respell(row: Row) -> Row:
    """A letter is doubled in the first long word; a row without one gets a promotion instead."""
    name = row["modelDescription"]
    if (word := RESPELLABLE.search(name)) is None:
        return _toggle_promotion(row)
    at = word.start() + 3
    return {**row, "modelDescription": name[:at] + name[at - 1] + name[at:]}


def _reprice(row: Row) -> Row:
    if not PRICE.fullmatch(text := row["creditPrice"].strip()) or not Decimal(text):
        return _toggle_promotion(row)
    credits_ = Decimal(text) * Decimal("1.25")
    return {**row, "creditPrice": plain(credits_), "usdPrice": listed_usd(credits_)}


def _toggle_promotion(row: Row) -> Row:
    return {**row, "discountPrice": not row["discountPrice"]}


# By half of the edit's number modulo ten: 2 and 3, 4 and 5, 6 and 7, 8 and 9.
_EDITS: dict[int, Callable[[Row], Row]] = {
    1: _reprice,
    2: _reprice,
    3: _respell,
    4: _toggle_promotion,
}
