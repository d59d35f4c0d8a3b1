"""What came of one send, in words that may be shown.

Accepted, to be tried again, or refused for good; and whether a message that is tried again may have
arrived all the same. A reason never repeats what a service said: services quote addresses and
tokens back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from watcher.schedule import parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

# Statuses of the fourth hundred that say “not now”; all others say “never like this”.
_NOT_NOW = frozenset({408, 409, 423, 425, 429})
_TOO_MANY = 429

_REFUSED_REASONS = {
    401: "the credentials are wrong",
    403: "the credentials do not allow this",
    404: "the address is gone or wrong",
    405: "the service does not take messages this way",
    407: "the proxy wants credentials",
    410: "the address is gone",
    413: "the message is too large",
    451: "the service may not show this",
}
_SMTP_REASONS = {
    421: "the mail server is not available now",
    450: "the mailbox is busy",
    451: "the mail server had an error",
    452: "the mail server is out of space",
    530: "the mail server wants a login or encryption",
    534: "the mail server wants another way to log in",
    535: "the user name or the password is wrong",
    550: "the recipient or the sender is not accepted",
    551: "the recipient is elsewhere",
    552: "the message is too large or the mailbox is full",
    553: "the recipient's address is not allowed",
    554: "the mail server does not take this message",
}
# By the name of the exception's class: each library has its own.
_FAILURE_REASONS = {
    "ConnectTimeout": "no connection in time",
    "MemoryError": "it took more memory than a send may",
    "ProxyError": "the proxy did not work",
    "ReadTimeout": "no connection in time",
    "SSLError": "no encrypted connection could be made",
    "SMTPNotSupportedError": "the mail server offers no encryption, or no login",
    "TimeoutError": "no connection in time",
}
_MAY_HAVE_ARRIVED = "it may have arrived"


class Verdict(StrEnum):
    """What to do next: nothing, try again, or give up for good."""

    ACCEPTED = "accepted"
    RETRY = "retry"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one send. `reason` is for people, without secrets; empty where accepted.

    `retry_after` is what the service asked for, at most a day; `None` where it asked for nothing.
    `ambiguous`: the message left this machine and nobody said what became of it.
    """

    verdict: Verdict
    reason: str
    retry_after: timedelta | None = None
    ambiguous: bool = False

    def to_json(self) -> dict[str, Any]:
        """All of it, as plain JSON."""
        wait = None if self.retry_after is None else self.retry_after.total_seconds()
        return {
            "verdict": self.verdict.value,
            "reason": self.reason,
            "retry_after": wait,
            "ambiguous": self.ambiguous,
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """The outcome that `to_json` gave."""
        wait = given["retry_after"]
        return cls(
            Verdict(given["verdict"]),
            given["reason"],
            None if wait is None else timedelta(seconds=wait),
            given["ambiguous"],
        )


def outcome_of_http(status: int, retry_after: str | None, now: datetime) -> Outcome:
    """The outcome of a send that was answered with `status` and was not a success."""
    wait = parse_retry_after(retry_after, now)
    if status == _TOO_MANY:
        return Outcome(Verdict.RETRY, "told to slow down (429)", wait)
    if status in _NOT_NOW:
        return Outcome(Verdict.RETRY, f"answered {status}", wait)
    match status // 100:
        case 2:
            why = f"answered {status}, but did not accept the message"
            return Outcome(Verdict.RETRY, why, wait)
        case 3:
            why = "the address has moved, and redirects are not followed"
            return Outcome(Verdict.REFUSED, f"refused with {status}: {why}")
        case 4:
            why = _REFUSED_REASONS.get(status, "the service does not take this message")
            return Outcome(Verdict.REFUSED, f"refused with {status}: {why}")
        case 5:
            return Outcome(Verdict.RETRY, f"the service failed ({status})", wait)
        case _:
            return Outcome(Verdict.RETRY, f"answered {status}", wait)


def outcome_of_smtp(code: int) -> Outcome:
    """The outcome of a mail that a server turned down with `code`."""
    why = _SMTP_REASONS.get(code, "the mail server gave no reason that is known here")
    if 500 <= code <= 599:  # noqa: PLR2004 - permanent, RFC 5321 section 4.2.1
        return Outcome(Verdict.REFUSED, f"refused with {code}: {why}")
    return Outcome(Verdict.RETRY, f"not now ({code}): {why}")


def outcome_of_failure(failure: Exception, *, left: bool) -> Outcome:
    """The outcome of a send that got no answer. `left`: the message may have been sent by then."""
    names = [kind.__name__ for kind in type(failure).__mro__]
    if not left:
        reasons = (_FAILURE_REASONS[name] for name in names if name in _FAILURE_REASONS)
        why = next(reasons, "the service could not be reached")
        if "CERTIFICATE_VERIFY_FAILED" in str(failure):
            why = "the certificate was not accepted"
        return Outcome(Verdict.RETRY, why)
    timed_out = any("Timeout" in name for name in names)
    why = "no answer in time" if timed_out else "broke off before an answer"
    return Outcome(Verdict.RETRY, f"{why}; {_MAY_HAVE_ARRIVED}", ambiguous=True)


def outcome_without_reply(ended: str, within: timedelta, *, left: bool) -> Outcome:
    """The outcome of a send that was ended before it knew, and why it was (`ended`)."""
    if ended == "unstarted":
        return Outcome(Verdict.RETRY, "this machine could not start a process for it")
    if ended == "busy":
        return Outcome(Verdict.RETRY, "not tried: too many other receivers hang")
    if ended == "late":
        why = f"within {within.total_seconds():.0f} seconds"
        if not left:
            return Outcome(Verdict.RETRY, f"no connection {why}")
        return Outcome(Verdict.RETRY, f"no answer {why}; {_MAY_HAVE_ARRIVED}", ambiguous=True)
    if not left:
        return Outcome(Verdict.RETRY, "the send was ended before anything was sent")
    return Outcome(Verdict.RETRY, f"the send was ended; {_MAY_HAVE_ARRIVED}", ambiguous=True)
