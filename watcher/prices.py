"""Amounts of the listing as exact decimals: what can be read safely, and what cannot.

Refuses to know what an amount is the price of.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from functools import lru_cache

__all__ = ["NotUnderstoodError", "decimal_text", "parse_price", "parse_rate"]

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
