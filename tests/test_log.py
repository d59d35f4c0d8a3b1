"""Log lines: what they look like, and what never gets into one."""

from __future__ import annotations

import io
import json
import logging
import os
import warnings
from base64 import b64encode
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.log import OWN_LOGGER, configure, log
from watcher.safe_text import SHORTEST_PART, Redactor, one_line, printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

SECRET_URL = "json://canaryuser:canary%2Fpass@hooks.example.org/canarypath?token=canary%20token"
NOTHING = Redactor([])


@pytest.fixture(autouse=True)
def everything_as_it_was() -> Iterator[None]:
    names = ("", "asyncio", "aiohttp", OWN_LOGGER)
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.level, list(logger.handlers), logger.propagate) for logger in loggers]
    yield
    for logger, (level, handlers, propagate) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate
    logging.captureWarnings(capture=False)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def fail(why: Exception) -> NoReturn:
    raise why


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


# What a line looks like


def test_a_json_line_has_time_level_event_and_values() -> None:
    stream = io.StringIO()
    configure("info", "json", NOTHING, stream)
    log.info("poll.done", models=574, took=0.25, changed=None, quiet=True)
    [line] = lines_of(stream)
    at = line.pop("timestamp")
    assert at.endswith("Z")
    assert datetime.fromisoformat(at).utcoffset() == timedelta(0)
    assert line == {
        "event": "poll.done",
        "level": "info",
        "models": 574,
        "took": 0.25,
        "changed": None,
        "quiet": True,
    }


def test_a_readable_line_is_one_line_for_a_person() -> None:
    stream = io.StringIO()
    configure("info", "readable", NOTHING, stream)
    log.warning(
        "send.failed", receiver="team", reason="refused with 404: gone", wait=timedelta(seconds=5)
    )
    at, rest = stream.getvalue().split(" ", 1)
    assert datetime.fromisoformat(at).tzinfo is not None
    assert (
        rest == 'warning send.failed receiver=team reason="refused with 404: gone" wait=0:00:05\n'
    )


@pytest.mark.parametrize(
    ("stream", "style", "is_json"),
    [
        (io.StringIO(), "auto", True),
        (Screen(), "auto", False),
        (io.StringIO(), "readable", False),
        (Screen(), "json", True),
    ],
    ids=["file auto", "terminal auto", "file readable", "terminal json"],
)
def test_auto_is_readable_on_a_terminal_and_json_elsewhere(
    stream: io.StringIO, style: str, is_json: bool
) -> None:
    configure("info", style, NOTHING, stream)
    log.info("hello")
    assert stream.getvalue().startswith("{") is is_json


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_levels_are_coloured_on_a_terminal_that_wants_colour(
    monkeypatch: pytest.MonkeyPatch, no_color: str, coloured: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    stream = Screen()
    configure("info", "auto", NOTHING, stream)
    log.error("state.damaged")
    assert ("\x1b[31merror" in stream.getvalue()) is coloured


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("debug", ["d", "i", "w", "e"]),
        ("info", ["i", "w", "e"]),
        ("warning", ["w", "e"]),
        ("error", ["e"]),
    ],
)
def test_the_level_says_what_is_heard(level: str, heard: list[str]) -> None:
    stream = io.StringIO()
    configure(level, "json", NOTHING, stream)
    log.debug("d")
    log.info("i")
    log.warning("w")
    log.error("e")
    assert [line["event"] for line in lines_of(stream)] == heard


def test_setting_it_up_again_replaces_what_was_set_up() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure("info", "json", NOTHING, first)
    configure("info", "json", NOTHING, second)
    logging.getLogger("asyncio").error("once")
    assert first.getvalue() == ""
    assert [line["event"] for line in lines_of(second)] == ["once"]


# Under journald


@pytest.fixture
def to_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    """A stream that journald reads, as the environment tells the services of systemd."""
    with (tmp_path / "journal").open("w+") as stream:
        file = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{file.st_dev}:{file.st_ino}")
        yield stream


def entries(stream: TextIO) -> list[str]:
    stream.flush()
    stream.seek(0)
    return stream.read().splitlines()


@pytest.mark.parametrize(
    ("level", "prefix"),
    [("debug", "<7>"), ("info", "<6>"), ("warning", "<4>"), ("error", "<3>"), ("critical", "<2>")],
)
def test_journald_gets_a_priority_and_keeps_the_time_itself(
    to_journal: TextIO, level: str, prefix: str
) -> None:
    configure("debug", "auto", NOTHING, to_journal)
    log.log(getattr(logging, level.upper()), "poll.done", models=574)
    [entry] = entries(to_journal)
    assert entry.startswith(prefix)
    assert json.loads(entry.removeprefix(prefix)) == {
        "event": "poll.done",
        "level": level,
        "models": 574,
    }


