"""What became of a send: accepted, worth another try, or refused for good, and why in few words.

Knows status codes of HTTP and SMTP and the two forms of Retry-After. Refuses to know Apprise, and
never repeats what a server said: servers quote addresses and tokens back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

__all__ = ["LONGEST_WAIT", "Outcome", "Verdict", "after_http", "after_smtp", "parse_retry_after"]

# A service that wants longer than this is asked again anyway.
LONGEST_WAIT = timedelta(days=1)

_REFUSED_FOR = {
    400: "the service does not take this message",
    401: "the credentials are wrong",
    403: "the credentials do not allow this",
    404: "the address is gone or wrong",
    410: "the address is gone",
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


class Verdict(StrEnum):
    """What to do next: nothing, try again, or give up for good."""

    ACCEPTED = "accepted"
    RETRY = "retry"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One send's end. `reason` is for people and never holds a secret; empty where accepted.

    `retry_after` is what the service asked for, at most a day; `None` where it asked for nothing.
    """

    verdict: Verdict
    reason: str
    retry_after: timedelta | None = None


def after_http(status: int, retry_after: str | None, now: datetime) -> Outcome:
    """The outcome of a send that was answered with `status` and was not a success."""
    wait = parse_retry_after(retry_after, now)
    if status == 429:  # noqa: PLR2004 - the number is its name
        return Outcome(Verdict.RETRY, "told to slow down (429)", wait)
    if status in _REFUSED_FOR:
        return Outcome(Verdict.REFUSED, f"refused with {status}: {_REFUSED_FOR[status]}")
    match status // 100:
        case 2:
            return Outcome(
                Verdict.RETRY, f"answered {status}, but did not accept the message", wait
            )
        case 3:
            why = "the address has moved, and redirects are not followed"
            return Outcome(Verdict.REFUSED, f"refused with {status}: {why}")
        case 5:
            return Outcome(Verdict.RETRY, f"the service failed ({status})", wait)
        case _:
            return Outcome(Verdict.RETRY, f"answered {status}", wait)


def after_smtp(code: int) -> Outcome:
    """The outcome of a mail that a server turned down with `code`."""
    why = _SMTP_REASONS.get(code, "the mail server gave no reason that is known here")
    if 500 <= code <= 599:  # noqa: PLR2004 - permanent, RFC 5321 section 4.2.1
        return Outcome(Verdict.REFUSED, f"refused with {code}: {why}")
    return Outcome(Verdict.RETRY, f"not now ({code}): {why}")


def parse_retry_after(text: str | None, now: datetime) -> timedelta | None:
    """Seconds or an HTTP date (RFC 9110 section 10.2.3), from nothing to a day; else `None`."""
    if text is None or not text.isascii():
        return None
    text = text.strip()
    # Some services write fractions of a second, which the RFC does not know.
    if text.replace(".", "", 1).isdecimal():
        # Any more digits than these are more than a day, and may be too many for a float.
        return min(timedelta(seconds=float(text[:12])), LONGEST_WAIT)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return min(max(wait, timedelta(0)), LONGEST_WAIT)
