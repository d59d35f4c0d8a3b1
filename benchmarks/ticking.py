"""The real daemon, with a task beside its own that notes how long the event loop was blocked.

`python -m benchmarks.ticking CONFIG FILE` runs until SIGTERM; FILE then has a line of JSON for each
time the loop came late: when it went on (on the clock that all processes share), how late, and how
much CPU time this process used meanwhile, of which other work on the machine is no part.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from time import perf_counter, process_time

from watcher.cli.options import GlobalOptions
from watcher.cli.run import _run

TICK = 0.01
SHORTEST_NOTED = 0.02


async def main(config: Path) -> list[tuple[float, float, float]]:
    late: list[tuple[float, float, float]] = []
    ticking = asyncio.create_task(tick(late))
    await _run(GlobalOptions(config), rebuild=False)
    ticking.cancel()
    return late


async def tick(late: list[tuple[float, float, float]]) -> None:
    due, used = perf_counter() + TICK, process_time()
    while True:
        await asyncio.sleep(due - perf_counter())
        now, used_now = perf_counter(), process_time()
        if now - due > SHORTEST_NOTED:
            late.append((now, now - due, used_now - used))
        due, used = now + TICK, used_now


if __name__ == "__main__":
    noted = asyncio.run(main(Path(sys.argv[1])))
    Path(sys.argv[2]).write_text("".join(f"{json.dumps(each)}\n" for each in noted))