def test_a_readable_line_has_no_time_of_its_own_under_journald(to_journal: TextIO) -> None:
    configure("info", "readable", NOTHING, to_journal)
    log.warning("send.failed", receiver="team")
    assert entries(to_journal) == ["<4>warning send.failed receiver=team"]


def test_every_line_of_an_exception_keeps_its_priority_under_journald(to_journal: TextIO) -> None:
    configure("info", "readable", Redactor(["canarytoken"]), to_journal)
    try:
        fail(ValueError("bad\n<0>forged canarytoken"))
    except ValueError:
        log.exception("poll.crashed")
    first, *below = entries(to_journal)
    assert first == "<3>error   poll.crashed"
    assert below
    assert all(entry.startswith("<3>  ") for entry in below)
    assert "canary" not in "".join(below)


@pytest.mark.parametrize("told", ["", "1:2", "nonsense"])
def test_a_stream_that_journald_does_not_read_keeps_its_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", told)
    with (tmp_path / "redirected").open("w+") as stream:
        configure("info", "json", NOTHING, stream)
        log.info("poll.done")
        [entry] = entries(stream)
    assert "timestamp" in json.loads(entry)


# Other people's loggers


@pytest.mark.parametrize("name", ["asyncio", "aiohttp.server", "any.other"])
def test_libraries_log_through_the_same_way_out(name: str) -> None:
    stream = io.StringIO()
    configure("debug", "json", Redactor(["canarytoken"]), stream)
    logging.getLogger(name).warning("GET /%s\x1b[2J", "canarytoken")
    [line] = lines_of(stream)
    assert (line["event"], line["level"], line["source"]) == ("GET /***\\x1b[2J", "warning", name)


def test_the_chatter_of_libraries_is_not_heard() -> None:
    stream = io.StringIO()
    configure("info", "json", NOTHING, stream)
    logging.getLogger("asyncio").info("chatter")
    logging.getLogger("aiohttp.access").info("chatter")
    logging.getLogger("asyncio").error("Task exception was never retrieved")
    assert [line["event"] for line in lines_of(stream)] == ["Task exception was never retrieved"]


def test_a_library_s_exception_is_cleaned_too() -> None:
    stream = io.StringIO()
    configure("info", "json", Redactor(["canarytoken"]), stream)
    try:
        fail(ConnectionError("canarytoken"))
    except ConnectionError:
        logging.getLogger("asyncio").exception("failed for %s", "canarytoken")
    [line] = lines_of(stream)
    assert line["event"] == "failed for ***"
    assert "ConnectionError: ***" in line["exception"]
    assert "canary" not in stream.getvalue()


def test_a_library_s_odd_record_is_shown_as_it_is_and_ends_nothing() -> None:
    stream = io.StringIO()
    configure("debug", "json", NOTHING, stream)
    # Straight to the way out: the test runner's own handler would fail on such a record.
    [relay] = [one for one in logging.getLogger().handlers if "watcher" in type(one).__module__]
    for level, text in ((40, "count %d"), (41, "a level of its own"), (9, "below %s")):
        relay.handle(logging.LogRecord("any", level, "", 0, text, ("three",), None))
    assert [(line["event"], line["level"]) for line in lines_of(stream)] == [
        ("count %d", "error"),
        ("a level of its own", "error"),
        ("below three", "debug"),
    ]


