"""How much fits: whole lines in order, as many as a service takes, and a footer that owns up.

Knows limits and line ends. Refuses to know what the lines say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.rendering.harmless import width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Block", "Fitted", "Limits", "fit"]


@dataclass(frozen=True, slots=True)
class Block:
    """The lines that say one thing; all of them stand, or none.

    `opens` begins a paragraph; an empty line begins another.
    """

    lines: tuple[str, ...]
    opens: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service takes, as `width` measures it; a section ends at a blank line."""

    body: int
    section: int | None
    newline: str


@dataclass(frozen=True, slots=True)
class Fitted:
    """The text, and how many blocks stand in it."""

    text: str
    shown: int


@dataclass(slots=True)
class _Page:
    """Lines gathered so far; `used` and `section` are their widths, in all and since the gap."""

    limits: Limits
    lines: list[str]
    used: int = 0
    section: int = 0

    def add_all(self, block: Block) -> None:
        opens = block.opens
        for line in block.lines:
            if line:
                self._add(line, opens=opens)
            opens = not line

    def _add(self, line: str, *, opens: bool) -> None:
        cost, end = width(line), width(self.limits.newline)
        if self.lines and (opens or self._overflows(cost + end)):
            self.lines.append("")
            self.used += end
            self.section = 0
        gap = end if self.lines else 0
        self.lines.append(line)
        self.used += gap + cost
        self.section += (end if self.section else 0) + cost

    def _overflows(self, cost: int) -> bool:
        return self.limits.section is not None and self.section + cost > self.limits.section

    @property
    def within(self) -> bool:
        return self.used <= self.limits.body and (
            self.limits.section is None or self.section <= self.limits.section
        )


def fit(
    blocks: Iterable[Block], count: int, limits: Limits, footer: Callable[[int], str]
) -> Fitted:
    """As many of the `count` blocks as fit above the footer, which is told how many do not.

    Blocks are asked for one by one and no further than they fit: making them may be dear.
    """
    page = _Page(limits, [])
    best = 0, 0
    gap = 2 * width(limits.newline)
    for shown, block in enumerate(blocks, 1):
        page.add_all(block)
        if not page.within:
            break
        # One block more may fit where this one does not: the last takes "+1 more" away.
        if page.used + gap + width(footer(count - shown)) <= limits.body:
            best = shown, len(page.lines)
    shown, kept = best
    closing = footer(count - shown)
    parts = [
        *page.lines[:kept],
        *([""] if kept and closing else []),
        *([closing] if closing else []),
    ]
    return Fitted(limits.newline.join(parts), shown)
