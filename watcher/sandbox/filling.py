"""A template filled with as much of the news as a service takes: whole lines, weightiest first.

Knows how a context is cut and that `hidden` counts what is missing. Refuses to know what a line
says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, Any

from watcher.confined import NotDoneError
from watcher.sandbox.environment import Environment, written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["MEASURES", "Filling", "fill"]

# However little of a text counts (tags may not), no more is written than this.
LONGEST_TEXT = 256 * 1024
LONGEST_SHARE = 4
LEAST_TEXT = 2000

_TAG = re.compile(r"<[^>]*>")


def _characters(text: str) -> int:
    """UTF-16 units, and an ampersand as the entity some services make of it before they count."""
    return len(text.encode("utf-16-le", "replace")) // 2 + 4 * text.count("&")


def _visible(text: str) -> int:
    return len(unescape(_TAG.sub("", text)).encode("utf-16-le", "replace")) // 2


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


# By name: each counts a text as `watcher.rendering` does for one kind of service.
MEASURES: Mapping[str, Callable[[str], int]] = {
    "characters": _characters,
    "visible": _visible,
    "bytes": _bytes,
}


@dataclass(frozen=True, slots=True)
class Filling:
    """A template, what goes into it, and how long the text may be by which measure."""

    source: str
    context: dict[str, Any]
    markup: bool
    measure: str
    longest: int


def fill(filling: Filling) -> dict[str, Any]:
    """The `text`, and how many of the contents are `shown` in it.

    Raises `NotDoneError` where the template fails, where nothing comes of it, and where even
    without any news it is longer than it may be.
    """
    template = Environment(markup=filling.markup).compiled(filling.source)
    measure = MEASURES[filling.measure]
    most = min(LONGEST_TEXT, max(LEAST_TEXT, LONGEST_SHARE * filling.longest))

    def attempt(count: int) -> dict[str, Any] | None:
        context, shown = _cut(filling.context, count)
        text = written(template, context, most)
        if text is None or measure(text) > filling.longest:
            return None
        if not text.strip():
            raise NotDoneError("comes out empty")
        return {"text": text, "shown": shown}

    return _fullest(attempt, _things(filling.context), filling.longest)


def _fullest(
    attempt: Callable[[int], dict[str, Any] | None], count: int, longest: int
) -> dict[str, Any]:
    """The attempt with the most things that succeeds; more things are taken to be longer."""
    if (found := attempt(count)) is not None:
        return found
    fits, too_many = 0, count
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if (better := attempt(middle)) is None:
            too_many = middle
        else:
            fits, found = middle, better
    # A template may be made for news, and fail without any: it is not asked needlessly.
    if found is None and (found := attempt(0)) is None:
        raise NotDoneError(f"comes out longer than the {longest:,} characters there is room for")
    return found


def _things(context: dict[str, Any]) -> int:
    """What is told or left out as one: a notice, a line."""
    return len(context["notices"]) + sum(len(group["lines"]) for group in context["groups"])


def _cut(context: dict[str, Any], count: int) -> tuple[dict[str, Any], int]:
    """The context with its first `count` things, and how many contents those are."""
    notices = context["notices"][:count]
    room = count - len(notices)
    groups = []
    for group in context["groups"]:
        lines = group["lines"][:room]
        room -= len(lines)
        if lines:
            groups.append({**group, "lines": lines})
    of_all = [notice["change"] for notice in notices if notice["change"] is not None]
    changes = [change for group in groups for line in group["lines"] for change in line["changes"]]
    shown = len(notices) + len(changes)
    cut = {"notices": notices, "groups": groups, "changes": of_all + changes}
    return {**context, **cut, "hidden": context["total"] - shown}, shown
