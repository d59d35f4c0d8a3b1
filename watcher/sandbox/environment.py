"""Jinja2 as templates may use it, and its errors in words with the line they are about.

Knows what a template can reach: the values it is given, the filters and tests of Jinja2, and no
attribute, file or other template. Refuses to know what the values are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from watcher.confined import NotDoneError

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["Environment", "written"]

# How Jinja2 calls a template that is in no file.
_NAME = "<template>"
LONGEST_REASON = 200


class Environment(ImmutableSandboxedEnvironment):
    """A name that is not there is an error: a gap in a message would be seen by nobody."""

    def __init__(self, *, markup: bool) -> None:
        """`markup`: the text is HTML, and what is put into it is escaped."""
        super().__init__(
            autoescape=markup,
            undefined=StrictUndefined,
            finalize=_shown,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        del self.globals["lipsum"]

    def compiled(self, source: str) -> Template:
        """Raises `NotDoneError` with the line where it is no template."""
        try:
            return self.from_string(source)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - a template can make anything go wrong
            raise NotDoneError(_in_words(error)) from None


def written(template: Template, context: dict[str, Any], longest: int) -> str | None:
    """The filled template; `None` where it is longer than so many characters.

    Raises `NotDoneError` with the line where it cannot be filled.
    """
    pieces: list[str] = []
    length = 0
    try:
        for piece in template.generate(context):
            length += len(piece)
            if length > longest:
                return None
            pieces.append(piece)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a template can make anything go wrong
        raise NotDoneError(_in_words(error)) from None
    return "".join(pieces).strip("\n")


def _shown(value: Any) -> Any:
    return "" if value is None else value


def _in_words(error: Exception) -> str:
    line = error.lineno if isinstance(error, TemplateSyntaxError) else _line_of(error)
    where = "" if line is None else f"line {line}: "
    return f"{where}{_what(error)}"


def _what(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "calls itself without end"
    said = " ".join(str(error).split()).rstrip(".")[:LONGEST_REASON]
    if isinstance(error, SecurityError):
        return f"is not allowed, {said}"
    if isinstance(error, TypeError) and "no loader" in said:
        return "names another template; there is only this one"
    return said if isinstance(error, TemplateError) and said else f"{type(error).__name__}, {said}"


def _line_of(error: Exception) -> int | None:
    """Jinja2 gives tracebacks the lines of the template."""
    line, traceback = None, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == _NAME:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
