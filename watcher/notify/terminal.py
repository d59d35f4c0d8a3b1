"""The receiver that is always there: alerts printed where a person, or a log, reads them.

Knows a text stream and its colours. Refuses to know what the text says.
"""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING, TextIO

from watcher.notify.outcome import Outcome, Verdict
from watcher.notify.plain import plain_text, read_markup
from watcher.printable import one_line, printable
from watcher.rendering import Markup, Service

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TERMINAL", "TerminalReceiver"]

TERMINAL = Service("terminal", Markup.TERMINAL, 1_000_000, 1_000, None)

_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


class TerminalReceiver:
    """Prints alerts to a stream; the title is bold where the stream is a terminal."""

    service = TERMINAL

    def __init__(
        self,
        stream: TextIO,
        environment: Mapping[str, str] = os.environ,
        *,
        name: str = "terminal",
        indent: str = "",
    ) -> None:
        """`NO_COLOR` in the environment, with any value, turns colour off (no-color.org).

        `indent` stands before every line, where several share a stream.
        """
        self.name = name
        self._indent = indent
        self._stream = stream
        self._bold = stream.isatty() and not environment.get("NO_COLOR")

    async def send(
        self,
        title: str,
        body: str,
        alert_id: str,  # noqa: ARG002 - it is in the text
        markup: str | None = None,
        picture: bytes | None = None,  # noqa: ARG002 - a terminal shows none
    ) -> Outcome:
        """Print one message and a blank line."""
        body = body if markup is None else plain_text(read_markup(markup), body)
        heading = one_line(title)
        if self._bold:
            heading = f"{_BOLD}{heading}{_PLAIN}"
        try:
            text = textwrap.indent(f"{heading}\n{printable(body)}\n", self._indent)
            print(text, file=self._stream, flush=True)
        except OSError as problem:
            return Outcome(Verdict.RETRY, f"the terminal cannot be written to ({problem.strerror})")
        return Outcome(Verdict.ACCEPTED, "")
