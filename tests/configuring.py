"""Reading configurations in tests: what is wrong with one, line by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from watcher.config.errors import ConfigError
from watcher.config.loading import load


def apprise_like(url: str, _format: str = "auto") -> list[str]:
    """As the check for Apprise answers; tells the URL, as no check should."""
    return [] if url.startswith("json://") else [f"is no Apprise URL: {url}; copy it again"]


def wrong(
    path: Path,
    environment: dict[str, str] | None = None,
    check_template: Callable[[str], list[str]] | None = None,
) -> list[str]:
    """All that is said of a file, without its name."""
    with pytest.raises(ConfigError) as refused:
        load(path, environment or {}, apprise_like, check_template)
    lines = str(refused.value).split("\n")
    assert lines == [str(problem) for problem in refused.value.problems]
    return [line.removeprefix(f"{path}:") for line in lines]
