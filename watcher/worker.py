"""No core dump of this process: its memory holds the receivers' secrets.

Knows one limit of the system. Refuses to know what is secret.

A process that is bounded in time and memory, for good, before it looks at what it is given.

The inner end of `watcher.apart`; loads next to nothing. Refuses to know what the work is.

Work done apart: in a short-lived process that is bounded in time, memory and what it may say.

Knows how such a process is started and ended; it gets none of the environment's secrets, and its
memory is gone with it. Refuses to know what is done there.
"""

from __future__ import annotations

import asyncio
import math
import os
import resource
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta


def forbid_core_dumps() -> None:
    """For this process and all that it starts; not even they can take it back."""
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


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


# What of the environment the work may see: where files may be written, and nothing that is secret.
_PASSED_ON = (
    "HOME",
    "LD_LIBRARY_PATH",
    "MPLCONFIGDIR",
    "PATH",
    "PYTHONDONTWRITEBYTECODE",
    "SYSTEMROOT",
    "TMPDIR",
    "XDG_CACHE_HOME",
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that the work may take: wall time, bytes of address space, bytes of its reply."""

    time: timedelta
    memory: int
    reply: int


@dataclass(frozen=True, slots=True)
class Job:
    """A module that calls `serve` when it is run, and what it is given."""

    module: str
    request: bytes
    bounds: Bounds


async def done(job: Job) -> bytes:
    """The module's reply. Raises `NotDoneError`; the process is gone in every case."""
    try:
        process = await asyncio.create_subprocess_exec(
            *_command(job),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(os.environ, sys.path),
            # Ctrl-C is for the watcher, which then ends it.
            start_new_session=True,
        )
    except OSError as error:
        raise NotDoneError(f"no process can be started ({error.strerror})") from None
    try:
        async with asyncio.timeout(job.bounds.time.total_seconds()):
            said = await _exchange(process, job)
            code = await process.wait()
    except TimeoutError:
        seconds = job.bounds.time.total_seconds()
        raise NotDoneError(f"takes longer than {seconds:g} seconds") from None
    finally:
        await _ended(process)
    return _understood(code, said, job.bounds)


def done_waiting(job: Job) -> bytes:
    """The same for those who can wait, with or without an event loop around them."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, done(job)).result()


async def _exchange(process: Process, job: Job) -> bytes:
    assert process.stdin is not None and process.stdout is not None, "asked for above"  # noqa: PT018, S101
    with suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(job.request)
        await process.stdin.drain()
    process.stdin.close()
    said = bytearray()
    while piece := await process.stdout.read(65_536):
        said += piece
        if len(said) > job.bounds.reply:
            raise NotDoneError(f"says more than {job.bounds.reply:,} bytes")
    return bytes(said)


async def _ended(process: Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.kill()
    # Also reads what is still under way: else its pipes would stay open.
    await process.communicate()


def _understood(code: int, said: bytes, bounds: Bounds) -> bytes:
    if code == 0:
        return said
    if code == REFUSED:
        raise NotDoneError(said.decode("utf-8", "replace"))
    how = f"by signal {-code}" if code < 0 else f"with code {code}"
    raise NotDoneError(f"ended {how}; perhaps it {too_big(bounds.memory)}")


def _command(job: Job) -> list[str]:
    bounds = job.bounds
    limits = [str(math.ceil(bounds.time.total_seconds())), str(bounds.memory)]
    # -P: the directory one stands in is no place to load code from.
    return [sys.executable, "-P", "-m", job.module, *limits]


def _environment(inherited: Mapping[str, str], places: Sequence[str]) -> dict[str, str]:
    """Enough to find the same code, write where one may, and reckon on one core."""
    kept = {name: inherited[name] for name in _PASSED_ON if name in inherited}
    return kept | {
        "PYTHONPATH": os.pathsep.join(place for place in places if place),
        "PYTHONUTF8": "1",
        # Else so many threads as cores, each with address space of its own.
        "OPENBLAS_NUM_THREADS": "1",
    }
