"""Numbers, times and prices as people read them: amounts, percent, units, durations.

A price says what a model costs, how its price moved and how it compares with the reference. What is
said of several models at once is one figure, two of them, or a range.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from watcher.catalog.changes import Kind, ModelChange, change_percent
from watcher.catalog.record import fold
from watcher.render.markup import harmless, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from watcher.catalog.pricing import Unit
    from watcher.catalog.record import Model, Record

# Listed prices have fewer digits than this; a quotient may have any number and is rounded here.
SIGNIFICANT_DIGITS = 8
QUOTIENT_DIGITS = 4
LONGEST_UNIT = 30
LONGEST_SELLER = 30
MINUS = "−"
CENT = Decimal("0.01")
# More figures than these are written as a range.
MOST_LISTED = 2

_MAGNITUDES = ((Decimal(10) ** 9, "billion"), (Decimal(10) ** 6, "million"))
_LARGEST_COUNT_OF_A_MAGNITUDE = 1000
_TIME_UNITS = (
    (timedelta(days=1), "day"),
    (timedelta(hours=1), "hour"),
    (timedelta(minutes=1), "minute"),
    (timedelta(seconds=1), "second"),
)
# Below two of a unit the smaller one says more: `90 minutes`, not `1 hour`.
_LEAST_OF_A_TIME_UNIT = 2

# What stands for the provider of a row whose vendor is not named.
_NO_VENDOR = {"", "other"}

Move = tuple["Decimal", "Decimal"]


@lru_cache(maxsize=4096)
def amount(value: Decimal, digits: int = SIGNIFICANT_DIGITS) -> str:
    """Plain digits with thousands separated, no trailing zeros and never an exponent."""
    # Digits before the point are never rounded away.
    precision = max(digits, value.adjusted() + 1)
    plain = f"{Context(prec=precision).plus(value):,f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def money(value: Decimal, digits: int = SIGNIFICANT_DIGITS) -> str:
    return f"${amount(value, digits)}"


def monthly(value: Decimal) -> str:
    """What is paid more or less each month: `+$96.00 a month`, `−$0.004 a month`."""
    size = abs(value)
    cents = f"${size:,.2f}" if size >= CENT or not size else money(size, QUOTIENT_DIGITS)
    return f"{MINUS if value < 0 else '+'}{cents} a month"


def amount_pair(before: Decimal, after: Decimal) -> tuple[str, str]:
    """Two amounts with as many digits as show the difference, however small it is."""
    return _distinct(amount, before, after)


def money_pair(before: Decimal, after: Decimal) -> tuple[str, str]:
    return _distinct(money, before, after)


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


def _distinct(
    text: Callable[[Decimal, int], str], before: Decimal, after: Decimal
) -> tuple[str, str]:
    rounded = text(before, SIGNIFICANT_DIGITS), text(after, SIGNIFICANT_DIGITS)
    if rounded[0] != rounded[1] or before == after:
        return rounded
    every_digit = max(len(value.as_tuple().digits) for value in (before, after))
    return text(before, every_digit), text(after, every_digit)


def utc_time(at: datetime) -> str:
    """A time for people anywhere: `2026-11-22 13:30 UTC`."""
    return f"{utc_date(at)} {at.astimezone(UTC):%H:%M} UTC"


def utc_date(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d}"


def parse_time(text: object) -> datetime | None:
    """An aware time from the detail of a notice; `None` where it is none."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at if at.tzinfo else None


def duration_words(duration: timedelta) -> str:
    """Roughly how long: `45 minutes`, `90 minutes`, `3 hours`, `2 days`."""
    for size, word in _TIME_UNITS:
        if duration >= size * _LEAST_OF_A_TIME_UNIT:
            return f"{duration // size} {word}s"
    return "1 second" if duration >= timedelta(seconds=1) else "no time"


def price(model: Model) -> str:
    """`68.5 credits per second, $0.3425`."""
    main = _main_price(model)
    if not model.record.credits or model.usd is None:
        return main
    return f"{main}, {money(model.usd)}"


def price_move(change: ModelChange, before: Model, after: Model) -> str:
    """`68.5 → 95 credits per second, +38.7 %`: both prices, and how far it moved per base unit."""
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
    return said if moved is None else f"{said}: {percent(moved)} {per(_base_unit(after))}".rstrip()


