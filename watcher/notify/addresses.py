"""Receiver URLs: which are good, and the Apprise plugin that a good one makes.

Apprise accepts what must not be used here: options it ignores silently, several recipients, local
files and desktops, a password without encryption. Problems never repeat a URL or a part of one.
"""

from __future__ import annotations

import math
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from watcher.config.addresses import is_loopback
from watcher.notify.formats import Format, format_problem
from watcher.notify.wire import mute_apprise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from apprise import AppriseAsset

    from watcher.notify.formats import Plugin

# After Apprise's own four seconds a slow service may still have accepted: that is a duplicate.
READ_TIMEOUT = 15.0
LONGEST_TIMEOUT = 20.0
# The most that one send may take; connect and read timeouts together are less.
SERVICE_TIMEOUT = 30.0
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
# Markdown fails on unbalanced marks.
_ONE_FORMAT_ONLY = frozenset({"discord", "tgram"})
# The schemes people use most, and the file of Apprise's that serves each. Any other loads them all.
_PLUGIN_FILES = {
    "discord": "discord",
    "gotify": "gotify",
    "gotifys": "gotify",
    "json": "custom_json",
    "jsons": "custom_json",
    "mailto": "email",
    "mailtos": "email",
    "matrix": "matrix",
    "matrixs": "matrix",
    "mmost": "mattermost",
    "mmosts": "mattermost",
    "ntfy": "ntfy",
    "ntfys": "ntfy",
    "pover": "pushover",
    "slack": "slack",
    "tgram": "telegram",
    "workflow": "workflows",
    "workflows": "workflows",
}


def check_url(url: str, format: str = "auto") -> list[str]:  # noqa: A002 - as in the configuration
    """What is wrong with a receiver's URL, in words that can be shown; nothing where it is good.

    `format` is the one configured for the receiver. The first use may load all of Apprise's
    plugins: a quarter of a second.
    """
    return _create_and_check(url, format)[1]


def create_plugin(url: str, format: str = "auto") -> Plugin:  # noqa: A002
    """The plugin for a good URL. Raises `ValueError`, without the URL, for any other."""
    plugin, problems = _create_and_check(url, format)
    if plugin is None or problems:
        raise ValueError(f"the address {'; '.join(problems)}")
    if plugin.socket_read_timeout == type(plugin).socket_read_timeout:
        plugin.socket_read_timeout = READ_TIMEOUT
    return plugin


def apprise_asset() -> AppriseAsset:
    """Apprise's settings: no files, no redirects, no retries of its own, no remote pictures."""
    from apprise import AppriseAsset  # noqa: PLC0415 - see the package's docstring

    return AppriseAsset(
        app_id="kie-watcher",
        app_desc="Watches Kie.ai's model prices",
        app_url="https://github.com/kie-watcher/kie-watcher",
        image_url_mask="",
        image_url_logo="",
        storage_mode="memory",
        secure_logging=True,
        http_redirects=False,
        service_timeout=SERVICE_TIMEOUT,
        allow_templates=False,
        default_service_retry=0,
        interpret_escapes=False,
        pgp_autogen=False,
        pem_autogen=False,
    )


def _create_and_check(url: str, wanted: str) -> tuple[Plugin | None, list[str]]:
    plugin, problems = _create_from_url(url.strip())
    if wanted not in set(Format):
        return plugin, [*problems, f"has a format that is none of {', '.join(Format)}"]
    if plugin is not None and not problems and (why := format_problem(plugin, Format(wanted))):
        problems = [why]
    return plugin, problems


def _create_from_url(url: str) -> tuple[Plugin | None, list[str]]:
    # Before warnings are collected: those of loading are not about this address.
    load_plugin_for(url)
    with mute_apprise() as complaints:
        found, problems = _parse(url)
        if found is None:
            return None, problems
        plugin = _instantiate(found)
    if plugin is None:
        return None, [*problems, "is not a complete address of that service"]
    problems += _plugin_problems(plugin)
    if not problems and complaints:
        problems.append("has an option or a recipient that Apprise does not understand")
    return plugin, problems


def load_plugin_for(url: str) -> None:
    """Load the plugin for a URL, if there is one: that one alone where its file is known."""
    scheme = url.partition("://")[0].lower()
    _load_plugins(_PLUGIN_FILES.get(scheme))


@cache
def _load_plugins(file: str | None) -> None:
    """Load the plugin in one of Apprise's files; with `None`, all of them."""
    from apprise.plugins import N_MGR  # noqa: PLC0415 - see the package's docstring

    if file is None:
        N_MGR.load_modules()  # type: ignore[no-untyped-call]
        return
    # Apprise imports the modules that a folder names: this one names a single module.
    with TemporaryDirectory(prefix="kie-watcher-") as folder:
        (Path(folder) / f"{file}.py").touch()
        N_MGR.load_modules(  # type: ignore[no-untyped-call]
            path=folder, name="apprise.plugins"
        )


def _parse(url: str) -> tuple[dict[str, Any] | None, list[str]]:
    """What Apprise reads in a URL, and what is wrong with that; `None` where it reads nothing."""
    from apprise.plugins import N_MGR, url_to_dict  # noqa: PLC0415
    from apprise.utils.parse import parse_urls  # noqa: PLC0415

    if not url:
        return None, ["is empty"]
    if len(several := parse_urls(url)) > 1:  # type: ignore[no-untyped-call]
        return None, [f"holds {len(several)} addresses; give each a receiver of its own"]
    found = url_to_dict(url, secure_logging=True)  # type: ignore[no-untyped-call]
    if not found or found.get("schema") not in N_MGR:
        return None, ["is not an address that Apprise understands"]
    if not _reports_outcome(N_MGR[found["schema"]]):
        what = "is of a service that cannot say whether it accepted a message"
        return None, [f"{what}; take one that speaks HTTP or e-mail"]
    problems = list(_option_problems(found["qsd"]))
    if any(option in _FILE_OPTIONS for option in found["qsd"]):
        return None, problems
    return found, problems


def _reports_outcome(plugin: type) -> bool:
    """Whether it is HTTP by `requests`, or e-mail: a desktop or syslog confirms nothing."""
    from apprise.plugins.email import NotifyEmail  # noqa: PLC0415

    if issubclass(plugin, NotifyEmail):
        return True
    return any("requests" in vars(sys.modules[base.__module__]) for base in plugin.__mro__)


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


def _instantiate(found: dict[str, Any]) -> Plugin | None:
    from apprise import Apprise  # noqa: PLC0415

    wanted = dict(found)
    if found["schema"] in _ONE_FORMAT_ONLY:
        wanted.pop("format", None)
    return Apprise.instantiate(wanted, asset=apprise_asset())


def _plugin_problems(plugin: Plugin) -> list[str]:
    problems = []
    if (destinations := _count_destinations(plugin)) != 1:
        what = f"names {destinations} destinations" if destinations else "names no valid recipient"
        problems.append(f"{what}; a receiver is exactly one")
    if plugin.port is not None and not 0 < plugin.port <= HIGHEST_PORT:
        problems.append(f"has a port that is not between 1 and {HIGHEST_PORT}")
    if plugin.body_max_line_count:
        problems.append(f"is of a service that shows {plugin.body_max_line_count} lines at most")
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
    from apprise.plugins.email import NotifyEmail  # noqa: PLC0415

    if not isinstance(plugin, NotifyEmail) or plugin.secure_mode != "insecure":
        return False
    return bool(plugin.password) and not is_loopback(plugin.smtp_host)
