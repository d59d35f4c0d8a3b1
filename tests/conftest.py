from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from command_line import CONFIG, Place
from watcher.log import OWN_LOGGER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GOLDEN = Path(__file__).parent / "golden"

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden as it is")


_LOGGERS = (None, "aiohttp", "aiohttp.access", "aiosmtpd", "asyncio", "mail", OWN_LOGGER)


@pytest.fixture(autouse=True)
def _restored_log() -> Iterator[None]:
    """Undo whatever a test does to the log.

    Left at debug, every step of every database would be logged, and kept, from then on.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger.level, list(logger.handlers), logger.propagate) for logger in loggers]
    yield
    logging.captureWarnings(capture=False)
    for logger, (level, handlers, propagate) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate


@pytest.fixture(autouse=True, scope="session")
def _closed_courier() -> Iterator[None]:
    yield
    sending = sys.modules.get("sending")
    if sending is not None and sending.courier.cache_info().currsize:
        sending.courier().close()


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with `tests/golden/NAME`, or write it there with `--update-golden`."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), f"see what changed: git diff {path}"

    return compare


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration to write."""
    return tmp_path / "config.yaml"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a state will be."""
    return tmp_path / "kie-watcher.db"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A directory with one receiver configured, to run commands in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KIE_WATCHER_CONFIG", raising=False)
    there = Place(tmp_path)
    there.configure(CONFIG)
    return there
