"""The real daemon, killed at random moments and started again: nothing is lost, nothing invented.

A process of its own, over real sockets, by the real clock; the simulated API and the receivers are
in the test. Only processes started here are ended, each by its number.
"""

from __future__ import annotations

from pathlib import Path

from torture.inboxes import Answer, HttpInbox
from torture.kill import KillWorld
from watcher.simulator.generator import generate
from watcher.simulator.server import Simulator

# More make the test longer, a second or so each, and change nothing else.
KILLS = 12
SEED = 7


async def test_a_daemon_that_is_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    async with (
        Simulator(generate(seed=SEED, size=60)) as simulator,
        HttpInbox("team") as team,
        HttpInbox("rough") as rough,
    ):
        world = KillWorld(SEED, tmp_path, simulator)
        world.configure(simulator.url, team, rough)
        # One failure: each next one would make the test seconds longer.
        failures = [world.rng.choice([Answer.FAILS, Answer.HANGS_UP, Answer.RECEIVES_AND_HANGS_UP])]
        rough.next_answer = lambda: failures.pop() if failures else Answer.ACCEPTS
        for _ in range(KILLS):
            world.edit_at_random(0.5)
            await world.run_and_kill()
        await world.run_to_rest()
        assert await world.check() > 0

    assert team.repeated <= KILLS
