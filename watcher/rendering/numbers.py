"""Numbers for people: money, credits, percent and what a price is per.

Knows how a figure is read at a glance. Refuses to know what it means.
"""

from __future__ import annotations

from decimal import Context, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from watcher.rendering.harmless import harmless, shortened

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.units import Unit

__all__ = [
    "amount",
    "counted",
    "credit_word",
    "money",
    "money_pair",
    "monthly",
    "pair",
    "per",
    "percent",
]

# Listed prices have fewer digits than this; a quotient has no end and is cut here.
SIGNIFICANT_DIGITS = 8
QUOTIENT_DIGITS = 4
LONGEST_UNIT = 30
MINUS = "−"
CENT = Decimal("0.01")

_MAGNITUDES = ((Decimal(10) ** 9, "billion"), (Decimal(10) ** 6, "million"))
_LARGEST_COUNT_OF_A_MAGNITUDE = 1000


@lru_cache(maxsize=4096)
def amount(value: Decimal, digits: int = SIGNIFICANT_DIGITS) -> str:
    """Plain digits, thousands apart, no trailing zeros; never an exponent."""
    # Digits before the point are never rounded away.
    precision = max(digits, value.adjusted() + 1)
    plain = f"{Context(prec=precision).plus(value):,f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def money(value: Decimal, digits: int = SIGNIFICANT_DIGITS) -> str:
    return f"${amount(value, digits)}"


def monthly(value: Decimal) -> str:
    """What is paid more or less a month: `+$96.00 a month`, `−$0.004 a month`."""
    size = abs(value)
    cents = f"${size:,.2f}" if size >= CENT or not size else money(size, QUOTIENT_DIGITS)
    return f"{MINUS if value < 0 else '+'}{cents} a month"


def pair(before: Decimal, after: Decimal) -> tuple[str, str]:
    """Two amounts that are told apart, however close they are."""
    return _apart(amount, before, after)


def money_pair(before: Decimal, after: Decimal) -> tuple[str, str]:
    return _apart(money, before, after)


def percent(value: Decimal) -> str:
    """A move: `+38.7 %`, `−0.25 %`; one decimal, two below one percent."""
    sign = MINUS if value < 0 else "+"
    size = abs(value)
    rounded = round(size, 2 if size < 1 else 1)
    if size and not rounded:
        return f"less than {sign}0.01 %"
    return f"{sign}{amount(rounded)} %" if rounded else "0 %"


def credit_word(value: Decimal) -> str:
    return "credit" if value == 1 else "credits"


def counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


@lru_cache(maxsize=256)
def per(unit: Unit) -> str:
    """What a price is for: `per second`, `per 2 images`, `per million tokens`; unknown is empty."""
    if not unit.base:
        return ""
    base = shortened(harmless(unit.base), LONGEST_UNIT)
    if unit.quantity == 1:
        return f"per {base}"
    plural = f"{base}s" if base[-1].isascii() and base[-1].isalpha() and base[-1] != "s" else base
    return f"per {_quantity(unit.quantity)} {plural}"


def _quantity(value: Decimal) -> str:
    for magnitude, word in _MAGNITUDES:
        if value >= magnitude and value / magnitude < _LARGEST_COUNT_OF_A_MAGNITUDE:
            return word if value == magnitude else f"{amount(value / magnitude)} {word}"
    return amount(value)


def _apart(text: Callable[[Decimal, int], str], before: Decimal, after: Decimal) -> tuple[str, str]:
    close = text(before, SIGNIFICANT_DIGITS), text(after, SIGNIFICANT_DIGITS)
    if close[0] != close[1] or before == after:
        return close
    every_digit = max(len(value.as_tuple().digits) for value in (before, after))
    return text(before, every_digit), text(after, every_digit)
