"""Which parts of an optional extra are not installed.

Knows them from what the installed program says it needs. Refuses to know what they are for.
"""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["missing_for"]

PROGRAM = "kie-watcher"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def missing_for(extra: str) -> tuple[str, ...]:
    """The packages an extra needs that are not there; none where the program is not installed."""
    return tuple(name for name in _needed_for(extra) if not _is_installed(name))


def _needed_for(extra: str) -> Iterator[str]:
    belongs = re.compile(rf"""extra\s*==\s*['"]{re.escape(extra)}['"]""")
    try:
        requirements = metadata.requires(PROGRAM) or []
    except metadata.PackageNotFoundError:
        return
    for requirement in requirements:
        if belongs.search(requirement) and (name := _NAME.match(requirement)):
            yield name[0]


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
