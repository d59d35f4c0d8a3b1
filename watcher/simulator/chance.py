"""Random realistic edits, each with what a careful watcher should make of it.

The expectation is worked out from what was done, never from comparing catalogues: that is the
watcher's part, and this is its judge. Refuses to know the watcher's words beyond a small label.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from watcher.simulator.catalogue import (
    USD_PER_CREDIT,
    Catalogue,
    Correct,
    Duplicate,
    Edit,
    FalPrice,
    Insert,
    Promotion,
    Recategorise,
    Relabel,
    Remove,
    Rename,
    Reprice,
    Rerate,
    Reunit,
    Row,
    amount,
    identity,
    listed_usd,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

TRIES = 200
# A word of this length bears one pair of letters swapped and is still itself.
SWAPPABLE = 5
# Words that tell variants apart: misspelling one is not a realistic rename.
_TELLING = frozenset(
    "audio video image images input output cached without reference speech quality standard "
    "medium turbo balanced writes".split()
)
_UNIT_SPELLINGS = {
    "per video": "per vedio",
    "per vedio": "per video",
    "per million tokens": "per 1M tokens",
    "per milion tokens": "per million tokens",
    "per 1M tokens": "per million tokens",
    "per million": "per million tokens",
    "per million toke": "per million tokens",
}


class Meaning(StrEnum):
    """What one edit amounts to, taken by itself.

    `price_up` and `price_down` may move the discount too, where there is one to recompute;
    `discount_*` come with `fal_*` where `edit` is a `FalPrice`. `nothing` must leave no trace.
    """

    NEW = "new"
    REMOVED = "removed"
    RENAMED = "renamed"
    PRICE_UP = "price_up"
    PRICE_DOWN = "price_down"
    UNIT = "unit"
    DISCOUNT_UP = "discount_up"
    DISCOUNT_DOWN = "discount_down"
    PROMOTION_STARTED = "promotion_started"
    PROMOTION_ENDED = "promotion_ended"
    CORRECTED = "corrected"
    RELABELLED = "relabelled"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class RandomEdit:
    """An edit, what it means, and the description the model has afterwards (or had last)."""

    edit: Edit
    meaning: Meaning
    description: str


def random_edit(rng: Random, catalogue: Catalogue) -> RandomEdit:
    """Choose an edit that the catalogue as it stands allows; it is not applied.

    Rows that are listed twice are left alone: what an edit of one of them means depends on the
    other. Raises `LookupError` where no row allows anything (an empty catalogue).
    """
    listed = catalogue.identities()
    for _ in range(TRIES if len(catalogue) else 0):
        row = rng.choice(catalogue.rows)
        if listed[identity(row["modelDescription"])] > 1:
            continue
        (make,) = rng.choices([maker for maker, _ in _MAKERS], [often for _, often in _MAKERS])
        found = make(rng, row)
        if found is not None and _is_free(found, row, listed):
            return found
    raise LookupError("no row of the catalogue allows an edit")


def _is_free(found: RandomEdit, row: Row, listed: dict[str, int]) -> bool:
    """Whether a new name is not another row's already."""
    after = identity(found.description)
    return after == identity(row["modelDescription"]) or not listed.get(after)


def _new(rng: Random, row: Row) -> RandomEdit | None:
    """A variant of a known family in a release of its own, so that it is nobody's new name."""
    family, comma, rest = row["modelDescription"].partition(",")
    release = f"{rng.randint(50, 999)}.{rng.randint(0, 99)}"
    description = f"{family.strip()} {release}{comma}{rest}"
    # Mostly on top, where new things are listed; three in ten are put among their like.
    at = 0 if rng.random() < 0.7 else rng.randint(1, 400)  # noqa: PLR2004
    return RandomEdit(
        Insert({**row, "modelDescription": description}, at), Meaning.NEW, description
    )


def _removed(_: Random, row: Row) -> RandomEdit | None:
    description = row["modelDescription"]
    return RandomEdit(Remove(description), Meaning.REMOVED, description)


def _renamed(rng: Random, row: Row) -> RandomEdit | None:
    """Two letters of a word that tells nothing change places, as typos and their mending do."""
    description = row["modelDescription"]
    words = [
        word
        for word in description.replace(",", " ").split()
        if len(word) >= SWAPPABLE and word.isalpha() and word.lower() not in _TELLING
    ]
    if not words:
        return None
    word = rng.choice(words)
    at = rng.randrange(1, len(word) - 2)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    name = description.replace(word, swapped, 1)
    if identity(name) == identity(description):
        return None
    return RandomEdit(Rename(description, name), Meaning.RENAMED, name)


def _repriced(rng: Random, row: Row) -> RandomEdit | None:
    before = amount(row["creditPrice"])
    if not before:
        return None
    after = round(before * Decimal(rng.randint(50, 200)) / 100, 3)
    if not after or after == before:
        return None
    meaning = Meaning.PRICE_UP if after > before else Meaning.PRICE_DOWN
    return _about(row, Reprice(row["modelDescription"], after), meaning)


