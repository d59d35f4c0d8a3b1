"""Frames between the watcher, the sender and its forks: a length, then an object as JSON."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Several times the largest message with its picture. Whoever announces more is broken.
LONGEST = 16 * 2**20

_LENGTH = struct.Struct("!I")


class BrokenFrameError(ValueError):
    """These bytes are no frames: whoever wrote them is not to be trusted with more."""


def pack(content: Mapping[str, Any]) -> bytes:
    """An object as one frame."""
    body = json.dumps(content).encode()
    return _LENGTH.pack(len(body)) + body


def unpack(received: bytearray) -> Iterator[dict[str, Any]]:
    """Take every whole frame from the beginning of what was received. Raises `BrokenFrameError`."""
    while len(received) >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(received)
        if length > LONGEST:
            raise BrokenFrameError
        end = _LENGTH.size + length
        if len(received) < end:
            return
        body = bytes(received[_LENGTH.size : end])
        del received[:end]
        try:
            content = json.loads(body)
        except ValueError:
            raise BrokenFrameError from None
        if not isinstance(content, dict):
            raise BrokenFrameError
        yield content
