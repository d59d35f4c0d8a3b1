"""The settings, typed: every key, its default and the values it allows. Attribute path = YAML path.

Texts are read as people write them (`5m`, `10%`); a program may give the values themselves. Errors
say what is wrong and how to fix it, and never repeat the value.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, SecretStr

from watcher.catalog.changes import ANNOUNCED_BY_DEFAULT
from watcher.config.addresses import TcpAddress, UnixAddress, parse_listen, parse_source_url
from watcher.config.durations import parse_duration
from watcher.config.field_types import (
    EMPTY_MEANS_DEFAULTS,
    NOT_EMPTY,
    AnyKind,
    Duration,
    DurationOrForever,
    DurationOrZero,
    Names,
    Number,
    OnOff,
    PlainPath,
    Section,
    Share,
    TimeZone,
    WholeNumber,
    above,
    between,
    list_of_sections,
    non_empty_list,
    one_of,
    read_by,
    share_between,
)
from watcher.config.routes import FlapSettings, QuietHoursSettings, RouteSettings, UsageSettings
from watcher.config.secrets import is_secret, secret_parts

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "readable", "json"]
MessageFormat = Literal["auto", "markdown", "html", "text", "json"]

# The built-in receiver that prints alerts, where no other is configured; the state has its messages
# and deliveries under this name.
TERMINAL_RECEIVER = "terminal"
# The monitor is pinged with each complete sweep.
EVERY_SWEEP: Literal["sweep"] = "sweep"


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


class SourceSettings(Section):
    """Where prices come from, and how politely they are asked for. `url` ends with a slash."""

    url: Annotated[str, read_by(parse_source_url)] = "https://api.kie.ai/client/v1/"
    page_size: Annotated[WholeNumber, between(1, 100)] = 100
    probe_size: Annotated[WholeNumber, between(1, 100)] = 20
    concurrency: Annotated[WholeNumber, between(1, 8)] = 2
    timeout: Duration = timedelta(seconds=20)


class PollSettings(Section):
    """How often to poll. `jitter` is a share of the interval, 0 to 0.5."""

    interval: Duration = timedelta(minutes=5)
    jitter: Annotated[Share, share_between(0, 50)] = Decimal("0.1")
    full_sweep_every: Duration = timedelta(minutes=30)
    sweep_attempts: Annotated[WholeNumber, between(1, 10)] = 3
    settle_delay: Duration = timedelta(seconds=2)
    max_backoff: Duration = timedelta(hours=1)


class ConfirmSettings(Section):
    """How long a change waits to be seen again; zero turns that waiting off. Shares are 0 to 1."""

    removals: DurationOrZero = timedelta(minutes=10)
    implausible: DurationOrZero = timedelta(minutes=30)
    implausible_factor: Annotated[Number, above(1, "5")] = Decimal(5)
    collapse: DurationOrZero = timedelta(hours=6)
    collapse_share: Annotated[Share, share_between(1, 100)] = Decimal("0.2")


class RetentionSettings(Section):
    """How long what is finished with is kept; `None` is for ever."""

    history: DurationOrForever = None
    polls: DurationOrForever = timedelta(days=30)
    messages: DurationOrForever = timedelta(days=90)


class StateSettings(Section):
    """Where the state is; a relative path starts from the current directory."""

    path: PlainPath = Path("kie-watcher.db")
    keep: Annotated[RetentionSettings, EMPTY_MEANS_DEFAULTS] = RetentionSettings()


class DeliverySettings(Section):
    """How long a message is tried before it is dead."""

    give_up_after: Duration = timedelta(days=7)


class ReceiverOptions(Section):
    """How messages for a receiver are made; `auto` is the best format its service takes."""

    format: Annotated[MessageFormat, one_of("message format", get_args(MessageFormat))] = "auto"
    charts: OnOff = False
    template: Annotated[PlainPath | None, NOT_EMPTY] = None


class ReceiverSettings(ReceiverOptions):
    """One destination: an Apprise URL, and the values of the variables that went into it.

    `template_text` is the content of the file that `template` names.
    """

    url: SecretStr
    variables: frozenset[SecretStr] = frozenset()
    template_text: str | None = None

    def secrets(self) -> frozenset[str]:
        """The URL, its pieces, and the values that went into it."""
        return _secrets(self.url, self.variables)


class HeartbeatOptions(Section):
    """How often the monitor is pinged."""

    every: Annotated[timedelta | Literal["sweep"], read_by(_parse_ping_interval)] = EVERY_SWEEP


class HeartbeatSettings(HeartbeatOptions):
    """A monitor that notices when we are gone: its URL, and the variables that went into it."""

    url: SecretStr
    variables: frozenset[SecretStr] = frozenset()

    def secrets(self) -> frozenset[str]:
        """The URL, its pieces, and the values that went into it."""
        return _secrets(self.url, self.variables)


class WebSettings(Section):
    """Where `/livez`, `/readyz` and `/metrics` are served; nowhere without `listen`."""

    listen: Annotated[TcpAddress | UnixAddress | None, read_by(parse_listen)] = None
    allow_remote: OnOff = False


class LogSettings(Section):
    """What is logged and how; `auto` is readable on a terminal and JSON elsewhere."""

    level: Annotated[LogLevel, one_of("log level", get_args(LogLevel))] = "info"
    format: Annotated[LogFormat, one_of("log format", get_args(LogFormat))] = "auto"


class Settings(Section):
    """Everything that can be set; `Settings()` is what no configuration at all means."""

    source: SourceSettings = SourceSettings()
    poll: PollSettings = PollSettings()
    confirm: ConfirmSettings = ConfirmSettings()
    state: StateSettings = StateSettings()
    delivery: DeliverySettings = DeliverySettings()
    receivers: dict[str, ReceiverSettings] = Field(default_factory=dict)
    announce: Annotated[
        frozenset[AnyKind],
        non_empty_list(
            "kind",
            "new, removed",
            "so nothing would ever be announced;"
            " name at least one kind, or remove the key for the usual ones",
        ),
    ] = ANNOUNCED_BY_DEFAULT
    routes: Annotated[tuple[RouteSettings, ...], list_of_sections("route", "name")] = ()
    quiet_hours: Annotated[tuple[QuietHoursSettings, ...], list_of_sections("window", "name")] = ()
    timezone: TimeZone = "UTC"
    usage: Annotated[tuple[UsageSettings, ...], list_of_sections("model", "model")] = ()
    flap: FlapSettings = FlapSettings()
    operator: Names = ()
    operator_after: Duration = timedelta(minutes=30)
    heartbeat: HeartbeatSettings | None = None
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()

    def receiver_names(self) -> tuple[str, ...]:
        """The receivers there are: those configured, or the built-in one where none is."""
        return tuple(self.receivers) or (TERMINAL_RECEIVER,)

    def secrets(self) -> frozenset[str]:
        """Every text that nothing may show: URLs, their pieces, and what went into them."""
        heartbeat = frozenset() if self.heartbeat is None else self.heartbeat.secrets()
        return heartbeat.union(*(receiver.secrets() for receiver in self.receivers.values()))


def _secrets(url: SecretStr, variables: frozenset[SecretStr]) -> frozenset[str]:
    values = {variable.get_secret_value() for variable in variables}
    return secret_parts(url.get_secret_value()) | frozenset(filter(is_secret, values))
