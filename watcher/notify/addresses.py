"""Receiver URLs: which are good, and the plugin that a good one makes.

Apprise accepts what must not be used here: options it ignores silently, several recipients, local
files and desktops, a password without encryption. Problems never repeat a URL or a part of one.
This runs in a fork of the sender, except for loading what serves a URL, which the sender does.
"""

from __future__ import annotations

import logging
import math
import sys
import warnings
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from watcher.config.addresses import is_loopback
from watcher.notify.formats import (
    Format,
    choose_format,
    describe_service,
    format_problem,
)
from watcher.render.markup import Markup, Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from apprise import AppriseAsset

    from watcher.notify.formats import Plugin

# After Apprise's own four seconds a slow service may still have accepted: that is a duplicate.
READ_TIMEOUT = 15.0
LONGEST_TIMEOUT = 20.0
HIGHEST_PORT = 65535

_FORBIDDEN_OPTIONS = {
    "retry": "the watcher keeps its own schedule",
    "wait": "the watcher keeps its own schedule",
    "optional": "a failure would look like success",
    "overflow": "the watcher makes every message fit",
}
# Options of one service or another that read local files.
_FILE_OPTIONS = frozenset(
    {"attach", "config", "include", "keyfile", "pgp", "pgpprv", "pgppub", "plugin", "plugins"}
    | {"subfile", "template", "wkd"}
)
_FALSE = frozenset({"no", "false", "0", "off", "n", "f", "never", "disable", "disabled", "deny"})
# Discord: anything but plain content splits at headings and pings by itself. Telegram: its own
# Markdown fails on unbalanced marks. Neither is asked for by a URL.
_ONE_FORMAT_ONLY = frozenset({"discord", "tgram"})

# Where the class is that serves a scheme: those with a module of their own, and others that are
# used much. Any other scheme loads all of Apprise's services, some 180.
_DISCORD = ("watcher.notify.discord", "Discord")
_SLACK = ("watcher.notify.slack", "Slack")
_NTFY = ("watcher.notify.ntfy", "Ntfy")
_MAIL = ("watcher.notify.mail", "Mail")
_JSON = ("watcher.notify.json_hook", "JsonHook")
_CLASSES = {
    "discord": _DISCORD,
    "json": _JSON,
    "jsons": _JSON,
    "mailto": _MAIL,
    "mailtos": _MAIL,
    "ntfy": _NTFY,
    "ntfys": _NTFY,
    "slack": _SLACK,
    "tgram": ("watcher.notify.telegram", "Telegram"),
    "gotify": ("apprise.plugins.gotify", "NotifyGotify"),
    "gotifys": ("apprise.plugins.gotify", "NotifyGotify"),
    "mmost": ("apprise.plugins.mattermost", "NotifyMattermost"),
    "mmosts": ("apprise.plugins.mattermost", "NotifyMattermost"),
    "pover": ("apprise.plugins.pushover", "NotifyPushover"),
}
# Web addresses as services show them to their users.
_NATIVE = {
    "discord.com": _DISCORD,
    "discordapp.com": _DISCORD,
    "hooks.slack.com": _SLACK,
    "hooks.slack-gov.com": _SLACK,
    "ntfy.sh": _NTFY,
}


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a URL is found to be: `problems`, or what must be known of its receiver."""

    problems: tuple[str, ...] = ()
    service: Service | None = None
    takes_pictures: bool = False

    def to_json(self) -> dict[str, Any]:
        """All of it, as plain JSON."""
        service = None
        if self.service is not None:
            service = {**asdict(self.service), "pace": self.service.pace.total_seconds()}
        return {**asdict(self), "service": service}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        service = given["service"]
        if service is not None:
            pace, markup = timedelta(seconds=service["pace"]), Markup(service["markup"])
            service = Service(**{**service, "pace": pace, "markup": markup})
        return cls(tuple(given["problems"]), service, given["takes_pictures"])


def inspect(url: str, format: str = "auto") -> Inspected:  # noqa: A002 - as in the configuration
    """What is wrong with a receiver's URL, in words that can be shown, or what it is."""
    read = _read(url, format)
    if read.plugin is None or read.problems:
        return Inspected(tuple(read.problems))
    plugin = read.plugin
    return Inspected(
        service=describe_service(plugin, choose_format(plugin, Format(format), read.format)),
        takes_pictures=_takes_pictures(plugin),
    )


