"""The settings, typed: every key, its default and the values it allows. Attribute path = YAML path.

Refuses to know files, the environment and where in a file a value stood. Texts are read as people
write them (`5m`, `10%`); a program may give the values themselves. An error says what is wrong and
how to mend it, and never repeats the value.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from watcher.changes import ANNOUNCED_BY_DEFAULT, Kind
from watcher.config.durations import parse_duration, parse_share
from watcher.config.errors import suggestion
from watcher.config.secret_parts import is_secret, secret_parts

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ConfirmSettings",
    "DeliverySettings",
    "LogSettings",
    "PollSettings",
    "ReceiverSettings",
    "Settings",
    "SourceSettings",
    "StateSettings",
    "is_loopback",
]

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "readable", "json"]

_WHOLE = re.compile(r"[0-9]{1,9}")
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_URL_SIGNS = re.compile(r"[!-~]+")


def is_loopback(url: str) -> bool:
    """Whether the host of a URL is this machine: localhost, 127.0.0.0/8 or ::1."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read_by(parse: Callable[[str], object]) -> BeforeValidator:
    """Texts go through `parse`, once it is sure that there is one; typed values pass."""

    def read(value: object) -> object:
        if value is None or value == "":
            raise ValueError("is empty; give it a value or remove the line")
        if isinstance(value, list | dict):
            raise ValueError("is not a single value; write the value behind the key")  # noqa: TRY004
        return parse(value.strip()) if isinstance(value, str) else value

    return BeforeValidator(read)


def _parse_whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError("is not a whole number; write digits only, as in 3")
    return int(text)


def _parse_number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise ValueError("is not a number; write one such as 5 or 2.5")
    return Decimal(text)


def _parse_path(text: str) -> Path:
    if not text.isprintable():
        raise ValueError("has a character that no path should have; write a plain path")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("names a home that is not known; write the whole path") from None


def _parse_source_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL; write https://host/path/") from None
    if parts.scheme not in {"http", "https"} or not host or not _URL_SIGNS.fullmatch(text):
        raise ValueError("is not an http(s) URL; write https://host/path/")
    if "@" in parts.netloc:
        raise ValueError("has a user name or password; the API needs none, remove it")
    if parts.query or parts.fragment:
        raise ValueError("has a ? or # part; end it after the path")
    if parts.scheme == "http" and not is_loopback(text):
        raise ValueError("is not encrypted; write https (http is for this machine only)")
    return text if text.endswith("/") else text + "/"


def _one_of(what: str, choices: tuple[str, ...]) -> BeforeValidator:
    def choose(text: str) -> str:
        if text in choices:
            return text
        near, listed = suggestion(text, choices), ", ".join(choices)
        if near is None:
            raise ValueError(f"is no {what}; write one of {listed}")
        raise ValueError(f"is no {what}; did you mean {near}? (one of {listed})")

    return _read_by(choose)


def _between(low: int, high: int) -> AfterValidator:
    def check(number: int) -> int:
        if not low <= number <= high:
            raise ValueError(f"is out of range; write a number from {low} to {high}")
        return number

    return AfterValidator(check)


def _share_between(low: int, high: int) -> AfterValidator:
    def check(share: Decimal) -> Decimal:
        if not low <= share * 100 <= high:
            raise ValueError(f"is out of range; write a share from {low}% to {high}%")
        return share

    return AfterValidator(check)


