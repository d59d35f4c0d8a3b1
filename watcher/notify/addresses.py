"""Which of Apprise's services are loaded: only those that are asked for, where that is known.

Loading all of some 180 takes 9 MiB and a quarter of a second for the sake of one. Refuses to know
what a service does.

Which receiver URLs are good, and the Apprise service that a good one makes.

Knows what Apprise accepts and should not: silent options, several recipients, local files and
desktops, a password in the clear. Refuses to know how a message is sent, and never repeats a URL or
a part of one.
"""

from __future__ import annotations

import ipaddress
import math
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from watcher.notify.formats import Format, format_problem
from watcher.notify.wire import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from apprise import AppriseAsset

    from watcher.notify.formats import Plugin

# The schemes people use most, and the file of Apprise's that serves each. Any other loads them all.
_FILES = {
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


def load_for(url: str) -> None:
    """See to it that the service of a URL is loaded, if there is one."""
    scheme = url.partition("://")[0].lower()
    _load(_FILES.get(scheme))


@cache
def _load(file: str | None) -> None:
    """Load the service in one of Apprise's files; with `None`, all of them."""
    from apprise.plugins import N_MGR  # noqa: PLC0415 - see the package's docstring

    if file is None:
        N_MGR.load_modules()  # type: ignore[no-untyped-call]
        return
    # It imports what stands in a folder, by name: one with a single name in it will do.
    with TemporaryDirectory(prefix="kie-watcher-") as folder:
        (Path(folder) / f"{file}.py").touch()
        N_MGR.load_modules(  # type: ignore[no-untyped-call]
            path=folder, name="apprise.plugins"
        )


# Apprise's own four seconds make an unclear end, and so a duplicate, out of every slow service.
READ_TIMEOUT = 15.0
LONGEST_TIMEOUT = 20.0
# No more than this is waited for one send; connect and read time together stay below it.
SERVICE_TIMEOUT = 30.0
HIGHEST_PORT = 65535

_NOT_YOURS = {
    "retry": "the watcher keeps its own schedule",
    "wait": "the watcher keeps its own schedule",
    "optional": "a failure would look like success",
    "overflow": "the watcher makes every message fit",
}
# Options of one service or another that read local files.
_READS_FILES = frozenset(
    {"attach", "config", "include", "keyfile", "pgp", "pgpprv", "pgppub", "plugin", "plugins"}
    | {"subfile", "template", "wkd"}
)
_NO = frozenset({"no", "false", "0", "off", "n", "f", "never", "disable", "disabled", "deny"})
# Discord: anything but plain content splits at headings and pings by itself. Telegram: its own
# Markdown fails on unbalanced marks.
_ONE_FORMAT_ONLY = frozenset({"discord", "tgram"})


def check(url: str, format: str = "auto") -> list[str]:  # noqa: A002 - as in the configuration
    """What is wrong with a receiver's URL, in words that can be shown; nothing where it is good.

    `format` is what the receiver is told to be told in. The first use loads all of Apprise's
    services: a quarter of a second.
    """
    return _checked(url, format)[1]


def service_at(url: str, format: str = "auto") -> Plugin:  # noqa: A002
    """The one service a good URL names. Raises `ValueError`, without the URL, for any other."""
    service, problems = _checked(url, format)
    if service is None or problems:
        raise ValueError(f"the address {'; '.join(problems)}")
    if service.socket_read_timeout == type(service).socket_read_timeout:
        service.socket_read_timeout = READ_TIMEOUT
    return service


def asset() -> AppriseAsset:
    """Apprise's settings: no files, no redirects, no retries of its own, no pictures from afar."""
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


def _checked(url: str, wanted: str) -> tuple[Plugin | None, list[str]]:
    service, problems = _examined(url.strip())
    if wanted not in set(Format):
        return service, [*problems, f"has a format that is none of {', '.join(Format)}"]
    if service is not None and not problems and (why := format_problem(service, Format(wanted))):
        problems = [why]
    return service, problems


def _examined(url: str) -> tuple[Plugin | None, list[str]]:
    # Before listening for complaints: what it says of loading is not about this address.
    load_for(url)
    with quiet() as complaints:
        found, problems = _read(url)
        if found is None:
            return None, problems
        service = _made(found)
    if service is None:
        return None, [*problems, "is not a complete address of that service"]
    problems += _found_in(service)
    if not problems and complaints:
        problems.append("has an option or a recipient that Apprise does not understand")
    return service, problems


def _read(url: str) -> tuple[dict[str, Any] | None, list[str]]:
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
    if not _says_what_became_of_it(N_MGR[found["schema"]]):
        what = "is of a service that cannot say whether it accepted a message"
        return None, [f"{what}; take one that speaks HTTP or e-mail"]
    problems = list(_wrong_options(found["qsd"]))
    if any(option in _READS_FILES for option in found["qsd"]):
        return None, problems
    return found, problems


def _says_what_became_of_it(plugin: type) -> bool:
    """HTTP by `requests`, or e-mail: no desktop, no syslog, nothing that is sent into the blue."""
    from apprise.plugins.email import NotifyEmail  # noqa: PLC0415

    if issubclass(plugin, NotifyEmail):
        return True
    return any("requests" in vars(sys.modules[base.__module__]) for base in plugin.__mro__)


def _wrong_options(options: Mapping[str, str]) -> Iterator[str]:
    for name, why in _NOT_YOURS.items():
        if name in options:
            yield f"carries {name}=, which must go: {why}"
    if options.get("redirect", "no").lower() not in _NO:
        yield "carries redirect=, which must go: a redirect can lead an alert anywhere"
    if options.get("verify", "yes").lower() in _NO:
        yield "carries verify=, which must go: anybody could pass for the service and read along"
    for name in sorted(_READS_FILES & set(options)):
        yield f"carries {name}=, which must go: a receiver reads no local files"
    for name in ("rto", "cto"):
        if name in options and not _is_patience(options[name]):
            yield f"carries {name}=, which must be seconds: above 0, at most {LONGEST_TIMEOUT:.0f}"


def _is_patience(text: str) -> bool:
    try:
        seconds = float(text)
    except ValueError:
        return False
    return math.isfinite(seconds) and 0 < seconds <= LONGEST_TIMEOUT


def _made(found: dict[str, Any]) -> Plugin | None:
    from apprise import Apprise  # noqa: PLC0415

    wanted = dict(found)
    if found["schema"] in _ONE_FORMAT_ONLY:
        wanted.pop("format", None)
    return Apprise.instantiate(wanted, asset=asset())


def _found_in(service: Plugin) -> list[str]:
    problems = []
    if (destinations := _destinations(service)) != 1:
        what = f"names {destinations} destinations" if destinations else "names no valid recipient"
        problems.append(f"{what}; a receiver is exactly one")
    if service.port is not None and not 0 < service.port <= HIGHEST_PORT:
        problems.append(f"has a port that is not between 1 and {HIGHEST_PORT}")
    if service.body_max_line_count:
        problems.append(f"is of a service that shows {service.body_max_line_count} lines at most")
    if _tells_a_password(service):
        what = "would send a mail password in the clear"
        problems.append(f"{what}; use mailtos:// (or mode=starttls, mode=ssl)")
    return problems


def _destinations(service: Plugin) -> int:
    """How many places one send would reach. Copies of a mail count: each can be refused alone."""
    if service.schema == "tgram":
        # Without a chat Apprise would ask Telegram who wrote to the bot last.
        return len(service.targets)
    if service.schema not in {"mailto", "mailtos"}:
        return int(len(service) // (service.retry + 1))
    return sum(map(len, (service.targets, service.cc, service.bcc)))


def _tells_a_password(service: Plugin) -> bool:
    if getattr(service, "secure_mode", None) != "insecure" or not service.password:
        return False
    return not _is_loopback(service.smtp_host)


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
