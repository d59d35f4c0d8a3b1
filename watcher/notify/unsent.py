"""What a receiver would send, caught where it would leave the machine.

For people who want to see a message before anybody gets it. Knows the two doors below Apprise: one
method of `urllib3` through which every request goes, and the connections of `smtplib`. Both stay
shut for the whole process while somebody looks. Refuses to know what is said, and keeps no address
and no header: these hold secrets.
"""

from __future__ import annotations

import io
import smtplib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LETTER", "Unsent", "caught"]

LETTER = "message/rfc822"

# What the services say that are asked whether they took it; most are only asked for the status.
_TAKEN = b'{"ok": true, "status": 1, "success": true}'


@dataclass(frozen=True, slots=True)
class Unsent:
    """The body of one request, or a whole letter (`LETTER`), as it would have gone out."""

    content: bytes
    content_type: str


@contextmanager
def caught() -> Iterator[list[Unsent]]:
    """Let everything that is sent meanwhile go nowhere, and seem to arrive."""
    from urllib3.connectionpool import HTTPConnectionPool  # noqa: PLC0415 - comes with Apprise

    found: list[Unsent] = []
    doors = (
        (HTTPConnectionPool, "urlopen", _answering(found)),
        (smtplib, "SMTP", _post_office(found)),
        (smtplib, "SMTP_SSL", _post_office(found)),
    )
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in doors]
    try:
        for owner, name, shut in doors:
            setattr(owner, name, shut)
        yield found
    finally:
        for owner, name, opened in before:
            setattr(owner, name, opened)


def _answering(found: list[Unsent]) -> Any:
    def urlopen(_pool: Any, *_: Any, body: Any = None, headers: Any = None, **__: Any) -> Any:
        from urllib3 import HTTPResponse  # noqa: PLC0415

        if isinstance(body, bytes | str):
            content = body.encode() if isinstance(body, str) else body
            found.append(Unsent(content, str((headers or {}).get("Content-Type", ""))))
        said = {"Content-Type": "application/json"}
        return HTTPResponse(io.BytesIO(_TAKEN), said, status=200, preload_content=False)

    return urlopen


def _post_office(found: list[Unsent]) -> type:
    class PostOffice:
        """Takes every letter; looks to Apprise like a mail server that is content."""

        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def starttls(self, **_: Any) -> None:
            pass

        def login(self, *_: Any) -> None:
            pass

        def quit(self) -> None:
            pass

        def sendmail(self, _sender: str, _recipients: Any, letter: str | bytes) -> dict[str, Any]:
            content = letter.encode() if isinstance(letter, str) else letter
            found.append(Unsent(content, LETTER))
            return {}

    return PostOffice
