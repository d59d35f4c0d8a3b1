"""The worker process that fills templates: a request as JSON on stdin, its result on stdout."""

from __future__ import annotations

import json
import sys

from watcher.worker import run_worker


def _answer(request: bytes) -> bytes:
    # Loads Jinja2: not before this process is bounded.
    from watcher.render.templates.sandbox import FillRequest, fill, problems  # noqa: PLC0415

    fields = json.loads(request)
    samples, filled = fields.pop("samples"), FillRequest(**fields)
    result = fill(filled) if samples is None else problems(filled, samples)
    return json.dumps(result).encode()


if __name__ == "__main__":
    sys.exit(run_worker(_answer, sys.argv[1:]))
