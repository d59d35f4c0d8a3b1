"""Numbers as the listing writes them: amounts read from its text and spelled back into it.

Knows only well-meant listings, being the one who writes them. Refuses to know rows and edits.
"""

from __future__ import annotations

from decimal import Decimal

__all__ = ["USD_PER_CREDIT", "amount", "listed_rate", "listed_usd", "plain"]

USD_PER_CREDIT = Decimal("0.005")


def amount(text: object) -> Decimal | None:
    """Read `"84.0"`, `"0,325"` or `" 0.850"`; empty is `None`."""
    tidy = str(text).strip().replace(",", ".")
    return Decimal(tidy) if tidy else None


def plain(value: Decimal) -> str:
    """Plain digits, no trailing zeros, never an exponent."""
    return f"{value.normalize():f}"


def listed_usd(credit_price: Decimal) -> str:
    """What the listing says in USD for a price in credits."""
    return plain(credit_price * USD_PER_CREDIT)


def listed_rate(usd: Decimal | None, fal: Decimal | None) -> float:
    """Percent below Fal as the listing works it out; 0 where there is nothing to compare."""
    if usd is None or not fal:
        return 0.0
    return round(float((1 - usd / fal) * 100), 2)
