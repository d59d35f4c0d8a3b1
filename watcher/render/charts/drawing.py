"""One picture of how prices moved, to be read on a phone: large type, names beside the lines.

Needs the extra `charts`: import it only where a picture is drawn. Lengths are hundredths of an inch
from the lower left corner. Nothing in a name is obeyed: `$…$` is text, not a formula.
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

from watcher.render.charts.layout import (
    LINE_HEIGHT,
    LabelColumn,
    make_labels,
    plan_chart,
    read_request,
    shorten,
    spread_labels,
)
from watcher.render.figures import amount

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from matplotlib.axes import Axes

    from watcher.render.charts.layout import ChartLine, ChartPlan, Label, Panel, Series

DOTS_PER_INCH = 200
COLOURS = 128
# matplotlib sizes type in points, of which an inch has 72.
POINTS = 0.72
INK, SOFT = "#16202b", "#465160"

WIDTH = 800.0
# So many names need a higher and wider column.
MANY_LINES = 5
LEFT, RIGHT, BOTTOM = 18.0, 786.0, 50.0
TITLE_SIZE, ABOUT_SIZE, TICK_SIZE = 28.0, 21.0, 20.0
PANEL_HEADING = 34.0
LEAST_BETWEEN_TICKS = 62.0
THICKEST = 5.4

RULE = "#d5dae1"
# Distinct for people with any colour vision (Okabe and Ito); the ends differ in shape too.
LINE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#000000")
ENDS = ("o", "s", "^", "D", "v", "p")
# A line goes on a little, so that a price that moved just now is seen.
BEYOND_NOW = 0.045
ROOM_ABOVE = 0.05

_MAGNITUDES = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**4, "k"))


class Canvas:
    """An empty white picture to write and draw on."""

    def __init__(self, width: float, height: float) -> None:
        size = (width / 100, height / 100)
        self.height = height
        self._width = width
        self._figure = Figure(figsize=size, dpi=DOTS_PER_INCH, facecolor="white")
        # matplotlib has no types for its methods.
        self._backend: Any = FigureCanvasAgg(self._figure)
        # The fonts that come with matplotlib: the same picture on every machine.
        fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"
        self._plain, self._bold = fonts / "DejaVuSans.ttf", fonts / "DejaVuSans-Bold.ttf"
        self._known = _characters(self._plain) & _characters(self._bold)

    def width_of(self, text: str, size: float, *, bold: bool = False) -> float:
        renderer = self._backend.get_renderer()
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
        """An area with coordinates of its own; matplotlib writes nothing there."""
        horizontal, vertical = self._width, self.height
        place = (left / horizontal, low / vertical, width / horizontal, height / vertical)
        axes = self._figure.add_axes(place)
        axes.set_axis_off()
        return axes

    def png(self) -> bytes:
        """The picture as PNG in few colours: a quarter of the size that it has in all."""
        self._backend.draw()
        size = self._backend.get_width_height()
        picture = Image.frombytes("RGBA", size, bytes(self._backend.buffer_rgba())).convert("RGB")
        reduced = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        file = BytesIO()
        reduced.save(file, format="PNG")
        return file.getvalue()

    def _legible(self, text: str) -> str:
        """The text with a box for each character that the fonts lack."""
        return "".join(char if char in self._known else "□" for char in text)

    def _font(self, size: float, *, bold: bool) -> FontProperties:
        return FontProperties(fname=self._bold if bold else self._plain, size=size * POINTS)


def _characters(font: Path) -> frozenset[str]:
    return frozenset(map(chr, cast("dict[int, Any]", get_font(str(font)).get_charmap())))


def answer(request: bytes) -> bytes:
    """The picture for the request of a worker. Raises `ValueError` with the reason why not."""
    # Not the style that a user's own settings may ask for.
    mpl.rcdefaults()
    return draw(*read_request(request))


def draw(series: Sequence[Series], now: datetime) -> bytes:
    """A PNG of 1600 × 1000 pixels, a little higher where there are many lines.

    Shows at most six models, those that moved furthest, over at most 90 days. Raises `ValueError`
    where there is no price to draw.
    """
    with warnings.catch_warnings():
        # Mostly about fonts; nobody would read them.
        warnings.simplefilter("ignore")
        return _picture(plan_chart(series, now))


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where things are on the canvas."""

    height: float
    plot_right: float
    labels_left: float

    @property
    def plot_top(self) -> float:
        return self.height - 102


@dataclass(frozen=True, slots=True)
class _PanelFrame:
    """Where one panel is on the canvas, and the range of its axis."""

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
        # Rounding may put a price that belongs on the edge beside it.
        tolerance = (high - low) * 1e-9
        return [abs(float(price)) for price in found if low - tolerance <= price <= self.top_price]


def _picture(chart: ChartPlan) -> bytes:
    many = chart.count >= MANY_LINES
    layout = _Layout(550.0, 446.0, 494.0) if many else _Layout(500.0, 478.0, 524.0)
    canvas = Canvas(WIDTH, layout.height)
    frames = _frames(chart, layout, canvas)
    _title(chart, canvas)
    numbers = iter(range(chart.count))
    for frame in frames:
        _background(frame, chart, canvas)
        axes = _axes(frame, chart, canvas)
        for line in frame.panel.lines:
            _step_line(axes, line, chart, next(numbers))
    _dates(frames[-1], chart, canvas)
    _names(frames, layout, canvas)
    return canvas.png()


