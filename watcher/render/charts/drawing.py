"""A white sheet to write and draw on, in hundredths of an inch from its lower left corner.

Knows matplotlib's figure, text and fonts, and keeps them from reading more into a text than its
characters. Refuses to know what is drawn.

One picture of how prices moved, made to be read on a phone: large type, names beside the lines.

Needs the extra `charts`: import it only where a picture is drawn. Refuses to know where prices come
from, and obeys nothing that a name may say: `$…$` is text.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, get_font
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image

from watcher.render.charts.plan import LINE_HEIGHT, Room, cut, labels, plan, spread
from watcher.render.figures import amount

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from matplotlib.axes import Axes

    from watcher.render.charts.plan import Label, Line, Panel, Plan, Series

DOTS_PER_INCH = 200
COLOURS = 128
# In hundredths of an inch: what matplotlib sizes type in is a seventy-second.
POINTS = 0.72
INK, SOFT = "#16202b", "#465160"


class Sheet:
    """One picture in the making."""

    def __init__(self, width: float, height: float) -> None:
        size = (width / 100, height / 100)
        self.height = height
        self._width = width
        self._figure = Figure(figsize=size, dpi=DOTS_PER_INCH, facecolor="white")
        # Its methods are not typed.
        self._canvas: Any = FigureCanvasAgg(self._figure)
        # The fonts that come with it: the same picture on every machine.
        fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"
        self._plain, self._bold = fonts / "DejaVuSans.ttf", fonts / "DejaVuSans-Bold.ttf"
        self._known = _characters(self._plain) & _characters(self._bold)

    def width_of(self, text: str, size: float, *, bold: bool = False) -> float:
        renderer = self._canvas.get_renderer()
        font = self._font(size, bold=bold)
        pixels, _, _ = renderer.get_text_width_height_descent(self._legible(text), font, False)
        return float(pixels) * 100 / DOTS_PER_INCH

    def write(
        self, x: float, y: float, text: str, size: float, *, bold: bool = False, **style: Any
    ) -> None:
        """One line of text as it is; `y` is its baseline."""
        self._figure.text(
            x / self._width,
            y / self.height,
            self._legible(text),
            fontproperties=self._font(size, bold=bold),
            parse_math=False,
            **{"color": INK, "ha": "left", "va": "baseline", **style},
        )

    def stroke(self, xs: Sequence[float], ys: Sequence[float], **style: Any) -> None:
        """A line from point to point."""
        across = [x / self._width for x in xs]
        up = [y / self.height for y in ys]
        self._figure.add_artist(Line2D(across, up, **style))

    def axes(self, left: float, low: float, width: float, height: float) -> Axes:
        """A place where lines are drawn in coordinates of their own, and nothing is written."""
        horizontal, vertical = self._width, self.height
        place = (left / horizontal, low / vertical, width / horizontal, height / vertical)
        axes = self._figure.add_axes(place)
        axes.set_axis_off()
        return axes

    def png(self) -> bytes:
        """Reduced to few colours: a quarter of the size that every shade of smooth edges takes."""
        self._canvas.draw()
        size = self._canvas.get_width_height()
        picture = Image.frombytes("RGBA", size, bytes(self._canvas.buffer_rgba())).convert("RGB")
        few = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        file = BytesIO()
        few.save(file, format="PNG")
        return file.getvalue()

    def _legible(self, text: str) -> str:
        """With a box for each character that the fonts do not have."""
        return "".join(char if char in self._known else "□" for char in text)

    def _font(self, size: float, *, bold: bool) -> FontProperties:
        return FontProperties(fname=self._bold if bold else self._plain, size=size * POINTS)


def _characters(font: Path) -> frozenset[str]:
    return frozenset(map(chr, cast("dict[int, Any]", get_font(str(font)).get_charmap())))


WIDTH = 800.0
# Many names need a longer column, and a broader one.
MANY_LINES = 5
LEFT, RIGHT, BOTTOM = 18.0, 786.0, 50.0
TITLE_SIZE, ABOUT_SIZE, TICK_SIZE = 28.0, 21.0, 20.0
PANEL_HEADING = 34.0
LEAST_BETWEEN_TICKS = 62.0
THICKEST = 5.4

RULE = "#d5dae1"
# Told apart by people who see colours differently (Okabe and Ito), and by the shape of their ends.
SHEET_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#000000")
ENDS = ("o", "s", "^", "D", "v", "p")
# A price that moved just now must be seen to be another: its line goes on a little.
BEYOND_NOW = 0.045
ROOM_ABOVE = 0.05

_MAGNITUDES = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**4, "k"))


def draw(series: Sequence[Series], now: datetime) -> bytes:
    """A PNG of 1600 × 1000 pixels, a little higher where there are many lines.

    Shows at most six models, those that moved furthest, over at most 90 days. Raises `ValueError`
    where there is no price to draw.
    """
    with warnings.catch_warnings():
        # About fonts, mostly; nobody would read them.
        warnings.simplefilter("ignore")
        return _drawn(plan(series, now))


@dataclass(frozen=True, slots=True)
class _Places:
    """Where things stand on the sheet."""

    height: float
    plot_right: float
    labels_left: float

    @property
    def plot_top(self) -> float:
        return self.height - 102


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where one panel stands on the sheet, and what its axes run over."""

    panel: Panel
    left: float
    right: float
    low: float
    high: float

    @property
    def top_price(self) -> float:
        return self.panel.high + ROOM_ABOVE * (self.panel.high - self.panel.low)

    def height_of(self, price: float) -> float:
        share = (price - self.panel.low) / (self.top_price - self.panel.low)
        return self.low + share * (self.high - self.low)

    @property
    def ticks(self) -> list[float]:
        low, high = self.panel.low, self.panel.high
        most = max(2, int((self.high - self.low) / LEAST_BETWEEN_TICKS))
        found = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        # A hair of room: in binary, what should be on the edge is beside it.
        hair = (high - low) * 1e-9
        return [abs(float(price)) for price in found if low - hair <= price <= self.top_price]


