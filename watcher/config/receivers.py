"""The receivers and the heartbeat: each a secret URL with options. Names of receivers elsewhere.

No error repeats a URL, or what a file holds. What Apprise thinks of a URL, and Jinja2 of a
template, is asked where the configuration is loaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from importlib import metadata
from pathlib import Path  # noqa: TC003 - pydantic looks it up
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from watcher.config.addresses import parse_heartbeat_url
from watcher.config.document import Filled
from watcher.config.durations import parse_duration
from watcher.config.errors import key_text, suggest
from watcher.config.field_types import (
    NOT_EMPTY,
    FromFile,
    Name,
    OnOff,
    Section,
    non_empty_list,
    one_of,
    parse_path,
    read_by,
)
from watcher.config.secrets import SecretUrl

if TYPE_CHECKING:
    from collections.abc import Iterator

MessageFormat = Literal["auto", "markdown", "html", "text", "json"]

PROGRAM = "kie-watcher"
# The built-in receiver that prints alerts, where no other is configured; the state has its messages
# and deliveries under this name.
TERMINAL_RECEIVER = "terminal"
# The monitor is pinged with each complete sweep.
EVERY_SWEEP: Literal["sweep"] = "sweep"
# The keys that give a URL, of which a section has one.
URL_KEYS = ("url", "url_file")
MAX_FILE_BYTES = 65_536
MOST_NAMED = 10

_RECEIVER_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_PACKAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _single_text(value: object) -> str:
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ValueError("is empty; give it a value")
    if not isinstance(value, str):
        raise ValueError("is not a single value; write one URL")  # noqa: TRY004
    return value.strip()


def _read_url(value: object) -> SecretUrl:
    if isinstance(value, SecretStr):
        return value if isinstance(value, SecretUrl) else SecretUrl(value.get_secret_value())
    variables = value.variables if isinstance(value, Filled) else frozenset()
    return SecretUrl(_single_text(value), variables)


def _read_url_file(value: object, info: ValidationInfo) -> SecretUrl | None:
    if isinstance(value, SecretUrl):
        return value
    if info.data.get("url", True) is not None:
        # Both are given: that is the mistake, whatever the file holds.
        return None
    text = _single_text(value)
    try:
        path = parse_path(text)
    except ValueError:
        raise ValueError("is not a path; write the path of a file") from None
    try:
        url = _file_content(path, "URL").decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise ValueError("the file is not text; put the URL alone into it") from None
    if not url:
        raise ValueError("the file is empty; put the URL into it")
    if len(url.splitlines()) > 1:
        raise ValueError("the file has several lines; put the URL alone into it")
    return SecretUrl(url)


def _file_content(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        why, fix = error.strerror or "unreadable", "fix the path or its permissions"
        raise ValueError(f"the file cannot be read ({why}); {fix}") from None
    if len(content) > MAX_FILE_BYTES:
        size = f"{MAX_FILE_BYTES // 1024} KiB"
        raise ValueError(f"the file is larger than {size}; no {what} needs that")
    return content


class SecretSection(Section):
    """A section with a secret URL, given in `url` or in the file that `url_file` names."""

    url: Annotated[SecretUrl | None, BeforeValidator(_read_url)] = None
    """The address, best as `"${VARIABLE}"`: whoever knows it can write there."""
    url_file: Annotated[SecretUrl | None, BeforeValidator(_read_url_file)] = None
    """Instead of `url`, the path of a file that holds the address and nothing else."""

    @property
    def address(self) -> SecretUrl:
        """The URL, wherever it was given; an empty one where it is not known."""
        return self.url or self.url_file or SecretUrl("")

    @model_validator(mode="before")
    @classmethod
    def _must_be_mapping(cls, given: Any) -> Any:
        if given is None or isinstance(given, str | list):
            raise ValueError('is not a mapping; write url: "${NAME}" or url_file: beneath it')
        return given


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """A template of a person's own: where it is, and what it says."""

    path: Path
    text: str


def _read_template(path: str) -> TemplateFile:
    template = parse_path(path)
    try:
        text = _file_content(template, "template").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8; save it as UTF-8") from None
    if not text.strip():
        raise ValueError("the file is empty, and so would be every message; write a template")
    return TemplateFile(template, text)


