"""A script of edits and faults, played in time on a running simulator; and the demo's script.

The demo's script takes forty seconds, in which everything happens once. It is written for a daemon
that polls and sweeps every second, confirms removals after 5 s and implausible prices after 8 s,
backs off to 2 s at most, and for which a second is an hour, from noon on: some of it happens at
night. Each step picks a row that fits it, and is left out where there is none.
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
    Insert,
    Promotion,
    ReferencePrice,
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
    """A fault for every request that it fits, until `ClearFaults`."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class ClearFaults:
    """All faults end, one-shot ones that have not happened yet included."""


Step: TypeAlias = Edit | Fault | Lasting | ClearFaults
# Each step with its seconds from the start, at speed 1; a fault without `Lasting` is one-shot.
Script: TypeAlias = tuple[tuple[float, Step], ...]

TOO_MANY_REQUESTS = 429
RISE, FALL = Decimal("1.4"), Decimal("0.75")
REFERENCE_CUT_TO = Decimal("0.6")
IMPLAUSIBLE = 100
DRIFT, DRIFT_STEPS, DRIFT_STARTS_AT = Decimal("1.01"), 9, 20.5


class Market:
    """Plays a script once. `on_step` gets one line for people as each step is played.

    `pause` and `clock` (seconds) replace real time; without them the market waits on the stop
    event and so ends with it.
    """

    def __init__(
        self,
        simulator: Simulator,
        script: Sequence[tuple[float, Step]],
        speed: float = 1.0,
        *,
        on_step: Callable[[str], None] | None = None,
        pause: Callable[[timedelta], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if speed <= 0:
            raise ValueError("speed must be more than 0")
        self._simulator = simulator
        self._script = sorted(script, key=lambda step: step[0])
        self._speed = speed
        self._on_step = on_step
        self._pause = pause
        self._clock = clock

    @property
    def length(self) -> timedelta:
        """The duration of the script at this speed."""
        last = self._script[-1][0] if self._script else 0
        return timedelta(seconds=last / self._speed)

    async def play(self, stop: asyncio.Event) -> None:
        """Play the script to its end, or until `stop` is set."""
        start = self._clock()
        for at, step in self._script:
            # Counted from the start, so that delays do not add up.
            await self._wait(start + at / self._speed - self._clock(), stop)
            if stop.is_set():
                return
            description = self._play(step)
            if self._on_step is not None:
                self._on_step(description)

    async def _wait(self, seconds: float, stop: asyncio.Event) -> None:
        if seconds <= 0:
            return
        if self._pause is not None:
            await self._pause(timedelta(seconds=seconds))
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)

    def _play(self, step: Step) -> str:
        """Play a step, and describe it in one line."""
        match step:
            case ClearFaults():
                self._simulator.faults.clear()
                return "the API works again"
            case Lasting(fault=fault):
                self._simulator.faults.always(fault)
                return f"{fault.description}, until further notice"
            case _ if isinstance(step, Fault):
                self._simulator.faults.next(step)
                return step.description
            case _:
                description = step.describe(self._simulator.catalogue)
                step.apply(self._simulator.catalogue)
                return description


def demo_script(rows: Iterable[Mapping[str, object]]) -> Script:
    """The demo's script for these rows; its times are seconds at speed 1."""
    unused = _UnusedRows(rows)
    steps = (
        *_price_rise(unused),
        *_label_edits(unused),
        *_release(),
        *_short_absence(unused),
        *_unit_change(unused),
        *_removal(unused),
        *_implausible_price(unused),
        *_rename(unused),
        *_reference_price_cut(unused),
        *_promotion_during_a_sweep(unused),
        *_outage(),
        *_price_fall(unused),
        *_price_drift(unused),
    )
    return tuple(sorted(steps, key=lambda step: step[0]))


class _UnusedRows:
    """The rows, each of which is used for one kind of step at most."""

    def __init__(self, rows: Iterable[Mapping[str, object]]) -> None:
        self._unused: list[Row] = [dict(row) for row in rows]
        self._descriptions = [str(row["modelDescription"]) for row in self._unused]

    def take(self, fits: Callable[[Row], bool]) -> tuple[Row, str] | None:
        """The topmost unused row that fits, and its description."""
        for row in self._unused:
            if fits(row):
                self._unused.remove(row)
                return row, str(row["modelDescription"])
        return None

    def position(self, description: str) -> int:
        return self._descriptions.index(description)

    def is_free(self, description: str) -> bool:
        return description not in self._descriptions


def _price_rise(unused: _UnusedRows) -> Script:
    if not (
        found := unused.take(lambda row: "1080p" in row["modelDescription"] and _is_usual(row))
    ):
        return ()
    row, name = found
    return ((2, Reprice(name, _rounded(_credits(row) * RISE))),)


def _label_edits(unused: _UnusedRows) -> Script:
    steps: list[tuple[float, Step]] = []
    if found := unused.take(lambda row: not row["anchor"]):
        steps.append((4, Relabel(found[1], anchor="https://kie.ai/market/found-at-last")))
    if found := unused.take(lambda row: row["creditUnit"] == "per vedio"):
        steps.append((4, Relabel(found[1], unit="per video")))
    return tuple(steps)


def _release() -> Script:
    prices = (("480p", "6"), ("720p", "12.5"), ("1080p", "28"))
    return tuple(
        (7, Insert(_new_row(f"Lumen Video 2, text-to-video, {resolution}", Decimal(price))))
        for resolution, price in reversed(prices)
    )


def _new_row(description: str, credit_price: Decimal) -> Row:
    usd = Decimal(listed_usd(credit_price))
    reference = usd * 2
    return {
        "modelDescription": description,
        "interfaceType": "video",
        "provider": "Lumen",
        "creditPrice": plain(credit_price),
        "creditUnit": "per second",
        "usdPrice": plain(usd),
        "falPrice": plain(reference),
        "discountRate": listed_rate(usd, reference),
        "anchor": "https://kie.ai/lumen-video-2",
        "discountPrice": False,
    }


def _short_absence(unused: _UnusedRows) -> Script:
    if not (found := unused.take(lambda row: row["interfaceType"] == "music")):
        return ()
    row, name = found
    return ((10, Remove(name)), (12, Insert(row, at=unused.position(name))))


def _unit_change(unused: _UnusedRows) -> Script:
    found = unused.take(lambda row: row["creditUnit"] == "per 6 images")
    return ((13, Reunit(found[1], "per 2 images")),) if found else ()


def _removal(unused: _UnusedRows) -> Script:
    found = unused.take(lambda row: row["interfaceType"] == "chat")
    return ((15, Remove(found[1])),) if found else ()


def _implausible_price(unused: _UnusedRows) -> Script:
    if not (found := unused.take(lambda row: row["interfaceType"] == "image" and _is_usual(row))):
        return ()
    row, name = found
    return ((17, Reprice(name, _credits(row) * IMPLAUSIBLE)), (20, Reprice(name, _credits(row))))


def _rename(unused: _UnusedRows) -> Script:
    for right, wrong in MISSPELLINGS:
        found = unused.take(_is_misspelt(unused, wrong, right))
        if found:
            return ((22, Rename(found[1], found[1].replace(wrong, right))),)
    return ()


def _is_misspelt(unused: _UnusedRows, wrong: str, right: str) -> Callable[[Row], bool]:
    def fits(row: Row) -> bool:
        name = row["modelDescription"]
        return wrong in name and unused.is_free(name.replace(wrong, right))

    return fits


def _reference_price_cut(unused: _UnusedRows) -> Script:
    if not (found := unused.take(lambda row: row["interfaceType"] == "image" and _is_usual(row))):
        return ()
    row, name = found
    reference = amount(row["falPrice"]) or Decimal(1)
    return ((24, ReferencePrice(name, round(reference * REFERENCE_CUT_TO, 4))),)


def _promotion_during_a_sweep(unused: _UnusedRows) -> Script:
    found = unused.take(lambda row: row["interfaceType"] == "video" and _is_usual(row))
    return ((26, Shift(by=1, page=2)), (26, Promotion(found[1], active=True))) if found else ()


def _outage() -> Script:
    return (
        (29, Lasting(Status(503))),
        (32, ClearFaults()),
        (34, Status(TOO_MANY_REQUESTS, retry_after=timedelta(seconds=1))),
    )


def _price_fall(unused: _UnusedRows) -> Script:
    if not (found := unused.take(lambda row: row["interfaceType"] == "video" and _is_usual(row))):
        return ()
    row, name = found
    return ((36, Reprice(name, _rounded(_credits(row) * FALL))),)


def _price_drift(unused: _UnusedRows) -> Script:
    """By 1 % each time: no single step passes a threshold of 5 %."""
    if not (found := unused.take(lambda row: row["creditUnit"] == "per second" and _is_usual(row))):
        return ()
    row, name = found
    price = _credits(row)
    steps = [round(price * DRIFT**count, 4) for count in range(1, DRIFT_STEPS + 1)]
    return tuple((DRIFT_STARTS_AT + count, Reprice(name, step)) for count, step in enumerate(steps))


def _is_usual(row: Row) -> bool:
    """Whether the row has a price, a reference price and no odd spacing in its name."""
    usual_spacing = " ".join(row["modelDescription"].split()) == row["modelDescription"]
    return usual_spacing and bool(amount(row["falPrice"])) and bool(amount(row["creditPrice"]))


def _credits(row: Row) -> Decimal:
    return amount(row["creditPrice"]) or Decimal(0)


def _rounded(credit_price: Decimal) -> Decimal:
    return round(credit_price * 2) / Decimal(2) or credit_price
