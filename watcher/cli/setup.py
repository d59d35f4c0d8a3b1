"""The commands for setting up: `init` writes a configuration, `validate` checks it.

And `test-notify` tries its receivers. Refuses to print a receiver's URL, whole or in part:
receivers are known by their name and service.

The commands about templates: `template show` prints the built-in one of a service.

Refuses to know receivers: a template is for a kind of service.

The commands `backup` and `restore`: a copy of the memory, and the way back.

Knows what to say of it. Refuses to know how a copy is made and checked.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

import click

from watcher.cli.options import Chosen, memory, settings, start_log
from watcher.cli.output import FAILED, BadUsage, failed, say, seconds

if TYPE_CHECKING:
    from datetime import timedelta

    from watcher.config.settings import Settings
    from watcher.notify.receiver import Outcome

PRIVATE = 0o600


@click.command(epilog="Example: kie-watcher init /etc/kie-watcher/config.yaml")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), default="config.yaml")
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
def init(path: Path, force: bool) -> None:
    """Write a configuration with every key explained.

    It goes to PATH (default: config.yaml). Nobody else can read the file (mode 0600): secrets may
    go into it. One that is there already is left alone unless --force is given.
    """
    from watcher.config.loading import example_text

    write = _replace if force else _create
    try:
        write(path, example_text())
    except FileExistsError:
        raise failed(f"{path} is there already; name another file or give --force") from None
    except OSError as error:
        raise failed(f"{path} cannot be written: {error.strerror}") from None
    say(f"Wrote {path}. Edit it, then: kie-watcher --config {path} validate")


@click.command(epilog="Example: kie-watcher --config /etc/kie-watcher/config.yaml validate")
@click.pass_obj
def validate(chosen: Chosen) -> None:
    """Check the configuration and list all its mistakes.

    Each is a line: FILE:LINE:COLUMN: key: what is wrong; how to mend it. Nothing is polled or
    sent. Exit 0: it is good. Exit 2: it is not.
    """
    from watcher.config.loading import find

    known = settings(chosen)
    file = find(chosen.file, os.environ)
    say(f"{file}: good" if file else "No configuration file: the defaults")
    for line in _found(known):
        say(f"  {line}")


@click.command("test-notify", epilog="Example: kie-watcher test-notify team")
@click.argument("receivers", nargs=-1, metavar="[RECEIVER]...")
@click.pass_obj
def test_notify(chosen: Chosen, receivers: tuple[str, ...]) -> None:
    """Send a sample alert the way real ones go.

    It goes to each RECEIVER named (default: to all). One line says for each whether it was
    accepted, else why not, and how long it took. Exit 1 if any failed.
    """
    from watcher.app import try_receivers

    known = settings(chosen)
    configured = set(known.receivers)
    for name in receivers:
        if name not in configured:
            there = ", ".join(sorted(configured)) or "none, alerts go to the terminal"
            raise BadUsage(f"there is no receiver {name} (configured: {there})")
    start_log(known, quietest="warning")
    verdicts = [
        _tell(name, outcome, took)
        for name, outcome, took in asyncio.run(try_receivers(known, receivers, terminal=sys.stdout))
    ]
    if not all(verdicts):
        raise click.exceptions.Exit(FAILED)


def _found(known: Settings) -> list[str]:
    from watcher.config.durations import duration_text
    from watcher.notify.receiver import open_receiver

    services = {
        name: open_receiver(name, receiver.url.get_secret_value(), receiver.format).service.name
        for name, receiver in known.receivers.items()
    }
    receivers = ", ".join(f"{name} ({service})" for name, service in services.items())
    found = {
        "source": f"{known.source.url}, polled every {duration_text(known.poll.interval)}",
        "state": str(known.state.path.absolute()),
        "receivers": receivers or "none, so alerts go to the terminal",
        "announced": ", ".join(_in_order(known)),
        "routes": ", ".join(f"{it.name} → {'+'.join(it.receivers)}" for it in known.routes),
        "quiet": ", ".join(f"{it.name} {it.from_:%H:%M}-{it.to:%H:%M}" for it in known.quiet_hours),
        "operator": ", ".join(known.operator),
    }
    width = max(map(len, found)) + 1
    return [f"{key + ':':<{width}} {value}" for key, value in found.items() if value]


def _in_order(known: Settings) -> list[str]:
    from watcher.catalog.changes import Kind

    return [kind.value for kind in Kind if kind in known.announce]


def _tell(name: str, outcome: Outcome, took: timedelta) -> bool:
    """Print what came of one receiver; true where it accepted."""
    from watcher.notify.receiver import Verdict

    match outcome.verdict:
        case Verdict.ACCEPTED:
            say(f"{name}: accepted ({seconds(took)})")
        case Verdict.RETRY:
            say(f"{name}: not accepted for now: {outcome.reason} ({seconds(took)})")
        case Verdict.REFUSED:
            say(f"{name}: {outcome.reason} ({seconds(took)})")
    return outcome.verdict is Verdict.ACCEPTED


def _create(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _replace(path: Path, text: str) -> None:
    """Put a new file in the place of the old one at once: a full disk must not leave half."""
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(text)
            file.flush()
            Path(file.name).replace(path)
        except OSError:
            with suppress(OSError):
                Path(file.name).unlink()
            raise


@click.group(epilog="Example: kie-watcher template show email")
def template() -> None:
    """Templates of your own for messages."""


@template.command(epilog="Example: kie-watcher template show discord")
@click.argument("service", metavar="SERVICE")
def show(service: str) -> None:
    """Print the built-in template of a service, to start your own from.

    SERVICE is markdown, text, html, telegram, slack or email, or a service that takes one of them:
    discord, ntfy, matrix. Name the file under `template:` of a receiver; validate tries it.
    """
    from watcher.render.templates.message import NoTemplateError, built_in

    try:
        source = built_in(service)
    except NoTemplateError as error:
        raise BadUsage(str(error)) from None
    click.echo(source, nl=False)


_A_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(epilog="Example: kie-watcher backup /var/backups/kie-watcher.db")
@click.argument("file", type=_A_FILE)
@click.pass_obj
def backup(chosen: Chosen, file: Path) -> None:
    """Copy the memory to FILE.

    Also while the watcher runs. The copy is one moment of the memory, checked before it counts, and
    for its owner's eyes alone (mode 0600). A FILE that is there already is replaced at once, or
    not at all.
    """
    from watcher.store.backup import back_up

    path = memory(chosen).path
    back_up(path, file.absolute())
    say(f"Backed up {path} to {file} ({_size(file)}).")


@click.command(epilog="Example: kie-watcher restore /var/backups/kie-watcher.db")
@click.argument("file", type=_A_FILE)
@click.pass_obj
def restore(chosen: Chosen, file: Path) -> None:
    """Put a backup in the place of the memory.

    Not while the watcher runs. FILE is checked first, and where anything is wrong with it nothing
    is changed. The memory that was there is kept beside the new one. What happened since the
    backup was made is found anew, and told again.
    """
    from watcher.store.backup import restore as put_back

    path = memory(chosen).path
    kept = put_back(path, file.absolute(), datetime.now(UTC))
    say(f"Restored {path} from {file}.")
    if kept is not None:
        say(f"What was there is kept as {kept}")


def _size(file: Path) -> str:
    return f"{file.stat().st_size / 1_000_000:.1f} MB"