def _must_be_installed(charts: bool) -> bool:
    if charts and (missing := missing_packages("charts")):
        what = f"needs {', '.join(missing)}; install kie-watcher[charts], or remove the line"
        raise ValueError(what)
    return charts


class ReceiverSettings(SecretSection):
    """Somebody who gets messages: one address, and how messages for it are made."""

    format: Annotated[MessageFormat, one_of("message format", get_args(MessageFormat))] = "auto"
    """The format of messages: the best that the service takes, or this one; json is CloudEvents."""
    charts: Annotated[OnOff, AfterValidator(_must_be_installed)] = False
    """Whether messages about prices have a picture of the last 90 days; needs an extra package."""
    template: Annotated[TemplateFile | None, NOT_EMPTY, read_by(_read_template)] = None
    """The path of a Jinja2 template that words the messages in place of the built-in one."""


def _parse_ping_interval(text: str) -> timedelta | Literal["sweep"]:
    if text == EVERY_SWEEP:
        return EVERY_SWEEP
    try:
        every = parse_duration(text)
    except ValueError as error:
        problem, _, _ = str(error).partition(";")
        raise ValueError(f"{problem}; write sweep, or one such as 5m") from None
    if not every:
        raise ValueError("is zero; write sweep, or one such as 5m")
    return every


class HeartbeatSettings(SecretSection):
    """A monitor that notices when the watcher is gone."""

    every: Annotated[timedelta | Literal["sweep"], read_by(_parse_ping_interval)] = EVERY_SWEEP
    """When to ping: with each complete sweep, or this often, as in 5m."""

    @field_validator("url", "url_file")
    @classmethod
    def _must_be_http(cls, url: SecretUrl | None) -> SecretUrl | None:
        if url is not None:
            parse_heartbeat_url(url.get_secret_value())
        return url


def read_receivers(section: object) -> object:
    """Refuse what is not a mapping of receivers."""
    if isinstance(section, str | list):
        raise ValueError("is not a mapping; write each receiver as a name with a url")  # noqa: TRY004
    return {} if section is None else section


def _must_be_new_name(name: str) -> str:
    if name == TERMINAL_RECEIVER:
        raise ValueError("is the name of the built-in receiver; choose another")
    if not _RECEIVER_NAME.fullmatch(name):
        raise ValueError("is not a name for a receiver; use at most 40 letters, digits, - and _")
    return name


class UnknownReceiverError(ValueError):
    """A name, otherwise a good one, is of no receiver."""


def _must_exist(name: str, info: ValidationInfo) -> str:
    known = info.context.receivers if isinstance(info.context, FromFile) else None
    if known is None or name in known:
        return name
    if name == TERMINAL_RECEIVER:
        raise UnknownReceiverError("is a receiver only while there is no other; name one of those")
    # What is not a name may be a secret in the wrong place; it has an error of its own.
    shown = tuple(each for each in known if key_text((each,)) == each)
    near = suggest(name, shown)
    fix = f"did you mean {near}?" if near else f"write one of {', '.join(shown[:MOST_NAMED])}"
    raise UnknownReceiverError(f"is not a receiver; {fix}")


def _without_repeats(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


Receivers = Annotated[
    dict[Annotated[str, AfterValidator(_must_be_new_name)], ReceiverSettings],
    BeforeValidator(read_receivers),
]
ReceiverNames = Annotated[
    tuple[Annotated[Name, AfterValidator(_must_exist)], ...],
    non_empty_list(
        "name", "team, mail", "so nobody would get a message; name at least one receiver"
    ),
    AfterValidator(_without_repeats),
]


def missing_packages(extra: str) -> tuple[str, ...]:
    """The packages an extra needs that are not there; none where the program is not installed."""
    return tuple(name for name in _needed_for(extra) if not _is_installed(name))


def _needed_for(extra: str) -> Iterator[str]:
    belongs = re.compile(rf"""extra\s*==\s*['"]{re.escape(extra)}['"]""")
    try:
        requirements = metadata.requires(PROGRAM) or []
    except metadata.PackageNotFoundError:
        return
    for requirement in requirements:
        if belongs.search(requirement) and (name := _PACKAGE_NAME.match(requirement)):
            yield name[0]


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
