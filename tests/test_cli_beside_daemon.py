"""What people ask for beside the running daemon, which carries it out within seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from command_line import PATIENCE, Place
from watcher.simulator.generator import generate
from watcher.simulator.server import Simulator


@asynccontextmanager
async def daemon(place: Place, simulator: Simulator) -> AsyncIterator[asyncio.subprocess.Process]:
    """`kie-watcher run`, with alerts on its stdout; stopped at the end, with success."""
    place.watch(simulator, "confirm: {removals: 6h, implausible: 6h}")
    process = await place.start("run", stderr=asyncio.subprocess.DEVNULL)
    try:
        yield process
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    finally:
        if process.returncode is None:
            process.kill()


async def wait_for_output(process: asyncio.subprocess.Process, what: str) -> None:
    """Wait until the daemon prints it."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        async for line in process.stdout:
            if what in line.decode():
                return
    raise AssertionError(f"never printed: {what}")


async def listed(place: Place, *command: str) -> list[Any]:
    """Wait until a command lists something."""
    async with asyncio.timeout(PATIENCE):
        while not (found := await asyncio.to_thread(place.json, *command)):  # noqa: ASYNC110 - another process, no event
            await asyncio.sleep(0.05)
    return found


async def test_what_is_accepted_is_told_within_seconds_and_a_fresh_start_tells_nothing(
    place: Place,
) -> None:
    rows = generate(seed=3, size=60)
    async with Simulator(rows) as simulator, daemon(place, simulator) as process:
        await wait_for_output(process, "Watching 60 models")
        simulator.catalogue.remove(rows[7]["modelDescription"])
        (hold,) = await listed(place, "accept")

        said = await asyncio.to_thread(place.run_ok, "accept", str(hold["number"]))
        assert "The running daemon has been asked" in said
        await wait_for_output(process, "✕ gone · ")

        simulator.catalogue.remove(rows[9]["modelDescription"])
        await listed(place, "accept")
        await asyncio.to_thread(place.run_ok, "baseline")
        await wait_for_output(process, "Watching 58 models")

    kinds = [change["kinds"] for change in await asyncio.to_thread(place.json, "changes")]
    assert kinds == [["removed"], ["removed"]]
    assert await asyncio.to_thread(place.run_ok, "outbox") == "Nothing waits and nothing is dead.\n"


async def test_what_a_silence_catches_comes_when_it_ends(place: Place) -> None:
    rows = generate(seed=3, size=60)
    new = {**rows[0], "modelDescription": "Brand new 1.0, 720p"}
    async with Simulator(rows) as simulator, daemon(place, simulator) as process:
        await wait_for_output(process, "Watching 60 models")
        why = ("--for", "1h", "--reason", "not now")
        await asyncio.to_thread(place.run_ok, "silence", "add", "--kind", "new", *why)
        await listed(place, "silence", "list")
        simulator.catalogue.insert(new)
        await listed(place, "outbox", "list")
        (silence,) = await listed(place, "silence", "list")
        assert silence["caught"] == 1

        await asyncio.to_thread(place.run_ok, "silence", "end", "1")
        await wait_for_output(process, "Brand new 1.0")
