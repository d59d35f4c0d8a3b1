"""What a price is for."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.catalog.pricing import parse_unit


@pytest.mark.parametrize(
    ("label", "quantity", "base"),
    [
        ("per second", 1, "second"),
        (" per video", 1, "video"),
        ("Per video", 1, "video"),
        ("Per minute", 1, "minute"),
        ("per removal", 1, "removal"),
        ("per removals", 1, "removal"),
        ("per vedio", 1, "video"),
        ("per vidoe", 1, "video"),
        ("per imgae", 1, "image"),
        ("per 2 images", 2, "image"),
        ("per 4 images", 4, "image"),
        ("per 6 Images", 6, "image"),
        ("per 1000 characters", 1000, "character"),
        ("per 1,000 characters", 1000, "character"),
        ("per million tokens", 10**6, "token"),
        ("per 1M tokens", 10**6, "token"),
        ("per 1 million tokens", 10**6, "token"),
        ("per milion tokens", 10**6, "token"),
        ("per million toke", 10**6, "token"),
        ("per million", 10**6, "token"),
        ("per 1k tokens", 1000, "token"),
        ("per request ", 1, "request"),
        ("per upscale", 1, "upscale"),
        ("per megapixel", 1, "megapixel"),
        ("per generation", 1, "generation"),
        ("per 10s", 10, "second"),
        ("per 2.5 minutes", "2.5", "minute"),
        ("", 1, ""),
        ("   ", 1, ""),
        ("per", 1, ""),
        ("per song", 1, "song"),
        ("per 3 songs", 3, "song"),
        ("per hour of studio", 1, "hour of studio"),
    ],
)
def test_a_unit_is_a_quantity_of_a_base_unit(label: str, quantity: int | str, base: str) -> None:
    unit = parse_unit(label)

    assert (unit.quantity, unit.base) == (Decimal(quantity), base)
    assert unit.label == label.strip()


@pytest.mark.parametrize("one", ["audio", "video", "image", "second"])
def test_known_units_are_not_mistaken_for_each_other(one: str) -> None:
    assert parse_unit(f"per {one}").base == one


@given(st.text(max_size=40))
def test_any_text_is_a_unit_with_a_quantity_to_divide_by(text: str) -> None:
    assert parse_unit(text).quantity > 0


@given(st.integers(1, 10**9))
def test_any_number_of_things_is_understood(number: int) -> None:
    unit = parse_unit(f"per {number} widgets")

    assert (unit.quantity, unit.base) == (number, "widget")
