"""Wishes, left in a directory for the daemon that owns the state to take.

A database has one writer; a command that finds the daemon running leaves a file instead. Knows the
directory. Refuses to know what stands in a file and what a wish does.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from watcher.store.request_files import read_request, request_fields
from watcher.store.rows import json_text, time_text
from watcher.store.statefile import StateError, beside

if TYPE_CHECKING:
    from watcher.store.wishes import Request

_LONGEST = 64 * 1024
_REQUEST, _PART, _REJECTED = ".json", ".part", ".rejected"


@dataclass(frozen=True, slots=True)
class Spool:
    """What the directory held: requests with their files, oldest first, and what was none."""

    requests: tuple[tuple[Path, Request], ...]
    set_aside: tuple[str, ...]


class _NotARequestError(ValueError):
    """A file that cannot be read as a request."""


def leave(state: Path, request: Request) -> Path:
    """Leave a request for the daemon that owns the state; there whole or not at all."""
    directory = beside(state, ".requests")
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        _give_to_owner(directory, state)
        # mkstemp: a name of its own, for its owner alone.
        stamp = f"{time_text(request.at).translate(str.maketrans('', '', '-:.'))}-"
        descriptor, part = tempfile.mkstemp(dir=directory, prefix=stamp, suffix=_PART)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json_text(request_fields(request)))
            file.flush()
            os.fsync(file.fileno())
        _give_to_owner(Path(part), state)
        return Path(part).rename(Path(part).with_suffix(_REQUEST))
    except OSError as error:
        raise StateError(
            f"{directory}: the request cannot be left for the running daemon ({error.strerror}). "
            "Run the command as the user of the daemon"
        ) from error


def look(state: Path) -> Spool:
    """Read what was left; what is no request is renamed, so that it is looked at once."""
    directory = beside(state, ".requests")
    requests: list[tuple[Path, Request]] = []
    foreign: list[Path] = []
    try:
        left = sorted(directory.iterdir())
    except FileNotFoundError:
        return Spool((), ())
    except OSError:
        left, foreign = [], [directory]
    for path in left:
        if path.suffix in {_PART, _REJECTED}:
            continue
        try:
            requests.append((path, _read(path)))
        except (_NotARequestError, OSError):
            foreign.append(path)
    return Spool(tuple(requests), tuple(path.name for path in foreign if _set_aside(path)))


def forget(spool: Spool) -> None:
    """Remove the files of the requests, once what they ask for is done and stored."""
    for path, _ in spool.requests:
        # Doing a request again does no harm; a file that stays must not stop the outbox.
        with suppress(OSError):
            path.unlink()


def _read(path: Path) -> Request:
    if path.suffix != _REQUEST or not stat.S_ISREG(path.lstat().st_mode):
        raise _NotARequestError(path.name)
    with path.open("rb") as file:
        content = file.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise _NotARequestError(path.name)
    try:
        return read_request(json.loads(content))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _NotARequestError(path.name) from error


def _set_aside(path: Path) -> bool:
    """Rename it; `False` where that is not allowed, to keep quiet about it on every look."""
    try:
        path.rename(path.with_name(path.name + _REJECTED))
    except OSError:
        return False
    return True


def _give_to_owner(path: Path, state: Path) -> None:
    """What root leaves, the daemon must be able to take."""
    if os.geteuid() == 0:
        owner = state.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
