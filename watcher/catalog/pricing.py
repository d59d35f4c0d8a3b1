"""The amounts and units of the listing: what its free text says, as exact values.

`"0,325"` becomes a decimal; `per 2 images`, `per 1M tokens` and `per vedio` become a quantity of a
base unit. What can be read in more than one way is refused, not guessed.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

MAX_PRICE = Decimal(10) ** 12
MIN_PRICE = Decimal(10) ** -12
MAX_PRICE_LENGTH = 60
MAX_QUANTITY = Decimal(10) ** 12

_PLAIN_NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+")
_GROUPED_NUMBER = re.compile(r"\d{1,3}(,\d{3})+\.\d+")
_DECIMAL_COMMA = re.compile(r"\d+,\d+")
_AMBIGUOUS_COMMA = re.compile(r"[1-9]\d{0,2},\d{3}")
_CREDITS = re.compile(r"(?<=\d)\s+credits?\s*$", re.IGNORECASE)
_EXPONENT_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)[eE][+-]?\d{1,2}")

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
    "removal",
    "request",
    "second",
    "token",
    "upscale",
    "video",
)
# Spellings in the listing that differ by more than one letter from the word that they mean.
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
# Shorter words are one letter away from too many others.
_MIN_LENGTH_OF_MISSPELLING = 4

_NUMBER_AND_SUFFIX = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


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
    if len(text) > MAX_PRICE_LENGTH:
        msg = f"a price of {len(text)} characters"
        raise NotUnderstoodError(msg)
    return _parse_price_text(text) if text else None


def parse_credits(value: object) -> Decimal | None:
    """Read a price in credits: as `parse_price`, also with the word: `"4 credits"` is 4."""
    return parse_price(_CREDITS.sub("", value) if isinstance(value, str) else value)


def parse_rate(value: object) -> Decimal | None:
    """Percent below the reference price, negative above it; `None` where it cannot be read."""
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
    if price and not MIN_PRICE <= price <= MAX_PRICE:
        msg = f"{text[:40]!r} is out of range"
        raise NotUnderstoodError(msg)
    return normal(price)


def normal(number: Decimal) -> Decimal:
    """The same number with no trailing zeros and no positive exponent, so that repr is stable."""
    reduced = number.normalize()
    return reduced.quantize(Decimal(1)) if reduced.as_tuple().exponent > 0 else reduced  # type: ignore[operator]


@dataclass(frozen=True, slots=True)
class Unit:
    """`quantity` times `base`; `label` is the listing's own text. Base `""` is unknown."""

    label: str
    quantity: Decimal
    base: str


@lru_cache(maxsize=1024)
def parse_unit(label: str) -> Unit:
    """Read a unit such as ` per 1000 characters`. Never raises: an unknown word is a base unit."""
    label = label.strip()
    words = unicodedata.normalize("NFKC", label).casefold().replace(",", "").split()
    if words and words[0] in {"per", "/", "a", "each"}:
        words = words[1:]
    quantity, words = _take_quantity(words)
    base = _base_unit(words)
    if not base and quantity != 1:
        # Only tokens are listed by thousands and millions without a word ("per million").
        base = "token"
    return Unit(label, quantity, base)


def _take_quantity(words: list[str]) -> tuple[Decimal, list[str]]:
    """Split the leading numbers from the unit: `["1m", "tokens"]` is 10^6 and tokens."""
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
    """The number that a word stands for, and the rest of the word (`10s` is 10 and `s`)."""
    found = _NUMBER_AND_SUFFIX.fullmatch(word)
    if found is None:
        spelled = _nearest(word, ("million", "thousand", "billion"))
        return (Decimal(_MAGNITUDES[spelled]), "") if spelled in _MAGNITUDES else (None, "")
    number, suffix = Decimal(found[1]), found[2]
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
    """The one known word at most one typing mistake away; otherwise the word itself."""
    if word in known or len(word) < _MIN_LENGTH_OF_MISSPELLING:
        return word
    from rapidfuzz.distance import OSA  # noqa: PLC0415 - only unknown words wait for it

    near = [candidate for candidate in known if OSA.distance(word, candidate, score_cutoff=1) <= 1]
    return near[0] if len(near) == 1 else word
