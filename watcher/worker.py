"""Workers: short-lived processes for work that must be bounded in time, memory and reply.

`run_job` starts one and gives its reply; `run_worker` is what runs inside it. A worker gets none of
the environment's secrets, and its memory is gone with it. Its limits are set by itself, for good,
before it starts on the request.
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

LONGEST_REASON = 500
MEGABYTE = 2**20

# The exit code of a worker whose output is the reason why there is no reply.
_FAILED_WITH_REASON = 3
# What of the environment a worker gets: where files may be written, and nothing that is secret.
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


class JobFailedError(Exception):
    """There is no reply; the text says why, in words that may be shown."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that a job may take: wall time, bytes of address space, bytes of its reply."""

    time: timedelta
    memory: int
    reply: int


@dataclass(frozen=True, slots=True)
class Job:
    """A module that calls `run_worker` when it is run, and the request for it."""

    module: str
    request: bytes
    bounds: Bounds


async def run_job(job: Job) -> bytes:
    """The worker's reply. Raises `JobFailedError`; the process is gone in every case."""
    try:
        process = await asyncio.create_subprocess_exec(
            *_command(job),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(os.environ, sys.path),
            # Ctrl-C is for the watcher, which then ends the worker.
            start_new_session=True,
        )
    except OSError as error:
        raise JobFailedError(f"no process can be started ({error.strerror})") from None
    try:
        async with asyncio.timeout(job.bounds.time.total_seconds()):
            output = await _exchange(process, job)
            code = await process.wait()
    except TimeoutError:
        seconds = job.bounds.time.total_seconds()
        raise JobFailedError(f"takes longer than {seconds:g} seconds") from None
    finally:
        await _kill(process)
    if code == 0:
        return output
    if code == _FAILED_WITH_REASON:
        raise JobFailedError(output.decode("utf-8", "replace"))
    how = f"by signal {-code}" if code < 0 else f"with code {code}"
    raise JobFailedError(f"ended {how}; perhaps it {_needs_more_than(job.bounds.memory)}")


def run_job_blocking(job: Job) -> bytes:
    """The same for callers that block, with or without an event loop around them."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run_job(job)).result()


def _command(job: Job) -> list[str]:
    limits = [str(math.ceil(job.bounds.time.total_seconds())), str(job.bounds.memory)]
    # -P: no code is loaded from the current directory.
    return [sys.executable, "-P", "-m", job.module, *limits]


def _environment(inherited: Mapping[str, str], places: Sequence[str]) -> dict[str, str]:
    """Enough to find the same code, write where one may, and compute on one core."""
    kept = {name: inherited[name] for name in _PASSED_ON if name in inherited}
    return kept | {
        "PYTHONPATH": os.pathsep.join(place for place in places if place),
        "PYTHONUTF8": "1",
        # Otherwise there are as many threads as cores, each with address space of its own.
        "OPENBLAS_NUM_THREADS": "1",
    }


async def _exchange(process: Process, job: Job) -> bytes:
    assert process.stdin is not None and process.stdout is not None, "piped above"  # noqa: PT018, S101
    with suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(job.request)
        await process.stdin.drain()
    process.stdin.close()
    output = bytearray()
    while piece := await process.stdout.read(65_536):
        output += piece
        if len(output) > job.bounds.reply:
            raise JobFailedError(f"replies with more than {job.bounds.reply:,} bytes")
    return bytes(output)


async def _kill(process: Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.kill()
    # Also reads what is still in its pipes: otherwise these would stay open.
    await process.communicate()


def run_worker(work: Callable[[bytes], bytes], arguments: Sequence[str]) -> int:
    """Limit this process, do the work on what stdin holds, reply on stdout; the exit code.

    `arguments` are seconds and bytes of address space. `work` raises `JobFailedError` with the
    reason why there is no reply.
    """
    seconds, memory = (int(argument) for argument in arguments)
    request = sys.stdin.buffer.read()
    _limit_this_process(seconds, memory)
    try:
        output, code = work(request), 0
    except JobFailedError as error:
        reason = str(error)[:LONGEST_REASON]
        output, code = reason.encode("utf-8", "replace"), _FAILED_WITH_REASON
    except MemoryError:
        # What took the memory is released by now.
        output, code = _needs_more_than(memory).encode(), _FAILED_WITH_REASON
    sys.stdout.buffer.write(output)
    sys.stdout.flush()
    return code


def _limit_this_process(seconds: int, memory: int) -> None:
    """Set limits for good: what runs in this process cannot raise them again."""
    limits = {
        resource.RLIMIT_AS: memory,
        # Should the watcher be gone by then, nobody else would end this process.
        resource.RLIMIT_CPU: seconds + 1,
        resource.RLIMIT_CORE: 0,
    }
    for what, limit in limits.items():
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (limit, limit))


def _needs_more_than(memory: int) -> str:
    return f"needs more than {memory // MEGABYTE} MiB of memory"


def forbid_core_dumps() -> None:
    """No core dump of this process and all that it starts: their memory may hold secrets.

    Not even they can take it back.
    """
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
