"""A process that is bounded in time and memory, for good, before it looks at what it is given.

The inner end of `watcher.apart`; loads next to nothing. Refuses to know what the work is.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["REFUSED", "NotDoneError", "serve", "too_big"]

# The exit code of a process that says why it cannot do its work, in words that may be shown.
REFUSED = 3
LONGEST_REASON = 500
MEGABYTE = 2**20


class NotDoneError(Exception):
    """The work came to nothing; the text says why."""


def serve(work: Callable[[bytes], bytes], arguments: Sequence[str]) -> int:
    """Bound this process, do the work on what stdin holds, reply on stdout; the exit code.

        `arguments` are seconds and bytes of address space.
    `work` raises `NotDoneError` where it is to be said why there is no reply.
    """
    seconds, memory = (int(argument) for argument in arguments)
    request = sys.stdin.buffer.read()
    _bind(seconds, memory)
    try:
        said, code = work(request), 0
    except NotDoneError as error:
        said, code = str(error)[:LONGEST_REASON].encode("utf-8", "replace"), REFUSED
    except MemoryError:
        # What was in its way is gone by now.
        said, code = too_big(memory).encode(), REFUSED
    sys.stdout.buffer.write(said)
    sys.stdout.flush()
    return code


def _bind(seconds: int, memory: int) -> None:
    """Bound this process for good: what runs in it cannot take it back."""
    # Not on every system that Python runs on.
    import resource  # noqa: PLC0415

    limits = {
        resource.RLIMIT_AS: memory,
        # Should whoever started it be gone by then, nobody else would end it.
        resource.RLIMIT_CPU: seconds + 1,
        resource.RLIMIT_CORE: 0,
    }
    for what, limit in limits.items():
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (limit, limit))


def too_big(memory: int) -> str:
    return f"needs more than {memory // MEGABYTE} MiB of memory"
