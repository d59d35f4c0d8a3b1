"""The process that fills templates: a task as JSON on stdin, what came of it as JSON on stdout."""

from __future__ import annotations

import json
import sys

from watcher.worker import serve


def _answer(request: bytes) -> bytes:
    # Loads Jinja2: not before this process is bounded.
    from watcher.render.templates.sandbox import Filling, fill, problems  # noqa: PLC0415

    task = json.loads(request)
    filling = Filling(**task["filling"])
    done = fill(filling) if task["samples"] is None else problems(filling, task["samples"])
    return json.dumps(done).encode()


if __name__ == "__main__":
    sys.exit(serve(_answer, sys.argv[1:]))