def _frames(chart: ChartPlan, layout: _Layout, canvas: Canvas) -> list[_PanelFrame]:
    """The panels from the top down, all with room for the widest price at the left."""
    slot = (layout.plot_top - BOTTOM) / len(chart.panels)
    heading = PANEL_HEADING if len(chart.panels) > 1 else 0.0
    trial = []
    for number, panel in enumerate(chart.panels):
        top = layout.plot_top - number * slot
        low = BOTTOM if panel is chart.panels[-1] else top - slot + heading / 2
        trial.append(_PanelFrame(panel, 0.0, layout.plot_right, low, top - heading))
    widest = max(canvas.width_of(_tick(t), TICK_SIZE) for frame in trial for t in frame.ticks)
    left = LEFT + widest + 10
    return [_PanelFrame(frame.panel, left, frame.right, frame.low, frame.high) for frame in trial]


def _title(chart: ChartPlan, canvas: Canvas) -> None:
    room = RIGHT - LEFT
    # Bold type is wider than what is measured.
    title = shorten(chart.title, room * 0.85, TITLE_SIZE, canvas.width_of)
    canvas.write(LEFT, canvas.height - 38, title, TITLE_SIZE, bold=True)
    unit = f"{chart.panels[0].unit}, " if len(chart.panels) == 1 else ""
    about = shorten(f"{unit}{chart.about}", room, ABOUT_SIZE, canvas.width_of)
    canvas.write(LEFT, canvas.height - 72, about, ABOUT_SIZE, color=SOFT)


def _background(frame: _PanelFrame, chart: ChartPlan, canvas: Canvas) -> None:
    """The panel's unit, and a rule for each price on the axis."""
    if len(chart.panels) > 1:
        unit = shorten(frame.panel.unit, frame.right - LEFT, TICK_SIZE, canvas.width_of)
        canvas.write(LEFT, frame.high + 12, unit, TICK_SIZE, color=SOFT)
    for price in frame.ticks:
        y = frame.height_of(price)
        canvas.stroke([frame.left, frame.right], [y, y], color=RULE, linewidth=1, zorder=0)
        canvas.write(frame.left - 8, y - TICK_SIZE * 0.36, _tick(price), TICK_SIZE, ha="right")


def _axes(frame: _PanelFrame, chart: ChartPlan, canvas: Canvas) -> Axes:
    axes = canvas.axes(frame.left, frame.low, frame.right - frame.left, frame.high - frame.low)
    axes.set_xlim(0, _days(chart, chart.now) * (1 + BEYOND_NOW))
    axes.set_ylim(frame.panel.low, frame.top_price)
    return axes


def _step_line(axes: Axes, line: ChartLine, chart: ChartPlan, number: int) -> None:
    """A price holds until the next one does. Where lines overlap, the lower one is wider."""
    end = _days(chart, chart.now) * (1 + BEYOND_NOW)
    prices = line.prices
    axes.plot(
        [*(_days(chart, at) for at, _ in line.points), end],
        [*prices, prices[-1]],
        drawstyle="steps-post",
        color=LINE_COLOURS[number],
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
        color=LINE_COLOURS[number],
        clip_on=False,
        zorder=20 + number,
    )


def _dates(frame: _PanelFrame, chart: ChartPlan, canvas: Canvas) -> None:
    """Write dates below the lowest panel, from now backwards, where there is room."""
    y, room_to = frame.low, frame.right
    canvas.stroke([frame.left, frame.right], [y, y], color=SOFT, linewidth=1.2)
    whole = _days(chart, chart.now) * (1 + BEYOND_NOW)
    for at, text in chart.ticks:
        x = frame.left + _days(chart, at) / whole * (frame.right - frame.left)
        width = canvas.width_of(text, TICK_SIZE)
        middle = min(x, frame.right - width / 2)
        if middle + width / 2 > room_to:
            continue
        canvas.stroke([x, x], [y, y - 7], color=SOFT, linewidth=1.2)
        canvas.write(middle, y - 31, text, TICK_SIZE, ha="center")
        room_to = middle - width / 2 - TICK_SIZE


def _names(frames: Sequence[_PanelFrame], layout: _Layout, canvas: Canvas) -> None:
    """Each line's name and move beside its end, joined to it by a line of its colour."""
    lines = [line for frame in frames for line in frame.panel.lines]
    ends = [frame.height_of(line.prices[-1]) for frame in frames for line in frame.panel.lines]
    column = LabelColumn(RIGHT - layout.labels_left, 14.0, layout.plot_top + 16)
    labels = make_labels(lines, column, canvas.width_of)
    middles = spread_labels(ends, [label.height for label in labels], column)
    edge, plot = layout.labels_left - 12, layout.plot_right
    for number, (end, label, middle) in enumerate(zip(ends, labels, middles, strict=True)):
        colour = LINE_COLOURS[number]
        bent = [plot + 10, plot + 13, edge - 4, edge]
        canvas.stroke(bent, [end, end, middle, middle], color=colour, linewidth=1.6)
        half = label.text_height / 2
        canvas.stroke([edge, edge], [middle - half, middle + half], color=colour, linewidth=3.2)
        _write_label(label, layout.labels_left, middle, canvas)


def _write_label(label: Label, left: float, middle: float, canvas: Canvas) -> None:
    baseline = middle + label.text_height / 2 - label.size * 0.95
    for part in label.name:
        canvas.write(left, baseline, part, label.size, color=INK)
        baseline -= label.size * LINE_HEIGHT
    canvas.write(left, baseline, label.move, label.size, bold=True)


def _days(chart: ChartPlan, at: datetime) -> float:
    return (at - chart.start) / timedelta(days=1)


def _tick(price: float) -> str:
    for size, letter in _MAGNITUDES:
        if price >= size:
            return f"{amount(Decimal(repr(price / size)), 4)}{letter}"
    return amount(Decimal(repr(price)), 4)
