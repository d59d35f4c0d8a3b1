"""The commands that work and the ones that end early, as processes with real streams and signals."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from stored import START, commit, edited, minutes, record
from watcher.simulator.faults import Status
from watcher.simulator.generator import generate
from watcher.simulator.server import Simulator
from watcher.store.store import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CANARY = "c4n4ry-t0k3n-9d8f7a6b"
TIMINGS = "poll: {interval: 0.2s, settle_delay: 0.05s}\nconfirm: {removals: 0, implausible: 0}\n"
PATIENCE = 30


@dataclass(frozen=True)
class Ended:
    code: int | None
    stdout: str
    stderr: str


async def start(place: Path, *arguments: str, **streams: Any) -> asyncio.subprocess.Process:
    environment = {
        name: value for name, value in os.environ.items() if name != "KIE_WATCHER_CONFIG"
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "watcher", *arguments),
        cwd=place,
        env=environment,
        **{
            "stdout": asyncio.subprocess.PIPE,
            "stderr": asyncio.subprocess.PIPE,
            **streams,
        },
    )


async def ended(process: asyncio.subprocess.Process) -> Ended:
    async with asyncio.timeout(PATIENCE):
        stdout, stderr = await process.communicate()
    return Ended(process.returncode, (stdout or b"").decode(), (stderr or b"").decode())


async def run(place: Path, *arguments: str, **streams: Any) -> Ended:
    return await ended(await start(place, *arguments, **streams))


def configure(place: Path, simulator: Simulator, more: str = "") -> None:
    (place / "config.yaml").write_text(f'source: {{url: "{simulator.url}"}}\n{TIMINGS}{more}\n')


@asynccontextmanager
async def service(status: int) -> AsyncIterator[tuple[str, list[Any]]]:
    """A webhook that answers with `status`: its address as a receiver, and what it was sent."""
    received: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        received.append(await request.json())
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post("/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"json://127.0.0.1:{port}/{CANARY}", received
    finally:
        await runner.cleanup()


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    return generate(seed=3, size=60)


# check


async def test_check_takes_a_baseline_then_tells_what_changed(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    async with Simulator(rows) as simulator:
        configure(tmp_path, simulator)
        first = await run(tmp_path, "check")
        assert (first.code, first.stderr) == (0, "")
        assert "Watching 60 models" in first.stdout

        quiet = await run(tmp_path, "check")
        assert quiet == Ended(0, "", "")

        simulator.catalogue.insert({**rows[0], "modelDescription": "Brand new 1.0, 720p"})
        third = await run(tmp_path, "check")
    assert (third.code, third.stderr) == (0, "")
    assert "Brand new 1.0" in third.stdout


async def test_check_sends_to_receivers_and_prints_what_changed(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    async with Simulator(rows) as simulator, service(200) as (url, received):
        configure(tmp_path, simulator, f'receivers: {{team: {{url: "{url}"}}}}')
        first = await run(tmp_path, "check")
        simulator.catalogue.insert({**rows[0], "modelDescription": "Brand new 1.0, 720p"})
        second = await run(tmp_path, "check")
    assert (first.code, second.code) == (0, 0)
    assert first.stdout.startswith("Watching 60 models")
    assert "Brand new 1.0, 720p" in second.stdout
    assert len(received) == 2


@pytest.mark.parametrize(
    ("status", "said"), [(500, "will be tried again"), (404, "not sent, kept as a dead letter")]
)
async def test_check_fails_where_a_message_is_not_accepted(
    tmp_path: Path, rows: list[dict[str, Any]], status: int, said: str
) -> None:
    async with Simulator(rows) as simulator, service(status) as (url, _):
        configure(tmp_path, simulator, f'receivers: {{team: {{url: "{url}"}}}}')
        result = await run(tmp_path, "check")
    assert result.code == 1
    assert f"kie-watcher: team: {said}" in result.stderr
    assert CANARY not in result.stdout + result.stderr


async def test_check_fails_where_the_api_does(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    async with Simulator(rows) as simulator:
        configure(tmp_path, simulator)
        simulator.faults.always(Status(503))
        result = await run(tmp_path, "check")
    assert (result.code, result.stdout) == (1, "")
    assert "kie-watcher: poll failed: " in result.stderr
    assert "Traceback" not in result.stderr


# run


async def test_run_stops_within_seconds_and_well(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    async with Simulator(rows) as simulator:
        configure(tmp_path, simulator)
        process = await start(tmp_path, "run")
        await first_line(process)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        result = await ended(process)
    assert result.code == 0
    assert "Traceback" not in result.stderr
    events = [json.loads(line)["event"] for line in result.stderr.splitlines()]
    assert events[0] == "watcher.started"
    assert events[-1] == "watcher.stopped"


async def test_a_second_daemon_on_the_same_state_refuses_to_start(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    async with Simulator(rows) as simulator:
        configure(tmp_path, simulator)
        process = await start(tmp_path, "run")
        await first_line(process)
        for command in ("run", "check"):
            second = await run(tmp_path, command)
            assert (second.code, second.stdout) == (1, "")
            assert second.stderr.startswith("kie-watcher: ")
            assert second.stderr.count("\n") == 1
        looking = await run(tmp_path, "status", "--json")
        assert json.loads(looking.stdout)["poll"]["outcome"] in {"baseline", "quiet"}
        process.send_signal(signal.SIGINT)
        assert (await ended(process)).code == 0


@pytest.mark.parametrize("command", ["run", "check", "test-notify", "validate"])
async def test_a_bad_configuration_is_listed_and_nothing_else_happens(
    tmp_path: Path, command: str
) -> None:
    (tmp_path / "config.yaml").write_text("poll: {interval: 1s}\nsauce: {}\n")
    result = await run(tmp_path, command)
    assert (result.code, result.stdout) == (2, "")
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == [
        "poll.interval",
        "sauce",
    ]
    assert os.listdir(tmp_path) == ["config.yaml"]  # noqa: PTH208 - pathlib is refused in async code


async def first_line(process: asyncio.subprocess.Process) -> str:
    """What the process says first on stdout: here, the alert of the baseline."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return (await process.stdout.readline()).decode()


