"""Random realistic edits, each with the change that a correct watcher should find.

The expectation follows from the edit and never from comparing catalogues: comparing is what is
under test.
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
    Insert,
    Promotion,
    Recategorise,
    ReferencePrice,
    Relabel,
    Remove,
    Rename,
    Reprice,
    Rerate,
    Reunit,
    Row,
    amount,
    identity_key,
    listed_usd,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

TRIES = 200
# A word of this length is still recognised with one pair of letters swapped.
SHORTEST_SWAPPED_WORD = 5
# Words that distinguish variants: misspelling one is not a realistic rename.
_DISTINGUISHING_WORDS = frozenset(
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
    """The change that one edit makes, taken by itself.

    `price_up` and `price_down` may change the discount too, where there is one to recompute;
    `discount_*` come with `reference_*` where `edit` is a `ReferencePrice`. `nothing` must leave no
    trace.
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
    """Choose an edit that the catalogue allows as it is now; it is not applied.

    Rows that are listed twice are not edited: what an edit of one of them means depends on the
    other. Raises `LookupError` where no row allows an edit (an empty catalogue).
    """
    listed = catalogue.identity_keys()
    for _ in range(TRIES if len(catalogue) else 0):
        row = rng.choice(catalogue.rows)
        if listed[identity_key(row["modelDescription"])] > 1:
            continue
        (make,) = rng.choices([maker for maker, _ in _MAKERS], [weight for _, weight in _MAKERS])
        found = make(rng, row)
        if found is not None and _is_free(found, row, listed):
            return found
    raise LookupError("no row of the catalogue allows an edit")


def _is_free(found: RandomEdit, row: Row, listed: dict[str, int]) -> bool:
    """Whether a new name is not already another row's."""
    after = identity_key(found.description)
    return after == identity_key(row["modelDescription"]) or not listed.get(after)


def _make_new(rng: Random, row: Row) -> RandomEdit | None:
    """A variant of a known family in a release of its own, so that it cannot be a rename."""
    family, comma, rest = row["modelDescription"].partition(",")
    release = f"{rng.randint(50, 999)}.{rng.randint(0, 99)}"
    description = f"{family.strip()} {release}{comma}{rest}"
    # Mostly on top, where new models are listed; three in ten are put among similar ones.
    at = 0 if rng.random() < 0.7 else rng.randint(1, 400)  # noqa: PLR2004
    return RandomEdit(
        Insert({**row, "modelDescription": description}, at), Meaning.NEW, description
    )


def _make_removal(_: Random, row: Row) -> RandomEdit | None:
    description = row["modelDescription"]
    return RandomEdit(Remove(description), Meaning.REMOVED, description)


def _make_rename(rng: Random, row: Row) -> RandomEdit | None:
    """Two letters change places, as in typing mistakes and their correction."""
    description = row["modelDescription"]
    words = [
        word
        for word in description.replace(",", " ").split()
        if len(word) >= SHORTEST_SWAPPED_WORD
        and word.isalpha()
        and word.lower() not in _DISTINGUISHING_WORDS
    ]
    if not words:
        return None
    word = rng.choice(words)
    at = rng.randrange(1, len(word) - 2)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    name = description.replace(word, swapped, 1)
    if identity_key(name) == identity_key(description):
        return None
    return RandomEdit(Rename(description, name), Meaning.RENAMED, name)


def _make_price(rng: Random, row: Row) -> RandomEdit | None:
    before = amount(row["creditPrice"])
    if not before:
        return None
    after = round(before * Decimal(rng.randint(50, 200)) / 100, 3)
    if not after or after == before:
        return None
    meaning = Meaning.PRICE_UP if after > before else Meaning.PRICE_DOWN
    return _about(row, Reprice(row["modelDescription"], after), meaning)


