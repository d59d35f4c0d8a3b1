"""Prices in words: what a model costs, how its price moved, and how it stands against Fal.

Refuses to know why a price moved and what else happened to the model.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from watcher.changes import Kind, ModelChange, change_percent
from watcher.rendering.numbers import (
    QUOTIENT_DIGITS,
    amount,
    credit_word,
    money,
    money_pair,
    pair,
    per,
    percent,
)

if TYPE_CHECKING:
    from watcher.catalog import Model, Record
    from watcher.units import Unit

__all__ = [
    "against_fal",
    "fal_price",
    "known_discount",
    "price",
    "price_move",
    "share",
    "usd_move",
]


def price(model: Model) -> str:
    """`68.5 credits per second, $0.3425`."""
    main = _main_price(model)
    if not model.record.credits or model.usd is None:
        return main
    return f"{main}, {money(model.usd)}"


def price_move(change: ModelChange, before: Model, after: Model) -> str:
    """`68.5 → 95 credits per second, +38.7 %`: what moved, and how far per base unit."""
    if Kind.UNIT in change.kinds:
        return f"other unit: {_main_price(before)} → {_main_price(after)}"
    moved = change_percent(change)
    base = before.record.unit.base
    if before.price is None or after.price is None or base != after.record.unit.base:
        said = f"{_main_price(before)} → {_main_price(after)}"
        return said if moved is None else f"{said}, {percent(moved)}"
    if before.record.unit.quantity == after.record.unit.quantity:
        said = _same_unit(before, after)
        return said if moved is None else f"{said}, {percent(moved)}"
    said = _other_quantity(before, after)
    return said if moved is None else f"{said}: {percent(moved)} {per(_one(after))}".rstrip()


def usd_move(before: Model, after: Model) -> str | None:
    """`$0.3425 → $0.475`, per base unit where the quantity changed; `None` where said already."""
    if before.record.credits is None or after.record.credits is None:
        return None
    assert before.usd is not None and after.usd is not None, "credits have a worth"  # noqa: PT018, S101
    mine, theirs = before.record.unit, after.record.unit
    if mine.quantity != theirs.quantity and mine.base == theirs.base:
        old, new = before.usd / mine.quantity, after.usd / theirs.quantity
        said = f"{money(old, QUOTIENT_DIGITS)} → {money(new, QUOTIENT_DIGITS)}"
        return f"{said} {per(_one(after))}".rstrip()
    old_text, new_text = money_pair(before.usd, after.usd)
    return f"{old_text} → {new_text}"


def against_fal(before: Model, after: Model) -> str:
    """`49.8 % → 30.4 % cheaper than Fal`; one figure where it stands; empty where none is known."""
    old, new = known_discount(before), known_discount(after)
    if old == new:
        return "" if new is None else _standing(new)
    if old is None or new is None:
        return " → ".join(
            "no known discount" if side is None else _standing(side) for side in (old, new)
        )
    if old > 0 and new > 0:
        cheaper = " → ".join(f"{text} %" for text in _shares(old, new))
        return f"{cheaper} cheaper than Fal"
    return f"{_standing(old)} → {_standing(new)}"


def fal_price(record: Record) -> str:
    return "none" if record.fal is None else money(record.fal)


def _main_price(model: Model) -> str:
    """Credits and what they are for; USD where no credits are listed."""
    record = model.record
    if record.credits is not None:
        said = (
            f"{amount(record.credits)} {credit_word(record.credits)}" if record.credits else "free"
        )
    elif record.usd_listed is not None:
        said = money(record.usd_listed) if record.usd_listed else "free"
    else:
        return "no price"
    return f"{said} {per(record.unit)}".rstrip()


def _same_unit(before: Model, after: Model) -> str:
    old, new = before.record.credits, after.record.credits
    if old is None or new is None:
        return f"{_main_usd(before)} → {_main_usd(after)} {per(after.record.unit)}".rstrip()
    old_text, new_text = pair(old, new)
    if not new:
        return f"{_main_price(before)} → free"
    said = f"{old_text if old else 'free'} → {new_text} {credit_word(new)}"
    return f"{said} {per(after.record.unit)}".rstrip()


def _other_quantity(before: Model, after: Model) -> str:
    """`4 credits per 6 images → 4 per 2 images`."""
    if not after.record.credits:
        return f"{_main_price(before)} → {_main_price(after)}"
    return f"{_main_price(before)} → {amount(after.record.credits)} {per(after.record.unit)}"


def _main_usd(model: Model) -> str:
    return "no price" if model.usd is None else money(model.usd)


def _one(model: Model) -> Unit:
    """The base unit itself, a single one of it."""
    unit = model.record.unit
    return type(unit)(unit.label, Decimal(1), unit.base)


def known_discount(model: Model) -> Decimal | None:
    """The discount, where one is known: a listing without Fal's price says 0 for "no idea"."""
    return model.discount if model.record.fal or model.record.rate else None


def _standing(discount: Decimal) -> str:
    if not discount:
        return "as dear as Fal"
    return f"{share(discount)} % {'cheaper' if discount > 0 else 'dearer'} than Fal"


def _shares(old: Decimal, new: Decimal) -> tuple[str, str]:
    near = share(old), share(new)
    return near if near[0] != near[1] else pair(old, new)


def share(discount: Decimal) -> str:
    return amount(round(abs(discount), 1)) if abs(discount) >= 1 else amount(abs(discount))
