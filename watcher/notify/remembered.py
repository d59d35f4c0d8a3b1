"""What addresses were found to be, remembered in a file beside the state.

To ask the sender takes longer than a whole poll, so `check` asks only where an address, or who is
asked about it, has changed. Of the addresses the file holds a digest with a random key, and it is
for its owner only. One that is missing or damaged costs the question, no more.
"""

from __future__ import annotations

import hmac
import json
import os
from contextlib import suppress
from importlib.metadata import version
from secrets import token_hex
from typing import TYPE_CHECKING

from watcher import __version__
from watcher.notify.addresses import Inspected

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

_LONGEST_FILE = 2**20
_KEY_BYTES = 32
# Neither a link, which may lead anywhere, nor a pipe, which may never answer.
_CAREFULLY = os.O_NOFOLLOW | os.O_NONBLOCK

# An Apprise URL, and the format wanted of it.
Address = tuple[str, str]


def recall(state: Path, addresses: Collection[Address]) -> dict[Address, Inspected]:
    """What these were found to be, by this version and this one of Apprise.

    Nothing unless they are exactly those that were remembered.
    """
    if not addresses:
        return {}
    try:
        with os.fdopen(os.open(_beside(state), os.O_RDONLY | _CAREFULLY), "rb") as stream:
            key, digest, found = json.loads(stream.read(_LONGEST_FILE))
        if hmac.compare_digest(digest, _digest(key, addresses, found)):
            return dict(zip(addresses, map(Inspected.from_json, found), strict=True))
    except (OSError, TypeError, ValueError, LookupError, RecursionError):
        pass
    return {}


def remember(state: Path, known: Mapping[Address, Inspected]) -> None:
    """Remember these, all of them good. Where that fails, they are asked about again."""
    if not known:
        with suppress(OSError):
            _beside(state).unlink(missing_ok=True)
        return
    key, found = token_hex(_KEY_BYTES), [each.to_json() for each in known.values()]
    content = json.dumps([key, _digest(key, known, found), found])
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _CAREFULLY
    with suppress(OSError), os.fdopen(os.open(_beside(state), flags, 0o600), "w") as stream:
        stream.write(content)


def _beside(state: Path) -> Path:
    return state.with_name(f"{state.name}.addresses")


def _digest(key: str, addresses: Iterable[Address], found: object) -> str:
    judged = [__version__, version("apprise"), list(addresses), found]
    return hmac.digest(bytes.fromhex(key), json.dumps(judged).encode(), "sha256").hex()
