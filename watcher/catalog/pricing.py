"""Amounts of the listing as exact decimals: what can be read safely, and what cannot.

Refuses to know what an amount is the price of.

What a price is for: a quantity of a base unit, out of the listing's free text.

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

MAX_PRICE = Decimal(10) ** 12
SMALLEST_PRICE = Decimal(10) ** -12
LONGEST_AMOUNT = 60

_PLAIN_NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+")
_GROUPED_NUMBER = re.compile(r"\d{1,3}(,\d{3})+\.\d+")
_DECIMAL_COMMA = re.compile(r"\d+,\d+")
_AMBIGUOUS_COMMA = re.compile(r"[1-9]\d{0,2},\d{3}")
_EXPONENT_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)[eE][+-]?\d{1,2}")


class NotUnderstoodError(ValueError):
    """A field or a row that has no safe reading; the text says which and why."""


def parse_price(value: object) -> Decimal | None:
    """Read a price of the listing: a number or a text such as `"84.0"`, `"0,325"` or `"170 "`.

    Empty and null are `None` (absent), `"0"` is zero (free). Raises `NotUnderstoodError` for all
    that is not a finite amount from 0 to 10^12, and for `"1,200"`, which half the world reads as
    1.2. The result is normalised: equal prices are equal in every digit.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        msg = f"{type(value).__name__} is not a price"
        raise NotUnderstoodError(msg)
    text = unicodedata.normalize("NFKC", str(value)).strip()
    if len(text) > LONGEST_AMOUNT:
        msg = f"a price of {len(text)} characters"
        raise NotUnderstoodError(msg)
    return _parse_price_text(text) if text else None


def parse_rate(value: object) -> Decimal | None:
    """Percent below Fal; negative where Kie is dearer. What cannot be read is unknown."""
    negative = str(value).strip().startswith("-")
    magnitude = str(value).strip()[1:] if negative else value
    try:
        rate = parse_price(magnitude)
    except NotUnderstoodError:
        return None
    return -rate if rate is not None and negative else rate


def decimal_text(value: Decimal | None) -> str | None:
    """A decimal in plain digits (never `1.25E-5`), with no trailing zeros."""
    if value is None:
        return None
    plain = f"{value:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


@lru_cache(maxsize=4096)
def _parse_price_text(text: str) -> Decimal:
    if _AMBIGUOUS_COMMA.fullmatch(text):
        msg = f"{text!r} can be read in two ways"
        raise NotUnderstoodError(msg)
    if _GROUPED_NUMBER.fullmatch(text):
        text = text.replace(",", "")
    elif _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    elif not (_PLAIN_NUMBER.fullmatch(text) or _EXPONENT_NUMBER.fullmatch(text)):
        msg = f"{text[:40]!r} is not a price"
        raise NotUnderstoodError(msg)
    price = Decimal(text)
    if price and not SMALLEST_PRICE <= price <= MAX_PRICE:
        msg = f"{text[:40]!r} is out of range"
        raise NotUnderstoodError(msg)
    return _normal(price)


def _normal(number: Decimal) -> Decimal:
    """The same number with no trailing zeros and no positive exponent, so that repr is stable."""
    reduced = number.normalize()
    return reduced.quantize(Decimal(1)) if reduced.as_tuple().exponent > 0 else reduced  # type: ignore[operator]


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