def check_url(url: str, format: str = "auto") -> list[str]:  # noqa: A002
    """What is wrong with a receiver's URL; nothing where it is good."""
    return _read(url, format).problems


def create_plugin(url: str, format: str = "auto") -> Plugin:  # noqa: A002
    """The plugin for a good URL. Raises `ValueError`, without the URL, for any other."""
    read = _read(url, format)
    if read.plugin is None or read.problems:
        raise ValueError(f"the address {'; '.join(read.problems)}")
    if read.plugin.socket_read_timeout == type(read.plugin).socket_read_timeout:
        read.plugin.socket_read_timeout = READ_TIMEOUT
    return read.plugin


def apprise_asset() -> AppriseAsset:
    """Apprise's settings: no files, redirects, retries, threads or remote pictures."""
    from apprise import AppriseAsset  # noqa: PLC0415 - takes a while to load

    return AppriseAsset(
        app_id="kie-watcher",
        app_desc="Watches Kie.ai's model prices",
        app_url="https://github.com/kie-watcher/kie-watcher",
        image_url_mask="",
        image_url_logo="",
        storage_mode="memory",
        secure_logging=True,
        http_redirects=False,
        # The fork is limited as a whole.
        service_timeout=0,
        allow_templates=False,
        default_service_retry=0,
        interpret_escapes=False,
        pgp_autogen=False,
        pem_autogen=False,
    )


@dataclass(slots=True)
class _Read:
    """A URL as it was read. `format` is the one that it asks for."""

    problems: list[str]
    plugin: Plugin | None = None
    format: str | None = None


def _read(url: str, wanted: str) -> _Read:
    read = _read_url(url.strip())
    if wanted not in set(Format):
        read.problems.append(f"has a format that is none of {', '.join(Format)}")
    elif (
        read.plugin is not None
        and not read.problems
        and (why := format_problem(read.plugin, Format(wanted)))
    ):
        read.problems = [why]
    return read


def _read_url(url: str) -> _Read:
    from apprise.utils.parse import parse_urls  # noqa: PLC0415

    if not url:
        return _Read(["is empty"])
    if len(several := parse_urls(url)) > 1:
        return _Read([f"holds {len(several)} addresses; give each a receiver of its own"])
    # Before complaints are taken: those of loading are not about this address.
    expected = load_class(url)
    with _complaints() as complaints:
        service, found = _parse(url, expected)
        if service is None or not found:
            return _Read(["is not an address that Apprise understands"])
        if not _reports_outcome(service):
            what = "is of a service that cannot say whether it accepted a message"
            return _Read([f"{what}; take one that speaks HTTP or e-mail"])
        problems = list(_option_problems(found["qsd"]))
        if any(option in _FILE_OPTIONS for option in found["qsd"]):
            return _Read(problems)
        # The markup decides in which format each message is.
        form = found.pop("format", None)
        plugin = _instantiate(service, found)
    if plugin is None:
        return _Read([*problems, "is not a complete address of that service"])
    problems += _plugin_problems(plugin)
    if not problems and complaints:
        problems.append("has an option or a recipient that Apprise does not understand")
    if plugin.schema in _ONE_FORMAT_ONLY:
        form = None
    return _Read(problems, plugin, form)


def load_class(url: str) -> Any:
    """Load the class that serves a URL; `None` where that shows only when the URL is read."""
    scheme = url.strip().partition("://")[0].lower()
    place = _CLASSES.get(scheme)
    if place is None and scheme in {"http", "https"}:
        with suppress(ValueError):
            place = _NATIVE.get(urlsplit(url.strip()).hostname or "")
    if place is None:
        _load_all()
        return None
    module, name = place
    return getattr(import_module(module), name)


@cache
def _load_all() -> None:
    from apprise.plugins import N_MGR  # noqa: PLC0415

    N_MGR.load_modules()


