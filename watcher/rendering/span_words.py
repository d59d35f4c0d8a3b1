"""Figures of several models in one phrase: one figure, two of them, or a range.

Refuses to know why they stand together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.rendering.numbers import amount, money, money_pair, pair, per
from watcher.rendering.pricing_words import known_discount, price, share

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from decimal import Decimal

    from watcher.catalog import Model

__all__ = ["discount_moves", "fal_moves", "moves", "prices", "standings", "usd_moves"]

Move = tuple["Decimal", "Decimal"]

# More than so many are told as a range.
MOST_AS_THEY_ARE = 2


def _span(values: Sequence[Decimal], text: Callable[[Decimal], str]) -> str:
    """`20`, `20 and 68.5`, `20–68.5`."""
    told = list(dict.fromkeys(map(text, values)))
    if len(told) <= MOST_AS_THEY_ARE:
        return " and ".join(told)
    return f"{text(min(values))}–{text(max(values))}"


def prices(models: Sequence[Model]) -> str:
    """`20–68.5 credits per second, $0.1–$0.3425`, for models paid alike for alike units."""
    told = list(dict.fromkeys(map(price, models)))
    if len(told) == 1:
        return told[0]
    credit_prices = [it.record.credits for it in models if it.record.credits is not None]
    usd = [it.usd for it in models if it.usd is not None]
    said = f"{_span(credit_prices, amount)} credits" if credit_prices else _span(usd, money)
    said = f"{said} {per(models[0].record.unit)}".rstrip()
    return f"{said}, {_span(usd, money)}" if credit_prices else said


def moves(pairs: Sequence[tuple[Model, Model]]) -> str:
    """`68.5 → 95 and 40 → 55.5 credits per second`, for prices that moved alike."""
    unit = per(pairs[0][1].record.unit)
    in_credits = _known([(old.record.credits, new.record.credits) for old, new in pairs])
    said = _moves(in_credits, pair) + " credits" if in_credits else _usd_moves(pairs)
    return f"{said} {unit}".rstrip()


def usd_moves(pairs: Sequence[tuple[Model, Model]]) -> str | None:
    """`$0.3425 → $0.475 and $0.2 → $0.2775`; `None` where the prices are in USD anyway."""
    if any(model.record.credits is None for pair in pairs for model in pair):
        return None
    return _usd_moves(pairs)


def standings(models: Sequence[Model]) -> str | None:
    """`30–49.8 % cheaper than Fal`; `None` where it is unknown of one, or they stand unlike."""
    known = [discount for it in models if (discount := known_discount(it)) is not None]
    if len(known) != len(models) or not _stand_alike(known):
        return None
    return f"{_standing(known)} than Fal" if known[0] else "as dear as Fal"


def discount_moves(pairs: Sequence[tuple[Model, Model]]) -> str | None:
    """`49.8–60 % → 30.4–44.4 % cheaper than Fal`; `None` where one is unknown."""
    discounts = _known([(known_discount(old), known_discount(new)) for old, new in pairs])
    if len(discounts) != len(pairs):
        return None
    old, new = ([pair[side] for pair in discounts] for side in (0, 1))
    if not (_stand_alike(old) and _stand_alike(new)):
        return None
    if old[0] * new[0] > 0:
        word = "cheaper" if old[0] > 0 else "dearer"
        return f"{_moves([(abs(a), abs(b)) for a, b in discounts], _shares, ' %')} {word} than Fal"
    return f"{_standing(old)} → {_standing(new)} than Fal"


def fal_moves(pairs: Sequence[tuple[Model, Model]]) -> str | None:
    """`Fal's price $0.5 → $0.6823 and $0.2 → $0.25`; `None` where one is unknown."""
    known = _known([(old.record.fal, new.record.fal) for old, new in pairs])
    return f"Fal's price {_moves(known, money_pair)}" if len(known) == len(pairs) else None


def _standing(discounts: Sequence[Decimal]) -> str:
    """`30–49.8 % cheaper`; `neither cheaper nor dearer` where there is no difference."""
    if not discounts[0]:
        return "neither cheaper nor dearer"
    word = "cheaper" if discounts[0] > 0 else "dearer"
    return f"{_span([abs(discount) for discount in discounts], share)} % {word}"


def _stand_alike(discounts: Sequence[Decimal]) -> bool:
    return len({(discount > 0) - (discount < 0) for discount in discounts}) == 1


def _usd_moves(pairs: Sequence[tuple[Model, Model]]) -> str:
    return _moves(_known([(old.usd, new.usd) for old, new in pairs]), money_pair)


def _moves(
    pairs: Sequence[Move], text: Callable[[Decimal, Decimal], tuple[str, str]], sign: str = ""
) -> str:
    told = {text(old, new): (old, new) for old, new in pairs}
    if len(told) <= MOST_AS_THEY_ARE:
        return " and ".join(f"{old}{sign} → {new}{sign}" for old, new in told)
    olds, news = zip(*pairs, strict=True)
    low, high = text(min(olds), min(news)), text(max(olds), max(news))
    return " → ".join(
        (low[side] if low[side] == high[side] else f"{low[side]}–{high[side]}") + sign
        for side in (0, 1)
    )


def _shares(old: Decimal, new: Decimal) -> tuple[str, str]:
    return share(old), share(new)


def _known(pairs: Sequence[tuple[Decimal | None, Decimal | None]]) -> list[Move]:
    return [(old, new) for old, new in pairs if old is not None and new is not None]
