"""Charts of price moves: which to draw, and one PNG of them, drawn in a process of its own.

Needs the extra `charts`. Refuses to know where prices are kept and how a picture is sent.
"""

from watcher.charts.aside import drawn, is_available
from watcher.charts.moves import moved
from watcher.charts.series import Point, Series

__all__ = ["Point", "Series", "drawn", "is_available", "moved"]
