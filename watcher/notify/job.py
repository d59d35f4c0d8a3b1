"""What a fork of the sender does: inspect an address, send a message, or show what would be sent.

A job is limited in time by an alarm that repeats: libraries catch exceptions, and wait again.
Whether a message may have left is observed through Python's audit events, for every service alike.
"""

from __future__ import annotations

import base64
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from watcher.notify.addresses import create_plugin, inspect, load_class
from watcher.notify.formats import Preview, parse_markup, set_markdown
from watcher.notify.other_services import as_handed, send_by_apprise, send_picture
from watcher.notify.outcome import Outcome, Verdict, outcome_of_failure
from watcher.notify.own_service import OutgoingMessage, OwnService

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from watcher.notify.formats import Plugin

# Seconds from one alarm to the next.
_REPEAT_ALARM = 0.2
# Seconds of processor time after which a job lets all others go first. Most take a hundredth.
_SHARE = 0.05
_LOWEST_PRIORITY = 19
# What libraries import while they send.
_LOADED_LATE = ("concurrent.futures.thread", "email.generator", "encodings.idna", "netrc")


class LateError(BaseException):
    """The time is over. Not an `Exception`: libraries catch those."""


class Departure:
    """Observes whether a message may have left this machine; calls `on_left` when it first may.

    Of HTTP the first bytes of a request, when TCP and TLS stand; of mail its text, once the server
    has asked for it.
    """

    def __init__(self, on_left: Callable[[], None]) -> None:
        self.left = False
        self._on_left = on_left
        self._mail_follows = False

    def observe(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook, for `sys.addaudithook`."""
        if self.left:
            return
        if event == "http.client.send":
            # What a proxy is told is where to connect to, and no more.
            sent = arguments[1]
            self.left = not (isinstance(sent, bytes) and sent.startswith(b"CONNECT "))
        elif event == "smtplib.send":
            self.left, self._mail_follows = self._mail_follows, arguments[1] == b"data\r\n"
        if self.left:
            self._on_left()


def load(url: str) -> None:
    """Load what a job with this URL needs, so that no fork has to."""
    load_class(url)
    for name in _LOADED_LATE:
        import_module(name)


def run(request: Mapping[str, Any], report: Callable[[Mapping[str, Any]], None]) -> None:
    """Do one job, in a process that is its own. `report` is called with what is known so far."""
    departure = Departure(lambda: report({"left": True}))
    sys.addaudithook(departure.observe)
    signal.signal(signal.SIGPROF, _let_others_go_first)
    signal.setitimer(signal.ITIMER_PROF, _SHARE)
    signal.signal(signal.SIGALRM, _end)
    signal.signal(signal.SIGXCPU, _end)
    signal.setitimer(signal.ITIMER_REAL, request["within"], _REPEAT_ALARM)
    try:
        last: Mapping[str, Any] = {"reply": _reply(request, departure)}
    except LateError:
        last = {"ended": "late"}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    report(last)


def _end(_signal: int, _frame: object) -> NoReturn:
    raise LateError


def _let_others_go_first(_signal: int, _frame: object) -> None:
    with suppress(OSError):
        os.nice(_LOWEST_PRIORITY)


def _reply(request: Mapping[str, Any], departure: Departure) -> dict[str, Any]:
    match request["what"]:
        case "inspect":
            return inspect(request["url"], request["format"]).to_json()
        case "preview":
            preview = _preview(*_open(request))
            content = base64.b64encode(preview.content).decode()
            return {"content": content, "content_type": preview.content_type}
        case "picture":
            plugin, message = _open(request)
            return {"accepted": send_picture(plugin, message.picture or b"")}
        case _:
            return _send(request, departure).to_json()


def _open(request: Mapping[str, Any]) -> tuple[Plugin, OutgoingMessage]:
    plugin = create_plugin(request["url"], request["format"])
    picture = request["picture"]
    message = OutgoingMessage(
        request["title"],
        request["body"],
        parse_markup(request["markup"]),
        request["alert_id"],
        None if picture is None else base64.b64decode(picture),
    )
    set_markdown(plugin, message.markup)
    return plugin, message


def _preview(plugin: Plugin, message: OutgoingMessage) -> Preview:
    if isinstance(plugin, OwnService):
        return plugin.as_sent(message)
    return as_handed(plugin, message)


def _send(request: Mapping[str, Any], departure: Departure) -> Outcome:
    """Send one message: whatever goes wrong with that is an outcome."""
    try:
        plugin, message = _open(request)
    except ValueError as problem:
        return Outcome(Verdict.RETRY, str(problem))
    try:
        if isinstance(plugin, OwnService):
            return plugin.send(message)
        outcome = send_by_apprise(plugin, message)
    except Exception as failure:  # noqa: BLE001 - each library has its own
        return outcome_of_failure(failure, left=departure.left)
    if outcome is not None:
        return outcome
    if departure.left:
        why = "the service did not accept it, or broke off; it may have arrived"
        return Outcome(Verdict.RETRY, why, ambiguous=True)
    return Outcome(Verdict.RETRY, "the service could not be reached")
