"""Which of Apprise's services are loaded: only those that are asked for, where that is known.

Loading all of some 180 takes 9 MiB and a quarter of a second for the sake of one. Refuses to know
what a service does.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["load_for"]

# The schemes people use most, and the file of Apprise's that serves each. Any other loads them all.
_FILES = {
    "discord": "discord",
    "gotify": "gotify",
    "gotifys": "gotify",
    "json": "custom_json",
    "jsons": "custom_json",
    "mailto": "email",
    "mailtos": "email",
    "matrix": "matrix",
    "matrixs": "matrix",
    "mmost": "mattermost",
    "mmosts": "mattermost",
    "ntfy": "ntfy",
    "ntfys": "ntfy",
    "pover": "pushover",
    "slack": "slack",
    "tgram": "telegram",
    "workflow": "workflows",
    "workflows": "workflows",
}


def load_for(url: str) -> None:
    """See to it that the service of a URL is loaded, if there is one."""
    scheme = url.partition("://")[0].lower()
    _load(_FILES.get(scheme))


@cache
def _load(file: str | None) -> None:
    """Load the service in one of Apprise's files; with `None`, all of them."""
    from apprise.plugins import N_MGR  # noqa: PLC0415 - see the package's docstring

    if file is None:
        N_MGR.load_modules()  # type: ignore[no-untyped-call]
        return
    # It imports what stands in a folder, by name: one with a single name in it will do.
    with TemporaryDirectory(prefix="kie-watcher-") as folder:
        (Path(folder) / f"{file}.py").touch()
        N_MGR.load_modules(  # type: ignore[no-untyped-call]
            path=folder, name="apprise.plugins"
        )
