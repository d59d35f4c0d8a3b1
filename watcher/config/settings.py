"""The settings, typed: every key, its default and the values it allows. Attribute path = YAML path.

Texts are read as people write them (`5m`, `10%`); a program may give the values themselves. Errors
say what is wrong and how to fix it, and never repeat the value. The text below a key says what it
does, for the people who set it; a section has its docstring.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from watcher.catalog.changes import ANNOUNCED_BY_DEFAULT
from watcher.config.addresses import (
    TcpAddress,
    UnixAddress,
    parse_heartbeat_url,
    parse_listen,
    parse_source_url,
)
from watcher.config.durations import parse_duration
from watcher.config.field_types import (
    TERMINAL_RECEIVER,
    AnyKind,
    Duration,
    DurationOrForever,
    DurationOrZero,
    NewReceiverName,
    Number,
    OnOff,
    PlainPath,
    ReceiverNames,
    Section,
    Share,
    TimeZone,
    WholeNumber,
    above,
    between,
    list_of_sections,
    non_empty_list,
    one_of,
    parse_path,
    read_by,
    share_between,
)
from watcher.config.routes import FlapSettings, QuietHoursSettings, RouteSettings, UsageSettings
from watcher.config.secrets import SecretUrl, read_file, read_url, read_url_file

MessageFormat = Literal["auto", "markdown", "html", "text", "json"]
PriceOrder = Literal["usd", "credits"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "readable", "json"]

PROGRAM = "kie-watcher"
# The keys that give a secret URL, of which a section has one.
URL_KEYS = ("url", "url_file")
# The monitor is pinged with each complete sweep.
EVERY_SWEEP: Literal["sweep"] = "sweep"


class SourceSettings(Section):
    """Where prices come from, and how politely they are asked for."""

    url: Annotated[str, read_by(parse_source_url)] = "https://api.kie.ai/client/v1/"
    """The pricing API: https, or http on this machine only; a slash is added at its end."""
    page_size: Annotated[WholeNumber, between(1, 100)] = 100
    """Rows per page of a sweep: the more, the fewer requests."""
    probe_size: Annotated[WholeNumber, between(1, 100)] = 20
    """Rows of a probe: what changes among them is seen by the next poll."""
    concurrency: Annotated[WholeNumber, between(1, 8)] = 2
    """Requests at the same time, at most; few by default, to be polite."""
    timeout: Duration = timedelta(seconds=20)
    """How long one request may take."""


class PollSettings(Section):
    """How often to poll, and what to do when a poll fails."""

    interval: Duration = timedelta(minutes=5)
    """How often to poll: at least 30s, except for an API on this machine."""
    jitter: Annotated[Share, share_between(0, 50)] = Decimal("0.1")
    """How much earlier or later than that, at random, so that not all watchers poll at once."""
    full_sweep_every: Duration = timedelta(minutes=30)
    """How often to sweep (read the whole catalogue), at least, since a probe does not see what
    changes further down. Not shorter than `poll.interval`."""
    sweep_attempts: Annotated[WholeNumber, between(1, 10)] = 3
    """How many times to try a sweep, since the catalogue may change while it is read. At least
    three tries are made where it disagrees with itself."""
    settle_delay: Duration = timedelta(seconds=2)
    """How long to wait before the next try of a sweep."""
    max_backoff: Duration = timedelta(hours=1)
    """After failures polls become rarer, up to this interval. Not shorter than `poll.interval`."""


class ConfirmSettings(Section):
    """How long a change waits to be seen again before it is announced; 0 is at once."""

    removals: DurationOrZero = timedelta(minutes=10)
    """How long a model must be gone, or renamed, before that is announced."""
    implausible: DurationOrZero = timedelta(minutes=30)
    """How long an implausible price, or another value of a credit, must last."""
    implausible_factor: Annotated[Number, above(1, "5")] = Decimal(5)
    """A price is implausible that is more than this many times as high or as low as before, and
    one that becomes zero or was zero."""
    collapse: DurationOrZero = timedelta(hours=6)
    """How long a collapse, or another change of so many models at once, must last, of which a
    warning is sent at once; and a removal, where rows that may be the model cannot be read. 0:
    there is no such thing."""
    collapse_share: Annotated[Share, share_between(1, 100)] = Decimal("0.2")
    """A collapse is more than this share of at least 20 models gone at once, or an empty
    catalogue; so is the same share, and at least 20 models, changed in one way at once. Plausible
    prices are not."""


class RetentionSettings(Section):
    """How long what is finished with is kept: a duration, or forever."""

    history: DurationOrForever = None
    """Changes and prices. “Lowest since” and `replay` go no further back."""
    polls: DurationOrForever = timedelta(days=30)
    """Polls, and how they ended; 30d at least."""
    messages: DurationOrForever = timedelta(days=90)
    """Messages that were sent."""


class StateSettings(Section):
    """Where the state is, and how long what is in it is kept."""

    path: PlainPath = Path("kie-watcher.db")
    """One SQLite file on a local disk, relative to the current directory; `~` is your home."""
    keep: RetentionSettings = RetentionSettings()


class DeliverySettings(Section):
    """How messages are sent."""

    give_up_after: Duration = timedelta(days=7)
    """A message that is not accepted in so much time between tries is dead: kept, not tried."""


class SecretSection(Section):
    """A section with a secret URL, given in `url` or in the file that `url_file` names."""

    url: Annotated[SecretUrl | None, BeforeValidator(read_url)] = None
    """The address: a secret, best given as `"${VARIABLE}"`."""
    url_file: SecretUrl | None = None
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

    @field_validator("url_file", mode="before")
    @classmethod
    def _read_file(cls, value: object, info: ValidationInfo) -> SecretUrl | None:
        # With a URL beside it, that is the mistake, whatever the file holds.
        return read_url_file(value, info) if info.data.get("url", "wrong") is None else None


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """A template of a person's own: where it is, and what it says."""

    path: Path
    text: str


