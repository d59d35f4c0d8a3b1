"""The market that the demo plays: forty seconds in which everything happens once.

Written for a daemon that polls and sweeps every second, waits 5 s for removals and 8 s for prices
out of proportion, backs off to 2 s at most, and takes a second for an hour, begun at noon: it has
a market that moves at night. Refuses to know which rows there are: each scene
picks one that fits it, and is left out where none does.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from watcher.simulator.edits import (
    FalPrice,
    Insert,
    Promotion,
    Relabel,
    Remove,
    Rename,
    Reprice,
    Reunit,
)
from watcher.simulator.faults import Shift, Status
from watcher.simulator.market import ClearFaults, Lasting
from watcher.simulator.money import amount, listed_rate, listed_usd, plain
from watcher.simulator.quirks import MISSPELLINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from watcher.simulator.catalogue import Row
    from watcher.simulator.market import Script, Step

__all__ = ["demo_script"]

TOO_MANY_REQUESTS = 429
# Prices move by so much: up by two fifths on one resolution, down by a quarter.
DEARER, CHEAPER = Decimal("1.4"), Decimal("0.75")
FAL_CUTS_TO = Decimal("0.6")
ABSURD = 100
DRIFT, DRIFTING_STEPS, DRIFTING_FROM = Decimal("1.01"), 9, 20.5


def demo_script(rows: Iterable[Mapping[str, object]]) -> Script:
    """The story, told with these rows; its times are seconds at speed 1."""
    cast = _Cast(rows)
    scenes = (
        *_a_price_rises(cast),
        *_labels_are_tidied(cast),
        *_a_release(),
        *_here_again(cast),
        *_a_price_in_disguise(cast),
        *_something_goes(cast),
        *_a_slip_of_the_keyboard(cast),
        *_a_name_is_mended(cast),
        *_the_rival_moves(cast),
        *_a_promotion_while_reading(cast),
        *_an_outage(),
        *_a_price_falls(cast),
        *_a_price_drifts(cast),
    )
    return tuple(sorted(scenes, key=lambda step: step[0]))


class _Cast:
    """The rows, each of which plays one part at most."""

    def __init__(self, rows: Iterable[Mapping[str, object]]) -> None:
        self._free: list[Row] = [dict(row) for row in rows]
        self._order = [str(row["modelDescription"]) for row in self._free]

    def take(self, fits: Callable[[Row], bool]) -> tuple[Row, str] | None:
        """The topmost free row that fits, and its description."""
        for row in self._free:
            if fits(row):
                self._free.remove(row)
                return row, str(row["modelDescription"])
        return None

    def place(self, description: str) -> int:
        return self._order.index(description)

    def name_is_free(self, description: str) -> bool:
        return description not in self._order


def _a_price_rises(cast: _Cast) -> Script:
    if not (found := cast.take(lambda row: "1080p" in row["modelDescription"] and _compared(row))):
        return ()
    row, name = found
    return ((2, Reprice(name, _rounded(_credits(row) * DEARER))),)


def _labels_are_tidied(cast: _Cast) -> Script:
    steps: list[tuple[float, Step]] = []
    if found := cast.take(lambda row: not row["anchor"]):
        steps.append((4, Relabel(found[1], anchor="https://kie.ai/market/found-at-last")))
    if found := cast.take(lambda row: row["creditUnit"] == "per vedio"):
        steps.append((4, Relabel(found[1], unit="per video")))
    return tuple(steps)


def _a_release() -> Script:
    prices = (("480p", "6"), ("720p", "12.5"), ("1080p", "28"))
    return tuple(
        (7, Insert(_released(f"Lumen Video 2, text-to-video, {resolution}", Decimal(price))))
        for resolution, price in reversed(prices)
    )


def _released(description: str, credit_price: Decimal) -> Row:
    usd = Decimal(listed_usd(credit_price))
    fal = usd * 2
    return {
        "modelDescription": description,
        "interfaceType": "video",
        "provider": "Lumen",
        "creditPrice": plain(credit_price),
        "creditUnit": "per second",
        "usdPrice": plain(usd),
        "falPrice": plain(fal),
        "discountRate": listed_rate(usd, fal),
        "anchor": "https://kie.ai/lumen-video-2",
        "discountPrice": False,
    }


def _here_again(cast: _Cast) -> Script:
    if not (found := cast.take(lambda row: row["interfaceType"] == "music")):
        return ()
    row, name = found
    return ((10, Remove(name)), (12, Insert(row, at=cast.place(name))))


def _a_price_in_disguise(cast: _Cast) -> Script:
    found = cast.take(lambda row: row["creditUnit"] == "per 6 images")
    return ((13, Reunit(found[1], "per 2 images")),) if found else ()


def _something_goes(cast: _Cast) -> Script:
    found = cast.take(lambda row: row["interfaceType"] == "chat")
    return ((15, Remove(found[1])),) if found else ()


def _a_slip_of_the_keyboard(cast: _Cast) -> Script:
    if not (found := cast.take(lambda row: row["interfaceType"] == "image" and _compared(row))):
        return ()
    row, name = found
    return ((17, Reprice(name, _credits(row) * ABSURD)), (20, Reprice(name, _credits(row))))


def _a_name_is_mended(cast: _Cast) -> Script:
    for right, wrong in MISSPELLINGS:
        found = cast.take(_mendable(cast, wrong, right))
        if found:
            return ((22, Rename(found[1], found[1].replace(wrong, right))),)
    return ()


def _mendable(cast: _Cast, wrong: str, right: str) -> Callable[[Row], bool]:
    def fits(row: Row) -> bool:
        name = row["modelDescription"]
        return wrong in name and cast.name_is_free(name.replace(wrong, right))

    return fits


def _the_rival_moves(cast: _Cast) -> Script:
    if not (found := cast.take(lambda row: row["interfaceType"] == "image" and _compared(row))):
        return ()
    row, name = found
    fal = amount(row["falPrice"]) or Decimal(1)
    return ((24, FalPrice(name, round(fal * FAL_CUTS_TO, 4))),)


def _a_promotion_while_reading(cast: _Cast) -> Script:
    found = cast.take(lambda row: row["interfaceType"] == "video" and _compared(row))
    return ((26, Shift(by=1, page=2)), (26, Promotion(found[1], active=True))) if found else ()


def _an_outage() -> Script:
    return (
        (29, Lasting(Status(503))),
        (32, ClearFaults()),
        (34, Status(TOO_MANY_REQUESTS, retry_after=timedelta(seconds=1))),
    )


def _a_price_falls(cast: _Cast) -> Script:
    if not (found := cast.take(lambda row: row["interfaceType"] == "video" and _compared(row))):
        return ()
    row, name = found
    return ((36, Reprice(name, _rounded(_credits(row) * CHEAPER))),)


def _a_price_drifts(cast: _Cast) -> Script:
    """By one in a hundred a time, so that no single step is worth a word."""
    if not (found := cast.take(lambda row: row["creditUnit"] == "per second" and _compared(row))):
        return ()
    row, name = found
    price = _credits(row)
    steps = [round(price * DRIFT**count, 4) for count in range(1, DRIFTING_STEPS + 1)]
    return tuple((DRIFTING_FROM + count, Reprice(name, step)) for count, step in enumerate(steps))


def _compared(row: Row) -> bool:
    """Whether the row has a price, a rival's price and nothing odd about its name."""
    tidy = " ".join(row["modelDescription"].split()) == row["modelDescription"]
    return tidy and bool(amount(row["falPrice"])) and bool(amount(row["creditPrice"]))


def _credits(row: Row) -> Decimal:
    return amount(row["creditPrice"]) or Decimal(0)


def _rounded(credit_price: Decimal) -> Decimal:
    return round(credit_price * 2) / Decimal(2) or credit_price
