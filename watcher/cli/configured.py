"""Which configuration a command works with: the whole of it, or only where the memory is.

Knows that looking at what happened must work for an operator who does not have the service's
secrets. Refuses to know any setting but those.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from watcher.config.settings import Settings

__all__ = ["Chosen", "Memory", "memory", "outlook", "settings", "start_log"]

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
    from watcher.config.loading import find, load  # noqa: PLC0415
    from watcher.notify import check  # noqa: PLC0415
    from watcher.templates import check as check_template  # noqa: PLC0415

    return load(find(chosen.file, os.environ), os.environ, check, check_template)


def start_log(known: Settings, quietest: str = "debug") -> None:
    """Send log lines to stderr as configured, with no secret in them; none below `quietest`."""
    from watcher.log import configure  # noqa: PLC0415
    from watcher.secrets import Redactor  # noqa: PLC0415

    level = max(known.log.level, quietest, key=LEVELS.index)
    configure(level, known.log.format, Redactor(known.secrets()), sys.stderr)


def outlook(chosen: Chosen) -> Settings:
    """The configuration for looking; what is wrong with receivers does not matter here.

    Their secrets may be in the environment of the service and in files that only it can read.
    """
    from watcher.config.lenient import load_beside_secrets  # noqa: PLC0415
    from watcher.config.loading import find  # noqa: PLC0415

    return load_beside_secrets(find(chosen.file, os.environ), os.environ)


def memory(chosen: Chosen) -> Memory:
    """Where the state is, whatever is wrong with receivers."""
    known = outlook(chosen)
    return Memory(known.state.path.absolute(), frozenset(known.receivers or {BUILT_IN_RECEIVER}))
