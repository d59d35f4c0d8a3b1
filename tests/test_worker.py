"""A job in a worker ends in time, takes no more than it may, and knows no secret."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from watcher import worker
from watcher.worker import Bounds, Job, JobFailedError, run_job, run_job_blocking

if TYPE_CHECKING:
    from collections.abc import Iterator

AMPLE = Bounds(time=timedelta(seconds=20), memory=256 * 2**20, reply=100_000)
SHORT = Bounds(time=timedelta(seconds=0.3), memory=256 * 2**20, reply=100_000)


def job(request: bytes, bounds: Bounds = AMPLE, module: str = "misbehaving_worker") -> Job:
    return Job(module, request, bounds)


def children() -> set[str]:
    found = set()
    for task in Path("/proc/self/task").glob("*/children"):
        found |= set(task.read_text().split())
    return found


@pytest.fixture(autouse=True)
def nobody_left() -> Iterator[None]:
    before = children()
    yield
    assert children() <= before


async def test_the_reply_is_what_the_work_made_of_the_request() -> None:
    assert (
        await run_job(job(b"abc" * 100_000, Bounds(AMPLE.time, AMPLE.memory, 300_000)))
        == b"cba" * 100_000
    )


async def test_it_can_be_waited_for_inside_an_event_loop_and_outside() -> None:
    assert run_job_blocking(job(b"abc")) == b"cba"
    assert await asyncio.to_thread(run_job_blocking, job(b"abc")) == b"cba"


@pytest.mark.parametrize("request_", [b"hang", b"hang in a computation"], ids=bytes.decode)
async def test_what_takes_too_long_is_ended(request_: bytes) -> None:
    with pytest.raises(JobFailedError, match=r"^takes longer than 0\.3 seconds$"):
        await run_job(job(request_, SHORT))


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (b"talk on", r"^replies with more than 100,000 bytes$"),
        (b"eat memory", r"^needs more than 256 MiB of memory$"),
        (b"die", r"^ended by signal 11; perhaps it needs more than 256 MiB"),
        (b"raise", r"^ended with code 1; perhaps"),
        (b"refuse", r"^not today$"),
    ],
    ids=lambda value: value.decode() if isinstance(value, bytes) else "",
)
async def test_what_goes_wrong_there_is_told_here_and_harms_nothing(
    request_: bytes, why: str
) -> None:
    with pytest.raises(JobFailedError, match=why):
        await run_job(job(request_))


async def test_a_module_that_is_not_there_is_told() -> None:
    with pytest.raises(JobFailedError, match="ended with code 1"):
        await run_job(job(b"", module="no_such_module"))


async def test_it_is_ended_when_nobody_waits_for_it_any_more() -> None:
    task = asyncio.create_task(run_job(job(b"hang")))
    for _ in range(3):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_no_secret_of_the_environment_is_known_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_URL", "slack://canary")
    environment = json.loads(await run_job(job(b"environment")))
    assert "canary" not in json.dumps(environment)
    assert environment["HOME"]


@pytest.mark.parametrize(
    ("library", "place"),
    [
        ("jinja2", "render/templates/sandbox.py"),
        ("matplotlib", "render/charts"),
        ("PIL", "render/charts"),
    ],
)
def test_a_heavy_library_is_loaded_only_where_its_memory_is_soon_gone(
    library: str, place: str
) -> None:
    package = Path(worker.__file__).parent
    importing = re.compile(rf"^\s*(from|import) {library}\b", re.MULTILINE)
    users = {p for p in package.rglob("*.py") if importing.search(p.read_text("utf-8"))}
    assert users
    assert all(str(path.relative_to(package)).startswith(place) for path in users)
    program = f"import watcher.app, sys; print({library!r} in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert told.stdout == b"False\n"


def test_the_sandbox_knows_nothing_of_the_watcher() -> None:
    for name in ("__main__.py", "sandbox.py"):
        code = (Path(worker.__file__).parent / "render" / "templates" / name).read_text("utf-8")
        used = set(re.findall(r"^\s*from watcher\.([\w.]+)", code, re.MULTILINE))
        # Beside itself only how texts are measured.
        assert used <= {"render.templates.sandbox", "render.markup", "worker"}, name