def _drawn(shown: Plan) -> bytes:
    many = shown.count >= MANY_LINES
    places = _Places(550.0, 446.0, 494.0) if many else _Places(500.0, 478.0, 524.0)
    sheet = Sheet(WIDTH, places.height)
    frames = _frames(shown, places, sheet)
    _head(shown, sheet)
    numbers = iter(range(shown.count))
    for frame in frames:
        _background(frame, shown, sheet)
        axes = _axes(frame, shown, sheet)
        for line in frame.panel.lines:
            _step_line(axes, line, shown, next(numbers))
    _dates(frames[-1], shown, sheet)
    _names(frames, places, sheet)
    return sheet.png()


def _frames(shown: Plan, places: _Places, sheet: Sheet) -> list[_Frame]:
    """From the top down, all with the same left edge: as far in as the widest price needs."""
    slot = (places.plot_top - BOTTOM) / len(shown.panels)
    heading = PANEL_HEADING if len(shown.panels) > 1 else 0.0
    trial = []
    for number, panel in enumerate(shown.panels):
        top = places.plot_top - number * slot
        low = BOTTOM if panel is shown.panels[-1] else top - slot + heading / 2
        trial.append(_Frame(panel, 0.0, places.plot_right, low, top - heading))
    widest = max(sheet.width_of(_tick(t), TICK_SIZE) for frame in trial for t in frame.ticks)
    left = LEFT + widest + 10
    return [_Frame(frame.panel, left, frame.right, frame.low, frame.high) for frame in trial]


def _head(shown: Plan, sheet: Sheet) -> None:
    room = RIGHT - LEFT
    # Bold is broader than what is measured.
    title = cut(shown.title, room * 0.85, TITLE_SIZE, sheet.width_of)
    sheet.write(LEFT, sheet.height - 38, title, TITLE_SIZE, bold=True)
    unit = f"{shown.panels[0].unit}, " if len(shown.panels) == 1 else ""
    about = cut(f"{unit}{shown.about}", room, ABOUT_SIZE, sheet.width_of)
    sheet.write(LEFT, sheet.height - 72, about, ABOUT_SIZE, color=SOFT)


def _background(frame: _Frame, shown: Plan, sheet: Sheet) -> None:
    """The panel's unit, and a rule for each price on the axis."""
    if len(shown.panels) > 1:
        unit = cut(frame.panel.unit, frame.right - LEFT, TICK_SIZE, sheet.width_of)
        sheet.write(LEFT, frame.high + 12, unit, TICK_SIZE, color=SOFT)
    for price in frame.ticks:
        y = frame.height_of(price)
        sheet.stroke([frame.left, frame.right], [y, y], color=RULE, linewidth=1, zorder=0)
        sheet.write(frame.left - 8, y - TICK_SIZE * 0.36, _tick(price), TICK_SIZE, ha="right")


