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

__all__ = ["Chosen", "Memory", "memory", "settings", "start_log"]

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

    return load(find(chosen.file, os.environ), os.environ, check)


def start_log(known: Settings, quietest: str = "debug") -> None:
    """Send log lines to stderr as configured, with no secret in them; none below `quietest`."""
    from watcher.log import configure  # noqa: PLC0415
    from watcher.secrets import Redactor  # noqa: PLC0415

    level = max(known.log.level, quietest, key=LEVELS.index)
    configure(level, known.log.format, Redactor(known.secrets()), sys.stderr)


def memory(chosen: Chosen) -> Memory:
    """Where the state is; what is wrong with receivers only does not matter here.

    Their secrets may be in the environment of the service and in files that only it can read.
    """
    from watcher.config.errors import ConfigError  # noqa: PLC0415
    from watcher.config.loading import find, load  # noqa: PLC0415

    file = find(chosen.file, os.environ)
    try:
        known = load(file, os.environ, lambda _: [])
    except ConfigError as error:
        if file is None or not all(p.key.split(".")[0] == "receivers" for p in error.problems):
            raise
        return _memory_beside_bad_receivers(file)
    return Memory(known.state.path.absolute(), frozenset(known.receivers or {BUILT_IN_RECEIVER}))


def _memory_beside_bad_receivers(file: Path) -> Memory:
    from watcher.config.positions import read_document  # noqa: PLC0415
    from watcher.config.settings import StateSettings  # noqa: PLC0415
    from watcher.config.variables import substitute  # noqa: PLC0415

    content = substitute(read_document(file.read_text("utf-8-sig")), os.environ).content
    sections = content if isinstance(content, dict) else {}
    receivers = sections.get("receivers")
    return Memory(
        StateSettings.model_validate(sections.get("state") or {}).path.absolute(),
        frozenset(receivers if isinstance(receivers, dict) else ()),
    )
