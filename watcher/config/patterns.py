"""Whether a pattern can be used: `glob*`, `re:…`, and `!…` in front of either.

Tries a regular expression on texts made to hurt it, because one that backtracks for ever would
stop the watcher at the first description that hurts it. Refuses to know what a pattern matches.
"""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Annotated

from watcher.config.values import a_list, read_by

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["AnyPattern", "OnePattern", "Patterns", "parse_pattern"]

EXCLUDES = "!"
REGULAR = "re:"
LONGEST = 200
# Four times the longest description there is: enough to tell for ever from a while, and no more,
# because every command that reads the configuration waits for the trial.
TRIAL_LENGTH = 400
# In seconds that this process was at work: thousands of descriptions are matched at a time.
LONGEST_TRIAL = 0.05

_LITERAL = re.compile(r"[^\\.*+?|()\[\]{}^$]+")
MOST_LITERALS = 12
# What words, numbers and their separators are to the classes of an expression.
_STUFF = ("a", "0", " ", "-", ",", "a ", "a0", "a,", "a-b ", "!")
_SAMPLE = "bytedance/seedance-2-5, text-to-video, 1080p-10.0s no video "


def parse_pattern(text: str) -> str:
    """The pattern as it stands. Raises `ValueError` with what is wrong and the mending."""
    # Routing brings a library for expressions; a configuration without patterns does not wait.
    from watcher.routing import Pattern, PatternError  # noqa: PLC0415

    if len(text) > LONGEST or not text.isprintable():
        raise ValueError(f"is no pattern; write one line of at most {LONGEST} characters")
    try:
        Pattern(text)
    except PatternError as error:
        raise ValueError(f"{error}; mend it or remove it") from None
    bare = text.removeprefix(EXCLUDES).strip()
    if bare.startswith(REGULAR):
        _try(bare.removeprefix(REGULAR))
    return text


def _parse_including(text: str) -> str:
    if text.startswith(EXCLUDES):
        raise ValueError("excludes, and there is nothing to exclude from; remove the !")
    return parse_pattern(text)


def _try(expression: str) -> None:
    import regex  # noqa: PLC0415 - as above

    compiled = regex.compile(expression, regex.IGNORECASE)
    try:
        for text in _nasty(expression):
            compiled.search(text, timeout=LONGEST_TRIAL)
    except TimeoutError:
        what = "backtracks for ever on some texts; write it without repeats within repeats"
        raise ValueError(what) from None
    except (MemoryError, RecursionError):
        raise ValueError("needs too much memory on some texts; write a simpler one") from None


def _nasty(expression: str) -> Iterator[str]:
    """Long texts that almost match: something repeated, and then what does not fit.

    Before and after stands what the expression requires, so that it does not give up at once.
    """
    literals = _LITERAL.findall(expression)[:MOST_LITERALS]
    required, backwards = "".join(literals), "".join(reversed(literals))
    letters = list(dict.fromkeys(required))[:MOST_LITERALS]
    repeated = dict.fromkeys((*literals, required, *letters, *_STUFF, _SAMPLE))
    starts = dict.fromkeys(("", required, *("".join(literals[:n]) for n in range(len(literals)))))
    ends = dict.fromkeys(("", "!", f"!{backwards}!"))
    for start, stuff, end in product(starts, filter(None, repeated), ends):
        yield start + (stuff * TRIAL_LENGTH)[:TRIAL_LENGTH] + end


# A pattern that may exclude, among others.
AnyPattern = Annotated[str, read_by(parse_pattern)]
# A pattern that stands alone.
OnePattern = Annotated[str, read_by(_parse_including)]
Patterns = Annotated[
    tuple[AnyPattern, ...],
    a_list("pattern", '"*seedance*", "!*480p*"', "so nothing could match; remove the key for all"),
]
