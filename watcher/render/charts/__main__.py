"""The worker process that draws a chart: prices as JSON on stdin, a PNG on stdout."""

from __future__ import annotations

import sys

from watcher.render.charts.layout import read_request
from watcher.worker import JobFailedError, run_worker


def _picture(request: bytes) -> bytes:
    # Loads matplotlib: not before this process is bounded.
    import matplotlib as mpl  # noqa: PLC0415

    from watcher.render.charts.drawing import draw  # noqa: PLC0415

    # Not the style that a user's own settings may ask for.
    mpl.rcdefaults()
    series, now = read_request(request)
    try:
        return draw(series, now)
    except ValueError as error:
        raise JobFailedError(str(error)) from None


if __name__ == "__main__":
    sys.exit(run_worker(_picture, sys.argv[1:]))
