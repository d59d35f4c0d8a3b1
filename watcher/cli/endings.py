"""How a command ends when it cannot do its work: one clean line, or the list of problems.

Knows the errors of the other rooms and the exit codes: 0 well, 1 failed, 2 bad usage or
configuration, 78 a state that trying again cannot mend. Refuses to hide what nobody foresaw: that
keeps its traceback, and ends with 1.
"""

from __future__ import annotations

from typing import IO, Any

import click

from watcher.printable import one_line

__all__ = ["FAILED", "BadUsage", "CarefulGroup", "Ending", "complain", "failed"]

FAILED = 1
BAD_USAGE = 2
# EX_CONFIG of sysexits.h. A service manager that starts again whatever failed must not do so here.
UNUSABLE_STATE = 78


class Ending(click.ClickException):
    """The command is over: `message` goes to stderr line by line, `exit_code` to the caller."""

    exit_code = FAILED

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message, with nothing in it that a terminal would obey."""
        for line in self.message.splitlines():
            click.echo(one_line(line), file=file, err=file is None)


class BadConfiguration(Ending):
    """The configuration cannot be used; the message is the list of its problems."""

    exit_code = BAD_USAGE


class UnusableState(Ending):
    """The state is damaged, another program's, or from a newer version: a person has to look."""

    exit_code = UNUSABLE_STATE


class BadUsage(Ending):
    """What was asked for makes no sense here."""

    exit_code = BAD_USAGE

    def __init__(self, message: str) -> None:
        super().__init__(f"kie-watcher: {message}")


def failed(message: str) -> Ending:
    """The ending of a command that failed, for the reason given."""
    return Ending(f"kie-watcher: {message}")


def complain(message: str) -> None:
    """Say on stderr what went wrong, without ending the command."""
    click.echo(one_line(f"kie-watcher: {message}"), err=True)


class CarefulGroup(click.Group):
    """A group whose commands end with a clean line where an error is of a known sort."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if (ending := _ending_of(error)) is None:
                raise
            raise ending from None


def _ending_of(error: Exception) -> Ending | None:
    """The clean ending for an error; `None` for one that nobody foresaw.

    The errors are imported here: `--help` must not load what they come with.
    """
    from watcher.config.errors import ConfigError  # noqa: PLC0415

    if isinstance(error, ConfigError):
        return BadConfiguration(str(error))
    from watcher.store.statefile import StateError, UnusableError  # noqa: PLC0415

    if isinstance(error, UnusableError):
        return UnusableState(f"kie-watcher: {error}")
    if isinstance(error, StateError):
        return failed(str(error))
    from watcher.kie.replies import SourceError  # noqa: PLC0415

    if isinstance(error, SourceError):
        return failed(str(error))
    from watcher.selfwatch.web import ListenError  # noqa: PLC0415

    return BadConfiguration(f"kie-watcher: {error}") if isinstance(error, ListenError) else None