def _axes(frame: _Frame, shown: Plan, sheet: Sheet) -> Axes:
    axes = sheet.axes(frame.left, frame.low, frame.right - frame.left, frame.high - frame.low)
    axes.set_xlim(0, _days(shown, shown.now) * (1 + BEYOND_NOW))
    axes.set_ylim(frame.panel.low, frame.top_price)
    return axes


def _step_line(axes: Axes, line: Line, shown: Plan, number: int) -> None:
    """A price holds until the next one does. Lines on each other are seen: the lower is wider."""
    end = _days(shown, shown.now) * (1 + BEYOND_NOW)
    prices = line.prices
    axes.plot(
        [*(_days(shown, at) for at, _ in line.points), end],
        [*prices, prices[-1]],
        drawstyle="steps-post",
        color=SHEET_COLOURS[number],
        linewidth=(THICKEST - 0.5 * number) * 0.72,
        solid_joinstyle="miter",
        solid_capstyle="butt",
        clip_on=False,
        zorder=3 + number,
    )
    axes.plot(
        [end],
        prices[-1:],
        marker=ENDS[number],
        markersize=9.5,
        markeredgecolor="white",
        markeredgewidth=1.2,
        color=SHEET_COLOURS[number],
        clip_on=False,
        zorder=20 + number,
    )


def _dates(frame: _Frame, shown: Plan, sheet: Sheet) -> None:
    """Below the lowest panel, from now backwards; a date for which there is no room is left out."""
    y, room_to = frame.low, frame.right
    sheet.stroke([frame.left, frame.right], [y, y], color=SOFT, linewidth=1.2)
    whole = _days(shown, shown.now) * (1 + BEYOND_NOW)
    for at, said in shown.ticks:
        x = frame.left + _days(shown, at) / whole * (frame.right - frame.left)
        width = sheet.width_of(said, TICK_SIZE)
        middle = min(x, frame.right - width / 2)
        if middle + width / 2 > room_to:
            continue
        sheet.stroke([x, x], [y, y - 7], color=SOFT, linewidth=1.2)
        sheet.write(middle, y - 31, said, TICK_SIZE, ha="center")
        room_to = middle - width / 2 - TICK_SIZE


def _names(frames: Sequence[_Frame], places: _Places, sheet: Sheet) -> None:
    """Each line's name and move beside its end, joined to it by a line of its colour."""
    lines = [line for frame in frames for line in frame.panel.lines]
    ends = [frame.height_of(line.prices[-1]) for frame in frames for line in frame.panel.lines]
    room = Room(RIGHT - places.labels_left, 14.0, places.plot_top + 16)
    made = labels(lines, room, sheet.width_of)
    middles = spread(ends, [label.height for label in made], room)
    edge, plot = places.labels_left - 12, places.plot_right
    for number, (end, label, middle) in enumerate(zip(ends, made, middles, strict=True)):
        colour = SHEET_COLOURS[number]
        bent = [plot + 10, plot + 13, edge - 4, edge]
        sheet.stroke(bent, [end, end, middle, middle], color=colour, linewidth=1.6)
        half = label.text_height / 2
        sheet.stroke([edge, edge], [middle - half, middle + half], color=colour, linewidth=3.2)
        _write_label(label, places.labels_left, middle, sheet)


def _write_label(label: Label, left: float, middle: float, sheet: Sheet) -> None:
    baseline = middle + label.text_height / 2 - label.size * 0.95
    for part in label.name:
        sheet.write(left, baseline, part, label.size, color=INK)
        baseline -= label.size * LINE_HEIGHT
    sheet.write(left, baseline, label.move, label.size, bold=True)


def _days(shown: Plan, at: datetime) -> float:
    return (at - shown.start) / timedelta(days=1)


def _tick(price: float) -> str:
    for size, letter in _MAGNITUDES:
        if price >= size:
            return f"{amount(Decimal(repr(price / size)), 4)}{letter}"
    return amount(Decimal(repr(price)), 4)
