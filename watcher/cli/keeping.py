"""The commands `backup` and `restore`: a copy of the memory, and the way back.

Knows what to say of it. Refuses to know how a copy is made and checked.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from watcher.cli.configured import Chosen, memory
from watcher.cli.printing import say

__all__ = ["backup", "restore"]

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
    from watcher.store.keeping import back_up  # noqa: PLC0415

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
    from watcher.store.keeping import restore as put_back  # noqa: PLC0415

    path = memory(chosen).path
    kept = put_back(path, file.absolute(), datetime.now(UTC))
    say(f"Restored {path} from {file}.")
    if kept is not None:
        say(f"What was there is kept as {kept}")


def _size(file: Path) -> str:
    return f"{file.stat().st_size / 1_000_000:.1f} MB"
