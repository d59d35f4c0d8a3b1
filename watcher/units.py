"""What a price is for: a quantity of a base unit, out of the listing's free text.

Part of the domain: `per 2 images`, `per 1M tokens` and `per vedio` become values. Refuses to know
prices.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from rapidfuzz.distance import OSA

__all__ = ["UNKNOWN_UNIT", "Unit", "parse_unit"]

_MAGNITUDES = {
    "k": 10**3,
    "thousand": 10**3,
    "m": 10**6,
    "mio": 10**6,
    "million": 10**6,
    "b": 10**9,
    "billion": 10**9,
}
_BASE_UNITS = (
    "audio",
    "character",
    "generation",
    "image",
    "megapixel",
    "minute",
    "request",
    "second",
    "token",
    "upscale",
    "video",
)
# Spellings seen in the listing that are further than one letter from what they mean.
_SPELLINGS = {
    "char": "character",
    "chars": "character",
    "sec": "second",
    "secs": "second",
    "s": "second",
    "min": "minute",
    "mins": "minute",
    "vedio": "video",
    "vedios": "video",
    "img": "image",
}
# Too short a word is one letter away from too many others.
_SHORTEST_MISSPELLING = 4

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
MAX_QUANTITY = Decimal(10) ** 12


@dataclass(frozen=True, slots=True)
class Unit:
    """`quantity` × `base`, with the listing's own words in `label`; base `""` is unknown."""

    label: str
    quantity: Decimal
    base: str


UNKNOWN_UNIT = Unit("", Decimal(1), "")


@lru_cache(maxsize=1024)
def parse_unit(label: str) -> Unit:
    """Read a unit such as ` per 1000 characters`. Never raises: a new word is its own base unit."""
    label = label.strip()
    words = unicodedata.normalize("NFKC", label).casefold().replace(",", "").split()
    if words and words[0] in {"per", "/", "a", "each"}:
        words = words[1:]
    quantity, words = _take_quantity(words)
    base = _base_unit(words)
    if not base and quantity != 1:
        # The listing sells nothing but tokens by bare thousands and millions ("per million").
        base = "token"
    return Unit(label, quantity, base)


def _take_quantity(words: list[str]) -> tuple[Decimal, list[str]]:
    """Split leading amounts from the thing: `["1m", "tokens"]` is 10^6 and tokens."""
    quantity = Decimal(1)
    rest = list(words)
    while rest:
        factor, leftover = _factor(rest[0])
        if factor is None or not 0 < quantity * factor <= MAX_QUANTITY:
            break
        quantity *= factor
        rest = ([leftover] if leftover else []) + rest[1:]
        if leftover:
            break
    return quantity, rest


def _factor(word: str) -> tuple[Decimal | None, str]:
    """The number a word stands for, and what of the word is left over (`10s` is 10 and `s`)."""
    amount = _AMOUNT.fullmatch(word)
    if amount is None:
        spelled = _nearest(word, ("million", "thousand", "billion"))
        return (Decimal(_MAGNITUDES[spelled]), "") if spelled in _MAGNITUDES else (None, "")
    number, suffix = Decimal(amount[1]), amount[2]
    if suffix in _MAGNITUDES:
        return number * _MAGNITUDES[suffix], ""
    return number, suffix


def _base_unit(words: list[str]) -> str:
    if not words:
        return ""
    *modifiers, last = words
    return " ".join([*modifiers, _singular(last)])


def _singular(word: str) -> str:
    if word in _SPELLINGS:
        return _SPELLINGS[word]
    singular = word[:-1] if word.endswith("s") and not word.endswith("ss") else word
    return _nearest(singular, _BASE_UNITS)


def _nearest(word: str, known: tuple[str, ...]) -> str:
    """The known word at most one typing mistake away, else the word itself."""
    if word in known or len(word) < _SHORTEST_MISSPELLING:
        return word
    near = [candidate for candidate in known if OSA.distance(word, candidate, score_cutoff=1) <= 1]
    return near[0] if len(near) == 1 else word