def _resold(rng: Random, row: Row) -> RandomEdit | None:
    """The same credits for another number of images: a price in disguise."""
    steps = ["per image", "per 2 images", "per 4 images", "per 6 images"]
    if row["creditUnit"] not in steps or not amount(row["creditPrice"]):
        return None
    unit = rng.choice([step for step in steps if step != row["creditUnit"]])
    dearer = steps.index(unit) < steps.index(row["creditUnit"])
    meaning = Meaning.PRICE_UP if dearer else Meaning.PRICE_DOWN
    return _about(row, Reunit(row["modelDescription"], unit), meaning)


def _reunited(rng: Random, row: Row) -> RandomEdit | None:
    units = ["per video", "per second", "per request"]
    if row["creditUnit"] not in units or not amount(row["creditPrice"]):
        return None
    unit = rng.choice([other for other in units if other != row["creditUnit"]])
    return _about(row, Reunit(row["modelDescription"], unit), Meaning.UNIT)


def _undercut(rng: Random, row: Row) -> RandomEdit | None:
    """Fal's price moves; the discount follows, and Kie's price has nothing to do with it."""
    fal = amount(row["falPrice"])
    if not fal or not amount(row["creditPrice"]):
        return None
    after = round(fal * Decimal(rng.choice([60, 75, 90, 110, 130, 170])) / 100, 4)
    discounts = [_discount(row, price) for price in (fal, after) if price]
    if len(set(discounts)) == 1:
        return None
    meaning = Meaning.DISCOUNT_UP if after > fal else Meaning.DISCOUNT_DOWN
    return _about(row, FalPrice(row["modelDescription"], after), meaning)


def _rerated(rng: Random, row: Row) -> RandomEdit | None:
    """Only the listed rate moves, where nothing can be recomputed."""
    before = Decimal(str(row["discountRate"]))
    if amount(row["falPrice"]) or not before:
        return None
    after = Decimal(rng.randint(5, 80))
    if after == before:
        return None
    meaning = Meaning.DISCOUNT_UP if after > before else Meaning.DISCOUNT_DOWN
    return _about(row, Rerate(row["modelDescription"], float(after)), meaning)


def _promoted(_: Random, row: Row) -> RandomEdit | None:
    active = not row["discountPrice"]
    meaning = Meaning.PROMOTION_STARTED if active else Meaning.PROMOTION_ENDED
    return _about(row, Promotion(row["modelDescription"], active), meaning)


def _corrected(rng: Random, row: Row) -> RandomEdit | None:
    """The listed USD goes wrong by a place, or is put right; the credits stand."""
    price, usd = amount(row["creditPrice"]), amount(row["usdPrice"])
    if not price or usd is None:
        return None
    right = Decimal(listed_usd(price))
    after = right if usd != right else right / rng.choice([10, 100])
    return _about(row, Correct(row["modelDescription"], f"{after:f}"), Meaning.CORRECTED)


def _relabelled(rng: Random, row: Row) -> RandomEdit | None:
    description = row["modelDescription"]
    choices: list[Relabel | Recategorise] = [
        Relabel(description, anchor=f"https://kie.ai/market/{rng.randint(1, 10**6)}"),
        Relabel(description, provider="Other" if row["provider"] != "Other" else "Kie"),
        Recategorise(description, "audio" if row["interfaceType"] != "audio" else "music"),
    ]
    if row["creditUnit"] in _UNIT_SPELLINGS:
        choices.append(Relabel(description, unit=_UNIT_SPELLINGS[row["creditUnit"]]))
    if description.strip().title() != description.strip():
        choices.append(Relabel(description, spelling=description.title()))
    edit = rng.choice(choices)
    after = edit.spelling if isinstance(edit, Relabel) and edit.spelling else description
    return RandomEdit(edit, Meaning.RELABELLED, after)


def _nothing(rng: Random, row: Row) -> RandomEdit | None:
    """A number spelled otherwise, or the same row listed twice."""
    description = row["modelDescription"]
    usd = amount(row["usdPrice"])
    if usd is None or rng.random() < 0.3:  # noqa: PLR2004  a duplicate keeps its row from more
        return _about(row, Duplicate(description), Meaning.NOTHING)
    return _about(row, Correct(description, f" {usd:f} "), Meaning.NOTHING)


def _about(row: Row, edit: Edit, meaning: Meaning) -> RandomEdit:
    return RandomEdit(edit, meaning, row["modelDescription"])


def _discount(row: Row, fal: Decimal) -> Decimal:
    usd = (amount(row["creditPrice"]) or Decimal(0)) * USD_PER_CREDIT
    return round((1 - usd / fal) * 100, 2)


_MAKERS: tuple[tuple[Callable[[Random, Row], RandomEdit | None], int], ...] = (
    (_new, 20),
    (_removed, 10),
    (_renamed, 8),
    (_repriced, 15),
    (_resold, 3),
    (_reunited, 3),
    (_undercut, 8),
    (_rerated, 3),
    (_promoted, 5),
    (_corrected, 8),
    (_relabelled, 20),
    (_nothing, 8),
)
