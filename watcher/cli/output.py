"""What commands print, and how they fail: lines, times, JSON; messages and exit codes.

Everything shown passes through `one_line`: model texts are not ours, and a terminal acts on control
characters. A command that cannot do its work ends with one clean line, or the list of
problems, and exit code 1 (failed), 2 (bad usage or configuration) or 78 (a state that trying again
cannot fix); an unexpected error keeps its traceback, and ends with 1.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Any

import click

from watcher.catalog.changes import utc_text
from watcher.safe_text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime, tzinfo

FAILED = 1
BAD_USAGE = 2
# EX_CONFIG of sysexits.h: a service manager that restarts whatever failed must not do so here.
UNUSABLE_STATE = 78

_OUTPUT_IS_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


class CommandFailure(click.ClickException):
    """The command is over: `message` goes to stderr line by line, `exit_code` to the caller."""

    exit_code = FAILED

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message, with nothing in it that a terminal would act on."""
        for line in self.message.splitlines():
            click.echo(one_line(line), file=file, err=file is None)


class BadConfiguration(CommandFailure):
    """The configuration cannot be used; the message is the list of its problems."""

    exit_code = BAD_USAGE


class UnusableState(CommandFailure):
    """The state is damaged, another program's, or from a newer version: a person must decide."""

    exit_code = UNUSABLE_STATE


class BadUsage(CommandFailure):
    """The command line makes no sense, or not with this configuration."""

    exit_code = BAD_USAGE

    def __init__(self, message: str) -> None:
        super().__init__(f"kie-watcher: {message}")


class Interrupted(CommandFailure):
    """A person pressed Ctrl-C; the exit code is what a shell gives a program that SIGINT ended."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("kie-watcher: interrupted")


def failed(message: str) -> CommandFailure:
    """The end of a command that failed, for the reason given."""
    return CommandFailure(f"kie-watcher: {message}")


def unknown_receiver(name: str, configured: Iterable[str]) -> BadUsage:
    """The end of a command that was given a name that no receiver has."""
    names = ", ".join(sorted(configured)) or "none, alerts go to the terminal"
    return BadUsage(f"there is no receiver {name} (configured: {names})")


def warn(message: str) -> None:
    """Print on stderr what went wrong, without ending the command."""
    click.echo(one_line(f"kie-watcher: {message}"), err=True)


class CommandGroup(click.Group):
    """A group whose commands end with a clean line for every expected error."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            raise Interrupted from None
        except Exception as error:
            if (failure := _failure_for(error)) is None:
                raise
            raise failure from None


def _failure_for(error: Exception) -> CommandFailure | None:
    """The clean end for an expected error; `None` for any other.

    The errors are imported here: `--help` must not load what they come with.
    """
    if isinstance(error, OSError) and error.errno in _OUTPUT_IS_FULL and error.filename is None:
        # What is left in the buffer would fail once more at the end, with a code of Python's own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return failed(f"what is printed cannot be written: {error.strerror}")
    from watcher.config.errors import ConfigError

    if isinstance(error, ConfigError):
        return BadConfiguration(str(error))
    from watcher.store.connection import StateError, UnusableError

    if isinstance(error, UnusableError):
        return UnusableState(f"kie-watcher: {error}")
    if isinstance(error, StateError):
        return failed(str(error))
    from watcher.kie.responses import SourceError
    from watcher.notify.client import SenderError

    if isinstance(error, SourceError | SenderError):
        return failed(str(error))
    from watcher.config.addresses import ListenError

    return BadConfiguration(f"kie-watcher: {error}") if isinstance(error, ListenError) else None


_STEPS = (
    ("d", timedelta(days=1), timedelta(days=2)),
    ("h", timedelta(hours=1), timedelta(hours=2)),
    ("min", timedelta(minutes=1), timedelta(minutes=2)),
    ("s", timedelta(seconds=1), timedelta(seconds=1)),
)


def say(line: str = "") -> None:
    """Print one line of text for people."""
    click.echo(one_line(line))


def print_json(fields: Mapping[str, Any]) -> None:
    """Print one JSON object; ASCII only, so that no terminal and no encoding is in its way."""
    click.echo(json.dumps(fields, ensure_ascii=True))


def age(at: datetime, now: datetime) -> str:
    """How long ago, or in how long: `3 h ago`, `in 5 min`, `now`."""
    distance = abs(now - at)
    for name, step, least in _STEPS:
        if distance >= least:
            amount = f"{distance // step} {name}"
            return f"{amount} ago" if now >= at else f"in {amount}"
    return "now"


def moment(at: datetime | None, now: datetime) -> str:
    """A time for people: in the zone of `now`, and how long ago."""
    if at is None:
        return "never"
    return f"{local_time(at, now.tzinfo)} ({age(at, now)})"


def local_time(at: datetime, zone: tzinfo | None) -> str:
    """A time with its zone: `2026-11-22 08:30 CET`."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def utc(at: datetime | None) -> str | None:
    """A time for programs: `2026-11-22T07:30:00Z`."""
    return None if at is None else utc_text(at)


def news_count(count: int) -> str:
    """How many there are: `1 change or notice`, `12 changes and notices`."""
    return f"{count} change or notice" if count == 1 else f"{count} changes and notices"


def seconds(took: timedelta) -> str:
    """How long something took: `0.42 s`."""
    return f"{took.total_seconds():.2f} s"
