"""How much fits: whole lines in order, as many as a service takes, and a closing that owns up.

Knows limits and line ends. Refuses to know what the lines say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from watcher.rendering.harmless import width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Block", "Fitted", "Limits", "fit"]


@dataclass(frozen=True, slots=True)
class Block:
    """The lines that say one thing; all of them stand, or none.

    `opens` begins a paragraph; an empty line begins another. `contents` is how many of the things
    to be told it tells.
    """

    lines: tuple[str, ...]
    opens: bool
    contents: int = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service takes, as `measure` counts it; a section ends at a blank line."""

    body: int
    section: int | None
    newline: str
    measure: Callable[[str], int] = width


@dataclass(frozen=True, slots=True)
class Fitted:
    """The text without its closing, and how many contents and how many blocks stand in it."""

    text: str
    closing: tuple[str, ...]
    shown: int
    blocks: int

    def whole(self, newline: str = "\n") -> str:
        """With the closing, its paragraphs a blank line apart."""
        return (2 * newline).join(part for part in (self.text, *self.closing) if part)


@dataclass(slots=True)
class _Page:
    """Lines gathered so far; `used` and `section` are their sizes, in all and since the gap."""

    limits: Limits
    lines: list[str] = field(default_factory=list)
    used: int = 0
    section: int = 0
    end: int = 0

    def __post_init__(self) -> None:
        self.end = self.limits.measure(self.limits.newline)

    def add_all(self, block: Block) -> None:
        opens = block.opens
        for line in block.lines:
            if line:
                self._add(line, opens=opens)
            opens = not line

    def _add(self, line: str, *, opens: bool) -> None:
        cost = self.limits.measure(line)
        if self.lines and (opens or self._overflows(cost + self.end)):
            self.lines.append("")
            self.used += self.end
            self.section = 0
        gap = self.end if self.lines else 0
        self.lines.append(line)
        self.used += gap + cost
        self.section += (self.end if self.section else 0) + cost

    def _overflows(self, cost: int) -> bool:
        return self.limits.section is not None and self.section + cost > self.limits.section

    @property
    def within(self) -> bool:
        return self.used <= self.limits.body and (
            self.limits.section is None or self.section <= self.limits.section
        )

    def room_taken(self, closing: tuple[str, ...]) -> int:
        """Of the whole, with a closing."""
        return self.used + sum(2 * self.end + self.limits.measure(part) for part in closing)


def fit(
    blocks: Iterable[Block],
    count: int,
    limits: Limits,
    closing: Callable[[int], tuple[str, ...]],
) -> Fitted:
    """As many blocks as fit above the closing, which is told how many of `count` contents do not.

    Blocks are asked for one by one and no further than they fit: making them may be dear.
    """
    page = _Page(limits)
    told = kept = shown = lines = 0
    for number, block in enumerate(blocks, 1):
        page.add_all(block)
        if not page.within:
            break
        told += block.contents
        # One block more may fit where this one does not: the last takes "+1 more" away.
        if page.room_taken(closing(count - told)) <= limits.body:
            kept, shown, lines = number, told, len(page.lines)
    text = limits.newline.join(page.lines[:lines])
    return Fitted(text, closing(count - shown), shown, kept)
