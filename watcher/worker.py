"""Work in a process that can be killed: filling a template, drawing a chart.

`run_job` starts a worker and gives its reply. A worker is this module, run by its name; it gets
none of the environment's secrets and limits itself, for good, before it loads a library and starts
on the request. Its memory is gone with it. What only the watcher needs is imported where it is
used: a worker loads next to nothing.
"""

from __future__ import annotations

import math
import os
import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Mapping, Sequence

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
class Job:
    """What a worker does: wall time, bytes of address space and bytes of its reply, at most."""

    name: str
    time: timedelta
    memory: int
    reply: int


# A template in a sandbox can loop for ever, and `{{ 'a' * 500000000 }}` takes 1.9 GiB. Those of all
# receivers at once stay well below what the service may take.
TEMPLATE = Job("template", timedelta(seconds=5), 160 * MEGABYTE, 2 * MEGABYTE)
# Less than half of the memory is used: the rest is address space that libraries reserve.
CHART = Job("chart", timedelta(seconds=20), 384 * MEGABYTE, 2 * MEGABYTE)


def _work_of(name: str) -> Callable[[bytes], bytes]:
    """What makes a reply of a request. Raises `ValueError` with the reason why there is none."""
    match name:
        case TEMPLATE.name:
            from watcher.render.templates.sandbox import answer

            return answer
        case CHART.name:
            from watcher.render.charts.drawing import answer as draw

            return draw
        case _:
            raise ValueError(f"there is no work called {name}")


async def run_job(job: Job, request: bytes) -> bytes:
    """The worker's reply. Raises `JobFailedError`; the process is gone in every case."""
    import asyncio

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
        async with asyncio.timeout(job.time.total_seconds()):
            output = await _exchange(process, request, job.reply)
            code = await process.wait()
    except TimeoutError:
        raise JobFailedError(f"takes longer than {job.time.total_seconds():g} seconds") from None
    finally:
        await _kill(process)
    if code == 0:
        return output
    if code == _FAILED_WITH_REASON:
        raise JobFailedError(output.decode("utf-8", "replace"))
    how = f"by signal {-code}" if code < 0 else f"with code {code}"
    raise JobFailedError(f"ended {how}; perhaps it {_needs_more_than(job.memory)}")


def run_job_blocking(job: Job, request: bytes) -> bytes:
    """The same for callers that block, with or without an event loop around them."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run_job(job, request)).result()


def _command(job: Job) -> list[str]:
    limits = [str(math.ceil(job.time.total_seconds())), str(job.memory)]
    # -P: no code is loaded from the current directory.
    return [sys.executable, "-P", "-m", "watcher.worker", job.name, *limits]


def _environment(inherited: Mapping[str, str], places: Sequence[str]) -> dict[str, str]:
    """Enough to find the same code, write where one may, and compute on one core."""
    kept = {name: inherited[name] for name in _PASSED_ON if name in inherited}
    return kept | {
        "PYTHONPATH": os.pathsep.join(place for place in places if place),
        "PYTHONUTF8": "1",
        # Otherwise there are as many threads as cores, each with address space of its own.
        "OPENBLAS_NUM_THREADS": "1",
    }


async def _exchange(process: Process, request: bytes, longest: int) -> bytes:
    assert process.stdin is not None and process.stdout is not None, "piped above"  # noqa: PT018, S101
    with suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(request)
        await process.stdin.drain()
    process.stdin.close()
    output = bytearray()
    while piece := await process.stdout.read(65_536):
        output += piece
        if len(output) > longest:
            raise JobFailedError(f"replies with more than {longest:,} bytes")
    return bytes(output)


async def _kill(process: Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.kill()
    # Also reads what is still in its pipes: otherwise these would stay open.
    await process.communicate()


def run_worker(name: str, seconds: int, memory: int) -> int:
    """Limit this process, work on what stdin holds, reply on stdout; the exit code."""
    request = sys.stdin.buffer.read()
    _limit_this_process(seconds, memory)
    try:
        output, code = _work_of(name)(request), 0
    except ValueError as error:
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


if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
