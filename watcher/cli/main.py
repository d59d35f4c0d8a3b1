"""The command line: the program itself, its global options and the list of its commands.

What a command needs is imported when that command runs: `--help` must be instant.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

import click

from watcher import __version__
from watcher.cli.holds import accept, baseline
from watcher.cli.options import GlobalOptions
from watcher.cli.outbox import outbox
from watcher.cli.output import CommandGroup
from watcher.cli.preview import preview
from watcher.cli.query import changes, health, models, status
from watcher.cli.run import check, demo, run
from watcher.cli.setup import backup, init, restore, template, test_notify, validate
from watcher.cli.silences import silence
from watcher.cli.simulate import replay, routes

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    envvar="KIE_WATCHER_CONFIG",
    show_envvar=True,
    metavar="FILE",
    help="The configuration. Otherwise ./config.yaml or /etc/kie-watcher/config.yaml, or defaults.",
)
@click.version_option(__version__, prog_name="kie-watcher", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, file: Path | None) -> None:
    """Watch Kie.ai's model prices and tell what really changed.

    Works without any configuration: `kie-watcher run` watches and prints alerts here.

    Exit codes: 0 success, 1 failure, 2 bad usage or configuration.
    """
    context.obj = GlobalOptions(file)


for command in (
    *(run, check, validate, test_notify, routes, replay, preview, template),
    *(models, changes, status, health),
    *(outbox, silence, accept, baseline),
    *(backup, restore, demo, init),
):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with the exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A name in a script that the terminal cannot show must not end the command.
        if isinstance(stream, TextIOWrapper):
            with suppress(OSError, ValueError):
                stream.reconfigure(errors="replace")
    cli.main(args=None if arguments is None else list(arguments), prog_name="kie-watcher")
