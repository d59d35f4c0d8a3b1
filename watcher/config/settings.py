"""The settings, typed: every key, its default and the values it allows. Attribute path = YAML path.

Texts are read as people write them (`5m`, `10%`); a program may give the values themselves. Errors
say what is wrong and how to fix it, and never repeat the value. What stands below a key
describes it to the people who set it; a section is described by its own docstring.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field

from watcher.catalog.changes import ANNOUNCED_BY_DEFAULT
from watcher.config.addresses import TcpAddress, UnixAddress, parse_listen, parse_source_url
from watcher.config.field_types import (
    AnyKind,
    Duration,
    DurationOrForever,
    DurationOrZero,
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
from watcher.config.receivers import TERMINAL_RECEIVER, HeartbeatSettings, ReceiverNames, Receivers
from watcher.config.routes import FlapSettings, QuietHoursSettings, RouteSettings, UsageSettings

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "readable", "json"]


class SourceSettings(Section):
    """Where prices come from, and how politely they are asked for."""

    url: Annotated[str, read_by(parse_source_url)] = "https://api.kie.ai/client/v1/"
    """The pricing API: https, or http on this machine only; a slash is added at its end."""
    page_size: Annotated[WholeNumber, between(1, 100)] = 100
    """Rows per page of a sweep, 1 to 100: the more, the fewer requests."""
    probe_size: Annotated[WholeNumber, between(1, 100)] = 20
    """Rows of a probe, 1 to 100: what changes among them is seen by the next poll."""
    concurrency: Annotated[WholeNumber, between(1, 8)] = 2
    """Requests at the same time, at most; 1 to 8, and few by default to be polite."""
    timeout: Duration = timedelta(seconds=20)
    """How long one request may take."""


class PollSettings(Section):
    """How often to poll, and what to do when a poll fails."""

    interval: Duration = timedelta(minutes=5)
    """How often to poll: at least 30s, except for an API on this machine."""
    jitter: Annotated[Share, share_between(0, 50)] = Decimal("0.1")
    """How much earlier or later than that, at random, so that not all watchers poll at once."""
    full_sweep_every: Duration = timedelta(minutes=30)
    """How often to sweep, at least, since a probe does not see what changes further down."""
    sweep_attempts: Annotated[WholeNumber, between(1, 10)] = 3
    """How many times to try a sweep, 1 to 10, since the catalogue may change while it is read."""
    settle_delay: Duration = timedelta(seconds=2)
    """How long to wait before the next try of a sweep."""
    max_backoff: Duration = timedelta(hours=1)
    """After failures polls become rarer, up to this interval."""


class ConfirmSettings(Section):
    """How long a change waits to be seen again before it is announced; 0 is at once."""

    removals: DurationOrZero = timedelta(minutes=10)
    """How long a model must be gone, or renamed."""
    implausible: DurationOrZero = timedelta(minutes=30)
    """How long an implausible price must last."""
    implausible_factor: Annotated[Number, above(1, "5")] = Decimal(5)
    """A price is implausible that is more than this many times as high or as low, or zero."""
    collapse: DurationOrZero = timedelta(hours=6)
    """How long a collapse must last, of which a warning is sent at once; 0: there is none."""
    collapse_share: Annotated[Share, share_between(1, 100)] = Decimal("0.2")
    """A collapse is more than this share of at least 20 models gone at once, 1% to 100%."""


class RetentionSettings(Section):
    """How long what is finished with is kept: a duration, or forever."""

    history: DurationOrForever = None
    """Changes and prices; “lowest since” and `replay` go no further back."""
    polls: DurationOrForever = timedelta(days=30)
    """Polls, and how they ended."""
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
    """A message that is not accepted for so long is dead: no longer tried, but kept."""


class WebSettings(Section):
    """The pages `/livez`, `/readyz` and `/metrics`."""

    listen: Annotated[TcpAddress | UnixAddress | None, read_by(parse_listen)] = None
    """Where they are served: HOST:PORT or unix:PATH; nowhere unless set."""
    allow_remote: OnOff = False
    """Whether the host may be one that other machines reach; there is no password."""


class LogSettings(Section):
    """What is logged, on stderr."""

    level: Annotated[LogLevel, one_of("log level", get_args(LogLevel))] = "info"
    """The least important lines that are logged: debug, info, warning or error."""
    format: Annotated[LogFormat, one_of("log format", get_args(LogFormat))] = "auto"
    """The form of a line: readable or json; auto is readable on a terminal and json elsewhere."""


class Settings(Section):
    """Everything that can be set; `Settings()` is what no configuration at all means."""

    source: SourceSettings = SourceSettings()
    poll: PollSettings = PollSettings()
    confirm: ConfirmSettings = ConfirmSettings()
    state: StateSettings = StateSettings()
    delivery: DeliverySettings = DeliverySettings()
    receivers: Receivers = Field(default_factory=dict)
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
    """The time zone of quiet hours and digests: a name of the IANA database."""
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

    def secrets(self) -> frozenset[str]:
        """Every text that nothing may show: URLs, their pieces, and what went into them."""
        sections = [*self.receivers.values(), *filter(None, [self.heartbeat])]
        return frozenset().union(*(section.address.secrets() for section in sections))