def _read_template(path: Any, info: ValidationInfo) -> Any:
    if not isinstance(path, Path):
        return path
    try:
        text = read_file(path, "template", info).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8; save it as UTF-8") from None
    if not text.strip():
        raise ValueError("the file is empty, and so would be every message; write a template")
    return TemplateFile(path, text)


def missing_packages(extra: str) -> tuple[str, ...]:
    """The packages an extra needs that are not there; none where the program is not installed."""
    try:
        requirements = metadata.requires(PROGRAM) or []
    except metadata.PackageNotFoundError:
        return ()
    needed = re.compile(rf"""([\w.-]+).*;.*\bextra\s*==\s*['"]{re.escape(extra)}['"]""")
    names = (found[1] for found in map(needed.match, requirements) if found)
    return tuple(name for name in names if not any(metadata.distributions(name=name)))


def _must_be_installed(charts: bool) -> bool:
    if charts and (missing := missing_packages("charts")):
        what = f"needs {', '.join(missing)}; install kie-watcher[charts], or remove the line"
        raise ValueError(what)
    return charts


class ReceiverSettings(SecretSection):
    """Somebody who gets messages: one Apprise URL, and how messages for it are made."""

    format: Annotated[MessageFormat, one_of("message format", get_args(MessageFormat))] = "auto"
    """The format of messages: the best that the service takes, or this one; json: CloudEvents."""
    charts: Annotated[OnOff, AfterValidator(_must_be_installed)] = False
    """Whether messages about prices have a picture of the last 90 days, where the service takes
    one; needs the extra `kie-watcher[charts]`."""
    prices: Annotated[PriceOrder, one_of("order of prices", get_args(PriceOrder))] = "usd"
    """What a price begins with: usd, or credits for whoever is billed in them."""
    template: Annotated[
        TemplateFile | None, BeforeValidator(_read_template), read_by(parse_path)
    ] = None
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
    """A monitor that notices when the watcher is gone: a URL to ping."""

    every: Annotated[timedelta | Literal["sweep"], read_by(_parse_ping_interval)] = EVERY_SWEEP
    """When to ping: with each complete sweep, or this often, as in 5m."""

    @field_validator("url", "url_file")
    @classmethod
    def _must_be_http(cls, url: SecretUrl | None) -> SecretUrl | None:
        if url is not None:
            parse_heartbeat_url(url.get_secret_value())
        return url


