"""A job in a worker ends in time, takes no more than it may, and knows no secret."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from watcher import worker
from watcher.render.charts.layout import request_text
from watcher.render.templates.template import check_request
from watcher.worker import CHART, TEMPLATE, Job, JobFailedError, run_job, run_job_blocking

if TYPE_CHECKING:
    from collections.abc import Iterator

AMPLE = replace(TEMPLATE, time=timedelta(seconds=20))
SHORT = replace(TEMPLATE, time=timedelta(seconds=0.3))
ENDLESS = b"{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


def filling(source: bytes) -> bytes:
    """What a worker is asked to try a template."""
    return check_request(source.decode())


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


async def a_worker_at_work(before: set[str]) -> int:
    """The process of the worker that was started since, once it runs its own program."""
    while True:
        await asyncio.sleep(0.01)
        for child in children() - before:
            if b"watcher.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)


async def test_the_reply_is_what_the_work_made_of_the_request() -> None:
    assert json.loads(await run_job(AMPLE, filling(b"{{ title }}"))) == []


async def test_it_can_be_waited_for_inside_an_event_loop_and_outside() -> None:
    request = filling(b"{{ title }}")
    assert run_job_blocking(AMPLE, request) == b"[]"
    assert await asyncio.to_thread(run_job_blocking, AMPLE, request) == b"[]"


@pytest.mark.parametrize("source", [ENDLESS, b"{{ 9**(9**9) }}"], ids=["a loop", "a computation"])
async def test_what_takes_too_long_is_ended(source: bytes) -> None:
    with pytest.raises(JobFailedError, match=r"^takes longer than 0\.3 seconds$"):
        await run_job(SHORT, filling(source))


@pytest.mark.parametrize(
    ("job", "request_", "why"),
    [
        (replace(AMPLE, reply=1), filling(b"{{ title }}"), r"^replies with more than 1 bytes$"),
        (AMPLE, filling(b"{{ 'a' * 10**9 }}"), r"^needs more than 160 MiB of memory$"),
        (AMPLE, b'{"a": 1}', r"^ended with code 1; perhaps it needs more than 160 MiB"),
        (CHART, request_text([], datetime(2026, 1, 1, tzinfo=UTC)), r"^there is no price to draw$"),
        (replace(AMPLE, name="other"), b"", r"^there is no work called other$"),
    ],
    ids=["long reply", "memory", "a crash", "a reason", "no such work"],
)
async def test_what_goes_wrong_there_is_told_here_and_harms_nothing(
    job: Job, request_: bytes, why: str
) -> None:
    with pytest.raises(JobFailedError, match=why):
        await run_job(job, request_)


async def test_a_worker_that_is_killed_is_told() -> None:
    before = children()
    task = asyncio.create_task(run_job(AMPLE, filling(ENDLESS)))
    os.kill(await a_worker_at_work(before), signal.SIGSEGV)
    with pytest.raises(JobFailedError, match=r"^ended by signal 11; perhaps it needs more than"):
        await task


async def test_it_is_ended_when_nobody_waits_for_it_any_more() -> None:
    before = children()
    task = asyncio.create_task(run_job(AMPLE, filling(ENDLESS)))
    await a_worker_at_work(before)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_no_secret_of_the_environment_is_known_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_URL", "slack://canary")
    before = children()
    task = asyncio.create_task(run_job(AMPLE, filling(ENDLESS)))
    process = Path(f"/proc/{await a_worker_at_work(before)}")
    environment, arguments = (process / "environ").read_bytes(), (process / "cmdline").read_bytes()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert b"canary" not in environment + arguments
    assert b"HOME=" in environment


@pytest.mark.parametrize("job", [TEMPLATE, CHART], ids=lambda job: job.name)
def test_a_worker_loads_no_more_than_its_work_needs(job: Job) -> None:
    program = (
        "import sys\n"
        "from watcher.worker import run_worker\n"
        f"run_worker({job.name!r}, 20, 2**30)\n"
        "print(sorted(sys.modules), file=sys.stderr)\n"
    )
    request = (
        filling(b"{{ title }}")
        if job is TEMPLATE
        else request_text([], datetime(2026, 1, 1, tzinfo=UTC))
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=request, capture_output=True, check=True
    )
    loaded = set(re.findall(r"'(\w+)", done.stderr.decode()))
    assert ("jinja2" in loaded) is (job is TEMPLATE)
    assert ("matplotlib" in loaded) is (job is CHART)
    assert not loaded & {"asyncio", "pydantic", "aiohttp", "apprise", "sqlite3"}


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
    code = (Path(worker.__file__).parent / "render" / "templates" / "sandbox.py").read_text("utf-8")
    used = set(re.findall(r"^\s*from watcher\.([\w.]+)", code, re.MULTILINE))
    # Only how texts are measured and marked up.
    assert used == {"render.markup"}