def test_a_warning_of_python_is_a_log_line() -> None:
    stream = io.StringIO()
    configure("info", "json", NOTHING, stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old ways", stacklevel=1)
    assert "old ways" in lines_of(stream)[0]["event"]


# What never gets into a line


class Address:
    def __str__(self) -> str:
        return SECRET_URL


@pytest.mark.parametrize("style", ["json", "readable"])
def test_no_value_of_any_kind_shows_a_secret(style: str) -> None:
    stream = io.StringIO()
    configure("debug", style, Redactor([SECRET_URL]), stream)
    event = f"event {SECRET_URL}"
    log.info(event, url=SECRET_URL, **{"key canarypath": 1})
    log.info("x", nested={"canarypath": ["canaryuser", ("canary token",), {"a": "canary/pass"}]})
    log.info(
        "x", address=Address(), failure=ValueError(SECRET_URL), raw=b"canarypath", price=Decimal(1)
    )
    log.warning("x", path="/canarypath")
    try:
        fail(ValueError(f"no route to\n{SECRET_URL}\n", KeyError("canarypath")))
    except ValueError:
        log.exception("x")
    assert "canary" not in stream.getvalue()
    assert "***" in stream.getvalue()


def test_an_exception_cannot_forge_a_log_line() -> None:
    stream = io.StringIO()
    configure("info", "readable", NOTHING, stream)
    try:
        fail(ValueError("bad\n2026-11-22T07:30:00Z info    all.well\r\x1b[1A"))
    except ValueError:
        log.exception("poll.failed", name="a\n2026 info forged")
    first, *below = stream.getvalue().splitlines()
    assert "poll.failed" in first
    assert "forged" in first
    assert all(line.startswith("  ") for line in below)
    assert not set(stream.getvalue()) & set("\r\x1b")


# Secrets in every spelling


@pytest.mark.parametrize(
    "text",
    [
        SECRET_URL,
        SECRET_URL.upper(),
        quote(SECRET_URL, safe=""),
        "POST /canarypath HTTP/1.1",
        "user canaryuser, password canary/pass",
        "canary%2Fpass",
        "canary%2fpass",
        "canary%20token canary+token canary token",
        json.dumps({"p": "canary/pass"}),
        repr({"p": "canary/pass"}),
    ],
)
def test_a_secret_is_hidden_however_it_is_spelled(text: str) -> None:
    cleaned = Redactor([SECRET_URL]).clean(text)
    assert "canary" not in cleaned.lower()
    assert "***" in cleaned


def test_credentials_are_hidden_as_a_header_says_them() -> None:
    redactor = Redactor(["jsons://some-user:p%40ssw0rd@example.org:8443/path"])
    for said in ("some-user:p@ssw0rd", "p@ssw0rd"):
        token = b64encode(said.encode()).decode()
        assert token.rstrip("=") not in redactor.clean(f"{{'Authorization': 'Basic {token}'}}")


def test_the_program_may_be_called_by_its_name() -> None:
    mail = "mailto://mail.example.org?from=watcher@example.org&to=kie-watcher@example.net"
    assert Redactor([mail]).clean("watcher.started kie-watcher") == "watcher.started kie-watcher"


def test_what_is_not_secret_stays_readable() -> None:
    text = "discord json 127.0.0.1 localhost: 3 prices moved, overflow=truncate, mailto"
    assert Redactor(["json://localhost:8080/canarypath?overflow=truncate&a=b"]).clean(text) == text


def test_the_whole_is_hidden_before_its_parts() -> None:
    assert (
        Redactor(["canary-token", "canary"]).clean("a canary-token b canary c") == "a *** b *** c"
    )


@pytest.mark.parametrize("secrets", [[], [""], ["  "], ["x://"]], ids=repr)
def test_nothing_to_hide_hides_nothing(secrets: list[str]) -> None:
    assert Redactor(secrets).clean("a: x, b") == "a: x, b"


@given(st.text(min_size=1).filter(str.strip), st.text(), st.text())
def test_no_secret_survives_anywhere(secret: str, before: str, after: str) -> None:
    secret = secret.strip()
    if len(secret) < SHORTEST_PART:
        # Within a word it is a part of the word.
        before, after = "/", "/"
    cleaned = Redactor([secret]).clean(before + secret + after)
    # A secret made of asterisks is in its own mask.
    assert secret in "***" or secret not in cleaned.replace("***", "\n")


# What a terminal shows


@given(st.text())
def test_nothing_that_acts_on_a_terminal_is_printable(text: str) -> None:
    spaceless = "".join(char for char in one_line(text) if not char.isspace())
    assert spaceless.replace("\u200b", "").isprintable()
    assert not set(one_line(text)) & {chr(code) for code in (*range(32), *range(127, 160))}
    assert "\n".join(map(one_line, printable(text).split("\n"))) == printable(text)


def test_a_text_that_only_draws_stays_as_it_is() -> None:
    text = "Veo 3: 60 → 80 credits (+33.3 %) · ‹b› ＆ @\u200beveryone 🔺"
    assert one_line(text) == text
    assert printable(f"{text}\n{text}\r\n") == f"{text}\n{text}\n"
    assert one_line("a\nb\tc\x1b[0m\x85\u202e") == "a\\nb\\tc\\x1b[0m\\x85\\u202e"
