"""A script of edits and faults, played in time on a running simulator.

Knows when; the edits know what. Refuses to know what anybody makes of it.

The market that the demo plays: forty seconds in which everything happens once.

Written for a daemon that polls and sweeps every second, waits 5 s for removals and 8 s for prices
out of proportion, backs off to 2 s at most, and takes a second for an hour, begun at noon: it has
a market that moves at night. Refuses to know which rows there are: each scene
picks one that fits it, and is left out where none does.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from watcher.simulator.catalogue import (
    Edit,
    FalPrice,
    Insert,
    Promotion,
    Relabel,
    Remove,
    Rename,
    Reprice,
    Reunit,
    amount,
    listed_rate,
    listed_usd,
    plain,
)
from watcher.simulator.faults import Fault, Shift, Status
from watcher.simulator.generator import MISSPELLINGS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from watcher.simulator.catalogue import Row
    from watcher.simulator.server import Simulator


@dataclass(frozen=True, slots=True)
class Lasting:
    """A fault that befalls every request it fits, until `ClearFaults`."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class ClearFaults:
    """All faults end, the one-shot ones still waiting included."""


Step: TypeAlias = Edit | Fault | Lasting | ClearFaults
# Each step at so many seconds from the start, at speed 1; a bare fault is one-shot.
Script: TypeAlias = tuple[tuple[float, Step], ...]


class Market:
    """Plays a script once. `tell` gets one line for humans as each step is played.

    `pause` and `clock` (seconds) stand in for time; without them the market waits on the stop
    event and so ends with it.
    """

    def __init__(
        self,
        simulator: Simulator,
        script: Sequence[tuple[float, Step]],
        speed: float = 1.0,
        *,
        tell: Callable[[str], None] | None = None,
        pause: Callable[[timedelta], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if speed <= 0:
            raise ValueError("speed must be more than 0")
        self._simulator = simulator
        self._script = sorted(script, key=lambda step: step[0])
        self._speed = speed
        self._tell = tell
        self._pause = pause
        self._clock = clock

    @property
    def length(self) -> timedelta:
        """How long the script takes at this speed."""
        last = self._script[-1][0] if self._script else 0
        return timedelta(seconds=last / self._speed)

    async def play(self, stop: asyncio.Event) -> None:
        """Play the script to its end, or until `stop` is set."""
        start = self._clock()
        for at, step in self._script:
            # Counted from the start, so that slow steps do not add up.
            await self._wait(start + at / self._speed - self._clock(), stop)
            if stop.is_set():
                return
            self._step(step)

    async def _wait(self, seconds: float, stop: asyncio.Event) -> None:
        if seconds <= 0:
            return
        if self._pause is not None:
            await self._pause(timedelta(seconds=seconds))
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)

    def _step(self, step: Step) -> None:
        line = self._play(step)
        if self._tell is not None:
            self._tell(line)

    def _play(self, step: Step) -> str:
        """Do it, and say in one line what was done."""
        match step:
            case ClearFaults():
                self._simulator.faults.clear()
                return "the API is well again"
            case Lasting(fault=fault):
                self._simulator.faults.always(fault)
                return f"{fault.line}, until further notice"
            case _ if isinstance(step, Fault):
                self._simulator.faults.next(step)
                return step.line
            case _:
                line = step.line(self._simulator.catalogue)
                step.apply(self._simulator.catalogue)
                return line


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
