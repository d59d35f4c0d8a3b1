"""What a chart shows and where: models, panels, the time axis, and the labels beside the lines.

Values only, without matplotlib: lengths of text come from a `Measure`. A `Series` is also what is
handed to the process that draws.
"""

from __future__ import annotations

import json
import math
import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol
from zoneinfo import ZoneInfo

from watcher.catalog.pricing import Unit
from watcher.render.figures import amount, duration_words, per, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.catalog.record import PricePoint

MOST_LINES = 6
MOST_PANELS = 3
WINDOW = timedelta(days=90)
# Of a model that was first seen just now.
SHORTEST_WINDOW = timedelta(hours=1)
LONGEST_NAME = 100
# Where the top of one line is so many times above the next, they have a panel each: on the scale of
# the higher one the lower one would be flat.
FAR_APART = 5
# No change fills a panel: at least this share of the highest price is shown, so that a move of one
# percent looks like one.
LEAST_SHARE_SHOWN = 0.25
# Where the lowest price is a smaller share of the highest, the axis begins at zero.
FLOOR_AT_ZERO_BELOW = 0.55
# Prices are for the first quantity of a unit for which the highest price is at least this.
_QUANTITIES = ((1, 0.01), (1000, 0.1), (10**6, 0.0))
DIGITS = 5
# Up to so many days the axis has hours.
HOURLY_DAYS = 2
# Nearly 90 days are 90.
_ROUNDING = timedelta(seconds=30)

_UNDRAWABLE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Mn", "Me", "Zl", "Zp"})
# English like all other text, whatever the locale.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# Sizes of the labels' type, and lengths, in hundredths of an inch.
SIZES = (24.0, 22.0, 20.5, 19.0, 17.5)
LINE_HEIGHT = 1.22
GAP = 12.0
MOST_NAME_LINES = 4


@dataclass(frozen=True, slots=True)
class Series:
    """A model's name as listed, its base unit, and its prices in credits per one of that unit.

    Each point is when a price began to hold and what it was, the oldest first. `since` is the
    price that the message compares the last one with; without it that is the price before. What is
    `used` is shown before anything else.
    """

    name: str
    unit: str
    points: tuple[PricePoint, ...]
    since: Decimal | None = None
    used: bool = False

    @property
    def move(self) -> tuple[Decimal, Decimal] | None:
        """From which price to which; `None` where there is only one."""
        if not self.points:
            return None
        last = self.points[-1][1]
        before = [price for _, price in self.points if price != last]
        old = before[-1] if self.since is None and before else self.since
        return None if old is None or old == last else (old, last)


def request_text(series: Sequence[Series], now: datetime) -> bytes:
    """All that a chart is drawn from, as JSON; days begin as in the zone of `now`."""
    zone = getattr(now.tzinfo, "key", "UTC")
    fields = {"now": now.isoformat(), "zone": zone, "series": [*map(_series_fields, series)]}
    return json.dumps(fields).encode()


def read_request(text: bytes) -> tuple[tuple[Series, ...], datetime]:
    """What `request_text` wrote."""
    content = json.loads(text)
    series = tuple(_series_from(one) for one in content["series"])
    now = datetime.fromisoformat(content["now"]).astimezone(ZoneInfo(content["zone"]))
    return series, now


def _series_fields(series: Series) -> dict[str, Any]:
    return {
        "name": series.name,
        "unit": series.unit,
        "points": [(at.isoformat(), str(price)) for at, price in series.points],
        "since": None if series.since is None else str(series.since),
        "used": series.used,
    }