def _make_quantity(rng: Random, row: Row) -> RandomEdit | None:
    """The same credits for another number of images, which is another price."""
    steps = ["per image", "per 2 images", "per 4 images", "per 6 images"]
    if row["creditUnit"] not in steps or not amount(row["creditPrice"]):
        return None
    unit = rng.choice([step for step in steps if step != row["creditUnit"]])
    rises = steps.index(unit) < steps.index(row["creditUnit"])
    meaning = Meaning.PRICE_UP if rises else Meaning.PRICE_DOWN
    return _about(row, Reunit(row["modelDescription"], unit), meaning)


def _make_unit(rng: Random, row: Row) -> RandomEdit | None:
    units = ["per video", "per second", "per request"]
    if row["creditUnit"] not in units or not amount(row["creditPrice"]):
        return None
    unit = rng.choice([other for other in units if other != row["creditUnit"]])
    return _about(row, Reunit(row["modelDescription"], unit), Meaning.UNIT)


def _make_reference(rng: Random, row: Row) -> RandomEdit | None:
    """The reference price changes, and the discount with it; Kie's price stays."""
    reference = amount(row["falPrice"])
    if not reference or not amount(row["creditPrice"]):
        return None
    after = round(reference * Decimal(rng.choice([60, 75, 90, 110, 130, 170])) / 100, 4)
    discounts = [_discount(row, price) for price in (reference, after) if price]
    if len(set(discounts)) == 1:
        return None
    meaning = Meaning.DISCOUNT_UP if after > reference else Meaning.DISCOUNT_DOWN
    return _about(row, ReferencePrice(row["modelDescription"], after), meaning)


def _make_rate(rng: Random, row: Row) -> RandomEdit | None:
    """Only the listed rate changes, where no discount can be computed."""
    before = Decimal(str(row["discountRate"]))
    if amount(row["falPrice"]) or not before:
        return None
    after = Decimal(rng.randint(5, 80))
    if after == before:
        return None
    meaning = Meaning.DISCOUNT_UP if after > before else Meaning.DISCOUNT_DOWN
    return _about(row, Rerate(row["modelDescription"], float(after)), meaning)


def _make_promotion(_: Random, row: Row) -> RandomEdit | None:
    active = not row["discountPrice"]
    meaning = Meaning.PROMOTION_STARTED if active else Meaning.PROMOTION_ENDED
    return _about(row, Promotion(row["modelDescription"], active), meaning)


def _make_correction(rng: Random, row: Row) -> RandomEdit | None:
    """The listed USD becomes wrong by a decimal place, or is corrected; the credits stay."""
    price, usd = amount(row["creditPrice"]), amount(row["usdPrice"])
    if not price or usd is None:
        return None
    right = Decimal(listed_usd(price))
    after = right if usd != right else right / rng.choice([10, 100])
    return _about(row, Correct(row["modelDescription"], f"{after:f}"), Meaning.CORRECTED)


def _make_relabelling(rng: Random, row: Row) -> RandomEdit | None:
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


def _make_no_change(rng: Random, row: Row) -> RandomEdit | None:
    """A number in another spelling, or the same row listed twice."""
    description = row["modelDescription"]
    usd = amount(row["usdPrice"])
    if usd is None or rng.random() < 0.3:  # noqa: PLR2004 - a duplicate prevents more edits of its row
        return _about(row, Duplicate(description), Meaning.NOTHING)
    return _about(row, Correct(description, f" {usd:f} "), Meaning.NOTHING)


def _about(row: Row, edit: Edit, meaning: Meaning) -> RandomEdit:
    return RandomEdit(edit, meaning, row["modelDescription"])


def _discount(row: Row, reference: Decimal) -> Decimal:
    usd = (amount(row["creditPrice"]) or Decimal(0)) * USD_PER_CREDIT
    return round((1 - usd / reference) * 100, 2)


# Each with its weight.
_MAKERS: tuple[tuple[Callable[[Random, Row], RandomEdit | None], int], ...] = (
    (_make_new, 20),
    (_make_removal, 10),
    (_make_rename, 8),
    (_make_price, 15),
    (_make_quantity, 3),
    (_make_unit, 3),
    (_make_reference, 8),
    (_make_rate, 3),
    (_make_promotion, 5),
    (_make_correction, 8),
    (_make_relabelling, 20),
    (_make_no_change, 8),
)
