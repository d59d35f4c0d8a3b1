"""What a new configuration changes: which keys, and what stays as it is until the next start.

Only names of keys: a value could be a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.config.settings import Settings


@dataclass(frozen=True, slots=True)
class Reload:
    """The effect of a new configuration: `settings` are the new ones as far as they can apply.

    `changed` names the keys that apply now, `waiting` those that wait for a restart.
    """

    settings: Settings
    changed: tuple[str, ...]
    waiting: tuple[str, ...]


def compare(old: Settings, new: Settings) -> Reload:
    """What a running watcher takes over of `new`: all except what only a restart can change.

    That is what is held open from start to end: the state with its lock, and the address that is
    listened on.
    """
    state = new.state.model_copy(update={"path": old.state.path})
    settings = new.model_copy(update={"state": state, "web": old.web})
    return Reload(settings, tuple(_changed(old, settings)), tuple(_changed(settings, new)))


def _changed(old: Any, new: Any, key: str = "") -> Iterator[str]:
    if old == new:
        return
    before, after = (
        dict(each) if isinstance(each, BaseModel | dict) else None for each in (old, new)
    )
    if before is None or after is None:
        yield key
        return
    for name in before | after:
        yield from _changed(before.get(name), after.get(name), f"{key}.{name}" if key else name)