def _longer_than_zero(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise ValueError("is zero; write a longer duration, such as 30s")
    return duration


def _not_negative(duration: timedelta) -> timedelta:
    if duration < timedelta(0):
        raise ValueError("is negative; write 0 or a duration such as 10m")
    return duration


def _more_than_one(factor: Decimal) -> Decimal:
    if not factor > 1:
        raise ValueError("is out of range; write a number greater than 1, such as 5")
    return factor


def _a_list(value: object) -> object:
    if value is None or value in ([], ""):
        raise ValueError(
            "is empty, so nothing would ever be announced;"
            " name at least one kind, or remove the key for the usual ones"
        )
    if isinstance(value, str | dict):
        raise ValueError("is not a list; write [new, removed] or one kind a line after - ")  # noqa: TRY004
    return value


Duration = Annotated[timedelta, _read_by(parse_duration), AfterValidator(_longer_than_zero)]
Waiting = Annotated[timedelta, _read_by(parse_duration), AfterValidator(_not_negative)]
Whole = Annotated[int, _read_by(_parse_whole)]
Share = Annotated[Decimal, _read_by(parse_share)]
Number = Annotated[Decimal, _read_by(_parse_number)]
AnyKind = Annotated[Kind, _one_of("kind of change", tuple(Kind))]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SourceSettings(_Section):
    """Where prices come from, and how politely they are asked for. `url` ends with a slash."""

    url: Annotated[str, _read_by(_parse_source_url)] = "https://api.kie.ai/client/v1/"
    page_size: Annotated[Whole, _between(1, 100)] = 100
    probe_size: Annotated[Whole, _between(1, 100)] = 20
    concurrency: Annotated[Whole, _between(1, 8)] = 2
    timeout: Duration = timedelta(seconds=20)


class PollSettings(_Section):
    """How often. `jitter` is a share of the interval, 0 to 0.5."""

    interval: Duration = timedelta(minutes=5)
    jitter: Annotated[Share, _share_between(0, 50)] = Decimal("0.1")
    full_sweep_every: Duration = timedelta(minutes=30)
    sweep_attempts: Annotated[Whole, _between(1, 10)] = 3
    settle_delay: Duration = timedelta(seconds=2)
    max_backoff: Duration = timedelta(hours=1)


class ConfirmSettings(_Section):
    """How long a change waits to be seen again; zero turns that waiting off. Shares are 0 to 1."""

    removals: Waiting = timedelta(minutes=10)
    implausible: Waiting = timedelta(minutes=30)
    implausible_factor: Annotated[Number, AfterValidator(_more_than_one)] = Decimal(5)
    collapse: Waiting = timedelta(hours=6)
    collapse_share: Annotated[Share, _share_between(1, 100)] = Decimal("0.2")


class StateSettings(_Section):
    """Where the memory is; a relative path starts from the current directory."""

    path: Annotated[Path, _read_by(_parse_path)] = Path("kie-watcher.db")


class DeliverySettings(_Section):
    """How long a message is tried before it is a dead letter."""

    give_up_after: Duration = timedelta(days=7)


class ReceiverSettings(_Section):
    """One destination: an Apprise URL, and the values of the environment that went into it."""

    url: SecretStr
    variables: frozenset[SecretStr] = frozenset()

    def secrets(self) -> frozenset[str]:
        """The URL, its pieces, and the values that went into it."""
        variables = {variable.get_secret_value() for variable in self.variables}
        parts = secret_parts(self.url.get_secret_value())
        return parts | frozenset(filter(is_secret, variables))


class LogSettings(_Section):
    """What is logged and how; `auto` is readable on a terminal and JSON elsewhere."""

    level: Annotated[LogLevel, _one_of("log level", get_args(LogLevel))] = "info"
    format: Annotated[LogFormat, _one_of("log format", get_args(LogFormat))] = "auto"


class Settings(_Section):
    """Everything that can be set; `Settings()` is what no configuration at all means."""

    source: SourceSettings = SourceSettings()
    poll: PollSettings = PollSettings()
    confirm: ConfirmSettings = ConfirmSettings()
    state: StateSettings = StateSettings()
    delivery: DeliverySettings = DeliverySettings()
    receivers: dict[str, ReceiverSettings] = Field(default_factory=dict)
    announce: Annotated[frozenset[AnyKind], BeforeValidator(_a_list)] = ANNOUNCED_BY_DEFAULT
    log: LogSettings = LogSettings()

    def secrets(self) -> frozenset[str]:
        """Every text that nothing may show: receivers' URLs, pieces, and what went into them."""
        return frozenset().union(*(receiver.secrets() for receiver in self.receivers.values()))
