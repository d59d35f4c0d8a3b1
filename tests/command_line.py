"""A directory in which commands are run, as a person at a shell would."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from watcher.cli.main import cli
from watcher.simulator.server import Simulator
from watcher.store.store import Store, open_store

CANARY = "c4n4ry-t0k3n-9d8f7a6b"
CONFIG = f"""
receivers:
  team: {{url: "json://localhost/{CANARY}"}}
"""
QUICK = "poll: {interval: 0.2s, settle_delay: 0.05s}\n"
# In seconds: what a process has not done by then it will not do.
PATIENCE = 30


@dataclass(frozen=True)
class Place:
    """A directory with a configuration, in which the commands are run."""

    path: Path

    @property
    def state(self) -> Path:
        return self.path / "kie-watcher.db"

    def configure(self, text: str, name: str = "config.yaml") -> None:
        (self.path / name).write_text(text)

    def watch(self, simulator: Simulator, more: str = "") -> None:
        """Configure the simulator as the source, read often, and whatever else."""
        self.configure(f'source: {{url: "{simulator.url}"}}\n{QUICK}{more}\n')

    def run(self, *arguments: str) -> Result:
        result = CliRunner().invoke(cli, arguments, prog_name="kie-watcher")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def run_ok(self, *arguments: str) -> str:
        """The output of a command that must succeed, with nothing on stderr."""
        result = self.run(*arguments)
        assert (result.exit_code, result.stderr) == (0, "")
        return result.stdout

    def json(self, *arguments: str) -> list[Any]:
        return [json.loads(line) for line in self.run_ok(*arguments, "--json").splitlines()]

    def ask(self, question: Callable[[Store], Awaitable[Any]]) -> Any:
        """Whatever is to be asked of the state, or done to it, while no process has it open."""

        async def ask() -> Any:
            async with open_store(self.state) as store:
                return await question(store)

        return asyncio.run(ask())

    async def run_aside(self, *arguments: str) -> Result:
        """Run a command beside the loop of the test, in which its servers are."""
        return await asyncio.to_thread(self.run, *arguments)

    async def start(self, *arguments: str, **streams: Any) -> asyncio.subprocess.Process:
        """A command as a process of its own."""
        pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "watcher", *arguments),
            cwd=self.path,
            env={name: it for name, it in os.environ.items() if name != "KIE_WATCHER_CONFIG"},
            **(pipes | streams),
        )


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it printed to pipes."""

    exit_code: int | None
    stdout: str
    stderr: str


async def ended(process: asyncio.subprocess.Process) -> Ended:
    """Wait for the end of a process."""
    async with asyncio.timeout(PATIENCE):
        stdout, stderr = await process.communicate()
    return Ended(process.returncode, (stdout or b"").decode(), (stderr or b"").decode())


async def first_line(process: asyncio.subprocess.Process) -> str:
    """What a process says first on stdout; of `run`, the alert of the baseline."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return (await process.stdout.readline()).decode()