def usd_move(before: Model, after: Model) -> str | None:
    """`$0.3425 → $0.475`, per base unit where the quantity changed.

    `None` where a price is listed in USD only: then `price_move` says it.
    """
    if before.record.credits is None or after.record.credits is None:
        return None
    assert before.usd is not None and after.usd is not None, "credits have a worth"  # noqa: PT018, S101
    old_unit, new_unit = before.record.unit, after.record.unit
    if old_unit.quantity != new_unit.quantity and old_unit.base == new_unit.base:
        old, new = before.usd / old_unit.quantity, after.usd / new_unit.quantity
        said = f"{money(old, QUOTIENT_DIGITS)} → {money(new, QUOTIENT_DIGITS)}"
        return f"{said} {per(_base_unit(after))}".rstrip()
    old_text, new_text = money_pair(before.usd, after.usd)
    return f"{old_text} → {new_text}"


def against_reference(before: Model, after: Model) -> str:
    """`49.8 % → 30.4 % cheaper than Fal`; one figure where it did not move, empty where unknown.

    Both sides are compared with what the model is compared with now: another category or vendor is
    a correction.
    """
    old, new, other = before.discount, after.discount, compared_with(after.record)
    if old == new:
        return "" if new is None else _standing(new, other)
    if old is None or new is None:
        return " → ".join(
            "no known discount" if side is None else _standing(side, other) for side in (old, new)
        )
    if old > 0 and new > 0:
        cheaper = " → ".join(f"{text} %" for text in _shares(old, new))
        return f"{cheaper} cheaper than {other}"
    return f"{_standing(old, other)} → {_standing(new, other)}"


def seller(record: Record) -> str:
    """Who sells the same at the reference price: `Fal`, `OpenAI`; unknown is `the vendor`."""
    if record.reference_of == "fal":
        return "Fal"
    if fold(record.provider) in _NO_VENDOR:
        return "the vendor"
    return shortened(harmless(record.provider), LONGEST_SELLER)


def compared_with(record: Record) -> str:
    """What a model is cheaper than: `Fal`, `OpenAI's own price`."""
    return "Fal" if record.reference_of == "fal" else reference_name(record)


def reference_name(record: Record) -> str:
    """`Fal's price`, `OpenAI's own price`."""
    return f"{seller(record)}'s {'price' if record.reference_of == 'fal' else 'own price'}"


def reference_price(record: Record) -> str:
    return "none" if record.reference is None else money(record.reference)


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
    old_text, new_text = amount_pair(old, new)
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


def _base_unit(model: Model) -> Unit:
    """One of the base unit."""
    return replace(model.record.unit, quantity=Decimal(1))


def _standing(discount: Decimal, other: str) -> str:
    if not discount:
        return f"as dear as {other}"
    return f"{share(discount)} % {'cheaper' if discount > 0 else 'dearer'} than {other}"


def _shares(old: Decimal, new: Decimal) -> tuple[str, str]:
    rounded = share(old), share(new)
    return rounded if rounded[0] != rounded[1] else amount_pair(old, new)


def share(discount: Decimal) -> str:
    return amount(round(abs(discount), 1)) if abs(discount) >= 1 else amount(abs(discount))


def prices(models: Sequence[Model]) -> str:
    """`20–68.5 credits per second, $0.1–$0.3425`.

    For models that are all listed in credits, or all in USD, and for the same unit.
    """
    texts = list(dict.fromkeys(map(price, models)))
    if len(texts) == 1:
        return texts[0]
    credit_prices = [it.record.credits for it in models if it.record.credits is not None]
    usd = [it.usd for it in models if it.usd is not None]
    said = f"{_range(credit_prices, amount)} credits" if credit_prices else _range(usd, money)
    said = f"{said} {per(models[0].record.unit)}".rstrip()
    return f"{said}, {_range(usd, money)}" if credit_prices else said


def _range(values: Sequence[Decimal], text: Callable[[Decimal], str]) -> str:
    """`20`, `20 and 68.5`, `20–68.5`."""
    texts = list(dict.fromkeys(map(text, values)))
    if len(texts) <= MOST_LISTED:
        return " and ".join(texts)
    return f"{text(min(values))}–{text(max(values))}"


