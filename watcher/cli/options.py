"""What a person may type as an argument: a time as `7d` or `2026-11-01`, a duration as `3d`.

Refuses to know what is asked with it.

Which configuration a command works with: the whole of it, or only where the memory is.

Knows that looking at what happened must work for an operator who does not have the service's
secrets. Refuses to know any setting but those.
"""

from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from watcher.config.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from watcher.config.settings import Settings
    from watcher.store.queries import Views


def since(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> datetime | None:
    """Read the value of an option such as `--since`."""
    if value is None:
        return None
    if (at := time_meant(value.strip(), datetime.now(UTC))) is None:
        raise click.BadParameter("write how long ago, as in 7d or 36h, or a date, as in 2026-11-01")
    return at


def how_long(_context: click.Context, _parameter: click.Parameter, value: str) -> timedelta:
    """Read the value of an option such as `--for`."""
    try:
        lasting = parse_duration(value.strip())
    except (ValueError, OverflowError):
        lasting = timedelta(0)
    if lasting <= timedelta(0):
        raise click.BadParameter("write a duration, as in 3d or 12h")
    return lasting


def time_meant(text: str, now: datetime) -> datetime | None:
    """So long before `now` (`7d`), or a date or time, local unless it says otherwise.

    `None` where it is neither.
    """
    with suppress(ValueError, OverflowError):
        return now - parse_duration(text)
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text).astimezone(UTC)
    return None


# With no receiver configured, alerts go to this one.
BUILT_IN_RECEIVER = "terminal"

LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the command line says before the command: the file named by --config, if any."""

    file: Path | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What commands that only look need to know: where the state is, who is a receiver now."""

    path: Path
    receivers: frozenset[str]


def settings(chosen: Chosen) -> Settings:
    """The whole configuration, receivers checked. Raises `ConfigError` with all that is wrong."""
    from watcher.config.loading import find, load
    from watcher.notify.addresses import check
    from watcher.render.templates.message import check as check_template

    return load(find(chosen.file, os.environ), os.environ, check, check_template)


def start_log(known: Settings, quietest: str = "debug") -> None:
    """Send log lines to stderr as configured, with no secret in them; none below `quietest`."""
    from watcher.log import configure
    from watcher.safe_text import Redactor

    level = max(known.log.level, quietest, key=LEVELS.index)
    configure(level, known.log.format, Redactor(known.secrets()), sys.stderr)


def outlook(chosen: Chosen) -> Settings:
    """The configuration for looking; what is wrong with receivers does not matter here.

    Their secrets may be in the environment of the service and in files that only it can read.
    """
    from watcher.config.loading import find, load_beside_secrets

    return load_beside_secrets(find(chosen.file, os.environ), os.environ)


def memory(chosen: Chosen) -> Memory:
    """Where the state is, whatever is wrong with receivers."""
    known = outlook(chosen)
    return Memory(known.state.path.absolute(), frozenset(known.receivers or {BUILT_IN_RECEIVER}))


@asynccontextmanager
async def opened(chosen: Chosen) -> AsyncIterator[Views]:
    """The memory, open for reading; ends with a clear sentence where there is none yet."""
    from watcher.store.store import open_reader

    async with open_reader(memory(chosen).path) as views:
        yield views
