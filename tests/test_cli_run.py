"""The commands that work and the ones that end early, as processes with real streams and signals."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from command_line import CANARY, Ended, Place, ended, first_line
from logs import capture_logs
from stored import START, commit, edited, minutes, record
from torture.checkers import on_sale
from torture.inboxes import Answer, HttpInbox
from watcher import app
from watcher.cli.run import complaints
from watcher.config.settings import Settings
from watcher.simulator.faults import Status
from watcher.simulator.generator import generate
from watcher.simulator.server import Simulator
from watcher.store.store import open_store

HASTY = "confirm: {removals: 0, implausible: 0}"


def receivers(inbox: HttpInbox) -> str:
    return f'receivers: {{team: {{url: "{inbox.url}{CANARY}"}}}}'


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    return generate(seed=3, size=60)


# check


async def test_check_takes_a_baseline_then_tells_what_changed(
    place: Place, rows: list[dict[str, Any]]
) -> None:
    async with Simulator(rows) as simulator:
        place.watch(simulator, HASTY)
        first = await ended(await place.start("check"))
        assert (first.exit_code, first.stderr) == (0, "")
        assert "Watching 60 models" in first.stdout

        quiet = await ended(await place.start("check"))
        assert quiet == Ended(0, "", "")

        simulator.catalogue.insert({**rows[0], "modelDescription": "Brand new 1.0, 720p"})
        third = await ended(await place.start("check"))
    assert (third.exit_code, third.stderr) == (0, "")
    assert "Brand new 1.0" in third.stdout


async def test_check_sends_to_receivers_and_prints_what_changed(
    place: Place, rows: list[dict[str, Any]]
) -> None:
    async with Simulator(rows) as simulator, HttpInbox() as team:
        place.watch(simulator, receivers(team))
        first = await place.run_aside("check")
        simulator.catalogue.insert({**rows[0], "modelDescription": "Brand new 1.0, 720p"})
        second = await place.run_aside("check")
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout.startswith("Watching 60 models")
    assert "Brand new 1.0, 720p" in second.stdout
    assert len(team.received) == 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer.FAILS, "will be tried again"),
        (Answer.REFUSES, "not sent, kept as a dead letter"),
    ],
)
async def test_check_fails_where_a_message_is_not_accepted(
    place: Place, rows: list[dict[str, Any]], answer: Answer, said: str
) -> None:
    async with Simulator(rows) as simulator, HttpInbox() as team:
        team.next_answer = lambda: answer
        place.watch(simulator, receivers(team))
        result = await place.run_aside("check")
    assert result.exit_code == 1
    assert f"kie-watcher: team: {said}" in result.stderr
    assert CANARY not in result.stdout + result.stderr


async def test_check_fails_where_the_api_does(place: Place, rows: list[dict[str, Any]]) -> None:
    async with Simulator(rows) as simulator:
        place.watch(simulator)
        simulator.faults.always(Status(503))
        result = await place.run_aside("check")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "kie-watcher: poll failed: " in result.stderr
    assert "Traceback" not in result.stderr


async def test_check_says_once_that_the_api_fails_and_once_that_it_works_again(
    place: Place, rows: list[dict[str, Any]]
) -> None:
    async with Simulator(rows) as simulator:
        place.watch(simulator)
        await place.run_aside("check")
        simulator.faults.always(Status(503))
        first, *later = [await place.run_aside("check") for _ in range(3)]
        simulator.faults.clear()
        over, quiet = [await place.run_aside("check") for _ in range(2)]

    assert first.exit_code == 1
    assert first.stderr.count("kie-watcher: poll failed: ") == 1
    assert [(it.exit_code, it.stdout, it.stderr) for it in later] == [(1, "", "")] * 2
    assert (over.exit_code, over.stderr) == (
        0,
        "kie-watcher: polls work again, after 3 that did not\n",
    )
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")


async def test_check_says_once_what_lasts_and_once_that_it_is_over(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    hours = iter(range(99))
    odd = {**rows[0], "modelDescription": "Odd 1.0, 720p", "creditPrice": "much", "usdPrice": "?"}

    async def check(simulator: Simulator, team: HttpInbox) -> tuple[list[str], list[str]]:
        """The warnings that one run logs, and the lines that it prints."""
        now = START + timedelta(hours=next(hours))
        settings = Settings.model_validate(
            {
                "source": {"url": simulator.url},
                "state": {"path": tmp_path / "state.db"},
                "receivers": {"team": {"url": team.url}},
            }
        )
        with capture_logs() as logs:
            report = await app.check(settings, terminal=StringIO(), now=lambda: now)
        warned = [it["event"] for it in logs if it["log_level"] == "warning"]
        return warned, [line.partition(": will")[0] for line in complaints(report)]

    async with Simulator([*rows, odd]) as simulator, HttpInbox("team") as team:
        team.next_answer = lambda: Answer.FAILS
        assert await check(simulator, team) == (
            ["record.not_understood", "message.failed"],
            ["team"],
        )
        assert await check(simulator, team) == ([], [])
        assert await check(simulator, team) == ([], [])
        team.next_answer = lambda: Answer.ACCEPTS
        assert await check(simulator, team) == ([], ["team: accepts messages again"])
        simulator.catalogue.insert({**odd, "creditPrice": "1,2,3"})
        assert await check(simulator, team) == (["record.not_understood"], [])
        assert await check(simulator, team) == ([], [])


# what is loaded

HEAVY = {
    *("aiohttp", "apprise", "asyncio", "http.client", "jinja2", "prometheus_client", "pydantic"),
    *("regex", "requests", "rich", "smtplib", "sqlite3", "watcher.daemon", "watcher.wording"),
    "yaml",
}
# Of these, what each command uses.
STATE = {"asyncio", "pydantic", "sqlite3", "yaml"}
USED = {
    "health --listen 127.0.0.1:1": {"http.client"},
    "status": STATE,
    "models --json": STATE,
    "changes --json": STATE,
    "accept": STATE,
    "outbox": STATE,
    "silence": STATE,
    "check": STATE | {"aiohttp", "http.client"},
}
# Ends as the command does, and says which of the modules named first were loaded by then.
_LISTING = """
import atexit, sys
heavy = set(sys.argv.pop(1).split(","))
atexit.register(lambda: print(*heavy.intersection(sys.modules), file=sys.stderr))
from watcher.cli.main import main
main()
"""


async def loaded(place: Place, command: str) -> set[str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _LISTING, ",".join(HEAVY), *command.split()),
        cwd=place.path,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    return set((await ended(process)).stderr.split())


async def test_a_command_loads_only_what_it_uses(place: Place, rows: list[dict[str, Any]]) -> None:
    async with Simulator(rows) as simulator, HttpInbox() as inbox:
        place.watch(simulator, receivers(inbox))
        first = await loaded(place, "check")
        found = {command: await loaded(place, command) for command in USED}
    assert len(inbox.received) == 1
    assert "watcher.wording" in first
    assert found == USED


# run


async def test_run_stops_within_seconds_and_well(place: Place, rows: list[dict[str, Any]]) -> None:
    async with Simulator(rows) as simulator:
        place.watch(simulator)
        process = await place.start("run")
        await first_line(process)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        result = await ended(process)
    assert result.exit_code == 0
    assert "Traceback" not in result.stderr
    events = [json.loads(line)["event"] for line in result.stderr.splitlines()]
    assert events[0] == "watcher.started"
    assert events[-1] == "watcher.stopped"


async def test_a_second_daemon_on_the_same_state_refuses_to_start(
    place: Place, rows: list[dict[str, Any]]
) -> None:
    async with Simulator(rows) as simulator:
        place.watch(simulator)
        process = await place.start("run")
        await first_line(process)
        for command in ("run", "check"):
            second = await ended(await place.start(command))
            assert (second.exit_code, second.stdout) == (1, "")
            assert second.stderr.startswith("kie-watcher: ")
            assert second.stderr.count("\n") == 1
        looking = await place.run_aside("status", "--json")
        assert json.loads(looking.stdout)["poll"]["outcome"] in {"baseline", "quiet"}
        process.send_signal(signal.SIGINT)
        assert (await ended(process)).exit_code == 0


@pytest.mark.parametrize("command", ["run", "check", "test-notify", "validate"])
def test_a_bad_configuration_is_listed_and_nothing_else_happens(place: Place, command: str) -> None:
    place.configure("poll: {interval: 1s}\nsauce: {}\n")
    result = place.run(command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == [
        "poll.interval",
        "sauce",
    ]
    assert [path.name for path in place.path.iterdir()] == ["config.yaml"]


# test-notify


@pytest.mark.parametrize(
    ("answer", "exit_code", "said"),
    [
        (Answer.ACCEPTS, 0, "team: accepted ("),
        (Answer.REFUSES, 1, "team: refused with 401: "),
        (Answer.FAILS, 1, "team: not accepted for now: "),
    ],
)
async def test_test_notify_says_what_each_receiver_made_of_it(
    place: Place, answer: Answer, exit_code: int, said: str
) -> None:
    asked: list[Answer] = []
    async with HttpInbox() as team:
        team.next_answer, team.on_message = lambda: answer, lambda: asked.append(answer)
        place.configure(receivers(team))
        result = await place.run_aside("test-notify", "team")
    assert result.exit_code == exit_code
    assert result.stdout.startswith(said)
    assert result.stdout.endswith(" s)\n")
    assert result.stdout.count("\n") == 1
    assert asked == [answer]
    assert CANARY not in result.stdout + result.stderr


async def test_test_notify_sends_the_sample_by_the_template_of_its_receiver(place: Place) -> None:
    place.configure("{{ notices[0].kind if notices }}, in my words", "mine.j2")
    async with HttpInbox() as team:
        place.configure(f'receivers: {{team: {{url: "{team.url}", template: mine.j2}}}}')
        result = await place.run_aside("test-notify", "team")
    assert result.exit_code == 0, result.stderr
    assert json.loads(team.received[0].text)["message"] == "sample, in my words"


def test_test_notify_without_receivers_prints_the_sample(place: Place) -> None:
    place.configure("{}")
    shown = place.run_ok("test-notify")
    assert "This is a test" in shown
    assert shown.splitlines()[-1].startswith("terminal: accepted (")


# demo


async def test_the_demo_can_be_stopped_and_still_gives_its_account(
    tmp_path: Path,
) -> None:
    process = await Place(tmp_path).start("demo", "--speed", "5")
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
            (known,) = await on_sale(store)
            after = record(description, credits=Decimal(84 + number))
            await store.record(commit(minutes(number), edited(known, after)))


async def test_a_reader_that_has_seen_enough_ends_it_quietly(place: Place) -> None:
    await fill(place.state, "Kling 2.6, " + "long " * 180, 60)
    read, write = os.pipe()
    process = await place.start("changes", "--json", stdout=write)
    os.close(write)
    os.read(read, 100)
    os.close(read)
    result = await ended(process)
    assert result.stderr == ""


async def test_on_a_wide_terminal_tables_are_drawn_and_strangers_markup_is_only_text(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What runs the tests may say how wide its own terminal is.
    monkeypatch.setenv("COLUMNS", "200")
    await fill(place.state, "[red]R[/red] \x1b[31m :cat: [link=x]L, 1080p", 2)
    ours, theirs = pty.openpty()
    process = await place.start("models", stdout=theirs)
    os.close(theirs)
    assert (await ended(process)).exit_code == 0
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "─" in shown
    assert "\x1b[31m" not in shown
    for text in ("[red]R[/red]", ":cat:", "[link=x]L"):
        assert text in shown.replace("\r\n", "")


async def test_a_receiver_that_never_answers_does_not_keep_it_from_stopping(place: Place) -> None:
    asked, done = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        asked.set()
        await done.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Simulator(generate(size=12)) as simulator:
        place.watch(simulator, f'receivers: {{team: {{url: "json://127.0.0.1:{port}/in"}}}}')
        process = await place.start("run")
        await asyncio.wait_for(asked.wait(), 40)
        process.send_signal(signal.SIGTERM)
        began = asyncio.get_running_loop().time()
        code = await asyncio.wait_for(process.wait(), 40)
        took = asyncio.get_running_loop().time() - began
        done.set()
    server.close()

    assert code == 0
    # A send may take fifteen seconds for an answer; stopping has three for what is in hand.
    assert took < 8
