"""An invented catalogue of any size: the same seed gives the same rows, newest first.

Knows how a listing is laid out: releases of product lines, each a block of variants. Its quirks
are another module's. Refuses to know any real listing.
"""

from __future__ import annotations

import random
import re
from decimal import Decimal
from itertools import cycle
from typing import TYPE_CHECKING

from watcher.simulator.lines import LINES, Line
from watcher.simulator.money import USD_PER_CREDIT, listed_rate, listed_usd, plain
from watcher.simulator.quirks import sprinkle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from watcher.simulator.catalogue import Row

__all__ = ["generate"]

# Of a thousand rows; what they leave is video.
_SHARES = {"image": 215, "chat": 167, "music": 54}
_FIRST_RELEASES = range(12, 35)
_COPIES_WITH_ANOTHER_PRICE = Decimal("1.5")


def generate(seed: int = 1, size: int = 570, duplicates: int = 0) -> list[Row]:
    """Rows of the wire schema, `size` with a description of their own, and so many repeated ones.

    Of the repeated rows every other is exact and every other has another price.
    """
    rng = random.Random(seed)  # noqa: S311  a catalogue is no secret
    blocks: list[list[Row]] = []
    for interface, count in _sizes(size).items():
        blocks += _blocks(rng, interface, count)
    rng.shuffle(blocks)
    rows = [row for block in blocks for row in block]
    sprinkle(rows, rng)
    for number in range(duplicates):
        _repeat(rows, rng, exact=number % 2 == 0)
    return rows


def _sizes(size: int) -> dict[str, int]:
    sizes = {interface: size * share // 1000 for interface, share in _SHARES.items()}
    return {"video": size - sum(sizes.values()), **sizes}


def _blocks(rng: Random, interface: str, count: int) -> Iterator[list[Row]]:
    """Releases of all lines of a category in turn, until there are enough rows."""
    lines = [line for line in LINES if line.interface == interface]
    releases = {line.name: rng.choice(_FIRST_RELEASES) for line in lines}
    for line in cycle(lines):
        if count <= 0:
            return
        releases[line.name] += 1
        block = _block(rng, line, releases[line.name])[:count]
        count -= len(block)
        yield block


def _block(rng: Random, line: Line, release: int) -> list[Row]:
    family = line.name.format(f"{release // 10}.{release % 10}")
    level = Decimal(line.base) * Decimal(rng.randint(14, 32)) / 20
    discount = Decimal(rng.randint(8, 78)) / 100
    own_pages = rng.random() < 0.4  # noqa: PLR2004  as many as have one
    return [
        _row(line, family, mode, quality)
        | _anchor(family, mode if own_pages else "")
        | _prices(level * Decimal(factor), discount if line.rivalled else None)
        for mode in line.modes
        for quality, factor in line.qualities
    ]


def _row(line: Line, family: str, mode: str, quality: str) -> Row:
    return {
        "modelDescription": ", ".join(part for part in (family, mode, quality) if part),
        "interfaceType": line.interface,
        "provider": line.provider,
        "creditUnit": line.unit,
        "discountPrice": False,
    }


def _anchor(family: str, mode: str) -> Row:
    slug = re.sub(r"[^a-z0-9]+", "-", family.lower())
    query = f"?model={slug}%2F{re.sub(r'[^a-z0-9]+', '-', mode.lower())}" if mode else ""
    return {"anchor": f"https://kie.ai/{slug}{query}"}


def _prices(credit_price: Decimal, discount: Decimal | None) -> Row:
    """Prices rounded as people round them; a free row has no rival."""
    step = Decimal("0.1") if credit_price < 10 else Decimal("0.5")  # noqa: PLR2004
    step = step if credit_price < 100 else Decimal(1)  # noqa: PLR2004
    rounded = round(credit_price / step) * step
    usd = rounded * USD_PER_CREDIT
    fal = None if discount is None or not usd else round(usd / (1 - discount), 4)
    return {
        "creditPrice": plain(rounded),
        "usdPrice": listed_usd(rounded),
        "falPrice": "" if not fal else plain(fal),
        "discountRate": listed_rate(usd, fal),
    }


def _repeat(rows: list[Row], rng: Random, *, exact: bool) -> None:
    row = rng.choice([row for row in rows if row["creditPrice"].strip() != "0"])
    copy = dict(row)
    if not exact:
        dearer = Decimal(row["creditPrice"].strip()) * _COPIES_WITH_ANOTHER_PRICE
        copy |= {"creditPrice": plain(dearer), "usdPrice": listed_usd(dearer)}
    rows.insert(rng.randrange(len(rows) + 1), copy)
