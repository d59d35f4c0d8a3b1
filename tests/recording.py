"""Draws what `make demo` prints as docs/pictures/demo.svg, a terminal that scrolls: `make recording`.

It reads the output from stdin. No two demos print the same, so no test holds the picture to one.
"""

from __future__ import annotations

import re
import sys
import textwrap
from html import escape
from pathlib import Path

PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "demo.svg"
COLUMNS, ROWS = 100, 24
LINE, CHARACTER, MARGIN = 18, 7.83, 14
SECONDS_A_STEP, SECONDS_AT_THE_END = 0.9, 6

# Colours by how a line begins; the first that matches.
_COLOURS = (
    (r"\$ ", "#ffffff"),
    (r"\w{3} \d\d:\d\d  market", "#7d8590"),
    (r"\w{3} \d\d:\d\d  to ", "#79c0ff"),
    (r" +[▲✕]", "#ff7b72"),
    (r" +▼", "#7ee787"),
    (r" +[＋★⇄✎]", "#d2a8ff"),
    (r"", "#c9d1d9"),
)


def steps(output: str) -> list[list[tuple[str, str]]]:
    """What appears at once, a line of the market or a message: lines as wide as the picture.

    Each with its colour.
    """
    shown: list[list[tuple[str, str]]] = [[]]
    for line in ["$ make demo", *output.splitlines()]:
        if len(shown[0]) >= ROWS and re.match(r"\w{3} \d\d:\d\d  |The market did", line):
            shown.append([])
        colour = next(colour for start, colour in _COLOURS if re.match(start, line))
        indent = " " * (len(line) - len(line.lstrip()) + 4)
        wrapped = textwrap.wrap(line, COLUMNS, subsequent_indent=indent) or [""]
        shown[-1] += [(part, colour) for part in wrapped]
    return shown


def draw(shown: list[list[tuple[str, str]]]) -> str:
    """The whole output as one tall text, moved up step by step beneath a window of some rows.

    It begins when the window is full: whatever shows only the first moment shows something.
    """
    width, height = round(COLUMNS * CHARACTER + 2 * MARGIN), ROWS * LINE + 2 * MARGIN
    lasts = SECONDS_A_STEP * len(shown) + SECONDS_AT_THE_END
    lines: list[str] = []
    frames: list[str] = []
    for number, step in enumerate(shown):
        for line, colour in step:
            y = len(lines) * LINE + LINE - 4
            lines.append(f'<text y="{y}" fill="{colour}">{escape(line)}</text>')
        up = (ROWS - len(lines)) * LINE
        at = 100 * SECONDS_A_STEP * number / lasts
        frames.append(f"{at:.2f}%{{transform:translateY({up}px)}}")
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" \
height="{height}">
<title>make demo: two days of a simulated market, and the messages about them</title>
<style>
text{{font:13px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre}}
#all{{transform:translateY({up}px);animation:scroll {lasts:.1f}s step-end infinite}}
@keyframes scroll{{{"".join(frames)}100%{{transform:translateY({up}px)}}}}
</style>
<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>
<svg x="{MARGIN}" y="{MARGIN}" width="{width - 2 * MARGIN}" height="{ROWS * LINE}">
<g id="all">
{chr(10).join(lines)}
</g>
</svg>
</svg>
"""


if __name__ == "__main__":
    PICTURE.write_text(draw(steps(sys.stdin.read())), "utf-8")
