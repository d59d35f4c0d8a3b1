"""What a new configuration changes: which keys, from what to what, and what needs a restart.

Of a value that could hold a secret it says that it changed, and no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from watcher.config.durations import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.config.settings import Settings

# Held open from start to end: the state with its lock, and the address that is listened on.
NEEDS_RESTART = ("state.path", "web")
# Sections with secrets: no value in them is ever shown.
_NEVER_SHOWN = ("receivers", "heartbeat")
# Fields that are not keys, since they are read along with another: what went into an address, and
# the content of the file that `template` names.
_NOT_KEYS = ("variables",)
_READ_WITH = {"template_text": "template"}
# Types whose text is all there is to them.
_PLAIN = (bool, int, str, Decimal, timedelta, time, PurePath, Enum)


@dataclass(frozen=True, slots=True)
class Reload:
    """The effect of a new configuration: `settings` are the new ones as far as they can apply.

    `changed` names what applies now, `waiting` what stays as it is until the next start; each as
    `poll.interval: 5m, now 10m`, in the order of the keys.
    """

    settings: Settings
    changed: tuple[str, ...]
    waiting: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Difference:
    path: tuple[str, ...]
    what: str

    @property
    def key(self) -> str:
        return ".".join(self.path)

    @property
    def needs_restart(self) -> bool:
        return any(f"{self.key}.".startswith(f"{key}.") for key in NEEDS_RESTART)

    def __str__(self) -> str:
        return f"{self.key}: {self.what}"


def compare(old: Settings, new: Settings) -> Reload:
    """What a running watcher takes over of `new`: all except what only a restart can change."""
    differences = list(dict.fromkeys(_of_models(old, new, ())))
    return Reload(
        _with_kept(old, new),
        tuple(str(each) for each in differences if not each.needs_restart),
        tuple(str(each) for each in differences if each.needs_restart),
    )


def _with_kept(old: Settings, new: Settings) -> Settings:
    kept = new
    for key in NEEDS_RESTART:
        section, _, name = key.partition(".")
        if section not in type(new).model_fields:
            continue
        value = getattr(old, section)
        if name:
            value = getattr(new, section).model_copy(update={name: getattr(value, name)})
        kept = kept.model_copy(update={section: value})
    return kept


def _of_models(old: BaseModel, new: BaseModel, path: tuple[str, ...]) -> Iterator[_Difference]:
    for name in type(new).model_fields:
        if name not in _NOT_KEYS:
            key = _READ_WITH.get(name, name).rstrip("_")
            yield from _differences(getattr(old, name), getattr(new, name), (*path, key))


def _differences(old: Any, new: Any, path: tuple[str, ...]) -> Iterator[_Difference]:
    if old == new:
        return
    match old, new:
        case BaseModel(), BaseModel():
            yield from _of_models(old, new, path)
        case Mapping(), Mapping():
            yield from _of_parts(old, new, path)
        case tuple() | list(), tuple() | list() if _are_named(old) and _are_named(new):
            yield from _of_named(old, new, path)
        case frozenset(), frozenset() if path[0] not in _NEVER_SHOWN:
            yield _Difference(path, _of_sets(old, new))
        case _:
            yield _Difference(path, _from_to(old, new, path))


def _of_parts(
    old: Mapping[str, Any], new: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[_Difference]:
    """Of named parts: those that are gone, those that are new, and what differs in the others."""
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in new:
            yield _Difference((*path, name), "removed")
        elif name not in old:
            yield _Difference((*path, name), "added")
        else:
            yield from _differences(old[name], new[name], (*path, name))


def _of_named(old: Any, new: Any, path: tuple[str, ...]) -> Iterator[_Difference]:
    before, after = ({_name_of(each): each for each in listed} for listed in (old, new))
    yield from _of_parts(before, after, path)
    # Routes are tried in order: the same ones in another order are another configuration.
    kept = [name for name in before if name in after]
    if kept != [name for name in after if name in before]:
        yield _Difference(path, "in another order")


def _are_named(listed: Any) -> bool:
    """Whether these are models with a name each, and no name twice."""
    names = [_name_of(each) for each in listed]
    return len(set(names)) == len(names) and all(isinstance(name, str) for name in names)


def _name_of(part: Any) -> Any:
    """What identifies a part of a list for a person: the name of a route, the model of a usage."""
    if not isinstance(part, BaseModel):
        return None
    return getattr(part, "name", getattr(part, "model", None))


def _of_sets(old: frozenset[Any], new: frozenset[Any]) -> str:
    gone, added = (sorted(map(_text, part)) for part in (old - new, new - old))
    return ", ".join([*(f"without {each}" for each in gone), *(f"with {each}" for each in added)])


def _from_to(old: Any, new: Any, path: tuple[str, ...]) -> str:
    if path[0] in _NEVER_SHOWN or not (_is_plain(old) and _is_plain(new)):
        if old is None or new is None:
            return "added" if old is None else "removed"
        return "changed"
    return f"{_text(old)}, now {_text(new)}"


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, _PLAIN)


def _text(value: Any) -> str:
    match value:
        case None | ():
            return "nothing"
        case tuple():
            return ", ".join(map(_text, value))
        case bool():
            return "yes" if value else "no"
        case timedelta():
            return duration_text(value)
        case Enum():
            return str(value.value)
        case time():
            return f"{value:%H:%M}"
        case _:
            return str(value)