# test-notify


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (200, 0, "team: accepted ("),
        (404, 1, "team: refused with 404: "),
        (500, 1, "team: not accepted for now: "),
    ],
    ids=["accepted", "refused", "later"],
)
async def test_test_notify_says_what_each_receiver_made_of_it(
    tmp_path: Path, status: int, code: int, said: str
) -> None:
    async with service(status) as (url, received):
        (tmp_path / "config.yaml").write_text(f'receivers: {{team: {{url: "{url}"}}}}')
        result = await run(tmp_path, "test-notify", "team")
    assert result.code == code
    assert result.stdout.startswith(said)
    assert result.stdout.endswith(" s)\n")
    assert result.stdout.count("\n") == 1
    assert len(received) == 1
    assert CANARY not in result.stdout + result.stderr


async def test_test_notify_sends_the_sample_by_the_template_of_its_receiver(tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_text("{{ notices[0].kind if notices }}, in my words")
    async with service(200) as (url, received):
        (tmp_path / "config.yaml").write_text(
            f'receivers: {{team: {{url: "{url}", template: mine.j2}}}}'
        )
        result = await run(tmp_path, "test-notify", "team")
    assert result.code == 0, result.stderr
    assert received[0]["message"] == "sample, in my words"


async def test_test_notify_without_receivers_prints_the_sample(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("{}")
    result = await run(tmp_path, "test-notify")
    assert (result.code, result.stderr) == (0, "")
    assert "This is a test" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("terminal: accepted (")


# demo


async def test_the_demo_can_be_stopped_and_still_gives_its_account(tmp_path: Path) -> None:
    process = await start(tmp_path, "demo", "--speed", "5")
    await first_line(process)
    process.send_signal(signal.SIGINT)
    result = await ended(process)
    assert result.stderr == ""
    assert "The market did" in result.stdout
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - pathlib is refused in async code


# Terminals and pipes


async def fill(path: Path, description: str, times: int) -> None:
    async with open_store(path) as store:
        before = record(description)
        await store.record(commit(START, baseline=(before,)))
        for number in range(1, times):
            snapshot = await store.snapshot()
            assert snapshot is not None
            after = record(description, credits=Decimal(84 + number))
            await store.record(commit(minutes(number), edited(snapshot.models[0], after)))


async def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("{}")
    await fill(tmp_path / "kie-watcher.db", "Kling 2.6, " + "long " * 180, 60)
    read, write = os.pipe()
    process = await start(tmp_path, "changes", "--json", stdout=write)
    os.close(write)
    os.read(read, 100)
    os.close(read)
    result = await ended(process)
    assert result.stderr == ""


async def test_on_a_terminal_tables_are_drawn_and_strangers_markup_is_only_text(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.yaml").write_text("{}")
    await fill(tmp_path / "kie-watcher.db", "[red]R[/red] \x1b[31m :cat: [link=x]L, 1080p", 2)
    ours, theirs = pty.openpty()
    process = await start(tmp_path, "models", stdout=theirs)
    os.close(theirs)
    assert (await ended(process)).code == 0
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "─" in shown
    assert "\x1b[31m" not in shown
    for text in ("[red]R[/red]", ":cat:", "[link=x]L"):
        assert text in shown.replace("\r\n", "")


async def test_a_receiver_that_never_answers_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    asked, done = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        asked.set()
        await done.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Simulator(generate(size=12)) as simulator:
        (tmp_path / "config.yaml").write_text(
            f'source: {{url: "{simulator.url}"}}\n'
            f'receivers: {{team: {{url: "json://127.0.0.1:{port}/in"}}}}\n'
        )
        process = await start(tmp_path, "run")
        await asyncio.wait_for(asked.wait(), 40)
        process.send_signal(signal.SIGTERM)
        began = asyncio.get_running_loop().time()
        code = await asyncio.wait_for(process.wait(), 40)
        took = asyncio.get_running_loop().time() - began
        done.set()
    server.close()

    assert code == 0
    # A send may take fifteen seconds for an answer; stopping has three for what is in hand.
    assert took < 12
