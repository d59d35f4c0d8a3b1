"""The process that draws: prices as JSON on stdin, a PNG on stdout, and its bounds as arguments."""

from __future__ import annotations

import sys

from watcher.render.charts.plan import read_request
from watcher.worker import NotDoneError, serve


def _picture(request: bytes) -> bytes:
    # Loads matplotlib: not before this process is bounded.
    import matplotlib as mpl  # noqa: PLC0415

    from watcher.render.charts.drawing import draw  # noqa: PLC0415

    # Nobody's own style.
    mpl.rcdefaults()
    series, now = read_request(request)
    try:
        return draw(series, now)
    except ValueError as error:
        raise NotDoneError(str(error)) from None


if __name__ == "__main__":
    sys.exit(serve(_picture, sys.argv[1:]))
