"""The text of a letter in HTML, for those who read mail as text.

Refuses to know what the letter says.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

__all__ = ["text_of"]

_UNSEEN = frozenset({"head", "script", "style", "title"})
_LINES = frozenset(
    {"br", "div", "h1", "h2", "h3", "h4", "li", "p", "table", "tr", "ul", "ol", "hr"}
)
_SPACES = re.compile(r"[ \t\r\n\u00a0]+")
_EMPTY_LINES = re.compile(r"\n{3,}")


def text_of(page: str) -> str:
    """What is seen of a page, line by line, each link after its words."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    lines = (line.strip() for line in "".join(reader.seen).split("\n"))
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self._unseen = 0
        self._links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in _UNSEEN
        if tag in _LINES:
            self.seen.append("\n")
        if tag == "a":
            self._links.append(dict(attrs).get("href") or "")

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in _UNSEEN))
        if tag in _LINES:
            self.seen.append("\n")
        if tag == "a" and self._links and (link := self._links.pop()):
            self.seen.append(f" {link}")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.seen.append(_SPACES.sub(" ", data))
