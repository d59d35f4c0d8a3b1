"""Which characters may reach a terminal or a log: those that only draw.

Knows control characters, escapes and text direction. Refuses to know what a text says.
"""

from __future__ import annotations

import unicodedata

__all__ = ["one_line", "printable"]

# Stands in names that were made harmless, to keep `@` from calling anyone; it does nothing else.
_ZERO_WIDTH_SPACE = "\u200b"


def printable(text: str) -> str:
    r"""The text with every line break kept and the rest that is not drawn spelled out: `\x1b`."""
    return "\n".join(one_line(line) for line in text.replace("\r\n", "\n").split("\n"))


def one_line(text: str) -> str:
    """The text as one line: line breaks are spelled out like every other undrawn character."""
    if text.isprintable():
        return text
    return "".join(char if _is_drawn(char) else _spelled(char) for char in text)


def _is_drawn(char: str) -> bool:
    # Not printable are controls, invisible formatting (bidi overrides too), line separators,
    # surrogates, private and unassigned characters; and spaces, of which every sort only draws.
    return char.isprintable() or char == _ZERO_WIDTH_SPACE or unicodedata.category(char) == "Zs"


def _spelled(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