def _series_from(content: dict[str, Any]) -> Series:
    since = content["since"]
    return Series(
        name=content["name"],
        unit=content["unit"],
        points=tuple(
            (datetime.fromisoformat(at), Decimal(price)) for at, price in content["points"]
        ),
        since=None if since is None else Decimal(since),
        used=content["used"],
    )


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One model's prices within the window, and what stands beside their end."""

    name: str
    move: str
    brief: str
    points: tuple[PricePoint, ...]

    @property
    def prices(self) -> list[float]:
        return [float(price) for _, price in self.points]


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines on one scale, the one that ends highest first; `unit` in words."""

    unit: str
    lines: tuple[ChartLine, ...]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ChartPlan:
    """The whole chart. `ticks` are times on the axis, and what is written there."""

    title: str
    about: str
    start: datetime
    now: datetime
    panels: tuple[Panel, ...]
    ticks: tuple[tuple[datetime, str], ...]

    @property
    def count(self) -> int:
        """How many lines there are."""
        return sum(len(panel.lines) for panel in self.panels)


def plan_chart(series: Sequence[Series], now: datetime) -> ChartPlan:
    """The biggest moves, in few panels. Raises `ValueError` where there is nothing to draw."""
    known = [one for one in (_until(one, now) for one in series) if one.points]
    if not known:
        raise ValueError("there is no price to draw")
    chosen = _biggest_moves(known)
    start = _start(chosen, now)
    shared = _shared_family(chosen)
    groups = _split_by_scale(
        [_of_unit(chosen, unit) for unit in sorted({one.unit for one in chosen})]
    )
    return ChartPlan(
        title=shared or "Kie.ai prices",
        about=_about(start, now, len(chosen), len(known)),
        start=start,
        now=now,
        panels=tuple(_panel(group, start, shared) for group in groups),
        ticks=tuple(_ticks(start, now)),
    )


def drawable_text(text: str, longest: int = LONGEST_NAME) -> str:
    """One line of at most `longest` characters, each of which is seen and takes its own place."""
    # What is cut off in any case need not be read.
    composed = unicodedata.normalize("NFC", text[: 20 * longest])
    kept = (
        " " if char.isspace() else char
        for char in composed
        if char.isspace() or unicodedata.category(char) not in _UNDRAWABLE
    )
    line = " ".join("".join(kept).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip(" ,") + "…"


def _until(series: Series, now: datetime) -> Series:
    return replace(series, points=tuple(point for point in series.points if point[0] <= now))


def _biggest_moves(series: Sequence[Series]) -> list[Series]:
    """What is used, then what moved furthest; no more units than there are panels."""
    chosen: list[Series] = []
    units: set[str] = set()
    for one in sorted(series, key=lambda one: (one.used, _size(one)), reverse=True):
        if len(chosen) < MOST_LINES and (one.unit in units or len(units) < MOST_PANELS):
            chosen.append(one)
            units.add(one.unit)
    return chosen


def _size(series: Series) -> float:
    """How far the price moved, up or down; from or to nothing is furthest."""
    if series.move is None:
        return 0.0
    old, new = series.move
    return abs(math.log(float(new / old))) if old > 0 and new > 0 else math.inf


def _start(series: Sequence[Series], now: datetime) -> datetime:
    first = min(one.points[0][0] for one in series)
    return min(max(first, now - WINDOW), now - SHORTEST_WINDOW)


def _shared_family(series: Sequence[Series]) -> str | None:
    """The family that all are of, where each has something else to its name."""
    names = [one.name.partition(",") for one in series]
    families = {family.strip().casefold() for family, _, _ in names}
    variants = {drawable_text(variant) for _, _, variant in names}
    if len(families) > 1 or "" in variants or len(variants) < len(series):
        return None
    return drawable_text(names[0][0]) or None


def _of_unit(chosen: Sequence[Series], unit: str) -> list[Series]:
    """Those of one unit, the cheapest first; very small prices become the price of many of it."""
    same = sorted((one for one in chosen if one.unit == unit), key=_top)
    base, highest = drawable_text(unit), _top(same[-1])
    quantity = next(q for q, least in _QUANTITIES if highest * q >= least or not highest)
    axis = f"credits {per(Unit(base, Decimal(quantity), base))}".rstrip()
    return [_times(one, quantity if base else 1, axis) for one in same]


def _times(series: Series, quantity: int, unit: str) -> Series:
    points = tuple((at, price * quantity) for at, price in series.points)
    since = None if series.since is None else series.since * quantity
    return replace(series, points=points, since=since, unit=unit)


def _split_by_scale(groups: list[list[Series]]) -> list[list[Series]]:
    """The groups, split where their lines are far apart, the widest gap first."""
    while len(groups) < MOST_PANELS:
        gap, place, at = max(_gaps(groups), default=(0.0, 0, 0))
        if gap < FAR_APART:
            break
        groups = [*groups[:place], groups[place][at:], groups[place][:at], *groups[place + 1 :]]
    return groups


def _gaps(groups: Sequence[Sequence[Series]]) -> Iterator[tuple[float, int, int]]:
    for place, group in enumerate(groups):
        for at, (lower, upper) in enumerate(pairwise(map(_top, group)), 1):
            if lower > 0:
                yield upper / lower, place, at


def _top(series: Series) -> float:
    return float(max(price for _, price in series.points))


def _panel(group: Sequence[Series], start: datetime, shared: str | None) -> Panel:
    lines = [_line(one, start, shared) for one in group]
    lines.sort(key=lambda line: line.prices[-1], reverse=True)
    prices = [price for line in lines for price in line.prices]
    low, high = _scale(min(prices), max(prices))
    return Panel(group[0].unit, tuple(lines), low, high)


def _scale(low: float, high: float) -> tuple[float, float]:
    if high <= 0:
        return 0.0, 1.0
    if low < high * FLOOR_AT_ZERO_BELOW:
        return 0.0, high
    shown = max(1.6 * (high - low), LEAST_SHARE_SHOWN * high)
    return max(0.0, (low + high - shown) / 2), (low + high + shown) / 2


def _line(series: Series, start: datetime, shared: str | None) -> ChartLine:
    variant = series.name.partition(",")[2]
    name = drawable_text(variant if shared else series.name) or "?"
    return ChartLine(name, *_move_texts(series), tuple(_within(series.points, start)))


def _move_texts(series: Series) -> tuple[str, str]:
    """How the price moved, and the same in a shorter form."""
    if series.move is None:
        last = _price(series.points[-1][1])
        return last, last
    old, new = series.move
    moved = percent((new / old - 1) * 100) if old else ""
    full = f"{_price(old)} → {_price(new)}  {moved}".rstrip()
    return full, f"{_price(new)}  {moved}".rstrip()


def _price(value: Decimal) -> str:
    return amount(value, DIGITS) if value else "free"


def _within(points: Sequence[PricePoint], start: datetime) -> Iterator[PricePoint]:
    """The prices in the window, beginning with the one that held when it began."""
    before = [point for point in points if point[0] < start]
    if before:
        yield start, before[-1][1]
    yield from (point for point in points if point[0] >= start)


def _about(start: datetime, now: datetime, shown: int, known: int) -> str:
    period = f"last {duration_words(now - start + _ROUNDING)}"
    return period if shown == known else f"{period}, {shown} of {known:,} models"


def _ticks(start: datetime, now: datetime) -> Iterator[tuple[datetime, str]]:
    """A few days at their midnight; the first of each month where the window is long.

    Of a window of two days or less the hours.
    """
    days = round((now - start) / timedelta(days=1))
    if days <= HOURLY_DAYS:
        yield from _hours(start, now)
        return
    step = next((step for step in (1, 2, 7, 14) if days <= 4 * step), None)
    for back in range(days + 1):
        day = (now - timedelta(days=back)).replace(hour=0, minute=0, second=0, microsecond=0)
        fits = day.day == 1 if step is None else back % step == 0
        if fits and day > start:
            yield day, f"{day.day} {_MONTHS[day.month - 1]}"


def _hours(start: datetime, now: datetime) -> Iterator[tuple[datetime, str]]:
    """From the last hour backwards, in steps that give a few."""
    length = (now - start) / timedelta(hours=1)
    step = next(step for step in (1, 3, 6, 12) if length <= 4 * step or step == 12)  # noqa: PLR2004
    hour = now.replace(minute=0, second=0, microsecond=0)
    while hour > start:
        if not hour.hour % step:
            yield hour, f"{hour:%H:%M}"
        hour -= timedelta(hours=1)


class Measure(Protocol):
    """How wide a text is."""

    def __call__(self, text: str, size: float, *, bold: bool = False) -> float: ...


@dataclass(frozen=True, slots=True)
class Label:
    """A name in a few lines, and how its price moved."""

    name: tuple[str, ...]
    move: str
    size: float

    @property
    def text_height(self) -> float:
        return (len(self.name) + 1) * self.size * LINE_HEIGHT

    @property
    def height(self) -> float:
        """With the gap to the next."""
        return self.text_height + GAP


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """The space that the labels have."""

    width: float
    low: float
    high: float


def make_labels(lines: Sequence[ChartLine], column: LabelColumn, measure: Measure) -> list[Label]:
    """One for each line, all of the largest size at which they fit."""
    made: list[Label] = []
    for most in range(MOST_NAME_LINES, 0, -1):
        for size in SIZES:
            made = [_label(line, size, most, _Ruler(column.width, size, measure)) for line in lines]
            whole = all(label.move == line.move for label, line in zip(made, lines, strict=True))
            fits = sum(label.height for label in made) - GAP <= column.high - column.low
            if fits and (whole or size == SIZES[-1]):
                return made
    return made


def shorten(text: str, width: float, size: float, measure: Measure) -> str:
    """The text, or as much of its beginning as fits, and `…`."""
    if measure(text, size) <= width:
        return text
    kept = len(text) - 1
    while kept > 0 and measure(f"{text[:kept]}…", size) > width:
        kept -= 1
    return f"{text[:kept].rstrip(' ,')}…"


def spread_labels(
    wanted: Sequence[float], heights: Sequence[float], column: LabelColumn
) -> list[float]:
    """The middle of each label: near where it is wanted, in order, without overlaps.

    From the top down; labels that would overlap are moved as one block.
    """
    blocks: list[_Block] = []
    for middle, height in zip(wanted, heights, strict=True):
        block = _Block(middle + height / 2, (height,))
        while blocks and blocks[-1].top(column) - blocks[-1].height < block.top(column):
            block = blocks.pop().above(block)
        blocks.append(block)
    return [middle for block in blocks for middle in block.middles(column)]


@dataclass(frozen=True, slots=True)
class _Block:
    """Labels that touch. `tops` is the sum of where each of them wants the block to begin."""

    tops: float
    heights: tuple[float, ...]

    @property
    def height(self) -> float:
        return sum(self.heights)

    def top(self, column: LabelColumn) -> float:
        wanted = self.tops / len(self.heights)
        return min(max(wanted, column.low + self.height), column.high)

    def above(self, other: _Block) -> _Block:
        below = other.tops + len(other.heights) * self.height
        return _Block(self.tops + below, self.heights + other.heights)

    def middles(self, column: LabelColumn) -> Iterator[float]:
        top = self.top(column)
        for height in self.heights:
            yield top - height / 2
            top -= height


@dataclass(frozen=True, slots=True)
class _Ruler:
    width: float
    size: float
    measure: Measure

    def fits(self, text: str) -> bool:
        return self.measure(text, self.size) <= self.width


def _label(line: ChartLine, size: float, most_name_lines: int, ruler: _Ruler) -> Label:
    moves = (line.move, line.brief)
    bold = [move for move in moves if ruler.measure(move, size, bold=True) <= ruler.width]
    move = bold[0] if bold else shorten(line.brief, 0.85 * ruler.width, size, ruler.measure)
    return Label(_broken_name(line.name, most_name_lines, ruler), move, size)


def _broken_name(name: str, most: int, ruler: _Ruler) -> tuple[str, ...]:
    """A name in at most so many lines, broken at a comma or a space; the last is shortened."""
    if most == 1 or ruler.fits(name):
        return (shorten(name, ruler.width, ruler.size, ruler.measure),)
    beginnings = _beginnings(name, most - 1, ruler)
    first = next(part for part in beginnings if ruler.fits(part) or len(part) == 1)
    return (first.rstrip(), *_broken_name(name[len(first) :].lstrip(), most - 1, ruler))


def _beginnings(name: str, more_lines: int, ruler: _Ruler) -> Iterator[str]:
    """Possible first lines, best first: to a comma where the rest fits, to a space, to anywhere."""
    ends = range(len(name) - 1, 0, -1)
    room = more_lines * ruler.width
    after_comma = [end for end in ends if name[end - 1] == ","]
    commas = [it for it in after_comma if ruler.measure(name[it:].lstrip(), ruler.size) <= room]
    spaces = [end for end in ends if name[end - 1] in " -/"]
    return (name[:end] for end in (*commas, *spaces, *ends))
