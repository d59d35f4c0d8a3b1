"""What people do to a listing by hand: odd units, odd numbers, odd spacing, links that are wrong.

Each quirk knows which rows it can befall and how often it does. None of them makes a price or an
identity ambiguous: a careful reader still reads what was meant. Refuses to know the order of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from watcher.simulator.catalogue import Row, identity
from watcher.simulator.money import amount, plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

__all__ = ["MISSPELLINGS", "Quirk", "quirks", "sprinkle"]

# Right and wrong, as seen in the wild or like it; mended now and then, which looks like a rename.
MISSPELLINGS = (("audio", "aiduo"), ("Upscaler", "Upscaller"), ("Avatar", "Avtar"))
# From this size on every quirk stands in the catalogue at least once.
SIZE_OF_A_FULL_LISTING = 400


@dataclass(frozen=True, slots=True)
class Quirk:
    """So many of a thousand rows get `change(row)`, where `fits(row)`."""

    name: str
    per_mille: int
    fits: Callable[[Row], bool]
    change: Callable[[Row], Row]


def quirks() -> tuple[Quirk, ...]:
    """All quirks, the choosiest first."""
    return (*_text_quirks(), *_unit_quirks(), *_number_quirks(), *_label_quirks())


def sprinkle(rows: list[Row], rng: Random) -> None:
    """Put quirks into rows, one at most in each, keeping all descriptions apart."""
    taken = {identity(row["modelDescription"]) for row in rows}
    left = list(range(len(rows)))
    rng.shuffle(left)
    least = 1 if len(rows) >= SIZE_OF_A_FULL_LISTING else 0
    for quirk in quirks():
        wanted = max(least, len(rows) * quirk.per_mille // 1000)
        rest: list[int] = []
        for at in left:
            if wanted and _befall(quirk, rows, at, taken):
                wanted -= 1
            else:
                rest.append(at)
        left = rest


def _befall(quirk: Quirk, rows: list[Row], at: int, taken: set[str]) -> bool:
    row = rows[at]
    if not quirk.fits(row):
        return False
    odd = {**row, **quirk.change(row)}
    before, after = identity(row["modelDescription"]), identity(odd["modelDescription"])
    if before != after and after in taken:
        return False
    taken.add(after)
    rows[at] = odd
    return True


def _text_quirks() -> tuple[Quirk, ...]:
    def text(name: str, old: str, new: str, per_mille: int = 4) -> Quirk:
        return Quirk(
            name,
            per_mille,
            lambda row: old in row["modelDescription"],
            lambda row: {"modelDescription": row["modelDescription"].replace(old, new, 1)},
        )

    return (
        *(text(f"misspelt {right}", right, wrong, 3) for right, wrong in MISSPELLINGS),
        text("arrow", "image-to-image", "image → image"),
        text("full-width brackets", "without audio", "（no sound）"),
        text("shouted resolution", "1080p", "1080P"),
        text("space before a comma", ", ", " , "),
        text("double space", ", ", ",  "),
        Quirk("space around", 6, _always, lambda row: {"modelDescription": f" {_named(row)} "}),
    )


def _unit_quirks() -> tuple[Quirk, ...]:
    def unit(name: str, usual: str, odd: str, per_mille: int = 4) -> Quirk:
        return Quirk(
            name,
            per_mille,
            lambda row: row["creditUnit"] == usual,
            lambda _: {"creditUnit": odd},
        )

    return (
        unit("per vedio", "per video", "per vedio", 9),
        unit("no unit", "per video", "", 9),
        unit("stray space in a unit", "per request", "per request "),
        unit("space before a unit", "per video", " per video"),
        unit("milion", "per million tokens", "per milion tokens"),
        unit("tokens left out", "per million tokens", "per million", 8),
        unit("unit cut off", "per million tokens", "per million toke", 2),
        unit("1M", "per million tokens", "per 1M tokens"),
        unit("two at a time", "per image", "per 2 images", 3),
        unit("four at a time", "per image", "per 4 images", 2),
        unit("generation", "per image", "per generation", 3),
    )


def _number_quirks() -> tuple[Quirk, ...]:
    return (
        Quirk("comma", 2, _under_a_dollar, lambda row: {"usdPrice": _usd(row).replace(".", ",")}),
        Quirk(
            "space before a price", 4, _under_a_dollar, lambda row: {"usdPrice": f" {_usd(row)}"}
        ),
        Quirk("idle zero", 12, _under_a_dollar, lambda row: {"usdPrice": f"{_usd(row)}0"}),
        Quirk(
            "space after a price", 4, _priced, lambda row: {"creditPrice": f"{row['creditPrice']} "}
        ),
        Quirk("point zero", 120, _whole, lambda row: {"creditPrice": f"{row['creditPrice']}.0"}),
        Quirk(
            "USD mistyped",
            8,
            _under_a_dollar,
            lambda row: {"usdPrice": plain(Decimal(_usd(row)) / 10)},
        ),
        Quirk("rate by hand", 10, _rated, lambda row: {"discountRate": _by_hand(row)}),
        Quirk("rate without a rival", 10, _rated, lambda _: {"falPrice": ""}),
    )


def _label_quirks() -> tuple[Quirk, ...]:
    return (
        Quirk("no link", 30, _always, lambda _: {"anchor": ""}),
        Quirk("link that is none", 2, _always, lambda _: {"anchor": "see docs"}),
        Quirk("wrong link", 10, _always, lambda _: {"anchor": "https://kie.ai/market"}),
        Quirk("provider unknown", 18, _always, lambda _: {"provider": "Other"}),
    )


def _always(_: Row) -> bool:
    return True


def _named(row: Row) -> str:
    return str(row["modelDescription"])


def _usd(row: Row) -> str:
    return str(row["usdPrice"])


def _priced(row: Row) -> bool:
    return bool(amount(row["creditPrice"]))


def _whole(row: Row) -> bool:
    return str(row["creditPrice"]).isdecimal()


def _under_a_dollar(row: Row) -> bool:
    # With a whole part, "1,200" could be read in two ways.
    return _usd(row).startswith("0.")


def _rated(row: Row) -> bool:
    return bool(row["falPrice"])


def _by_hand(row: Row) -> float:
    return float(round(row["discountRate"]))
