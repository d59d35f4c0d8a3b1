"""Numbers, times and prices as people read them: amounts, percent, units, durations.

A price says what a model costs, how its price moved and how it compares with the reference. What is
said of several models at once is one figure, two of them, or a range; of one it is one figure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Context, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

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
# From here on cents are noise, in a title.
WHOLE_DOLLARS = 100
# Beyond it "times as much" says more than percent.
MOST_PERCENT = 1000
# From here on decimals of a percentage, or of a factor, are noise.
WHOLE_PERCENT, WHOLE_FACTOR = 10, 100
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
# A model before and after.
Pair = tuple["Model", "Model"]


@lru_cache(maxsize=4096)
def amount(value: Decimal, digits: int = SIGNIFICANT_DIGITS) -> str:
    """Plain digits with thousands separated, no trailing zeros and never an exponent."""
    # Digits before the point are never rounded away.
    precision = max(digits, value.adjusted() + 1)
    plain = f"{Context(prec=precision).plus(value):,f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def money(value: Decimal, digits: int = SIGNIFICANT_DIGITS) -> str:
    """`$0.30`, `$0.0125`: at least two decimals, and otherwise exact."""
    whole, _, decimals = amount(value, digits).partition(".")
    return f"${whole}.{decimals:0<2}"


def monthly(value: Decimal) -> str:
    """What is paid more or less each month, to the cent: `+$96.00 a month`."""
    return f"{MINUS if value < 0 else '+'}${abs(value):,.2f} a month"


def brief_monthly(value: Decimal) -> str:
    """The same for a title: `+$40/month`, `−$20.70/month`, `+$1,590/month`."""
    text = f"{abs(value):,.{0 if abs(value) >= WHOLE_DOLLARS else 2}f}".removesuffix(".00")
    return f"{MINUS if value < 0 else '+'}${text}/month"


def amount_pair(before: Decimal, after: Decimal) -> tuple[str, str]:
    """Two amounts with as many digits as show the difference, however small it is."""
    return _distinct(amount, before, after)


def money_pair(before: Decimal, after: Decimal) -> tuple[str, str]:
    return _distinct(money, before, after)


def percent(value: Decimal) -> str:
    """A move: `+38.7 %`, `−0.25 %`; one decimal, two below one percent; `×1,428` beyond 1,000 %."""
    size = abs(value)
    return _percent(value, 2 if size < 1 else 1)


def brief_percent(value: Decimal) -> str:
    """The same for a title, without decimals from 10 % on: `+39 %`."""
    return _percent(value, 0) if abs(value) >= WHOLE_PERCENT else percent(value)


def _percent(value: Decimal, decimals: int) -> str:
    sign = MINUS if value < 0 else "+"
    size = abs(value)
    if value > MOST_PERCENT:
        factor = 1 + value / 100
        return f"×{amount(round(factor, 0 if factor >= WHOLE_FACTOR else 1))}"
    rounded = round(size, decimals)
    if size and not rounded:
        return f"less than {sign}0.01 %"
    return f"{sign}{amount(rounded)} %" if rounded else "0 %"


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


@dataclass(frozen=True, slots=True)
class Notation:
    """How somebody has times and prices written: in which zone, and what a price begins with."""

    zone: tzinfo = UTC
    first: Literal["usd", "credits"] = "usd"

    def time(self, at: datetime) -> str:
        """A time with its zone: `2026-11-22 14:30 CET`."""
        return f"{at.astimezone(self.zone):%Y-%m-%d %H:%M %Z}"

    def date(self, at: datetime) -> str:
        return f"{at.astimezone(self.zone):%Y-%m-%d}"


PLAIN_NOTATION = Notation()


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


# Prices


def prices(models: Sequence[Model], notation: Notation = PLAIN_NOTATION) -> str:
    """`$0.3425 per second (68.5 credits)`, `$0.10–$0.3425 per second (20–68.5 credits)`.

    For models that are all listed in credits, or all in USD, for the same unit, and all free or
    none.
    """
    in_usd = [it.usd for it in models if it.usd is not None]
    in_credits = [it.record.credits for it in models if it.record.credits is not None]
    if not in_usd:
        return "no price"
    if not any(in_usd):
        return "free"
    credit_text = f"{_range(in_credits, amount)} {_credit_word(in_credits)}" if in_credits else ""
    return _ordered(_range(in_usd, money), credit_text, models[0].record.unit, notation)


def price_moves(pairs: Sequence[Pair], notation: Notation = PLAIN_NOTATION) -> tuple[str, ...]:
    """`$0.3425 → $0.475 per second (68.5 → 95 credits)`, for moves by the same percent.

    Where the quantity of the unit changed, first what one of it costs, then both prices.
    """
    old, new = pairs[0][0], pairs[0][1]
    units = (old.record.unit, new.record.unit)
    if not (old.usd and new.usd):
        return (f"{prices([old], notation)} → {prices([new], notation)}",)
    if units[0].quantity == units[1].quantity and units[0].base == units[1].base:
        return (_same_unit(pairs, notation),)
    both = f"{prices([old], notation)} → {prices([new], notation)}"
    if units[0].base != units[1].base:
        return (both,)
    of_one = (
        money(model.usd / unit.quantity, QUOTIENT_DIGITS)
        for model, unit in zip((old, new), units, strict=True)
        if model.usd is not None
    )
    return (f"{' → '.join(of_one)} {per(replace(units[1], quantity=Decimal(1)))}".rstrip(), both)


def _same_unit(pairs: Sequence[Pair], notation: Notation) -> str:
    in_usd = _moves(_known([(old.usd, new.usd) for old, new in pairs]), money_pair)
    in_credits = _known([(old.record.credits, new.record.credits) for old, new in pairs])
    credit_text = ""
    if len(in_credits) == len(pairs):
        word = _credit_word([new for _, new in in_credits])
        credit_text = f"{_moves(in_credits, amount_pair)} {word}"
    return _ordered(in_usd, credit_text, pairs[0][1].record.unit, notation)


def _ordered(in_usd: str, in_credits: str, unit: Unit, notation: Notation) -> str:
    """Both amounts, that which is read first with what it is for."""
    first, second = in_usd, in_credits
    if in_credits and notation.first == "credits":
        first, second = in_credits, in_usd
    return f"{first} {per(unit)}".rstrip() + (f" ({second})" if second else "")


def _credit_word(values: Sequence[Decimal]) -> str:
    return "credit" if set(values) == {1} else "credits"


# Comparisons


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


def side_of_reference(model: Model) -> int | None:
    """1 where it costs less, -1 where more, 0 where the same; `None` where unknown."""
    discount = model.discount
    return None if discount is None else (discount > 0) - (discount < 0)


def standings(models: Sequence[Model]) -> str:
    """`30–49.8 % cheaper than Fal`, for models that are compared with the same.

    Empty where one discount is unknown, or one is cheaper than Fal and another is not.
    """
    sides = {side_of_reference(it) for it in models}
    if len(sides) > 1 or None in sides:
        return ""
    discounts = [it.discount for it in models if it.discount is not None]
    joined = f"{_standing(discounts)} {'than' if discounts[0] else 'as'}"
    return f"{joined} {compared_with(models[0].record)}"


def standing_moves(pairs: Sequence[Pair]) -> str:
    """`49.8 % → 30.4 % cheaper than Fal`, `49.8 % cheaper → 2.6 % more expensive than Fal`.

    Both sides are compared with what a model is compared with now: another category or vendor is a
    correction. Where only one side is known, as `standings`.
    """
    sides = [[side_of_reference(pair[at]) for pair in pairs] for at in (0, 1)]
    if None in sides[0] or any(len(set(side)) > 1 for side in sides):
        return standings([new for _, new in pairs])
    if None in sides[1]:
        return ""
    discounts = _known([(old.discount, new.discount) for old, new in pairs])
    other = compared_with(pairs[0][1].record)
    if sides[0] == sides[1] and sides[1][0]:
        sizes = [(abs(a), abs(b)) for a, b in discounts]
        word = "cheaper" if sides[1][0] > 0 else "more expensive"
        return f"{_moves(sizes, _shares, ' %')} {word} than {other}"
    old, new = (_standing([pair[at] for pair in discounts]) for at in (0, 1))
    return f"{old} → {new} than {other}" if sides[1][0] else f"{old} than {other} → {new}"


def reference_moves(pairs: Sequence[Pair]) -> str:
    """`$0.50 → $0.6823 and $0.20 → $0.25`, `none → $0.20–$0.6823`.

    For models of which all had a reference or none, and all have one now or none has.
    """
    if known := _known([(old.record.reference, new.record.reference) for old, new in pairs]):
        return _moves(known, money_pair)
    olds, news = (
        [it.record.reference for it in side if it.record.reference is not None]
        for side in zip(*pairs, strict=True)
    )
    return f"{_range(olds, money) or 'none'} → {_range(news, money) or 'none'}"


def share(discount: Decimal) -> str:
    return amount(round(abs(discount), 1)) if abs(discount) >= 1 else amount(abs(discount))


def _standing(discounts: Sequence[Decimal]) -> str:
    if not discounts[0]:
        return "the same price"
    word = "cheaper" if discounts[0] > 0 else "more expensive"
    return f"{_range([abs(discount) for discount in discounts], share)} % {word}"


def _shares(old: Decimal, new: Decimal) -> tuple[str, str]:
    rounded = share(old), share(new)
    return rounded if rounded[0] != rounded[1] else amount_pair(old, new)


# Several at once


def _range(values: Sequence[Decimal], text: Callable[[Decimal], str]) -> str:
    """`20`, `20 and 68.5`, `20–68.5`."""
    texts = list(dict.fromkeys(map(text, values)))
    if len(texts) <= MOST_LISTED:
        return " and ".join(texts)
    return f"{text(min(values))}–{text(max(values))}"


def _moves(
    pairs: Sequence[Move], text: Callable[[Decimal, Decimal], tuple[str, str]], sign: str = ""
) -> str:
    texts = list(dict.fromkeys(text(old, new) for old, new in pairs))
    if len(texts) <= MOST_LISTED:
        return " and ".join(
            f"{old}{sign} → {new}{sign}" if old != new else f"{old}{sign}" for old, new in texts
        )
    olds, news = zip(*pairs, strict=True)
    low, high = text(min(olds), min(news)), text(max(olds), max(news))
    return " → ".join(
        (low[side] if low[side] == high[side] else f"{low[side]}–{high[side]}") + sign
        for side in (0, 1)
    )


def _known(pairs: Sequence[tuple[Decimal | None, Decimal | None]]) -> list[Move]:
    return [(old, new) for old, new in pairs if old is not None and new is not None]
