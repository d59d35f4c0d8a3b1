"""A white sheet to write and draw on, in hundredths of an inch from its lower left corner.

Knows matplotlib's figure, text and fonts, and keeps them from reading more into a text than its
characters. Refuses to know what is drawn.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, get_font
from matplotlib.lines import Line2D
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

__all__ = ["INK", "SOFT", "Sheet"]

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
