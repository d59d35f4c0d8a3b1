"""A configuration as somebody reads it who does not have the service's secrets.

Knows that receivers and the heartbeat may be out of reach, in variables and files of the service,
and that everything else must be right. Refuses to judge what is out of reach.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

from watcher.config.errors import ConfigError
from watcher.config.loading import load
from watcher.config.positions import read_document
from watcher.config.receivers import Checks, ReceiversReader
from watcher.config.secret_urls import SecretUrls
from watcher.config.settings import ReceiverSettings
from watcher.config.typed import READ_APART, fit_settings
from watcher.config.variables import substitute

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from watcher.config.settings import Settings

__all__ = ["load_beside_secrets"]


def load_beside_secrets(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """The settings of a file; a receiver that cannot be read is there with an empty address.

    Raises `ConfigError` for all else that is wrong. No address is checked.
    """
    try:
        return load(path, environment, _anything_goes)
    except ConfigError as error:
        if path is None or not all(p.key.split(".")[0] in READ_APART for p in error.problems):
            raise
        return _beside_secrets(path, environment)


def _beside_secrets(path: Path, environment: Mapping[str, str]) -> Settings:
    document = read_document(path.read_text("utf-8-sig"))
    filled = substitute(document, environment)
    sections = filled.content if isinstance(filled.content, dict) else {}
    plain = {name: each for name, each in sections.items() if name not in READ_APART}
    receivers = sections.get("receivers")
    read = ReceiversReader(SecretUrls(document, filled), Checks(_anything_goes)).read(receivers)
    names = receivers if isinstance(receivers, dict) else ()
    unread = ReceiverSettings(url=SecretStr(""))
    return fit_settings(document, plain, filled.broken).value.model_copy(
        update={"receivers": {name: read.get(name, unread) for name in names}}
    )


def _anything_goes(_url: str, _format: str = "auto") -> list[str]:
    return []
