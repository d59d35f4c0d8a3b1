"""Loading configurations, right ones and wrong ones: their problems, line by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from watcher.config.errors import ConfigError
from watcher.config.loading import load
from watcher.config.settings import Settings


def check_url(url: str, _format: str) -> list[str]:
    """In place of the check by Apprise; repeats the URL, which a real check must not."""
    return [] if url.startswith("json://") else [f"is no Apprise URL: {url}; copy it again"]


def read(file: Path, text: str, environment: dict[str, str] | None = None) -> Settings:
    """The settings that a text is, once written to the file."""
    file.write_text(text)
    return load(file, environment or {}, check_url)


def problems_in(
    path: Path,
    environment: dict[str, str] | None = None,
    check_template: Callable[[str], list[str]] | None = None,
) -> list[str]:
    """All problems of a file, without its name."""
    with pytest.raises(ConfigError) as refused:
        load(path, environment or {}, check_url, check_template)
    lines = str(refused.value).split("\n")
    assert lines == [str(problem) for problem in refused.value.problems]
    return [line.removeprefix(f"{path}:") for line in lines]