def price_moves(pairs: Sequence[tuple[Model, Model]]) -> str:
    """`68.5 → 95 and 40 → 55.5 credits per second`, for prices that moved by the same percent."""
    unit = per(pairs[0][1].record.unit)
    in_credits = _known([(old.record.credits, new.record.credits) for old, new in pairs])
    said = _moves(in_credits, amount_pair) + " credits" if in_credits else _usd_moves(pairs)
    return f"{said} {unit}".rstrip()


def usd_moves(pairs: Sequence[tuple[Model, Model]]) -> str | None:
    """`$0.3425 → $0.475 and $0.2 → $0.2775`; `None` where the prices are in USD anyway."""
    if any(model.record.credits is None for pair in pairs for model in pair):
        return None
    return _usd_moves(pairs)


def reference_standings(models: Sequence[Model]) -> str | None:
    """`30–49.8 % cheaper than Fal`, for models that are compared with the same.

    `None` where one discount is unknown, or one is cheaper than Fal and another is not.
    """
    known = [it.discount for it in models if it.discount is not None]
    if len(known) != len(models) or not _have_one_sign(known):
        return None
    other = compared_with(models[0].record)
    return f"{_standing_range(known)} than {other}" if known[0] else f"as dear as {other}"


def discount_moves(pairs: Sequence[tuple[Model, Model]]) -> str | None:
    """`49.8–60 % → 30.4–44.4 % cheaper than Fal`; `None` as for `reference_standings`."""
    discounts = _known([(old.discount, new.discount) for old, new in pairs])
    if len(discounts) != len(pairs):
        return None
    old, new = ([pair[side] for pair in discounts] for side in (0, 1))
    other = compared_with(pairs[0][1].record)
    if not (_have_one_sign(old) and _have_one_sign(new)):
        return None
    if old[0] * new[0] > 0:
        word = "cheaper" if old[0] > 0 else "dearer"
        sizes = [(abs(a), abs(b)) for a, b in discounts]
        return f"{_moves(sizes, lambda a, b: (share(a), share(b)), ' %')} {word} than {other}"
    return f"{_standing_range(old)} → {_standing_range(new)} than {other}"


def reference_moves(pairs: Sequence[tuple[Model, Model]]) -> str:
    """`Fal's price $0.5 → $0.6823 and $0.2 → $0.25`, `Fal's price none → $0.2–$0.6823`.

    For models of which all had a reference or none, and all have one now or none has.
    """
    name = reference_name(pairs[0][1].record)
    if known := _known([(old.record.reference, new.record.reference) for old, new in pairs]):
        return f"{name} {_moves(known, money_pair)}"
    olds, news = (
        [it.record.reference for it in side if it.record.reference is not None]
        for side in zip(*pairs, strict=True)
    )
    return f"{name} {_range(olds, money) or 'none'} → {_range(news, money) or 'none'}"


def _standing_range(discounts: Sequence[Decimal]) -> str:
    """`30–49.8 % cheaper`; `neither cheaper nor dearer` where there is no difference."""
    if not discounts[0]:
        return "neither cheaper nor dearer"
    word = "cheaper" if discounts[0] > 0 else "dearer"
    return f"{_range([abs(discount) for discount in discounts], share)} % {word}"


def _have_one_sign(discounts: Sequence[Decimal]) -> bool:
    return len({(discount > 0) - (discount < 0) for discount in discounts}) == 1


def _usd_moves(pairs: Sequence[tuple[Model, Model]]) -> str:
    return _moves(_known([(old.usd, new.usd) for old, new in pairs]), money_pair)


def _moves(
    pairs: Sequence[Move], text: Callable[[Decimal, Decimal], tuple[str, str]], sign: str = ""
) -> str:
    texts = list(dict.fromkeys(text(old, new) for old, new in pairs))
    if len(texts) <= MOST_LISTED:
        return " and ".join(f"{old}{sign} → {new}{sign}" for old, new in texts)
    olds, news = zip(*pairs, strict=True)
    low, high = text(min(olds), min(news)), text(max(olds), max(news))
    return " → ".join(
        (low[side] if low[side] == high[side] else f"{low[side]}–{high[side]}") + sign
        for side in (0, 1)
    )


def _known(pairs: Sequence[tuple[Decimal | None, Decimal | None]]) -> list[Move]:
    return [(old, new) for old, new in pairs if old is not None and new is not None]
