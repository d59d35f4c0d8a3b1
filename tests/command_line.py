"""A directory in which commands are run, as a person at a shell would."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from watcher.cli.main import cli

CANARY = "c4n4ry-t0k3n-9d8f7a6b"
CONFIG = f"""
receivers:
  team: {{url: "json://localhost/{CANARY}"}}
"""


@dataclass(frozen=True)
class Place:
    """A directory with a configuration, in which the commands are run."""

    path: Path

    @property
    def state(self) -> Path:
        return self.path / "kie-watcher.db"

    def configure(self, text: str, name: str = "config.yaml") -> None:
        (self.path / name).write_text(text)

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