def _parse(url: str, expected: Any) -> tuple[Any, dict[str, Any] | None]:
    """The class that serves a URL, and what it reads there."""
    from apprise.plugins import N_MGR, url_to_dict  # noqa: PLC0415

    if expected is not None:
        # As Apprise does: a channel may stand behind its `#`.
        text = url.replace("/#", "/%23")
        native = url.lower().startswith(("http://", "https://"))
        return expected, expected.parse_native_url(text) if native else expected.parse_url(text)
    found = url_to_dict(url, secure_logging=True)
    if not found or found.get("schema") not in N_MGR:
        return None, None
    scheme = str(found["schema"])
    own = load_class(f"{scheme}://") if scheme in _CLASSES else None
    return own or N_MGR[scheme], found


def _instantiate(service: type, found: dict[str, Any]) -> Plugin | None:
    try:
        plugin = service(asset=apprise_asset(), **found)
    except Exception:  # noqa: BLE001 - each plugin has its own ways to refuse what it reads
        return None
    return plugin if plugin.enabled else None


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Apprise's warnings and errors of this time, which quote the address: they go nowhere else."""
    logger, complaints = logging.getLogger("apprise"), _Complaints(logging.WARNING)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(complaints)
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield complaints.texts
    finally:
        logger.removeHandler(complaints)
        logger.propagate = propagate
        logger.setLevel(level)


class _Complaints(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _reports_outcome(plugin: type) -> bool:
    """Whether it is HTTP by `requests`, or e-mail: a desktop or syslog confirms nothing."""
    used = (name for base in plugin.__mro__ for name in vars(sys.modules[base.__module__]))
    return bool({"requests", "smtplib"}.intersection(used))


def _option_problems(options: Mapping[str, str]) -> Iterator[str]:
    for name, why in _FORBIDDEN_OPTIONS.items():
        if name in options:
            yield f"carries {name}=, which must go: {why}"
    if options.get("redirect", "no").lower() not in _FALSE:
        yield "carries redirect=, which must go: a redirect can lead an alert anywhere"
    if options.get("verify", "yes").lower() in _FALSE:
        yield "carries verify=, which must go: anybody could pass for the service and read along"
    for name in sorted(_FILE_OPTIONS & set(options)):
        yield f"carries {name}=, which must go: a receiver reads no local files"
    for name in ("rto", "cto"):
        if name in options and not _is_allowed_timeout(options[name]):
            yield f"carries {name}=, which must be seconds: above 0, at most {LONGEST_TIMEOUT:.0f}"


def _is_allowed_timeout(text: str) -> bool:
    try:
        seconds = float(text)
    except ValueError:
        return False
    return math.isfinite(seconds) and 0 < seconds <= LONGEST_TIMEOUT


def _plugin_problems(plugin: Plugin) -> list[str]:
    problems = []
    if (destinations := _count_destinations(plugin)) != 1:
        what = f"names {destinations} destinations" if destinations else "names no valid recipient"
        problems.append(f"{what}; a receiver is exactly one")
    if plugin.port is not None and not 0 < plugin.port <= HIGHEST_PORT:
        problems.append(f"has a port that is not between 1 and {HIGHEST_PORT}")
    if plugin.body_max_line_count:
        problems.append(f"is of a service that shows {plugin.body_max_line_count} lines at most")
    if plugin.schema == "slack" and any("@" in (name or "")[1:] for name in plugin.channels):
        what = "names a person by e-mail address, which would be looked up for each message"
        problems.append(f"{what}; take the member ID, as in /+U012AB3CD")
    if _exposes_password(plugin):
        what = "would send a mail password in the clear"
        problems.append(f"{what}; use mailtos:// (or mode=starttls, mode=ssl)")
    return problems


def _count_destinations(plugin: Plugin) -> int:
    """How many places one send would reach. Copies of a mail count: each can be refused alone."""
    if plugin.schema == "tgram":
        # Without a chat Apprise would ask Telegram who wrote to the bot last.
        return len(plugin.targets)
    if plugin.schema not in {"mailto", "mailtos"}:
        return int(len(plugin) // (plugin.retry + 1))
    return sum(map(len, (plugin.targets, plugin.cc, plugin.bcc)))


def _exposes_password(plugin: Plugin) -> bool:
    """Whether a mail password would be sent without encryption, except to this machine."""
    if getattr(plugin, "secure_mode", None) != "insecure":
        return False
    return bool(plugin.password) and not is_loopback(plugin.smtp_host)


def _takes_pictures(plugin: Plugin) -> bool:
    is_bot = plugin.schema != "slack" or plugin.mode == "bot"
    return bool(plugin.attachment_support) and is_bot
