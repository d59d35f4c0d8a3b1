"""What stands beside the ends of lines: broken, sized and moved apart so that nothing overlaps.

Knows lengths only as they are measured for it. Refuses to know how anything is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watcher.charts.planning import Line

__all__ = ["LINE_HEIGHT", "Label", "Measure", "Room", "cut", "labels", "spread"]

SIZES = (24.0, 22.0, 20.5, 19.0, 17.5)
LINE_HEIGHT = 1.22
GAP = 12.0
MOST_NAME_LINES = 2


class Measure(Protocol):
    """How wide a text is."""

    def __call__(self, text: str, size: float, *, bold: bool = False) -> float: ...


@dataclass(frozen=True, slots=True)
class Label:
    """A name in one or two lines, and how its price moved."""

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
class Room:
    """The column that the labels stand in."""

    width: float
    low: float
    high: float


def labels(lines: Sequence[Line], room: Room, measure: Measure) -> list[Label]:
    """One for each line, all of the largest size at which they fit."""
    made: list[Label] = []
    for most in range(MOST_NAME_LINES, 0, -1):
        for size in SIZES:
            made = [_label(line, size, most, _Ruler(room.width, size, measure)) for line in lines]
            whole = all(label.move == line.move for label, line in zip(made, lines, strict=True))
            fits = sum(label.height for label in made) - GAP <= room.high - room.low
            if fits and (whole or size == SIZES[-1]):
                return made
    return made


def cut(text: str, width: float, size: float, measure: Measure) -> str:
    """The text, or as much of its beginning as there is room for, and `…`."""
    if measure(text, size) <= width:
        return text
    kept = len(text) - 1
    while kept > 0 and measure(f"{text[:kept]}…", size) > width:
        kept -= 1
    return f"{text[:kept].rstrip(' ,')}…"


def spread(wanted: Sequence[float], heights: Sequence[float], room: Room) -> list[float]:
    """Where the middle of each label stands: near where it is wanted, in order, none on another.

    From the top down; labels that would overlap are moved as one block.
    """
    blocks: list[_Block] = []
    for middle, height in zip(wanted, heights, strict=True):
        block = _Block(middle + height / 2, (height,))
        while blocks and blocks[-1].top(room) - blocks[-1].height < block.top(room):
            block = blocks.pop().above(block)
        blocks.append(block)
    return [middle for block in blocks for middle in block.middles(room)]


@dataclass(frozen=True, slots=True)
class _Block:
    """Labels that touch. `tops` sums up where each would have the whole block begin."""

    tops: float
    heights: tuple[float, ...]

    @property
    def height(self) -> float:
        return sum(self.heights)

    def top(self, room: Room) -> float:
        wanted = self.tops / len(self.heights)
        return min(max(wanted, room.low + self.height), room.high)

    def above(self, other: _Block) -> _Block:
        below = other.tops + len(other.heights) * self.height
        return _Block(self.tops + below, self.heights + other.heights)

    def middles(self, room: Room) -> Iterator[float]:
        top = self.top(room)
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


def _label(line: Line, size: float, most_name_lines: int, ruler: _Ruler) -> Label:
    moves = (line.move, line.brief)
    bold = [move for move in moves if ruler.measure(move, size, bold=True) <= ruler.width]
    move = bold[0] if bold else cut(line.brief, 0.85 * ruler.width, size, ruler.measure)
    return Label(_broken(line.name, most_name_lines, ruler), move, size)


def _broken(name: str, most: int, ruler: _Ruler) -> tuple[str, ...]:
    """Where a comma or a space lets it; the last line is cut."""
    if most == 1 or ruler.fits(name):
        return (cut(name, ruler.width, ruler.size, ruler.measure),)
    first = next(part for part in _beginnings(name, ruler) if ruler.fits(part) or len(part) == 1)
    return (first.rstrip(), *_broken(name[len(first) :].lstrip(), most - 1, ruler))


def _beginnings(name: str, ruler: _Ruler) -> Iterator[str]:
    """The best first: up to a comma where the rest fits, up to a space, up to any character."""
    ends = range(len(name) - 1, 0, -1)
    commas = [end for end in ends if name[end - 1] == "," and ruler.fits(name[end:].lstrip())]
    spaces = [end for end in ends if name[end - 1] in " -/"]
    return (name[:end] for end in (*commas, *spaces, *ends))
