"""The command line: the program itself, its global options and the list of its commands.

What a command needs is imported when that command runs: `--help` must be instant.
"""

from __future__ import annotations

import atexit
import gc
import sys
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

import click

from watcher import __version__
from watcher.cli.options import GlobalOptions
from watcher.cli.output import CommandGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

# Where each command is.
COMMANDS = {
    "run": "run",
    "check": "run",
    "demo": "run",
    "models": "query",
    "changes": "query",
    "status": "query",
    "health": "health",
    "outbox": "outbox",
    "silence": "silences",
    "accept": "holds",
    "baseline": "holds",
    "routes": "simulate",
    "replay": "simulate",
    "preview": "preview",
    "init": "setup",
    "validate": "setup",
    "test-notify": "setup",
    "template": "setup",
    "backup": "setup",
    "restore": "setup",
}


class Program(CommandGroup):
    """The group of all commands, each imported when it is asked for.

    `--config FILE` may stand anywhere: before, after or within a command.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, with_config_first(args))

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if (module := COMMANDS.get(cmd_name)) is None:
            return None
        loaded = import_module(f"watcher.cli.{module}")
        command: click.Command = getattr(loaded, cmd_name.replace("-", "_"))
        return command


def with_config_first(arguments: Sequence[str]) -> list[str]:
    """The arguments, with `--config FILE` in front of the command; what follows `--` stays."""
    first, others = [], list[str]()
    left = list(arguments)
    while left:
        match left:
            case ["--", *_]:
                others += left
                left = []
            case ["--config", file, *left]:
                first += ["--config", file]
            case [one, *left] if one.startswith("--config="):
                first.append(one)
            case [one, *left]:
                others.append(one)
    return [*first, *others]


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    envvar="KIE_WATCHER_CONFIG",
    show_envvar=True,
    metavar="FILE",
    help="The configuration; before or after the command. Otherwise ./config.yaml or"
    " /etc/kie-watcher/config.yaml, or defaults.",
)
@click.version_option(__version__, prog_name="kie-watcher", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, file: Path | None) -> None:
    """Watch Kie.ai's model prices and tell what really changed.

    Works without any configuration: `kie-watcher run` watches and prints alerts here.

    Exit codes: 0 success, 1 failure, 2 bad usage or configuration, 78 a state that needs a person.
    """
    context.obj = GlobalOptions(file)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with the exit code."""
    # Most commands are over before anything is worth collecting; those that last turn it on again.
    # Frozen at the end, because the interpreter collects everything once more when it exits.
    gc.disable()
    atexit.register(gc.freeze)
    for stream in (sys.stdout, sys.stderr):
        # A name in a script that the terminal cannot show must not end the command.
        if isinstance(stream, TextIOWrapper):
            with suppress(OSError, ValueError):
                stream.reconfigure(errors="replace")
    cli.main(args=None if arguments is None else list(arguments), prog_name="kie-watcher")