def _read_receivers(section: object) -> object:
    if isinstance(section, str | list):
        raise ValueError("is not a mapping; write each receiver as a name with a url")  # noqa: TRY004
    return {} if section is None else section


class WebSettings(Section):
    """The pages `/livez`, `/readyz` and `/metrics`."""

    listen: Annotated[TcpAddress | UnixAddress | None, read_by(parse_listen)] = None
    """Where they are served; nowhere unless set."""
    allow_remote: OnOff = False
    """Whether the host may be one that other machines reach; there is no password."""


class LogSettings(Section):
    """What is logged, on stderr."""

    level: Annotated[LogLevel, one_of("log level", get_args(LogLevel))] = "info"
    """The least important lines that are logged."""
    format: Annotated[LogFormat, one_of("log format", get_args(LogFormat))] = "auto"
    """The form of a line; auto: readable on a terminal, json elsewhere."""


class Settings(Section):
    """Everything that can be set; each key has a default."""

    source: SourceSettings = SourceSettings()
    poll: PollSettings = PollSettings()
    confirm: ConfirmSettings = ConfirmSettings()
    state: StateSettings = StateSettings()
    delivery: DeliverySettings = DeliverySettings()
    receivers: Annotated[
        dict[NewReceiverName, ReceiverSettings], BeforeValidator(_read_receivers)
    ] = Field(default_factory=dict)
    """Who gets messages, each under a name of your choice; without any the terminal does."""
    announce: Annotated[
        frozenset[AnyKind],
        non_empty_list(
            "kind",
            "new, removed",
            "so nothing would ever be announced;"
            " name at least one kind, or remove the key for the usual ones",
        ),
    ] = ANNOUNCED_BY_DEFAULT
    """Which kinds of change are announced; the others are stored as well."""
    routes: Annotated[tuple[RouteSettings, ...], list_of_sections("route", "name")] = ()
    """Which change goes to whom: to the first route that matches, or to all where there is none."""
    quiet_hours: Annotated[tuple[QuietHoursSettings, ...], list_of_sections("window", "name")] = ()
    """When nothing is sent; what happens then is sent at the end, as its net effect."""
    timezone: TimeZone = "UTC"
    """The time zone of quiet hours, digests and every time shown: a name of the IANA database."""
    usage: Annotated[tuple[UsageSettings, ...], list_of_sections("model", "model")] = ()
    """What you use, so that messages say what a change costs you, and begin with it."""
    flap: FlapSettings = FlapSettings()
    operator: ReceiverNames = ()
    """Who gets the watcher's own alarms: names of receivers, better two, as one may fail itself."""
    operator_after: Duration = timedelta(minutes=30)
    """How long without a good poll before there is an alarm."""
    heartbeat: HeartbeatSettings | None = None
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()

    def receiver_names(self) -> tuple[str, ...]:
        """The receivers there are: those configured, or the built-in one where none is."""
        return tuple(self.receivers) or (TERMINAL_RECEIVER,)

    def addresses(self) -> list[tuple[str, str]]:
        """The URLs of the receivers, which are secrets, and the format wanted of each."""
        receivers = self.receivers.values()
        addresses = ((each.address.get_secret_value(), each.format) for each in receivers)
        return list(dict.fromkeys(addresses))

    def secrets(self) -> frozenset[str]:
        """Every text that nothing may show: URLs, their pieces, and what went into them."""
        return frozenset().union(*(address.secrets() for address in self._addresses()))

    def files_with_secrets(self, configuration: Path) -> tuple[Path, ...]:
        """The files in which secrets are written, of which `configuration` may be one."""
        files = (address.file(configuration) for address in self._addresses())
        return tuple(dict.fromkeys(filter(None, files)))

    def _addresses(self) -> list[SecretUrl]:
        sections = [*self.receivers.values(), *filter(None, [self.heartbeat])]
        return [section.address for section in sections]
