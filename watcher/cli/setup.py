"""The commands `init`, `validate`, `test-notify`, `template show`, `backup` and `restore`.

A receiver's URL is never printed, not even in part: receivers have names and services.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, assert_never

import click

from watcher.cli.options import (
    GlobalOptions,
    exposed_files,
    load_settings,
    start_log,
    state_path,
)
from watcher.cli.output import FAILED, failed, say, seconds, unknown_receiver, warn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from watcher.config.settings import Settings
    from watcher.notify.outcome import Outcome

PRIVATE = 0o600

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(epilog="Example: kie-watcher init /etc/kie-watcher/config.yaml")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), default="config.yaml")
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
def init(path: Path, force: bool) -> None:
    """Write a configuration with every key explained.

    It goes to PATH (default: config.yaml). Nobody else can read the file (mode 0600), since it may
    hold secrets. A file that exists is not replaced unless --force is given.
    """
    from watcher.config.loading import example_text

    write = _replace if force else _create
    try:
        write(path, example_text())
    except FileExistsError:
        raise failed(f"{path} is there already; name another file or give --force") from None
    except OSError as error:
        raise failed(f"{path} cannot be written: {error.strerror}") from None
    say(f"Wrote {path}. Edit it, then: kie-watcher validate {path}")


@click.command(epilog="Example: kie-watcher validate /etc/kie-watcher/config.yaml")
@click.argument("file", type=_FILE, required=False)
@click.pass_obj
def validate(options: GlobalOptions, file: Path | None) -> None:
    """Check the configuration and list all its mistakes.

    FILE is the one to check (default: the one that every other command would use).
    Each is a line: FILE:LINE:COLUMN: key: what is wrong; how to fix it. Nothing is polled or
    sent. Exit 0: it is good. Exit 2: it is not.
    """
    from watcher.config.loading import find_file

    options = GlobalOptions(file) if file else options
    settings, services = asyncio.run(_validate(options))
    file = find_file(options.config_file, os.environ)
    say(f"{file}: good" if file else "No configuration file: the defaults")
    for line in _summary(settings, services):
        say(f"  {line}")
    for exposed in exposed_files(options, settings):
        warn(
            f"{exposed}: has secrets in it, and every user of this machine can read it; "
            f"chmod o-r {exposed}, or put them into variables or files of their own (url_file)"
        )


@click.command("test-notify", epilog="Example: kie-watcher test-notify team")
@click.argument("receivers", nargs=-1, metavar="[RECEIVER]...")
@click.pass_obj
def test_notify(options: GlobalOptions, receivers: tuple[str, ...]) -> None:
    """Send a sample alert the way real ones go.

    It goes to each RECEIVER named (default: to all). One line says for each whether it was
    accepted, or why not, and how long it took. Exit 1 if any failed.
    """
    from watcher.notify.outcome import Verdict

    tried = asyncio.run(_try(options, receivers))
    for name, outcome, took in tried:
        say(f"{name}: {_outcome_text(outcome)} ({seconds(took)})")
    if not all(outcome.verdict is Verdict.ACCEPTED for _, outcome, _ in tried):
        raise click.exceptions.Exit(FAILED)


async def _validate(options: GlobalOptions) -> tuple[Settings, dict[str, str]]:
    """The configuration, and the service of each of its receivers."""
    from watcher.app import open_receivers
    from watcher.notify.client import Sender

    async with Sender() as sender:
        settings = await asyncio.to_thread(load_settings, options, sender)
        opened = await open_receivers(settings, sys.stdout, sender) if settings.receivers else ()
        return settings, {receiver.name: receiver.service.name for receiver in opened}


async def _try(
    options: GlobalOptions, receivers: tuple[str, ...]
) -> list[tuple[str, Outcome, timedelta]]:
    """Send a sample alert to some receivers, or to all."""
    from watcher.app import try_receivers
    from watcher.notify.client import Sender

    async with Sender() as sender:
        settings = await asyncio.to_thread(load_settings, options, sender)
        for name in receivers:
            if name not in settings.receivers:
                raise unknown_receiver(name, settings.receivers)
        start_log(settings, minimum_level="warning")
        return await try_receivers(settings, receivers, terminal=sys.stdout, sender=sender)


def _summary(settings: Settings, services: Mapping[str, str]) -> list[str]:
    from watcher.catalog.changes import Kind
    from watcher.config.durations import duration_text

    receivers = ", ".join(f"{name} ({service})" for name, service in services.items())
    windows = (f"{it.name} {it.from_:%H:%M}-{it.to:%H:%M}" for it in settings.quiet_hours)
    summary = {
        "source": f"{settings.source.url}, polled every {duration_text(settings.poll.interval)}",
        "state": str(settings.state.path.absolute()),
        "receivers": receivers or "none, so alerts go to the terminal",
        "announced": ", ".join(kind.value for kind in Kind if kind in settings.announce),
        "routes": ", ".join(f"{it.name} → {'+'.join(it.receivers)}" for it in settings.routes),
        "quiet": ", ".join(windows),
        "operator": ", ".join(settings.operator),
    }
    width = max(map(len, summary)) + 1
    return [f"{key + ':':<{width}} {value}" for key, value in summary.items() if value]


def _outcome_text(outcome: Outcome) -> str:
    from watcher.notify.outcome import Verdict

    match outcome.verdict:
        case Verdict.ACCEPTED:
            return "accepted"
        case Verdict.RETRY:
            return f"not accepted for now: {outcome.reason}"
        case Verdict.REFUSED:
            return outcome.reason
        case _:
            assert_never(outcome.verdict)


def _create(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _replace(path: Path, text: str) -> None:
    """Replace the file at once: a full disk must not leave half of one."""
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(text)
            file.flush()
            Path(file.name).replace(path)
        except OSError:
            with suppress(OSError):
                Path(file.name).unlink()
            raise


@click.group(epilog="Example: kie-watcher template show")
def template() -> None:
    """Templates of your own for messages."""


@template.command(epilog="Example: kie-watcher template show")
def show() -> None:
    """Print a template to start your own from.

    It says what the built-in message says, in the markup of whichever service gets it. Name the
    file under `template:` of a receiver; validate tries it.
    """
    from watcher.render.templates.template import default_template

    click.echo(default_template(), nl=False)


@click.command(epilog="Example: kie-watcher backup /var/backups/kie-watcher.db")
@click.argument("file", type=_FILE)
@click.pass_obj
def backup(options: GlobalOptions, file: Path) -> None:
    """Copy the state to FILE.

    Also while the watcher runs. The copy is the state at one moment; it is checked, and readable
    by its owner only (mode 0600). A FILE that is a backup is replaced at once, or not at all; if it
    is anything else, it is left alone.
    """
    from watcher.store.backup import back_up

    path = state_path(options)
    back_up(path, file.absolute())
    say(f"Backed up {path} to {file} ({_size(file)}).")


@click.command(epilog="Example: kie-watcher restore /var/backups/kie-watcher.db")
@click.argument("file", type=_FILE)
@click.pass_obj
def restore(options: GlobalOptions, file: Path) -> None:
    """Replace the state with a backup.

    Not while the watcher runs. FILE is checked first, and if anything is wrong with it nothing is
    changed. The state that was there is kept beside the new one. What changed since the backup was
    made is found again, and sent again.
    """
    from watcher.store.backup import restore as put_back

    path = state_path(options)
    kept = put_back(path, file.absolute(), datetime.now(UTC))
    say(f"Restored {path} from {file}.")
    if kept is not None:
        say(f"What was there is kept as {kept}")


def _size(file: Path) -> str:
    return f"{file.stat().st_size / 1_000_000:.1f} MB"
